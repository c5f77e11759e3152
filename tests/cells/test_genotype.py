"""Derivation rules, shape measures and JSON of discrete cells, against brute force."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.cells.genotype import DERIVE_RULES, CellGenotype, Genotype, derive_argmax, derive_darts
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.errors import UserError

TOPOLOGIES = st.sampled_from((darts_cell(4), darts_cell(3), minimal_cell(), simplified_cell(), modified_cell()))


@st.composite
def distributions(draw: st.DrawFn) -> tuple[np.ndarray, tuple[str, ...], Topology]:
    """Probabilities over candidates in any order; small integers make many ties."""
    topology = draw(TOPOLOGIES)
    ops = tuple(draw(st.lists(st.sampled_from(CANDIDATES[1:]), min_size=1, max_size=5, unique=True)))
    ops = tuple(draw(st.permutations(("none", *ops)))) if draw(st.booleans()) else ops
    numbers = st.integers(1, draw(st.sampled_from((2, 4, 1000))))
    shape = (len(topology.edges), len(ops))
    counts = draw(st.lists(numbers, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    table = np.array(counts, dtype=np.float64).reshape(shape)
    return table / table.sum(1, keepdims=True), ops, topology


@st.composite
def cells(draw: st.DrawFn) -> CellGenotype:
    """Any discrete cell, parallel edges and starved nodes included."""
    inputs, nodes = draw(st.integers(1, 2)), draw(st.integers(1, 5))
    pairs = [(i, j) for j in range(inputs, inputs + nodes) for i in range(j)]
    edge = st.tuples(st.sampled_from(pairs), st.sampled_from((*CANDIDATES[1:], "sep_conv_7x7")))
    edges = tuple((i, j, op) for (i, j), op in draw(st.lists(edge, max_size=8)))
    output = draw(st.sets(st.integers(inputs, inputs + nodes - 1), min_size=1))
    return CellGenotype(inputs, nodes, edges, tuple(sorted(output)))


@given(distributions())
def test_property_argmax_rule(case: tuple[np.ndarray, tuple[str, ...], Topology]) -> None:
    """Among all cells with one operation an edge it is the most probable; of equals the first; none drops the edge."""
    prob, ops, topology = case
    edges = []
    for e, (i, j) in enumerate(topology.edges):
        best = max(range(len(ops)), key=lambda k: (prob[e, k], -k))
        if ops[best] != "none":
            edges.append((i, j, ops[best]))
    cell = derive_argmax(prob, ops, topology)
    assert cell == CellGenotype(topology.inputs, topology.nodes, tuple(edges), topology.output)


@given(distributions())
def test_property_darts_rule(case: tuple[np.ndarray, tuple[str, ...], Topology]) -> None:
    """For every node, over all pairs of its edges: the strongest, then second strongest, of equals the first pair."""
    prob, ops, topology = case
    real = [k for k, op in enumerate(ops) if op != "none"]
    strength = [max(prob[e, k] for k in real) for e in range(len(topology.edges))]
    edges = []
    for node in topology.intermediate:
        incoming = [e for e, (_, j) in enumerate(topology.edges) if j == node]
        pairs = list(itertools.combinations(incoming, min(2, len(incoming))))
        best = max(sorted((strength[e] for e in pair), reverse=True) for pair in pairs)
        kept = min(pair for pair in pairs if sorted((strength[e] for e in pair), reverse=True) == best)
        for e in kept:
            op = next(ops[k] for k in real if prob[e, k] == strength[e])
            edges.append((*topology.edges[e], op))
    cell = derive_darts(prob, ops, topology)
    assert cell == CellGenotype(topology.inputs, topology.nodes, tuple(edges), topology.output)


@given(distributions(), st.sampled_from(sorted(DERIVE_RULES)))
def test_property_rules_ignore_the_order_of_other_candidates(
    case: tuple[np.ndarray, tuple[str, ...], Topology], rule: str
) -> None:
    """Without ties, the order in which candidates stand does not matter."""
    prob, ops, topology = case
    prob = prob + np.linspace(0, 1e-6, prob.size).reshape(prob.shape) ** 2
    turned = np.roll(prob, 1, axis=1)
    names = (ops[-1], *ops[:-1])
    if len(np.unique(prob)) == prob.size:
        assert DERIVE_RULES[rule](prob, ops, topology) == DERIVE_RULES[rule](turned, names, topology)


def test_exact_darts_rule_keeps_none_out() -> None:
    """None may dominate everywhere: DARTS still keeps two edges a node, the argmax rule none at all."""
    topology = darts_cell(4)
    prob = np.full((14, 8), 0.02)
    prob[:, CANDIDATES.index("none")] = 0.86
    prob[4, CANDIDATES.index("sep_conv_5x5")] = prob[13, CANDIDATES.index("skip_connect")] = 0.03
    assert derive_argmax(prob, CANDIDATES, topology).edges == ()
    cell = derive_darts(prob, CANDIDATES, topology)
    pool = "max_pool_3x3"
    assert cell.edges == (
        (0, 2, pool), (1, 2, pool), (0, 3, pool), (2, 3, "sep_conv_5x5"),
        (0, 4, pool), (1, 4, pool), (0, 5, pool), (4, 5, "skip_connect"),
    )  # fmt: skip


@pytest.mark.parametrize("rule", DERIVE_RULES)
def test_a_rule_gives_no_edge_what_it_may_not_take(rule: str) -> None:
    """An edge whose other candidates all have probability 0 (the space forces none on it) is not kept."""
    topology = minimal_cell()
    prob = np.full((5, 8), 1 / 8)
    for e in (0, 2):
        prob[e] = 0
        prob[e, CANDIDATES.index("none")] = 1
    prob[[1, 3, 4], CANDIDATES.index("dil_conv_3x3")] += 0.01
    expected = ((1, 2, "dil_conv_3x3"), (1, 3, "dil_conv_3x3"), (2, 3, "dil_conv_3x3"))
    assert DERIVE_RULES[rule](prob, CANDIDATES, topology).edges == expected


def paths(cell: CellGenotype) -> list[list[int]]:
    """Every kept path from an input node to a concatenated node, as lists of edge indices."""
    found = []

    def walk(node: int, taken: list[int]) -> None:
        if node in cell.output and taken:
            found.append(taken)
        for e, (i, j, _) in enumerate(cell.edges):
            if i == node:
                walk(j, [*taken, e])

    for start in range(cell.inputs):
        walk(start, [])
    return found


@given(cells())
def test_property_width_mid_depth(cell: CellGenotype) -> None:
    assert cell.depth() == max((len(p) for p in paths(cell)), default=0)
    assert cell.width() == len([e for e in cell.edges if e[0] in range(cell.inputs)])
    assert cell.mid() == len([e for e in cell.edges if e[0] not in range(cell.inputs)])


def test_exact_shape_of_released_cells() -> None:
    """DARTS_V2's normal cell keeps one intermediate edge and its reduction cell three; SNAS's mild one is wide only."""
    darts_v2 = ((0, 2), (1, 2), (0, 3), (1, 3), (1, 4), (0, 4), (0, 5), (2, 5))
    reduce_v2 = ((0, 2), (1, 2), (2, 3), (1, 3), (0, 4), (2, 4), (2, 5), (1, 5))
    mild = ((0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (1, 4), (0, 5), (1, 5))
    for edges, width, mid, depth in ((darts_v2, 7, 1, 2), (reduce_v2, 5, 3, 2), (mild, 8, 0, 1)):
        cell = CellGenotype(2, 4, tuple((i, j, "skip_connect") for i, j in edges), (2, 3, 4, 5))
        assert (cell.width(), cell.mid(), cell.depth()) == (width, mid, depth)


@given(cells(), st.none() | cells())
def test_property_json_round_trip(normal: CellGenotype, reduce: CellGenotype | None) -> None:
    genotype = Genotype(normal, reduce)
    text = genotype.to_json()
    assert "\n" not in text
    assert Genotype.from_json(text) == genotype
    assert Genotype.from_json(json.dumps(json.loads(text), indent=2)) == genotype
    assert hash(Genotype.from_json(text)) == hash(genotype)


@pytest.mark.parametrize("edge", [(2, 2), (3, 2), (0, 1), (0, 4), (-1, 2)])
def test_impossible_cell_is_refused(edge: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must lead forward"):
        CellGenotype(2, 2, ((*edge, "skip_connect"),), (2, 3))


@pytest.mark.parametrize(("inputs", "nodes", "edges", "output", "sentence"), [
    (0, 1, (), (0,), "inputs must be 1 .* or 2 .*, not 0"),
    (2, 0, (), (2,), "nodes must be 1 or more, not 0"),
    (2, 1, ((0, 2, "none"),), (2,), "none is written as the absence of an edge, not as 0 -> 2"),
    (2, 1, (), (), "nodes of the output must be at least one"),
    (2, 2, (), (3, 3), "nodes of the output must all be different"),
    (2, 2, (), (2, 4), "may only name intermediate nodes, which are 2 to 3, not 4"),
    (2, 2, (), (1,), "may only name intermediate nodes, which are 2 to 3, not 1"),
    (2, 2, (), (-1,), "may only name intermediate nodes, which are 2 to 3, not -1"),
])  # fmt: skip
def test_what_is_no_cell_is_refused(inputs: int, nodes: int, edges: tuple, output: tuple, sentence: str) -> None:
    """Where it is made, and where it is read from a record."""
    with pytest.raises(UserError, match=sentence):
        CellGenotype(inputs, nodes, edges, output)
    cell = {"inputs": inputs, "nodes": nodes, "edges": edges, "output": output}
    with pytest.raises(ValueError, match=sentence):
        Genotype.from_dict({"normal": cell})
