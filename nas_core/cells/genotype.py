"""Discrete cells: genotypes as frozen data, and the rules that derive them from probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from pydantic import TypeAdapter

from nas_core import papers
from nas_core.cells.topology import Topology


@dataclass(frozen=True)
class CellGenotype:
    """A discrete cell: ``edges`` are (source, target, operation), ``output`` the concatenated nodes.

    Parallel edges between the same two nodes are allowed (NASNet and ENAS cells have them); ``none`` is written as
    the absence of an edge, so a node may keep no input at all and then contributes a map of zeros.
    """

    inputs: int
    nodes: int
    edges: tuple[tuple[int, int, str], ...]
    output: tuple[int, ...]

    def __post_init__(self) -> None:
        last = self.inputs + self.nodes
        if any(not (0 <= i < j and self.inputs <= j < last) for i, j, _ in self.edges):
            raise ValueError(f"a genotype's edges must lead forward to nodes {self.inputs}..{last - 1}: {self.edges}")

    def width(self) -> int:
        """Number of kept input edges."""
        return sum(i < self.inputs for i, _, _ in self.edges)

    def mid(self) -> int:
        """Number of kept intermediate edges."""
        return sum(i >= self.inputs for i, _, _ in self.edges)

    def depth(self) -> int:
        """Number of edges on the longest kept path from an input node to an intermediate node that is concatenated."""
        length = dict.fromkeys(range(self.inputs), 0)
        for n in range(self.inputs, self.inputs + self.nodes):
            reached = [length[i] + 1 for i, j, _ in self.edges if j == n and i in length]
            if reached:
                length[n] = max(reached)
        return max((length.get(n, 0) for n in self.output), default=0)


@dataclass(frozen=True)
class Genotype:
    """The normal and, where the network has reductions, the reduction cell."""

    normal: CellGenotype
    reduce: CellGenotype | None = None

    def to_json(self) -> str:
        """One line of JSON; :meth:`from_json` reads it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Genotype:
        """Read what :meth:`to_json` wrote."""
        return _reader().validate_json(text)

    @classmethod
    def from_dict(cls, data: dict) -> Genotype:
        """Read what :func:`dataclasses.asdict` made of a genotype, as a record's JSON has it."""
        return _reader().validate_python(data)


@cache
def _reader() -> TypeAdapter[Genotype]:
    return TypeAdapter(Genotype)


def released(arch: str) -> Genotype:
    """The released genotype ``arch`` (DARTS_V2, SNAS_mild, ...); an unknown one is a :class:`UserError`."""
    cells = papers.released_cells(arch)
    return Genotype(**{kind: CellGenotype(2, cell.nodes, cell.edges, cell.output) for kind, cell in cells.items()})


# A rule maps (probabilities of shape (edges, ops), names of the ops, topology) to a cell.
DeriveRule = Callable[[np.ndarray, Sequence[str], Topology], CellGenotype]


def derive_argmax(prob: np.ndarray, ops: Sequence[str], topology: Topology) -> CellGenotype:
    """The rule of SNAS and DSNAS: the argmax of every edge, ``none`` included; an edge whose argmax is none is dropped.

    The wiring paper applies it to every method ("network with the largest probability", Figs. 1, 11, 13).
    ``prob``: (edges, ops).
    """
    picks = [(i, j, ops[int(row.argmax())]) for (i, j), row in zip(topology.edges, prob, strict=True)]
    return CellGenotype(topology.inputs, topology.nodes, tuple(p for p in picks if p[2] != "none"), topology.output)


def derive_darts(prob: np.ndarray, ops: Sequence[str], topology: Topology) -> CellGenotype:
    """The rule of DARTS: each node keeps its two strongest edges, each edge its strongest operation, none excluded.

    The strength of an edge is its largest probability over the operations other than none; ties go to the earlier
    source and the earlier operation; an edge on which only none is allowed is not kept. ``prob``: (edges, ops).
    """
    some = [k for k, op in enumerate(ops) if op != "none"]
    kept = []
    for node in topology.intermediate:
        strongest = sorted(topology.incoming[node], key=lambda e: -prob[e, some].max())[:2]
        for e in sorted(e for e in strongest if prob[e, some].max() > 0):
            kept.append((*topology.edges[e], ops[some[int(prob[e, some].argmax())]]))
    return CellGenotype(topology.inputs, topology.nodes, tuple(kept), topology.output)


DERIVE_RULES: dict[str, DeriveRule] = {"argmax": derive_argmax, "darts": derive_darts}
