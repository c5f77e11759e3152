"""What the released cells of SNAS keep: facts of their topology, no training."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.cells.genotype import CellGenotype, derive_darts, released
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import darts_cell


def cell_of(arch: str, kind: str) -> CellGenotype:
    return getattr(released(arch), kind)


def kept(arch: str, kind: str) -> set[tuple[int, int]]:
    return {(i, j) for i, j, _ in cell_of(arch, kind).edges}


def inputs_per_node(cell: CellGenotype) -> list[int]:
    found = Counter(j for _, j, _ in cell.edges)
    return [found[j] for j in range(cell.inputs, cell.inputs + cell.nodes)]


@pytest.mark.parametrize("arch", [
    pytest.param("SNAS_mild", marks=pytest.mark.claim("C-SN2a")),
    pytest.param("SNAS_moderate", marks=pytest.mark.claim("C-SN7a")),
])  # fmt: skip
def test_exact_normal_cells_of_snas_are_wide(arch: str) -> None:
    cell = cell_of(arch, "normal")
    assert inputs_per_node(cell) == [2, 2, 2, 2]
    assert cell.mid() == 0
    assert cell.width() == len(cell.edges) == 8


@pytest.mark.claim("C-SN5a")
def test_exact_aggressive_reduction_cell() -> None:
    cell = cell_of("SNAS_aggressive", "reduce")
    assert cell.edges == ((0, 2, "sep_conv_5x5"), (0, 3, "sep_conv_5x5"))
    assert {1, 4, 5}.isdisjoint(node for i, j, _ in cell.edges for node in (i, j))
    assert cell.nodes == 4


@pytest.mark.claim("C-SN5b")
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 5))
def test_property_the_rule_of_darts_gives_every_node_two_inputs(seed: int, spread: float) -> None:
    """Whatever the probabilities: so two empty nodes cannot come out of it."""
    prob = np.random.default_rng(seed).dirichlet(np.full(8, spread), 14)
    derived = derive_darts(prob, CANDIDATES, darts_cell())
    assert inputs_per_node(derived) == [2, 2, 2, 2]
    assert inputs_per_node(cell_of("SNAS_aggressive", "reduce")) == [1, 1, 0, 0]


@pytest.mark.claim("C-SN7b")
def test_exact_overlap_of_normal_and_reduction_cell() -> None:
    """Jaccard similarity of the kept edges: 1 under the moderate constraint, 5 of 11 under the mild one."""
    moderate, mild = ([kept(arch, kind) for kind in ("normal", "reduce")] for arch in ("SNAS_moderate", "SNAS_mild"))
    assert moderate[0] == moderate[1]
    assert (len(mild[0] & mild[1]), len(mild[0] | mild[1])) == (5, 11)


def test_exact_intermediate_edges_of_the_released_cells() -> None:
    """No normal cell of SNAS keeps an intermediate edge, those of DARTS keep one."""
    mid = {arch: [cell_of(arch, kind).mid() for kind in ("normal", "reduce")] for arch in (
        "DARTS_V1", "DARTS_V2", "SNAS_mild", "SNAS_moderate", "SNAS_aggressive"
    )}  # fmt: skip
    assert list(mid.values()) == [[1, 3], [1, 3], [0, 3], [0, 0], [0, 0]]


def test_exact_sizes_of_the_cell_spaces() -> None:
    """Counted over edges and nodes: 8^14 cells with the argmax rule, 180 x 7^8 with that of DARTS."""
    topology = darts_cell()
    assert len(CANDIDATES) ** len(topology.edges) == 4_398_046_511_104
    pairs = [len(list(combinations(topology.incoming[node], 2))) for node in topology.intermediate]
    assert np.prod([p * 7**2 for p in pairs]) == 180 * 7**8 == 1_037_664_180
