"""The supernet: what it is made of, what it computes, and what a sampled path leaves uncomputed."""

import math
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small import batch, generator, kept_paths, mixture, network, path, random_path, shape_of_gates
from torch import Tensor, nn

from nas_core.cells.operations import CANDIDATES, Style
from nas_core.cells.supernet import SearchCell, Space, Supernet
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.errors import UserError

LAST_ONLY = Topology("last only", 2, 2, minimal_cell().edges, (3,))

# (topology, layers, reductions, bias of the classifier, parameters, multiply-adds) at C = 16 on 32x32 images.
SEARCH_NETWORKS = {
    "DARTS and SNAS": (darts_cell(4), 8, True, True, 1_930_618, 300_255_744),
    "8 normal cells": (darts_cell(4), 8, False, False, 372_464, 380_650_112),
    "1 minimal cell": (minimal_cell(), 1, False, False, 19_088, 19_120_448),
    "8 minimal cells": (minimal_cell(), 8, False, False, 137_392, 140_263_744),
    "1 minimal cell, last node": (LAST_ONLY, 1, False, False, 18_928, 19_120_288),
}


def search_network(name: str) -> Supernet:
    topology, layers, reductions, bias, *_ = SEARCH_NETWORKS[name]
    return Supernet(
        Space(topology), channels=16, layers=layers, classes=10, in_channels=3,
        reductions=reductions, head_bias=bias, generator=generator(),
    )  # fmt: skip


@pytest.mark.parametrize("name", SEARCH_NETWORKS)
def test_exact_parameters_of_the_search_networks(name: str) -> None:
    assert sum(p.numel() for p in search_network(name).parameters()) == SEARCH_NETWORKS[name][4]


@pytest.mark.parametrize("name", SEARCH_NETWORKS)
def test_exact_multiply_adds_of_the_search_networks(name: str) -> None:
    """Convolutions and the classifier, counted at the layers that one image meets; and the candidates' own figures."""
    model = search_network(name)
    total, inside = [], []

    def count(layer: nn.Module, args: object, out: Tensor) -> None:
        per_output = layer.weight[0].numel()
        (inside if layer in candidates else total).append(per_output * out.numel())

    candidates = {m for cell in model.cells for m in cell.operations.modules()}
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model(torch.randn(1, 3, 32, 32, generator=generator()), torch.ones(shape_of_gates(model)))
    assert sum(total + inside) == SEARCH_NETWORKS[name][5]
    stated = [c.madds for layer in model.edge_costs(32) for edge in layer for c in edge if c.params]
    assert sum(stated) == sum(inside)


def test_exact_edge_costs_follow_side_channels_and_stride() -> None:
    """The side is halved (rounded up) and C doubled by each of cells 2 and 5; only their input edges have stride 2."""
    model = network(darts_cell(2), layers=8, channels=4, reductions=True)
    assert model.cell_type == [0, 0, 1, 0, 0, 1, 0, 0]
    pool = CANDIDATES.index("max_pool_3x3")
    for layer, (channels, side) in enumerate([(4, 7), (4, 7), (8, 4), (8, 4), (8, 4), (16, 2), (16, 2), (16, 2)]):
        for e, edge in enumerate(model.edge_costs(7)[layer]):
            halved = layer in (2, 5) and e in (0, 1, 2, 3)
            assert edge[pool].madds == 9 * channels * side**2
            assert edge[pool].accesses == (5 if halved else 2) * channels * side**2


@pytest.mark.parametrize(("layers", "at"), [(1, {0}), (2, {0, 1}), (3, {1, 2}), (8, {2, 5}), (20, {6, 13})])
def test_exact_reductions_at_thirds(layers: int, at: set[int]) -> None:
    model = network(minimal_cell(), layers=layers, channels=2, reductions=True, candidates=("skip_connect",))
    assert {i for i, kind in enumerate(model.cell_type) if kind} == at
    assert network(minimal_cell(), layers=layers, channels=2).cell_type == [0] * layers


