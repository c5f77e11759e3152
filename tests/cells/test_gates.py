"""One interface of gates: chains, MixPath's parallel paths and cells, under every relaxation."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small import batch, generator, network
from torch import Tensor, nn

from nas_core.cells.chain import FIRST, PROXYLESS, ZERO, Branch, ChainNetwork, Choice, Macro, Slot, blocks, slots
from nas_core.cells.chain_supernet import ChainSupernet, SearchedSlot, derive_chain, searched_slots
from nas_core.cells.gates import Gated, GatedBlock, Row, rows
from nas_core.cells.mixpath import (
    KERNELS,
    S1,
    S2,
    S3,
    S4_OPERATIONS,
    GroupedBottleneck,
    MixedBottleneck,
    ParallelCell,
    ParallelNetwork,
    ParallelSupernet,
    ShadowBatchNorm,
    sampled_choices,
)
from nas_core.errors import UserError
from nas_core.probes.costs import CostProbe
from nas_core.relaxations import RELAXATIONS

MACRO = Macro(4, 1, slots(4, [(6, 1, 1), (6, 2, 2)]), 8)  # the last of three slots has a shortcut
NETWORKS = ("chain", "S1", "S2", "S3", "S4")


def searched(name: str) -> ChainSupernet | ParallelSupernet:
    """A small searched network in float64 and training mode."""
    size = {"classes": 10, "in_channels": 1, "generator": generator()}
    if name == "S4":
        return ParallelSupernet(channels=2, most=4, **size).double()
    build: dict[str, Callable[[], list[GatedBlock]]] = {
        "chain": lambda: searched_slots(MACRO),
        "S1": lambda: [MixedBottleneck(slot, 4) for slot in MACRO.slots],
        "S2": lambda: [MixedBottleneck(slot, 4, (6,)) for slot in MACRO.slots],
        "S3": lambda: [GroupedBottleneck(slot, 2, (3, 5), 2) for slot in MACRO.slots],
    }
    return ChainSupernet(MACRO, build[name](), **size).double()


def paths(model: ChainSupernet | ParallelSupernet) -> Iterator[tuple[tuple[int, int], nn.Module]]:
    """Every gate, and a module whose output it multiplies; in S4 nine modules share a gate."""
    if isinstance(model, ParallelSupernet):
        for cell, i, k in itertools.product(model.cells, range(4), range(3)):
            yield (i, k + 1), cell.nodes[f"{i}:{list(S4_OPERATIONS)[k]}"]
        return
    for slot, block in enumerate(model.blocks):
        if isinstance(block, SearchedSlot):
            modules = list(block.candidates)
        elif isinstance(block, MixedBottleneck):
            modules = [path for rate in block.rates.values() for path in rate.paths.values()]
        else:
            modules = list(block.groups.values())
        for k, module in enumerate(modules):
            yield (slot, k), module


def mixture(model: Gated, seed: int = 2) -> Tensor:
    """Gates strictly inside the simplex, zero where the mask says so."""
    logits = torch.randn(model.gate_shape, dtype=torch.float64, generator=generator(seed))
    return torch.softmax(logits.masked_fill(~torch.from_numpy(model.mask()), -torch.inf), -1)


def costs(model: nn.Module, gates: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Class logits, and the gradients of the gates; fills the gradients of the weights, too."""
    images, labels = batch(8)
    z = gates.clone().requires_grad_()
    out = model(images, z, observed=observed)
    F.cross_entropy(out, labels).backward()
    assert z.grad is not None
    return out.detach(), z.grad


def one_hot(model: ChainSupernet | ParallelSupernet, seed: int) -> tuple[Any, Tensor]:
    """What a network may choose, drawn anew for every slot, and its gates."""
    draw = np.random.default_rng(seed)
    if isinstance(model, ParallelSupernet):
        ops = (None, *S4_OPERATIONS)
        cell = (ops[draw.integers(4)], None, *(ops[draw.integers(1, 4)] for _ in range(2)))
        return cell, model.gates(cell)
    choices: list[Any] = []
    for block in model.blocks:
        if isinstance(block, SearchedSlot):
            choices.append(block.held[draw.integers(len(block.held))])
        elif isinstance(block, MixedBottleneck):
            allowed = sampled_choices(4, tuple(int(e) for e in block.rates))
            choices.append(allowed[draw.integers(len(allowed))])
        else:
            choices.append(tuple(draw.choice(block.kernels, block.count)))
    return choices, model.gates(choices)


