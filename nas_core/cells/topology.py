"""Cells as directed acyclic graphs: topology is data, modules are built from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from nas_core.cells.checks import check_graph, different
from nas_core.errors import UserError


@dataclass(frozen=True)
class Topology:
    """A cell as a DAG: which nodes read which, and which nodes reach the output.

    Nodes are numbered from 0: first the ``inputs`` input nodes, then the ``nodes`` intermediate ones. Every edge
    carries candidate operations; edges are ordered by target, then by source, and this order is the one of logits,
    probes and drawings. The output concatenates ``output``. With two inputs, node 0 is the output of cell k-2 and
    node 1 that of cell k-1, as in the released codes of DARTS and SNAS; with one input, it is the output of cell k-1.
    Raises :class:`UserError` where the numbers describe no cell.
    """

    name: str
    inputs: int
    nodes: int
    edges: tuple[tuple[int, int], ...]
    output: tuple[int, ...]

    def __post_init__(self) -> None:
        what = f"topology {self.name!r}"
        check_graph(what, self.inputs, self.nodes, self.edges, self.output)
        different(f"{what}: edges", self.edges)
        if list(self.edges) != sorted(self.edges, key=lambda edge: (edge[1], edge[0])):
            raise UserError(f"{what}: edges must be ordered by target, then by source, unlike {self.edges}.")

    @property
    def intermediate(self) -> range:
        """The intermediate nodes."""
        return range(self.inputs, self.inputs + self.nodes)

    @cached_property
    def incoming(self) -> dict[int, tuple[int, ...]]:
        """For every intermediate node, the indices of the edges that point to it."""
        found: dict[int, list[int]] = {node: [] for node in self.intermediate}
        for e, (_, target) in enumerate(self.edges):
            found[target].append(e)
        return {node: tuple(edges) for node, edges in found.items()}

    @cached_property
    def input_edges(self) -> tuple[int, ...]:
        """Indices of the edges that leave an input node."""
        return tuple(e for e, (i, _) in enumerate(self.edges) if i < self.inputs)

    @cached_property
    def intermediate_edges(self) -> tuple[int, ...]:
        """Indices of the edges between two intermediate nodes."""
        return tuple(e for e, (i, _) in enumerate(self.edges) if i >= self.inputs)


def darts_cell(nodes: int = 4) -> Topology:
    """The cell of DARTS and SNAS: every intermediate node reads all earlier nodes (nodes * (nodes + 3) / 2 edges)."""
    edges = tuple((i, j) for j in range(2, nodes + 2) for i in range(j))
    return Topology("darts", 2, nodes, edges, tuple(range(2, nodes + 2)))


def minimal_cell() -> Topology:
    """The minimal cell of the wiring paper (Fig. 2): the DARTS cell with two intermediate nodes, edge 4 = (2, 3)."""
    return Topology("minimal", 2, 2, darts_cell(2).edges, (2, 3))


def simplified_cell() -> Topology:
    """The simplified cell of the wiring paper (Fig. 8a): one input node, edges (0,1), (0,2), (1,2)."""
    return Topology("simplified", 1, 2, ((0, 1), (0, 2), (1, 2)), (1, 2))


def modified_cell() -> Topology:
    """The modified cell of the wiring paper (Fig. 8b): the simplified cell without output edge (1,3)."""
    return Topology("modified", 1, 2, simplified_cell().edges, (2,))