@given(
    st.sampled_from((darts_cell(3), minimal_cell(), simplified_cell(), modified_cell(), LAST_ONLY)),
    st.integers(1, 4),
    st.booleans(),
    st.integers(5, 9),
)
def test_property_shapes(topology: Topology, layers: int, reductions: bool, side: int) -> None:
    """Cells concatenate their output nodes; any topology, depth and side gives one finite row of logits an image."""
    model = network(topology, layers=layers, channels=2, reductions=reductions)
    seen = []
    for cell in model.cells:
        cell.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape)))
    images, _ = batch(3, side)
    logits = model(images, mixture(model))
    channels, expected = 2, []
    for kind in model.cell_type:
        side, channels = (math.ceil(side / 2), 2 * channels) if kind else (side, channels)
        expected.append((3, channels * len(topology.output), side, side))
    assert seen == expected
    assert logits.shape == (3, 10)
    assert logits.isfinite().all()


def in_full(model: Supernet, images: Tensor, gates: Tensor, path_factors: Tensor | None = None) -> Tensor:
    """The network written out: every operation is computed, also those whose gate is zero."""
    factors = torch.ones(*gates.shape[:2], len(images)) if path_factors is None else path_factors
    topology = model.space.topology
    older = newer = model.stem(images)
    for layer, cell in enumerate(model.cells):
        states = [f(x) for f, x in zip(cell.preprocess, [older, newer][-topology.inputs :], strict=True)]
        for node in topology.intermediate:
            total = torch.zeros(())
            for e, (i, j) in enumerate(topology.edges):
                if j == node:
                    mixed = sum(gates[layer, e, k] * op(states[i]) for k, op in enumerate(cell.operations[e]))
                    total = total + factors[layer, e].view(-1, 1, 1, 1) * mixed
            states.append(total)
        older, newer = newer, torch.cat([states[n] for n in topology.output], 1)
    return F.linear(newer.mean((2, 3)), model.classifier.weight, model.classifier.bias)


