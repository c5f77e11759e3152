"""Cells as graphs: numbering, taxonomy, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.errors import UserError


@given(st.integers(1, 8))
def test_property_edges_are_numbered_by_target_then_source(nodes: int) -> None:
    """e(i, j) = (j - 2)(j + 1) / 2 + i, and there are n(n + 3) / 2 edges."""
    cell = darts_cell(nodes)
    assert len(cell.edges) == nodes * (nodes + 3) // 2
    for e, (i, j) in enumerate(cell.edges):
        assert e == (j - 2) * (j + 1) // 2 + i
    assert cell.output == tuple(cell.intermediate) == tuple(range(2, nodes + 2))


def test_exact_edges_of_the_darts_cell() -> None:
    cell = darts_cell(4)
    assert dict(enumerate(cell.edges)) == {
        0: (0, 2), 1: (1, 2), 2: (0, 3), 3: (1, 3), 4: (2, 3), 5: (0, 4), 6: (1, 4), 7: (2, 4), 8: (3, 4),
        9: (0, 5), 10: (1, 5), 11: (2, 5), 12: (3, 5), 13: (4, 5),
    }  # fmt: skip
    assert cell.intermediate_edges == (4, 7, 8, 11, 12, 13)
    assert cell.input_edges == (0, 1, 2, 3, 5, 6, 9, 10)
    assert cell.incoming == {2: (0, 1), 3: (2, 3, 4), 4: (5, 6, 7, 8), 5: (9, 10, 11, 12, 13)}


def test_exact_small_cells() -> None:
    minimal, simplified, modified = minimal_cell(), simplified_cell(), modified_cell()
    assert minimal.edges == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert (minimal.inputs, minimal.nodes, minimal.output, minimal.intermediate_edges) == (2, 2, (2, 3), (4,))
    assert simplified.edges == modified.edges == ((0, 1), (0, 2), (1, 2))
    assert (simplified.inputs, simplified.nodes, simplified.output) == (1, 2, (1, 2))
    assert (modified.inputs, modified.nodes, modified.output) == (1, 2, (2,))
    assert simplified.intermediate_edges == modified.intermediate_edges == (2,)


@pytest.mark.parametrize(("edges", "output", "sentence"), [
    (((0, 3), (0, 2)), (2,), "ordered by target"),
    (((1, 2), (0, 2)), (2,), "ordered by target"),
    (((0, 1),), (2,), "lead forward to an intermediate node"),
    (((2, 2),), (2,), "lead forward to an intermediate node"),
    (((0, 4),), (2,), "lead forward to an intermediate node"),
    (((0, 2),), (1,), "may only name intermediate nodes"),
])  # fmt: skip
def test_impossible_topology_is_refused(edges: tuple, output: tuple, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Topology("odd", 2, 2, edges, output)


@pytest.mark.parametrize(("inputs", "nodes", "edges", "output", "sentence"), [
    (0, 2, ((0, 1),), (1,), "inputs must be 1 .* or 2 .*, not 0"),
    (3, 2, ((0, 3),), (3,), "inputs must be 1 .* or 2 .*, not 3"),
    (2, 0, (), (2,), "nodes must be 1 or more, not 0"),
    (2, 1, ((0, 2),), (), "nodes of the output must be at least one"),
    (2, 1, ((0, 2),), (2, 2), "nodes of the output must all be different"),
    (2, 1, ((0, 2),), (3,), "may only name intermediate nodes, which are 2 to 2, not 3"),
    (2, 1, ((0, 2),), (-1,), "may only name intermediate nodes, which are 2 to 2, not -1"),
    (2, 1, (), (2,), "edges must be at least one"),
    (2, 1, ((0, 2), (0, 2)), (2,), "edges must all be different"),
    (2, 1, ((-1, 2),), (2,), "an edge must lead forward to an intermediate node, .* not -1 -> 2"),
])  # fmt: skip
def test_what_is_no_cell_is_refused(inputs: int, nodes: int, edges: tuple, output: tuple, sentence: str) -> None:
    with pytest.raises(UserError, match=f"topology 'odd': .*{sentence}"):
        Topology("odd", inputs, nodes, edges, output)
