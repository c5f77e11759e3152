"""Cells as directed acyclic graphs: topology is data, modules are built from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Topology:
    """A cell as a DAG: which nodes read which, and which nodes reach the output.

    Nodes are numbered from 0: first the ``inputs`` input nodes, then the ``nodes`` intermediate ones. Every edge
    carries candidate operations; edges are ordered by target, then by source, and this order is the one of logits,
    probes and drawings. The output concatenates ``output``. With two inputs, node 0 is the output of cell k-2 and
    node 1 that of cell k-1, as in the released codes of DARTS and SNAS; with one input, it is the output of cell k-1.
    """

    name: str
    inputs: int
    nodes: int
    edges: tuple[tuple[int, int], ...]
    output: tuple[int, ...]

    def __post_init__(self) -> None:
        if list(self.edges) != sorted(self.edges, key=lambda e: (e[1], e[0])):
            raise ValueError(f"topology {self.name!r}: edges must be ordered by target, then by source: {self.edges}")
        if any(not (0 <= i < j and j in self.intermediate) for i, j in self.edges):
            raise ValueError(f"topology {self.name!r}: an edge must lead forward to an intermediate node: {self.edges}")
        if not set(self.output) <= set(self.intermediate):
            raise ValueError(f"topology {self.name!r}: the output {self.output} may only name intermediate nodes")

    @property
    def intermediate(self) -> range:
        """The intermediate nodes."""
        return range(self.inputs, self.inputs + self.nodes)

    @cached_property
    def incoming(self) -> dict[int, tuple[int, ...]]:
        """For every intermediate node, the indices of the edges that point to it."""
        return {n: tuple(e for e, (_, j) in enumerate(self.edges) if j == n) for n in self.intermediate}

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
