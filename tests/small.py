"""Small networks, settings and comparisons that the tests of the science core share.

A test's name says its kind: ``test_exact_`` (an identity or a printed number), ``test_property_`` (Hypothesis),
``test_golden_`` (a pinned record), ``test_end_to_end_`` (a whole run); all others check one behaviour.
"""

from __future__ import annotations

import copy
import functools
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_core.cells.operations import CANDIDATES, Style
from nas_core.cells.supernet import Space, Supernet
from nas_core.cells.topology import Topology, darts_cell, minimal_cell
from nas_core.data import Source, Split
from nas_core.trainers import Trainer
from nas_core.trainers.methods import DARTS, DSNAS, SNAS, Exact, ProxylessNAS, Reinforce, Resource, SecondOrder, Uniform
from nas_core.trainers.search import Search
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Alpha, Data, Network, Weights

AnyTrainer = TypeVar("AnyTrainer", bound=Trainer)

METHODS: dict[str, Any] = {
    "softmax bi-level": DARTS(levels="bi-level"),
    "softmax single": DARTS(),
    "concrete single": SNAS(temperature=(1.0, 0.03), resource=Resource(weight=1e-2)),
    "concrete drop-path": SNAS(drop_path=0.3),
    "one-hot": DSNAS(cost_clamp=5.0),
    "uniform": Uniform(),
    "binary": ProxylessNAS(paths="all"),
    "two-path": ProxylessNAS(),
    "reinforce": Reinforce(samples=3),
    "softmax finite difference": SecondOrder(),
    "softmax exact": SecondOrder(estimator=Exact()),
    "concrete score": SNAS(
        temperature=(0.5, 0.03), resource=Resource(weight=1e-5, penalty="linear", estimator="score")
    ),
    "one-hot expected": DSNAS(resource=Resource(weight=1e-2, estimator="expected")),
}
LEARNING = [name for name, method in METHODS.items() if method.update_alpha]
PROBES = ("losses", "costs", "accuracy", "child")
NOT_NONE = tuple(op for op in CANDIDATES if op != "none")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(name: str = "softmax single", /, **changes: Any) -> SearchConfig:
    """A method of METHODS, two epochs of three steps, on 7x7 images: one cell of two nodes with four channels."""
    bilevel = METHODS[name].levels == "bi-level"
    return SearchConfig(
        run="tiny",
        profile="test",
        seed=3,
        data=Data(name="fashion7", train=60, search=40 if bilevel else 0, valid=30, test=30),
        network=Network(nodes=2, channels=4, layers=1, reductions=False, head_bias=False),
        method=METHODS[name],
        weights=Weights(lr=0.1, lr_min=0.01),
        alpha=Alpha(lr=0.05),
        epochs=2,
        batch=20,
        probes=PROBES,
    ).but(**changes)


def frozen(method: str) -> Any:
    """A method of METHODS whose logits do not learn."""
    if method not in LEARNING:
        return METHODS[method]
    return METHODS[method].but(update_alpha=False)


def run(trainer: AnyTrainer) -> AnyTrainer:
    """Take all steps that remain."""
    while trainer.done < trainer.total:
        trainer.step()
    return trainer


@functools.cache
def finished(name: str) -> Search:
    """The search of ``config(name)``, done; several tests look at it and none may change it."""
    return run(Search(config(name)))


def network(
    topology: Topology | None = None,
    *,
    layers: int = 1,
    channels: int = 4,
    reductions: bool = False,
    head_bias: bool = False,
    candidates: tuple[str, ...] = CANDIDATES,
    allowed: dict[int, tuple[str, ...]] | None = None,
    seed: int = 0,
    **style: Any,
) -> Supernet:
    """A supernet in float64 and training mode; ``style`` goes to :class:`Style`."""
    space = Space(topology or minimal_cell(), candidates, allowed or {}, Style(**style))
    return Supernet(
        space,
        channels=channels,
        layers=layers,
        classes=10,
        in_channels=1,
        reductions=reductions,
        head_bias=head_bias,
        generator=generator(seed),
    ).double()


