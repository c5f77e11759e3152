"""Whether two formulations of a supernet give the same numbers."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from small import batch, generator, kept_paths, mixture, network, random_path
from torch import Tensor, nn

from nas_core.backends.fused import FusedSupernet
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import darts_cell, minimal_cell, modified_cell, simplified_cell

TOPOLOGIES = [*map(darts_cell, range(1, 6)), minimal_cell(), simplified_cell(), modified_cell()]


def rebuilt(plain: Supernet, reductions: bool, kind: type[Supernet]) -> Supernet:
    """The same network in another formulation; loading the state is strict, so the names are the same."""
    model = kind(
        plain.space, channels=plain.channels, layers=len(plain.cells), classes=10, in_channels=1,
        reductions=reductions, head_bias=plain.classifier.bias is not None, generator=generator(9),
    ).double()  # fmt: skip
    model.load_state_dict(plain.state_dict())
    return model.train(plain.training)


def pair(
    kind: type[Supernet] = FusedSupernet, *, reductions: bool = True, seed: int = 0, **settings: Any
) -> tuple[Supernet, Supernet]:
    """A plain supernet, its affine parameters and running statistics shaken, and the same one as a ``kind``."""
    plain, draw = network(reductions=reductions, seed=seed, **settings), generator(seed + 1)
    with torch.no_grad():
        for module in plain.cells.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(generator=draw)
                module.running_var.uniform_(0.5, 2, generator=draw)
                if module.affine:
                    module.weight.normal_(generator=draw)
                    module.bias.normal_(generator=draw)
    return plain, rebuilt(plain, reductions, kind)


def gradients(
    model: Supernet,
    gates: Tensor,
    images: Tensor,
    labels: Tensor,
    path_factors: Tensor | None = None,
    observed: Tensor | None = None,
) -> tuple[Tensor, list[Tensor | None]]:
    """Class logits; gradients of the gates, of the output gates and of all weights, None where there is none."""
    z, ones = gates.clone().requires_grad_(), torch.ones(len(gates), dtype=gates.dtype, requires_grad=True)
    logits = model(images, z, ones, observed, path_factors)
    wanted = [z, ones, *model.parameters()]
    return logits.detach(), list(torch.autograd.grad(F.cross_entropy(logits, labels), wanted, allow_unused=True))


def assert_equal(
    plain: Supernet,
    model: Supernet,
    gates: Tensor,
    images: Tensor,
    labels: Tensor,
    path_factors: Tensor | None = None,
    observed: Tensor | None = None,
) -> None:
    """Logits within 1e-12, every gradient within 1e-10 of its tensor's largest entry, running statistics in 1e-12.

    Gradients that are zero in exact arithmetic, as that of a weight whose scale a batch norm undoes, are round-off in
    both: what is smaller than 1e-13 of the largest gradient of all counts as equal.
    """
    logits, grads = gradients(plain, gates, images, labels, path_factors, observed)
    other, others = gradients(model, gates, images, labels, path_factors, observed)
    assert (logits - other).abs().max() <= 1e-12 * logits.abs().max()
    floor = 1e-13 * max(g.abs().max().item() for g in grads if g is not None)
    names = ["gates", "output gates", *(name for name, _ in plain.named_parameters())]
    for name, g, h in zip(names, grads, others, strict=True):
        assert (g is None) == (h is None), name
        if g is not None and h is not None:
            assert (g - h).abs().max() <= 1e-10 * g.abs().max() + floor, name
    for (name, a), b in zip(plain.named_buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, msg=name)


@st.composite
def cases(draw: st.DrawFn, channels: tuple[int, ...] = (2, 4, 6)) -> dict[str, Any]:
    """A network, images and gates; odd and tiny images, one-hot gates, zeros, restricted edges."""
    topology = draw(st.sampled_from(TOPOLOGIES))
    candidates = tuple(draw(st.permutations(CANDIDATES))[: draw(st.integers(2, 8))])
    edges = range(len(topology.edges))
    some = st.lists(st.sampled_from(candidates), min_size=1)
    allowed = draw(st.dictionaries(st.sampled_from(edges), some, max_size=2))
    return {
        "settings": {
            "topology": topology, "layers": draw(st.integers(1, 3)), "channels": draw(st.sampled_from(channels)),
            "reductions": draw(st.booleans()), "head_bias": draw(st.booleans()), "candidates": candidates,
            "allowed": {e: tuple(dict.fromkeys(ops)) for e, ops in allowed.items()},
            "affine": draw(st.booleans()), "seed": draw(st.integers(0, 99)),
        },
        "side": draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9])),
        "gates": draw(st.sampled_from(["mixture", "one-hot", "sparse", "any sign"])),
        "training": draw(st.booleans()),
        "drop": draw(st.sampled_from([0.0, 0.0, 0.3])),
    }  # fmt: skip


def assert_case_equal(kind: type[Supernet], case: dict[str, Any]) -> None:
    """What :func:`cases` drew."""
    plain, model = pair(kind, **case["settings"])
    plain.train(case["training"])
    model.train(case["training"])
    seed = case["settings"]["seed"]
    images, labels = batch(6, case["side"], seed=seed)
    path_factors = kept_paths(plain, 6, case["drop"], seed) if case["drop"] else None
    assert_equal(plain, model, gates_of(plain, case["gates"], seed), images, labels, path_factors)


def gates_of(model: Supernet, kind: str, seed: int) -> Tensor:
    gates = mixture(model, seed)
    if kind == "one-hot":
        return random_path(model, model.space.candidates, seed)
    if kind == "sparse":
        return gates * (torch.rand(gates.shape, generator=generator(seed)) < 0.5)
    return gates - 0.1 if kind == "any sign" else gates


def assert_equal_training(plain: Supernet, model: Supernet, one_hot: bool) -> None:
    """Twenty steps of SGD with momentum and weight decay; then all weights, statistics, and logits in evaluation."""
    optimisers = [torch.optim.SGD(m.parameters(), 0.05, 0.9, weight_decay=3e-4) for m in (plain, model)]
    for step in range(20):
        images, labels = batch(12, 8, seed=step)
        gates = random_path(plain, CANDIDATES, step) if one_hot else mixture(plain, step)
        for m, optimiser in zip((plain, model), optimisers, strict=True):
            optimiser.zero_grad()
            F.cross_entropy(m(images, gates), labels).backward()
            optimiser.step()
    for (name, a), b in zip(plain.state_dict().items(), model.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8, msg=name)
    images, _ = batch(12, 8, seed=99)
    torch.testing.assert_close(plain.eval()(images, gates), model.eval()(images, gates), rtol=1e-8, atol=1e-8)


def assert_as_near(kind: type[Supernet], channels: int = 4) -> None:
    """In float32, to float64, as the plain one is.

    Deviation of logits and gradients, each by its tensor's largest entry, root mean square over ten networks.

    Both with channels last, as they are used: PyTorch's batch norm is three times more exact on the other layout.
    """
    squares = torch.zeros(2, 2, dtype=torch.float64)
    for seed in range(10):
        plain, _ = pair(topology=darts_cell(3), layers=3, seed=seed, channels=channels)
        images, labels = batch(16, 8, seed)
        gates = mixture(plain, seed)
        exact, grads = gradients(copy.deepcopy(plain), gates, images, labels)
        for i, m in enumerate((plain, rebuilt(plain, True, kind))):
            m = m.to(memory_format=torch.channels_last)
            logits, others = gradients(m.float(), gates.float(), images.float(), labels)
            ends = zip(grads, others, strict=True)
            found = [((g - h).abs().max() / g.abs().max()) ** 2 for g, h in ends if g is not None and h is not None]
            squares[i, 0] += ((logits - exact).abs().max() / exact.abs().max()) ** 2
            squares[i, 1] += torch.stack(found).median()
    plain_rms, other_rms = squares.sqrt()
    assert (other_rms <= 1.25 * plain_rms).all(), (plain_rms, other_rms)