# ------------------------------------------------------------------------------------------------------- the interface


def test_exact_shapes_and_masks() -> None:
    """The fixed first block has one candidate, 6 slots of ProxylessNAS have 6 and 15 have 7."""
    size = {"classes": 1000, "in_channels": 3, "generator": generator()}
    with torch.device("meta"):
        proxyless = ChainSupernet(PROXYLESS, searched_slots(PROXYLESS), **size)
        mixed = ChainSupernet(S1, [MixedBottleneck(slot, 4) for slot in S1.slots], **size)
        single = ChainSupernet(S2, [MixedBottleneck(slot, 2, (6,)) for slot in S2.slots], **size)
        grouped = ChainSupernet(S3, [GroupedBottleneck(slot) for slot in S3.slots], **size)
    parallel, cells = searched("S4"), network(layers=3)
    every: list[Gated] = [proxyless, mixed, single, grouped, parallel, cells]
    assert [model.gate_shape for model in every] == [(22, 7), (12, 8), (18, 4), (18, 16), (4, 4), (3, 5, 8)]
    for model in every:
        assert model.mask().dtype == bool
        assert model.mask().shape == model.gate_shape[-2:]
    assert sorted(proxyless.mask().sum(1)) == [1, *[6] * 6, *[7] * 15]
    assert not proxyless.mask()[0, 1:].any()
    assert all(model.mask().all() for model in every[1:])


@pytest.mark.parametrize("name", NETWORKS)
def test_gates_of_another_shape_are_refused(name: str) -> None:
    model = searched(name)
    gates = mixture(model)
    with pytest.raises(UserError, match="gates must have the shape"):
        model(batch()[0], gates[:-1])
    with pytest.raises(UserError, match="observed must have the shape"):
        model(batch()[0], gates, observed=torch.ones(1, 1, dtype=torch.bool))


# ----------------------------------------------------------------------------------------------------- what a gate does


@pytest.mark.parametrize("name", NETWORKS)
def test_exact_a_gates_gradient_is_its_inner_product(name: str) -> None:
    """Z C = <dL/dx, x>, x the output of a choice, read off the choice's own gradient; in float64."""
    model = searched(name)
    gates = mixture(model)
    seen: list[tuple[tuple[int, int], Tensor]] = []

    for at, module in paths(model):
        module.register_forward_hook(lambda module, args, out, at=at: seen.append((at, keep_gradient(out))))
    _, cost = costs(model, gates)
    expected = torch.zeros_like(gates)
    for at, out in seen:
        expected[at] += (out.grad * out).sum().detach()
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(gates * cost, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", range(4))
def test_exact_gates_of_a_choice_are_the_choice(name: str, seed: int) -> None:
    """Logits and the weights' gradients, bit for bit; what is not drawn has no gradient at all."""
    model = searched(name)
    choice, gates = one_hot(model, seed)
    images, labels = batch(8)
    plain = (ParallelNetwork if name == "S4" else ChainNetwork).forward(model, images, choice)
    F.cross_entropy(plain, labels).backward()
    wanted = {n: p.grad for n, p in model.named_parameters()}
    model.zero_grad()
    out, _ = costs(model, gates.double())
    assert torch.equal(out, plain)
    for n, p in model.named_parameters():
        assert (p.grad is None) == (wanted[n] is None), n
        assert p.grad is None or torch.equal(p.grad, wanted[n])
    for at, module in paths(model):
        drawn = gates[at] != 0
        assert all((p.grad is not None) == drawn for p in module.parameters()), at


@pytest.mark.parametrize("seed", range(4))
def test_exact_a_path_of_the_chain_is_the_child(seed: int) -> None:
    """The network of its own, with the supernet's weights: its logits, bit for bit; Zero included."""
    model = searched("chain")
    choices, gates = one_hot(model, seed)
    if seed == 0:
        choices = [FIRST, choices[1], ZERO]
        gates = model.gates(choices)
    child = ChainNetwork(MACRO, blocks(MACRO, choices), classes=10, in_channels=1, generator=generator(1)).double()
    for part in ("stem", "head", "classifier"):
        getattr(child, part).load_state_dict(getattr(model, part).state_dict())
    for own, block, choice in zip(child.blocks, model.blocks, choices, strict=True):
        if choice != ZERO:
            own.load_state_dict(block.candidates[block.held.index(choice)].state_dict())
    images = batch(8)[0]
    assert torch.equal(model(images, gates.double()), child(images))


@settings(max_examples=20)
@given(st.sampled_from([Slot(2, 2, 1), Slot(2, 3, 1), Slot(2, 2, 2)]), st.integers(0, 99))
def test_property_a_mixture_is_the_weighted_sum_of_blocks(slot: Slot, seed: int) -> None:
    """y = sum_k g_k o_k(x), plus x where the shapes agree, and nothing for Zero."""
    held = (Choice(3, (3,)), Choice(6, (5,)), *([ZERO] if slot.residual else []))
    block = SearchedSlot(slot, held).double()
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, generator=generator(seed))
    g = torch.rand(len(held), dtype=torch.float64, generator=generator(seed + 1))
    (row,) = rows(g[None], None, (1, len(held)))
    expected = g[0] * block.candidates[0](x) + g[1] * block.candidates[1](x)
    expected = expected + x if slot.residual else expected
    torch.testing.assert_close(block.gated(x, row), expected, rtol=1e-12, atol=1e-12)
    (nothing,) = rows(torch.zeros(1, len(held)).double(), None, (1, len(held)))
    assert torch.equal(block.gated(x, nothing), x if slot.residual else torch.zeros_like(expected))