def batch(n: int = 16, side: int = 8, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Random images and labels in float64."""
    draw = generator(seed)
    return torch.randn(n, 1, side, side, dtype=torch.float64, generator=draw), torch.randint(10, (n,), generator=draw)


def shape_of_gates(model: Supernet) -> tuple[int, int, int]:
    return (len(model.cells), *model.space.mask().shape)


def mixture(model: Supernet, seed: int = 2) -> Tensor:
    """Gates strictly inside the simplex, different in every layer."""
    return torch.softmax(torch.randn(shape_of_gates(model), dtype=torch.float64, generator=generator(seed)), -1)


def path(model: Supernet, *ops: str) -> Tensor:
    """One-hot gates: the named operation on each edge, the same in every layer."""
    row = F.one_hot(torch.tensor([model.space.candidates.index(op) for op in ops]), len(model.space.candidates))
    return row.double().expand(shape_of_gates(model)).clone()


def random_path(model: Supernet, ops: tuple[str, ...], seed: int) -> Tensor:
    """One-hot gates drawn from ``ops``, the same in every layer."""
    picks = torch.randint(len(ops), (model.space.mask().shape[0],), generator=generator(seed)).tolist()
    return path(model, *(ops[k] for k in picks))


def kept_paths(model: Supernet, images: int, drop: float, seed: int) -> Tensor:
    """Factors of drop-path, (layers, edges, images): 0 with probability ``drop``, otherwise 1 / (1 - drop)."""
    shape = (*shape_of_gates(model)[:2], images)
    return (torch.rand(shape, generator=generator(seed)) >= drop).double() / (1 - drop)


def costs(model: Supernet, gates: Tensor, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss, class logits, gradients of the gates (layers, edges, ops) and of the output gates (layers,)."""
    z = gates.clone().requires_grad_()
    ones = torch.ones(len(z), dtype=z.dtype, requires_grad=True)
    logits = model(images, z, ones)
    loss = F.cross_entropy(logits, labels)
    cost, output = torch.autograd.grad(loss, [z, ones])
    return loss.detach(), logits.detach(), cost, output


def fake_source(channels: int = 3, n: int = 80, side: int = 8) -> Source:
    """Random images that are cropped and mirrored while training."""
    draw = np.random.default_rng(0)

    def split(size: int) -> Split:
        images = torch.from_numpy(draw.integers(0, 256, (size, channels, side, side), dtype=np.uint8))
        return Split(images, torch.from_numpy(draw.integers(0, 10, size)))

    splits = {"train": split(n), "valid": split(40), "test": split(40)}
    return Source("fake", splits, (0.5,) * channels, (0.25,) * channels, pad=1, flip=True)


def through_a_file(state: dict) -> dict:
    """What a checkpoint gives back: the same values in other memory."""
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(state), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def assert_resumes_everywhere(begin: Callable[[], Trainer]) -> None:
    """Save after every number of steps, none and all included; go on from each, in a fresh trainer or a used one."""
    whole, saved = begin(), []
    while True:
        saved.append(through_a_file(whole.state()))
        if whole.done == whole.total:
            break
        whole.step()
    assert len(saved) == whole.total + 1
    for done, state in enumerate(saved):
        resumed = begin()
        resumed.load_state(state)
        assert resumed.done == done
        assert_same(through_a_file(run(resumed).state()), saved[-1])
    result = whole.result()
    whole.load_state(saved[whole.total // 2])
    assert_same(through_a_file(run(whole).state()), saved[-1])
    assert_same(whole.result().tables, result.tables)
    assert_same(whole.result().arrays, result.arrays)


def leaves(value: Any, name: str = "state") -> Iterator[tuple[str, Any]]:
    """The tensors, arrays and plain values of nested dicts, lists and tuples, each with its place."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from leaves(item, f"{name}[{i}]")
    else:
        yield name, value


def assert_same(a: Any, b: Any) -> None:
    """Equal bit for bit, NaN equal to NaN, in every leaf."""
    for left, right in itertools.zip_longest(leaves(a), leaves(b)):
        assert left is not None, f"only the second has {right}"
        assert right is not None, f"only the first has {left}"
        assert left[0] == right[0]
        x, y = (v.detach().numpy() if isinstance(v, Tensor) else v for v in (left[1], right[1]))
        np.testing.assert_array_equal(x, y, err_msg=left[0])


def darts(nodes: int) -> Topology:
    return darts_cell(nodes)