@pytest.mark.parametrize("topology", [darts_cell(3), minimal_cell(), simplified_cell(), modified_cell()])
@pytest.mark.parametrize("reductions", [False, True])
@pytest.mark.parametrize("one_hot", [False, True])
def test_exact_forward_is_the_full_mixture(topology: Topology, reductions: bool, one_hot: bool) -> None:
    model = network(topology, layers=3, reductions=reductions, head_bias=True)
    images, _ = batch()
    gates = random_path(model, CANDIDATES, seed=4) if one_hot else mixture(model)
    for factors in (None, kept_paths(model, len(images), 0.3, seed=5)):
        expected = in_full(model, images, gates, factors)
        torch.testing.assert_close(model(images, gates, path_factors=factors), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("reductions", [False, True])
def test_an_operation_with_gate_zero_is_not_computed(reductions: bool) -> None:
    model = network(darts_cell(3), layers=3, reductions=reductions)
    calls: dict[tuple[int, int, int], int] = {}
    for layer, cell in enumerate(model.cells):
        for e, edge in enumerate(cell.operations):
            for k, op in enumerate(edge):
                key = (layer, e, k)
                op.register_forward_hook(lambda m, a, out, key=key: calls.update({key: calls.get(key, 0) + 1}))
    gates = random_path(model, CANDIDATES, seed=0)
    gates[1] = gates[1].roll(1, dims=-1)
    model(batch()[0], gates)
    none = CANDIDATES.index("none")
    drawn = {tuple(i) for i in gates.nonzero().tolist()}
    assert any(k == none for _, _, k in drawn)
    assert calls == {place: 1 for place in drawn if place[2] != none}
    calls.clear()
    model(batch()[0], mixture(model))
    assert len(calls) == gates.numel() * (len(CANDIDATES) - 1) // len(CANDIDATES)
    assert set(calls.values()) == {1}


@pytest.mark.parametrize("reductions", [False, True])
@pytest.mark.parametrize("ops", [
    ("none",) * 5,
    ("none", "none", "sep_conv_3x3", "none", "dil_conv_5x5"),
    ("none", "none", "none", "none", "skip_connect"),
    ("none", "none", "none", "none", "max_pool_3x3"),
    ("sep_conv_3x3", "skip_connect", "none", "none", "none"),
])  # fmt: skip
def test_a_node_without_input_is_zero(ops: tuple[str, ...], reductions: bool) -> None:
    """Its map is zero and of the right shape, whatever reads it gives no NaN, forward or backward."""
    model = network(minimal_cell(), layers=3, reductions=reductions)
    gates = path(model, *ops).requires_grad_()
    seen: list[Tensor] = []
    model.cells[-1].register_forward_hook(lambda m, a, out: seen.append(out))
    images, labels = batch(side=7)
    loss = F.cross_entropy(model(images, gates), labels)
    grads = torch.autograd.grad(loss, [gates, *model.parameters()], allow_unused=True)
    assert all(g.isfinite().all() for g in grads if g is not None)
    channels, side = (16, 2) if reductions else (4, 7)
    for node, slots in ((2, (0, 1)), (3, (2, 3, 4))):
        part = seen[0][:, (node - 2) * channels : (node - 1) * channels]
        assert part.shape == (16, channels, side, side)
        starved = all(ops[e] == "none" for e in slots) or (ops[0] == ops[1] == "none" and ops[2] == ops[3] == "none")
        assert bool((part == 0).all()) == starved


def test_an_operation_that_is_not_allowed_does_not_exist() -> None:
    """It has no weights, its gate has no effect, and the mask says so."""
    allowed = {4: ("none", "sep_conv_3x3"), 0: ("skip_connect",)}
    model, free = network(allowed=allowed), network()
    expected = [[op in allowed.get(e, CANDIDATES) for op in CANDIDATES] for e in range(5)]
    assert model.space.mask().tolist() == expected
    assert sum(p.numel() for p in model.cells[0].operations[0].parameters()) == 0
    assert sum(p.numel() for p in model.cells[0].operations[4].parameters()) == 2 * (9 * 4 + 16)
    assert len(list(model.parameters())) < len(list(free.parameters()))
    gates = mixture(model)
    masked = gates * torch.from_numpy(model.space.mask())
    assert torch.equal(model(batch()[0], gates), model(batch()[0], masked))


@pytest.mark.parametrize(("arguments", "sentence"), [
    ({"candidates": ("none", "skip")}, "unknown operation 'skip'"),
    ({"allowed": {5: ("none",)}}, "unknown edge of topology 'minimal' '5'"),
    ({"allowed": {4: ("conv",)}}, "unknown operation on edge 4 'conv'"),
    ({"allowed": {4: ("none",)}, "candidates": ("skip_connect",)}, "unknown operation on edge 4 'none'"),
    ({"candidates": ()}, "candidates must be different operations and at least one, not ()."),
    ({"candidates": ("skip_connect",) * 2}, "candidates must be different operations and at least one, not ('skip_"),
    ({"candidates": ("none",)}, "candidates must have an operation besides 'none'"),
    ({"allowed": {-1: ("none",)}}, "unknown edge of topology 'minimal' '-1'"),
    ({"allowed": {"4": ("none",)}}, "an edge is named by its index, an integer, not '4'."),
    ({"allowed": {4: ()}}, "edge 4 must be allowed at least one of none, max_pool_3x3"),
    ({"allowed": {4: "none"}}, "edge 4 must be given a tuple of operations, not the text 'none'."),
    ({"allowed": {4: ("none", "none")}}, "edge 4 must be allowed different operations, not ('none', 'none')."),
])  # fmt: skip
def test_impossible_space_is_refused(arguments: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        Space(minimal_cell(), **arguments)


@pytest.mark.parametrize("name", ["channels", "layers", "classes", "in_channels"])
@pytest.mark.parametrize("size", [0, -1, 1.5, None])
def test_impossible_sizes_are_refused(name: str, size: Any) -> None:
    sizes = {"channels": 4, "layers": 2, "classes": 10, "in_channels": 1} | {name: size}
    with pytest.raises(UserError, match=f"{name} must be an integer of at least 1, not {size}."):
        Supernet(Space(minimal_cell()), **sizes, reductions=False, head_bias=False, generator=generator())


@pytest.mark.parametrize("where", ["reduction", "after_reduction"])
def test_a_cell_that_halves_an_odd_number_of_channels_is_refused(where: str) -> None:
    """A supernet doubles its channels before it halves the side, so that an odd number is right there."""
    flags = {"reduction": False, "after_reduction": False} | {where: True}
    with pytest.raises(UserError, match=r"a reduction needs an even number of channels, not 3\."):
        SearchCell(Space(minimal_cell()), (3, 3), 3, **flags)
    model = network(layers=3, channels=3, reductions=True)
    assert model(batch()[0], mixture(model)).isfinite().all()


def test_a_cell_is_given_as_many_maps_as_it_reads() -> None:
    with pytest.raises(UserError, match=r"topology 'minimal' reads 2 maps, but 1 are given\."):
        SearchCell(Space(minimal_cell()), (4,), 4, reduction=False, after_reduction=False)


@pytest.mark.parametrize("order", ["rcb", "crb", "cbr"])
@pytest.mark.parametrize("normaliser", ["batch", "instance", "layer"])
def test_style_reaches_every_block_of_a_cell(order: str, normaliser: str) -> None:
    """Preprocessing and operations follow the style; the stem keeps its own affine batch norm."""
    model = network(layers=3, reductions=True, order=order, normaliser=normaliser, affine=True, eps=0.5)
    kind = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "layer": nn.GroupNorm}[normaliser]
    norms = [m for m in model.cells.modules() if isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm)]
    assert {type(m) for m in norms} == {kind}
    assert {m.eps for m in norms} == {0.5}
    assert all(m.weight is not None and m.bias is not None for m in norms)
    assert [type(m) for m in model.stem] == [nn.Conv2d, nn.BatchNorm2d]
    assert (model.stem[1].eps, model.stem[1].affine) == (1e-5, True)
    letters = {nn.ReLU: "r", nn.Conv2d: "c", kind: "b"}
    for cell in model.cells:
        for module in cell.preprocess:
            if isinstance(module, nn.Sequential):
                assert "".join(letters[type(m)] for m in module) == order
            else:
                assert module.style.order == order