@settings(max_examples=20)
@given(st.sets(st.integers(0, 7), min_size=1), st.sampled_from([Slot(2, 2, 1), Slot(2, 3, 2)]), st.integers(0, 99))
def test_property_a_mixed_block_weighs_its_paths(drawn: set[int], slot: Slot, seed: int) -> None:
    """y = sum_e SBN_n(W_e sum_k z_ek f_ek(E_e x)), n the open gates of e, plus x where the shapes agree."""
    block = MixedBottleneck(slot, 4).double()
    for rate in block.rates.values():
        for n, shadow in enumerate(rate.norm.norms):
            nn.init.constant_(shadow.weight, n + 1)  # else all are alike
    x = torch.randn(3, 2, 5, 5, dtype=torch.float64, generator=generator(seed))
    z = torch.zeros(8, dtype=torch.float64)
    z[sorted(drawn)] = 0.1 + torch.rand(len(drawn), dtype=torch.float64, generator=generator(seed + 1))
    (row,) = rows(z[None], None, (1, 8))
    expected = x if slot.residual else torch.zeros(())
    for part, rate in zip(z.chunk(2), block.rates.values(), strict=True):
        if part.any():
            outputs = torch.stack([path(rate.expand(x)) for path in rate.paths.values()])
            mixed = torch.einsum("k,k...->...", part, outputs)
            expected = expected + rate.norm.norms[int(part.ne(0).sum()) - 1](rate.project(mixed))
    torch.testing.assert_close(block.gated(x, row), expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=20)
