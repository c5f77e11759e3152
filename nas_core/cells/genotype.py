"""Discrete cells: genotypes as frozen data, and the rules that derive them from probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from nas_core import papers
from nas_core.cells.checks import check_graph
from nas_core.cells.topology import Topology
from nas_core.errors import UserError

STRICT = ConfigDict(extra="forbid")  # of what is read from JSON


@dataclass(frozen=True)
class LabelledCell:
    """A cell whose ``edges`` are (source, target, operation) and whose ``output`` names the concatenated nodes.

    Nodes 0 and 1 are the outputs of cells k-2 and k-1; with one of the ``inputs``, node 0 is that of cell k-1. Several
    edges may join two nodes: those of a parent that shows all its candidates, ``none`` among them (SNAS, Fig. 1).
    Raises :class:`UserError` where the numbers describe no cell; which operations there are is up to the network that
    is built of it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    inputs: int
    nodes: int
    edges: tuple[tuple[int, int, str], ...]
    output: tuple[int, ...]

    def __post_init__(self) -> None:
        pairs = [(source, target) for source, target, _ in self.edges]
        check_graph("a genotype's cell", self.inputs, self.nodes, pairs, self.output)

    @property
    def intermediate(self) -> range:
        """The intermediate nodes."""
        return range(self.inputs, self.inputs + self.nodes)


@dataclass(frozen=True)
class CellGenotype(LabelledCell):
    """A discrete cell.

    Parallel edges between the same two nodes are allowed (NASNet and ENAS cells have them); ``none`` is written as
    the absence of an edge, so a node may keep no input at all and then contributes a map of zeros.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for source, target, op in self.edges:
            if op == "none":
                raise UserError(
                    f"a genotype's cell: none is written as the absence of an edge, not as {source} -> {target}."
                )

    def width(self) -> int:
        """Number of kept input edges."""
        return sum(i < self.inputs for i, _, _ in self.edges)

    def mid(self) -> int:
        """Number of kept intermediate edges."""
        return sum(i >= self.inputs for i, _, _ in self.edges)

    def depth(self) -> int:
        """Number of edges on the longest kept path from an input node to an intermediate node that is concatenated."""
        length = dict.fromkeys(range(self.inputs), 0)
        for node in self.intermediate:
            reached = [length[i] + 1 for i, j, _ in self.edges if j == node and i in length]
            if reached:
                length[node] = max(reached)
        return max(length.get(node, 0) for node in self.output)


@dataclass(frozen=True)
class Genotype:
    """The normal and, where the network has reductions, the reduction cell; one may read one input, the other two."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

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
    return Genotype(_from_release(cells["normal"]), _from_release(cells["reduce"]))


def _from_release(cell: papers.ReleasedCell) -> CellGenotype:
    return CellGenotype(2, cell.nodes, cell.edges, cell.output)


# A rule maps (probabilities of shape (edges, ops), names of the ops, topology) to a cell.
DeriveRule = Callable[[np.ndarray, Sequence[str], Topology], CellGenotype]


def derive_argmax(prob: np.ndarray, ops: Sequence[str], topology: Topology) -> CellGenotype:
    """The rule of SNAS and DSNAS: the argmax of every edge, ``none`` included; an edge whose argmax is none is dropped.

    The wiring paper applies it to every method ("network with the largest probability", Figs. 1, 11, 13).
    ``prob``: (edges, ops).
    """
    kept = []
    for edge, row in zip(topology.edges, prob, strict=True):
        op = ops[int(row.argmax())]
        if op != "none":
            kept.append((*edge, op))
    return CellGenotype(topology.inputs, topology.nodes, tuple(kept), topology.output)


def derive_darts(prob: np.ndarray, ops: Sequence[str], topology: Topology) -> CellGenotype:
    """The rule of DARTS: each node keeps its two strongest edges, each edge its strongest operation, none excluded.

    The strength of an edge is its largest probability over the operations other than none; ties go to the earlier
    source and the earlier operation; an edge on which only none is allowed is not kept. ``prob``: (edges, ops).
    """
    real = [k for k, op in enumerate(ops) if op != "none"]
    best = [real[int(row[real].argmax())] for row in prob]
    strength = [row[k] for row, k in zip(prob, best, strict=True)]
    kept = []
    for node in topology.intermediate:
        by_strength = sorted(topology.incoming[node], key=lambda e: -strength[e])
        for e in sorted(by_strength[:2]):
            if strength[e] > 0:
                kept.append((*topology.edges[e], ops[best[e]]))
    return CellGenotype(topology.inputs, topology.nodes, tuple(kept), topology.output)


DERIVE_RULES: dict[str, DeriveRule] = {"argmax": derive_argmax, "darts": derive_darts}
