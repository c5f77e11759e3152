"""The search space itself: operations, cells, networks and the derivation rule, each against a second account of it."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import generator, network
from torch import Tensor, nn

from nas_core import papers, report
from nas_core.cells.evaluation import EvaluationNetwork
from nas_core.cells.genotype import CellGenotype, Genotype, derive_darts
from nas_core.cells.operations import CANDIDATES, OPERATIONS, AveragePool, Style
from nas_core.cells.supernet import SearchCell, Space
from nas_core.cells.topology import Topology, darts_cell, minimal_cell

CONVOLUTIONS = {"sep_conv_3x3": 2, "sep_conv_5x5": 2, "dil_conv_3x3": 1, "dil_conv_5x5": 1}
POOLS = ("max_pool_3x3", "avg_pool_3x3")


@pytest.mark.claim("C-N1")
def test_exact_names_of_the_candidates() -> None:
    others = {"none", "skip_connect", *POOLS}
    assert len(CANDIDATES) == 8
    assert set(CANDIDATES) == others | set(CONVOLUTIONS)


@pytest.mark.claim("C-N1b")
@given(st.sampled_from(CANDIDATES), st.integers(1, 4), st.integers(2, 6), st.integers(2, 6))
def test_property_candidates_keep_or_halve_the_shape(name: str, half: int, height: int, width: int) -> None:
    x = torch.randn(2, 2 * half, 2 * height, 2 * width, generator=generator())
    for stride in (1, 2):
        out = OPERATIONS[name].build(2 * half, stride, Style())(x)
        assert out.shape == (2, 2 * half, 2 * height // stride, 2 * width // stride)


def tied(criteria: tuple[str, ...], stride: int) -> int:
    """Pairs of kinds of operations of which no criterion tells two members apart, at 16 channels and 32x32 input."""
    kinds = [("none",), ("skip_connect",), POOLS, tuple(CONVOLUTIONS)]
    cost = {op: OPERATIONS[op].cost(16, 32 // stride, stride) for op in CANDIDATES}
    seen = [{tuple(getattr(cost[op], c) for c in criteria) for op in kind} for kind in kinds]
    return sum(bool(a & b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.claim("T-S8", "T-S8b")
def test_exact_only_all_criteria_together_tell_the_operations_apart() -> None:
    """At stride 1, of which the paper speaks; at stride 2 a skip has weights, and FLOPs or mac alone would do."""
    assert [tied((criterion,), 1) for criterion in ("params", "madds", "accesses")] == [3, 1, 1]
    assert [tied((criterion,), 2) for criterion in ("params", "madds", "accesses")] == [1, 0, 0]
    assert tied(("params", "madds", "accesses"), 1) == tied(("params", "madds", "accesses"), 2) == 0


@pytest.mark.claim("C-N2")
@given(st.integers(1, 4))
def test_property_the_darts_cell_has_14_edges_and_4c_channels(half: int) -> None:
    topology = darts_cell(4)
    every_pair = {(i, j) for i, j in itertools.combinations(range(6), 2) if j >= 2}
    assert set(topology.edges) == every_pair
    assert len(topology.edges) == len(every_pair) == 14
    cell = SearchCell(Space(topology), (2, 2), 2 * half, reduction=False, after_reduction=False)
    x = torch.randn(2, 2, 4, 4, generator=generator())
    assert cell((x, x), torch.full((14, 8), 1 / 8)).shape == (2, 4 * 2 * half, 4, 4)


@pytest.mark.claim("C-N3")
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0, 4))
def test_property_darts_rule_maximises_what_two_edges_carry(seed: int, nodes: int, none: float) -> None:
    """For every node, over all pairs of edges and operations: the pair with the largest total probability is kept."""
    topology = darts_cell(nodes)
    logits = np.random.default_rng(seed).normal(size=(len(topology.edges), 8)) + none * np.eye(8)[0]
    prob = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    real = [k for k, op in enumerate(CANDIDATES) if op != "none"]
    kept = []
    for node in topology.intermediate:
        pairs = itertools.combinations(topology.incoming[node], 2)
        choices = [(a, k, b, m) for a, b in pairs for k in real for m in real]
        a, k, b, m = max(choices, key=lambda c: prob[c[0], c[1]] + prob[c[2], c[3]])
        kept += [(*topology.edges[a], CANDIDATES[k]), (*topology.edges[b], CANDIDATES[m])]
    cell = derive_darts(prob, CANDIDATES, topology)
    assert cell.edges == tuple(kept)
    assert all(op != "none" for _, _, op in cell.edges)
    assert [sum(j == node for _, j, _ in cell.edges) for node in topology.intermediate] == [2] * nodes


@pytest.mark.claim("C-N5")
@pytest.mark.parametrize(("layers", "at"), [(8, [2, 5]), (20, [6, 13]), (14, [4, 9])])
def test_exact_positions_of_the_reduction_cells(layers: int, at: list[int]) -> None:
    """Counted where the maps of a live network get smaller, in the supernet and in the evaluation network."""
    skips = CellGenotype(2, 2, tuple((i, j, "skip_connect") for i, j in minimal_cell().edges), (2, 3))
    size = {"channels": 2, "layers": layers, "classes": 2, "in_channels": 1, "generator": generator()}
    evaluated = EvaluationNetwork(Genotype(skips, skips), **size).eval()
    searched = network(minimal_cell(), channels=2, layers=layers, reductions=True, candidates=("skip_connect",)).float()
    for model, gates in ((evaluated, ()), (searched, (torch.ones(layers, 5, 1),))):
        sides = [16]
        for cell in model.cells:
            cell.register_forward_hook(lambda cell, args, out, sides=sides: sides.append(out.shape[-1]))
        model(torch.zeros(1, next(model.parameters()).shape[1], 16, 16), *gates)
        assert [i for i, (a, b) in enumerate(itertools.pairwise(sides)) if b < a] == at


@pytest.mark.claim("C-N5b")
@pytest.mark.parametrize("topology", [darts_cell(4), minimal_cell()], ids=["darts", "minimal"])
def test_exact_edges_of_stride_2(topology: Topology) -> None:
    """What every single candidate of a live network does to a map of 8x8 pixels."""
    model = network(topology, channels=2, layers=8, reductions=True).float()
    channels = 2
    for layer, cell in enumerate(model.cells):
        channels *= 2 if layer in (2, 5) else 1
        x = torch.zeros(1, channels, 8, 8)
        for e, (source, _) in enumerate(topology.edges):
            halves = layer in (2, 5) and source < 2
            assert {op(x).shape[-1] for op in cell.candidates(e)} == {4 if halves else 8}, (layer, e)


@pytest.mark.claim("C-W2", "C-W17")
def test_exact_minimal_cell_as_drawn() -> None:
    """Figures 2 and 17 draw the topology that is built: five numbered edges, two output edges, edge 4 between nodes."""
    built = network(minimal_cell()).cells[0].topology
    figures = [drawn(built), drawn(minimal_cell())]
    candidates = {"candidate 0-2 0", "candidate 1-2 1", "candidate 0-3 2", "candidate 1-3 3", "candidate 2-3 4"}
    assert figures[0] == figures[1] == candidates | {"output 2-4", "output 3-4"}
    assert built == minimal_cell()
    assert (built.input_edges, built.intermediate_edges) == ((0, 1, 2, 3), (4,))


def drawn(topology: Topology) -> set[str]:
    """Kind, nodes and number of every edge in the picture of a cell."""
    names = {str(patch.get_gid()) for patch in report.draw_cell(None, topology).patches}
    return {name for name in names if name.split()[0] in ("candidate", "output")}


@pytest.mark.claim("C-W2b")
@given(st.integers(1, 9))
def test_property_number_of_an_edge(nodes: int) -> None:
    """In the order of the loops that build the released networks: for every node, for every earlier one."""
    order = [(i, j) for j in range(2, nodes + 2) for i in range(j)]
    assert [(j - 2) * (j + 1) // 2 + i for i, j in order] == list(range(nodes * (nodes + 3) // 2))
    assert darts_cell(nodes).edges == tuple(order)


def called(name: str, stride: int) -> list[str]:
    """What a candidate applies, in the order in which the forward pass calls it: r, c, b or p."""
    letters = {nn.ReLU: "r", nn.Conv2d: "c", nn.BatchNorm2d: "b", nn.MaxPool2d: "p", AveragePool: "p"}
    module, order = OPERATIONS[name].build(4, stride, Style()), []

    def note(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        order.append(letters[type(module)])

    for part in module.modules():
        if type(part) in letters:
            part.register_forward_hook(note)
    module(torch.randn(2, 4, 8, 8, generator=generator()))
    return order


@pytest.mark.claim("C-W18")
@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_exact_convolutions_are_relu_conv_bn(name: str, stride: int) -> None:
    assert called(name, stride) == CONVOLUTIONS[name] * ["r", "c", "c", "b"]


@pytest.mark.claim("C-W18b")
@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("stride", [1, 2])
def test_exact_pools_have_no_relu(name: str, stride: int) -> None:
    assert called(name, stride) == ["p", "b"]


@pytest.mark.claim("C-MT3")
def test_exact_best_backbone_of_every_printed_column() -> None:
    table = papers.printed("mixpath_table3").set_index("backbone")
    assert table[["AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "imagenet_acc_pct"]].idxmax().to_dict() == {
        "AP": "MixPath-A", "AP75": "MixPath-A", "AP_S": "MixPath-A", "AP_M": "MixPath-A",
        "AP50": "MixNet-M", "AP_L": "MixNet-M", "imagenet_acc_pct": "MixNet-M",
    }  # fmt: skip
    assert table.loc["MixPath-A", "AP"] == 31.5
    assert table.loc["MixNet-M", ["AP50", "AP_L", "imagenet_acc_pct"]].tolist() == [51.7, 41.9, 77.0]