@given(st.sets(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1), st.integers(0, 99))
def test_property_a_parallel_cell_weighs_its_nodes(drawn: set[tuple[int, int]], seed: int) -> None:
    """y = ReLU(SBN_n(W sum z o(P x))), n the nodes with an open gate: a mixture in one node is one path."""
    cell = ParallelCell(2, 3).double()
    x = torch.randn(3, 2, 5, 5, dtype=torch.float64, generator=generator(seed))
    z = torch.rand(4, 4, dtype=torch.float64, generator=generator(seed + 1)) + 0.1
    keep = torch.zeros(4, 4, dtype=torch.bool)
    for at in drawn:
        keep[at] = True
    keep[:, 0] = True  # absence is open everywhere, and counts for nothing
    z = z * keep
    total = torch.zeros(())
    for i, k in sorted(drawn):
        total = total + z[i, k] * cell.nodes[f"{i}:{list(S4_OPERATIONS)[k - 1]}"](x)
    active = len({i for i, _ in drawn})
    for n, shadow in enumerate(cell.norm.norms):
        nn.init.constant_(shadow.weight, n + 1)  # else all are alike
    expected = torch.relu(cell.norm.norms[active - 1](cell.project(total)))
    torch.testing.assert_close(cell.gated(x, rows(z, None, (4, 4))), expected, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------------------------------- costs of what is not drawn


@pytest.mark.parametrize("name", ["chain", "S2", "S4"])
def test_exact_observed_choices_get_the_cost_they_would_have(name: str) -> None:
    """<dL/dm, x> by hand, m the sum that the gate adds to; logits, weights and drawn costs stay as they were."""
    model = searched(name)
    _, gates = one_hot(model, 0)
    gates = gates.double()
    plain, drawn = costs(model, gates)
    weights = {n: p.grad for n, p in model.named_parameters()}
    model.zero_grad()
    sums: list[Tensor] = []
    outputs: list[tuple[tuple[int, int], Tensor]] = []
    for at, module in paths(model):
        module.register_forward_hook(lambda module, args, out, at=at: outputs.append((at, out.detach())))
    for part in model.modules():
        if isinstance(part, SearchedSlot):
            # Its output is m plus the shortcut, so both have one gradient; its forward hooks are not called by gated.
            part.gated = kept_output(part.gated, sums)
        elif name != "chain" and hasattr(part, "project"):
            part.project.register_forward_pre_hook(lambda module, args: sums.append(keep_gradient(args[0])))
    out, cost = costs(model, gates, torch.from_numpy(model.mask()))
    assert torch.equal(out, plain)
    for n, p in model.named_parameters():
        assert (p.grad is None) == (weights[n] is None), n
        assert p.grad is None or torch.equal(p.grad, weights[n])
    expected = torch.zeros_like(gates)
    each = len(outputs) // len(sums) if name != "chain" else 0
    for i, (at, y) in enumerate(outputs):
        m = sums[at[0]] if name == "chain" else sums[i // each]
        expected[at] += (m.grad * y).sum()
    assert (expected[gates == 0].abs() > 1e-6).any()
    torch.testing.assert_close(cost, expected, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(cost[gates != 0], drawn[gates != 0], rtol=1e-10, atol=1e-13)


def kept_output(gated: Callable[[Tensor, Row], Tensor], outputs: list[Tensor]) -> Callable[[Tensor, Row], Tensor]:
    def kept(x: Tensor, row: Row) -> Tensor:
        outputs.append(keep_gradient(gated(x, row)))
        return outputs[-1]

    return kept


def keep_gradient(x: Tensor) -> Tensor:
    x.retain_grad()
    return x


@pytest.mark.parametrize("name", ["S1", "S2", "S4"])
def test_exact_a_shadow_batch_norm_makes_costs_sum_to_zero(name: str) -> None:
    """It undoes the scale of what it normalises: sum_k Z_k C_k = 0 over the drawn paths of a norm, at eps = 0."""
    model = searched(name)
    for part in model.modules():
        if isinstance(part, ShadowBatchNorm):
            for norm in part.norms:
                norm.eps = 1e-30
    gates = mixture(model)
    _, cost = costs(model, gates)
    weighted = gates * cost
    sums = weighted.reshape(3, 2, 4).sum(-1) if name == "S1" else weighted.sum(-1)
    sums = sums.sum() if name == "S4" else sums
    assert weighted.abs().max() > 1e-3
    assert sums.abs().max() < 1e-12


def test_a_path_is_only_observed_beside_one_of_its_expansion() -> None:
    """Without a drawn path there is no batch norm that its sum would go through."""
    model = searched("S1")
    gates = model.gates([Choice(3, (3,))] * 3).double()
    with pytest.raises(UserError, match="only be observed beside a drawn one of its expansion"):
        model(batch()[0], gates, observed=torch.ones(3, 8, dtype=torch.bool))


# ---------------------------------------------------------------------------------------------- relaxations and probes


@pytest.mark.parametrize("name", ["chain", "S2", "S4"])
@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_every_relaxation_draws_gates_and_takes_costs(name: str, relaxation: str) -> None:
    """The logits have the shape of the gates; what the mask forbids stays at zero."""
    model, rule = searched(name), RELAXATIONS[relaxation]
    mask = torch.from_numpy(model.mask())
    logits = torch.randn(model.gate_shape, dtype=torch.float64, generator=generator(3)).masked_fill(~mask, -torch.inf)
    a = logits if rule.restrict is None else rule.restrict(logits, generator(4))
    gates = rule.draw(a, generator(5), 0.5)
    observed = a.isfinite() if rule.costs == "allowed" else None
    _, cost = costs(model, gates, observed)
    step = rule.logit_gradient(a, gates, cost, 0.5)
    assert step.shape == model.gate_shape
    assert step.isfinite().all()
    assert not step[~mask].any()
    # In MixPath's blocks a single path has no cost, as is tested below.
    assert relaxation == "uniform" or name != "chain" or step.abs().max() > 1e-6
    probe = CostProbe(1, torch.zeros(mask.shape))
    probe.add(gates[None], cost[None], torch.zeros(1))
    torch.testing.assert_close(probe.close()["edge_cost"][0], (gates * cost).sum(-1))


@pytest.mark.parametrize("name", ["chain", "S1", "S2", "S4"])
def test_exact_the_softmax_of_darts_through_gates(name: str) -> None:
    """The logits' gradient by the cost form equals automatic differentiation through the softmax."""
    model, rule = searched(name), RELAXATIONS["softmax"]
    mask = torch.from_numpy(model.mask())
    logits = torch.randn(model.gate_shape, dtype=torch.float64, generator=generator(3)).masked_fill(~mask, -torch.inf)
    gates = rule.draw(logits, generator(), 1.0)
    _, cost = costs(model, gates)
    a = logits.clone().requires_grad_()
    images, labels = batch(8)
    loss = F.cross_entropy(model(images, F.softmax(a, -1)), labels)
    (expected,) = torch.autograd.grad(loss, a)
    torch.testing.assert_close(rule.logit_gradient(logits, gates, cost, 1.0), expected, rtol=1e-9, atol=1e-13)


def test_exact_argmax_of_a_chain() -> None:
    """The first block is fixed, a slot without shortcut cannot become Zero, and ties go to the earlier candidate."""
    macro = PROXYLESS
    prob = np.full((22, 7), 1 / 7)
    prob[5, 3] = prob[6, 6] = prob[1, 6] = 0.5
    prob[1, 2] = 0.2
    found = derive_chain(prob, macro)
    assert found[0] == FIRST
    assert found[1] == Choice(3, (5,)), "no shortcut, so not Zero but the next best"
    assert found[2] == Choice(3, (3,)), "all are tied"
    assert (found[5], found[6]) == (Choice(6, (5,)), ZERO)
    assert len(found) == 22
    with pytest.raises(UserError, match="22 slots needs as many rows of probabilities, not 3"):
        derive_chain(prob[:3], macro)


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Choice(0, (3,)), "expansion must be 1 or more, not 0"),
    (lambda: Choice(-1, (3,)), "expansion must be 1 or more, not -1"),
    (lambda: Choice(3, ()), "kernels of a block must be at least one"),
    (lambda: Choice(3, (3, 3)), "kernels of a block must all be different"),
    (lambda: Choice(3, (3, 4)), "kernels of a block must be odd sizes of 1 or more, not 4"),
    (lambda: Choice(3, (-3,)), "kernels of a block must be odd sizes of 1 or more, not -3"),
    (lambda: Slot(0, 3, 1), "inputs must be 1 or more, not 0"),
    (lambda: Slot(3, 0, 1), "outputs must be 1 or more, not 0"),
    (lambda: Slot(3, 3, 3), "stride must be 1 or 2, not 3"),
    (lambda: Macro(4, 1, (), 8), "slots must be 1 or more, not 0"),
    (lambda: Macro(0, 1, (Slot(1, 3, 1),), 8), "stem must be 1 or more, not 0"),
    (lambda: Macro(4, 0, (Slot(4, 3, 1),), 8), "stem of a chain: stride must be 1 or 2, not 0"),
    (lambda: Macro(4, 1, (Slot(3, 3, 1),), 8), "slot 0 of a chain must read the 4 channels before it, not 3"),
    (lambda: Macro(4, 1, (Slot(4, 3, 1), Slot(4, 4, 1)), 8), "slot 1 of a chain must read the 3 channels"),
    (lambda: blocks(MACRO, [FIRST]), "3 slots needs as many choices, not 1"),
    (lambda: blocks(MACRO, [FIRST, ZERO, ZERO]), "slot 1 of the chain has no shortcut"),
    (lambda: chain([nn.Identity()]), "3 slots needs as many blocks, not 1"),
    (lambda: chain(blocks(MACRO, [FIRST] * 3), classes=0), "classes must be 1 or more, not 0"),
    (lambda: chain(blocks(MACRO, [FIRST] * 3), in_channels=0), "in_channels must be 1 or more, not 0"),
    (lambda: ChainNetwork.forward(searched("S1"), batch()[0], []), "3 slots needs as many choices, not 0"),
    (lambda: searched("S1").gates([FIRST]), "3 slots needs as many choices, not 1"),
    (lambda: SearchedSlot(Slot(2, 2, 2), (ZERO,)), "only be a candidate where there is a shortcut"),
    (lambda: SearchedSlot(Slot(2, 2, 1), ()), "candidates of a slot must be at least one"),
    (lambda: SearchedSlot(Slot(2, 2, 1), (FIRST, FIRST)), "candidates of a slot must all be different"),
    (lambda: SearchedSlot(Slot(2, 2, 1), (FIRST,)).marked(ZERO), "is no candidate of"),
    (lambda: supernet([Branch(slot, FIRST) for slot in MACRO.slots]), "blocks with gates, not of Branch"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 0), "most must be 1 or more, not 0"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 2, ()), "expansions of a mixed block must be at least one"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 2, (3, 3)), "expansions of a mixed block must all be different"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 2, (0,)), "expansion must be 1 or more, not 0"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 2, (3,), (3, 3)), "kernels of a mixed block must all be different"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 2, (3,), (2,)), "kernels of a mixed block must be odd"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 2).marked(Choice(4, (3,))), "unknown expansion '4'"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 2).marked(Choice(3, (11,))), "unknown kernel '11'"),
    (lambda: MixedBottleneck(Slot(2, 2, 1), 2)(image(2), Choice(3, KERNELS)), "4 active paths, .* norms for 1 to 2"),
    (lambda: GroupedBottleneck(Slot(3, 2, 1), 1), "3 hidden channels of a grouped block must fall into 4"),
    (lambda: GroupedBottleneck(Slot(4, 2, 1), groups=0), "groups must be 1 or more, not 0"),
    (lambda: GroupedBottleneck(Slot(4, 2, 1)).marked((3, 5, 7, 11)), "unknown kernel '11'"),
    (lambda: searched("S1")(batch()[0], torch.zeros(3, 8)), "at least one path whose gate is not zero"),
    (lambda: searched("S3")(batch()[0], torch.zeros(3, 4)), "group 0 .* needs at least one kernel"),
    (lambda: searched("S3")(batch()[0], torch.zeros(3, 4), observed=torch.ones(3, 4)), "group 0 .* one kernel"),
    (lambda: ShadowBatchNorm(2, 1)(image(2), 0), "0 active paths, .* norms for 1 to 1"),
    (lambda: searched("S4")(batch()[0], torch.zeros(4, 4)), "at least one node whose gate is not zero"),
    (lambda: ParallelCell(2, 2)(image(2), (None,) * 4), "at least one node whose gate is not zero"),
    (lambda: ParallelCell(2, 2)(image(2), ("conv1x1",)), "a cell of S4 has 4 nodes, not 1"),
    (lambda: ParallelCell(2, 2)(image(2), ("conv5x5",) * 4), "unknown operation of S4 'conv5x5'"),
    (lambda: ParallelCell(0, 2), "inputs must be 1 or more, not 0"),
    (lambda: ParallelCell(2, 2, 0), "most must be 1 or more, not 0"),
    (lambda: sampled_choices(0), "most must be 1 or more, not 0"),
])  # fmt: skip
def test_what_makes_no_network_is_refused(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()


def chain(parts: list[nn.Module], **changes: int) -> ChainNetwork:
    return ChainNetwork(MACRO, parts, **{"classes": 10, "in_channels": 1, **changes}, generator=generator())


def supernet(parts: list[Any]) -> ChainSupernet:
    return ChainSupernet(MACRO, parts, classes=10, in_channels=1, generator=generator())


def image(channels: int) -> Tensor:
    return torch.randn(2, channels, 5, 5, generator=generator())