def test_exact_weights_follow_the_default_law() -> None:
    """Every convolution and the classifier are uniform within +-1 / sqrt(fan in), fan in counted in one group."""
    model = Supernet(
        Space(darts_cell(4)), channels=16, layers=2, classes=10, in_channels=3,
        reductions=False, head_bias=True, generator=generator(),
    )  # fmt: skip
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight.numel() // layer.weight.shape[0]
            w = layer.weight.detach() * math.sqrt(fan_in)
            assert w.abs().max() <= 1 + 1e-6
            assert w.abs().max() > 0.9
            assert abs(w.var() - 1 / 3) < 5 * (4 / 45 / w.numel()) ** 0.5
            if layer.bias is not None:
                assert layer.bias.abs().max() <= 1 / math.sqrt(fan_in)


def test_weights_depend_on_the_generator_only() -> None:
    torch.manual_seed(0)
    first = network(seed=7, head_bias=True)
    torch.manual_seed(1)
    second, other = network(seed=7, head_bias=True), network(seed=8, head_bias=True)
    for (name, a), b, c in zip(first.named_parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        if "stem.1" not in name:
            assert not torch.equal(a, c)


def test_style_defaults_are_the_papers() -> None:
    assert Style() == Style(normaliser="batch", affine=False, order="rcb", eps=1e-5)
