"""Counts: supernets against printed integers and closed forms, operations, bytes kept for the backward pass."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from closed_forms import Count, operation, search_count
from hypothesis import given, settings
from hypothesis import strategies as st
from small import generator
from torch import Tensor, nn

from nas_core.cells.chain import ChainNetwork, Choice, Macro, blocks, slots
from nas_core.cells.counts import counted, most_saved_bytes, multiply_adds, parameters, saved_bytes
from nas_core.cells.evaluation import EVALUATED, EvaluationNetwork
from nas_core.cells.genotype import released
from nas_core.cells.mixpath import MixedBottleneck, ParallelNetwork
from nas_core.cells.operations import CANDIDATES, OPERATIONS, Style
from nas_core.cells.supernet import Space, Supernet
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.errors import UserError

ONE_NODE = replace(minimal_cell(), output=(3,))  # only the last node is concatenated


def supernet(topology: Topology, *, channels: int, layers: int, reductions: bool, head_bias: bool) -> Supernet:
    size = {"channels": channels, "layers": layers, "reductions": reductions, "head_bias": head_bias}
    return Supernet(Space(topology), **size, classes=10, in_channels=3, generator=generator())


@pytest.mark.parametrize(("topology", "layers", "reductions", "head_bias", "count"), [
    (darts_cell(), 8, True, True, Count(1_930_618, 300_255_744)),
    (darts_cell(), 8, False, False, Count(372_464, 380_650_112)),
    (minimal_cell(), 1, False, False, Count(19_088, 19_120_448)),
    (minimal_cell(), 8, False, False, Count(137_392, 140_263_744)),
    (ONE_NODE, 1, False, False, Count(18_928, 19_120_288)),
])  # fmt: skip
def test_exact_counts_of_the_supernets(
    topology: Topology, layers: int, reductions: bool, head_bias: bool, count: Count
) -> None:
    """Sixteen channels on 32x32 pixels: modules, closed form and printed integers agree."""
    size = {"channels": 16, "layers": layers, "reductions": reductions, "head_bias": head_bias}
    model = supernet(topology, **size)
    gates = torch.ones(layers, *model.space.mask().shape)
    assert parameters(model) == count.params
    assert multiply_adds(model, torch.zeros(1, 3, 32, 32), gates) == count.madds
    assert search_count(topology, CANDIDATES, **size, classes=10, side=32) == count


@settings(max_examples=15)
@given(
    st.sampled_from((darts_cell(1), darts_cell(3), minimal_cell(), simplified_cell(), modified_cell(), ONE_NODE)),
    st.integers(1, 3), st.integers(1, 4), st.booleans(), st.booleans(), st.integers(4, 12),
)  # fmt: skip
def test_property_closed_form_of_the_supernet(
    topology: Topology, half: int, layers: int, reductions: bool, head_bias: bool, side: int
) -> None:
    size = {"channels": 2 * half, "layers": layers, "reductions": reductions, "head_bias": head_bias}
    model = supernet(topology, **size)
    madds = multiply_adds(model, torch.zeros(2, 3, side, side), torch.ones(layers, *model.space.mask().shape))
    assert search_count(topology, CANDIDATES, **size, classes=10, side=side) == Count(parameters(model), madds)


@given(st.sampled_from(sorted(EVALUATED)), st.integers(1, 6), st.integers(2, 9), st.sampled_from((1, 2)))
def test_property_closed_form_of_an_operation(name: str, half: int, side: int, stride: int) -> None:
    """In the derived network, with scale and shift, and for the candidates the searched one, without."""
    derived = EVALUATED[name](2 * half, stride, Style(affine=True))
    image = torch.zeros(1, 2 * half, side, side)
    count = operation(name, 2 * half, side, stride)
    assert Count(parameters(derived), multiply_adds(derived, image)) == count
    if name in OPERATIONS:
        cost = OPERATIONS[name].cost(2 * half, -(-side // stride), stride)
        searched = operation(name, 2 * half, side, stride, affine=0)
        assert searched == Count(cost.params, 0 if "pool" in name else cost.madds)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_exact_counts_of_a_network_that_holds_nothing(in_channels: int) -> None:
    """As of the same network with its weights, for every kind of network; ``build`` runs once and allocates nothing."""
    size = {"classes": 10, "in_channels": in_channels, "generator": generator()}
    macro = Macro(4, 2, slots(4, [(6, 2, 2)]), 8)
    gates = torch.full((2, 5, 8), 1 / 8)
    cells = {"channels": 2, "layers": 2}
    builds = (
        (lambda: EvaluationNetwork(released("DARTS_V2"), **cells, **size), ()),
        (lambda: Supernet(Space(minimal_cell()), **cells, **size, reductions=False, head_bias=True), (gates,)),
        (lambda: ChainNetwork(macro, blocks(macro, [Choice(3, (3,))] * 2), **size), ()),
        (lambda: ChainNetwork(macro, [MixedBottleneck(s, 2) for s in macro.slots], **size), ([Choice(6, (3, 5))] * 2,)),
        (lambda: ParallelNetwork(channels=2, most=4, **size), (("conv3x3", None, None, "maxpool3x3"),)),
    )
    for build, choice in builds:
        made: list[nn.Module] = []
        keep = lambda build=build, made=made: made.append(build()) or made[0]  # noqa: E731
        found = counted(keep, 16, *choice, in_channels=in_channels)
        model = build()
        assert found == (parameters(model), multiply_adds(model, torch.zeros(1, in_channels, 16, 16), *choice))
        assert len(made) == 1
        assert all(value.is_meta for value in made[0].state_dict().values())


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(UserError, match="side must be 1 or more, not 0"):
        counted(lambda: nn.Linear(1, 1), 0)


def test_unknown_operation_is_named_by_the_closed_form() -> None:
    """It would count nothing."""
    with pytest.raises(UserError, match="unknown operation 'sep_conv_9x9'; did you mean"):
        operation("sep_conv_9x9", 8, 8, 1)


def test_parameters_count_shared_ones_once() -> None:
    layer = nn.Linear(3, 4)
    assert parameters(nn.ModuleList([layer, nn.Linear(4, 3, bias=False), layer])) == 16 + 12


def test_counting_leaves_the_network_alone() -> None:
    model = supernet(minimal_cell(), channels=2, layers=1, reductions=False, head_bias=False)
    model.cells[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    image = torch.zeros(3, 3, 8, 8)
    gates = torch.full((1, 5, 8), 1 / 8)
    once = multiply_adds(model, image, gates)
    assert multiply_adds(model, image[:1], gates) == once == multiply_adds(model, image, gates)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [model.training, model.cells[0].training] == [True, False]


def test_exact_only_what_is_drawn_is_counted() -> None:
    model = supernet(minimal_cell(), channels=4, layers=1, reductions=False, head_bias=False)
    image, every = torch.zeros(1, 3, 8, 8), torch.zeros(1, 5, 8)
    empty = multiply_adds(model, image, every)
    for k, op in enumerate(CANDIDATES):
        gates = every.clone()
        gates[0, 4, k] = 1
        assert multiply_adds(model, image, gates) - empty == operation(op, 4, 8, 1).madds


def test_exact_saved_bytes() -> None:
    """Each storage once and whole, no parameters, nothing of a graph that was dropped."""
    x = torch.randn(6, 5, generator=generator())
    w = torch.randn(5, 5, generator=generator(), requires_grad=True)
    a = x.mm(w)  # has a graph of its own, outside of what is measured
    assert saved_bytes(lambda: a.exp()) == 4 * 30, "the exponential keeps its result"
    assert saved_bytes(lambda: (a * a, a.sin())) == 4 * 30, "two readers of one tensor"
    assert saved_bytes(lambda: a[:2].sin()) == 4 * 30, "a view keeps the whole storage"
    assert saved_bytes(lambda: F.linear(a, w)) == saved_bytes(lambda: a.mm(w.t())) == 4 * 30, "a, but no view of w"
    assert saved_bytes(lambda: a.exp().detach()) == 0, "the graph is gone"
    assert saved_bytes(lambda: a.exp().sin()) == 4 * 30, "one storage: exp's result is what sin keeps"
    assert saved_bytes(lambda: a.exp().exp()) == 2 * 4 * 30
    assert saved_bytes(lambda: x.exp()) == 0, "no gradient is asked for"
    with torch.no_grad():
        assert saved_bytes(lambda: a.exp()) == 0


def test_counting_bytes_leaves_the_gradients_alone() -> None:
    """A backward pass inside what is measured unpacks what was kept, and frees it."""
    x = torch.randn(6, 5, generator=generator())
    layers = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Softmax(1), nn.Linear(4, 1))
    plain = torch.autograd.grad(layers(x).sum(), list(layers.parameters()))
    seen: list[Tensor] = []
    assert saved_bytes(lambda: seen.extend(torch.autograd.grad(layers(x).sum(), list(layers.parameters())))) == 0
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))
    assert saved_bytes(lambda: layers(x)) > 0


class Edge(nn.Module):
    """One edge with all candidates, in the ways in which the methods run it; x has a graph, as inside a network."""

    def __init__(self, channels: int, side: int, stride: int, seed: int) -> None:
        super().__init__()
        self.ops = nn.ModuleList(OPERATIONS[op].build(channels, stride, Style()) for op in CANDIDATES)
        shape = (2, channels, side, side)
        self.x = torch.randn(shape, generator=generator(seed), requires_grad=True) * 1
        self.gates = nn.Parameter(torch.full((8,), 1 / 8))

    def mixture(self) -> Tensor:
        """DARTS: eight outputs, each with its graph."""
        return sum(g * op(self.x) for g, op in zip(self.gates.softmax(0), self.ops, strict=True))

    def gated(self, active: int, others: tuple[int, ...]) -> Tensor:
        """ProxylessNAS: the outputs of ``others`` without a graph, for the gradients of their gates."""
        with torch.no_grad():
            outputs = {k: self.ops[k](self.x) for k in others}
        outputs[active] = self.ops[active](self.x)
        return sum(self.gates[k] * y for k, y in outputs.items())

    def one_path(self, active: int) -> Tensor:
        """A weight step: the drawn operation alone."""
        return self.ops[active](self.x)


@pytest.mark.claim("C-N8")
@given(st.permutations(range(8)), st.integers(1, 4), st.integers(3, 8), st.sampled_from((1, 2)), st.integers(0, 99))
def test_property_bytes_kept_by_an_edge(order: list[int], half: int, side: int, stride: int, seed: int) -> None:
    """Mixture > all gates with one active path > two paths > one path, whichever are drawn."""
    edge = Edge(2 * half, side, stride, seed)
    active, *others = order
    kept = [
        saved_bytes(edge.mixture),
        saved_bytes(lambda: edge.gated(active, tuple(others))),
        saved_bytes(lambda: edge.gated(active, tuple(others[:1]))),
        saved_bytes(lambda: edge.one_path(active)),
    ]
    assert kept == sorted(set(kept), reverse=True)
    assert saved_bytes(edge.mixture) == kept[0], "the count repeats"


def test_exact_the_most_that_is_kept_is_that_of_graphs_at_the_same_time() -> None:
    """One after the other: that of the larger; both alive: that of both."""
    edges = [Edge(4, side, 1, 0) for side in (4, 6)]
    alone = [saved_bytes(edge.mixture) for edge in edges]

    def one_after_the_other() -> None:
        for edge in edges:
            edge.mixture().sum().backward()

    assert most_saved_bytes(edges[1].mixture) == alone[1]
    assert alone[1] <= most_saved_bytes(one_after_the_other) < sum(alone)
    assert most_saved_bytes(lambda: [edge.mixture() for edge in edges]) == sum(alone)
