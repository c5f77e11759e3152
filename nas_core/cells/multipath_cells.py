"""MixPath in the space of DARTS: several operations of an edge at once, their sum normalised by how many they are.

The paper prints m = 3 and no more. Our readings: a path is an operation other than none; a node reads two earlier
nodes, as in a derived cell of DARTS, and each of both edges has 1 to m paths. Operations keep normalisers of their own,
whose scale and shift are learned, since no logit could undo them. A child is a :class:`Genotype` whose cells have
parallel edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.mixpath import ShadowBatchNorm, draw_paths, subsets
from nas_core.cells.operations import CANDIDATES, OPERATIONS, Style
from nas_core.cells.sizes import Size, network_counts
from nas_core.cells.supernet import SearchCell, Space, Supernet, added
from nas_core.cells.topology import Topology, darts_cell
from nas_core.errors import UserError, choose

PATHS = tuple(op for op in CANDIDATES if op != "none")
READ = 2  # nodes that a node reads
STYLE = Style(affine=True)
DARTS_SPACES = {"DARTS": 8, "DARTS of 3 cells": 3}  # names, and the cells that are stacked: 8 in a search of DARTS


@dataclass(frozen=True)
class PathSpace(Space):
    """A space each of whose edges has ``shadows`` batch norms for the sum of its paths."""

    shadows: int = 1


class PathCell(SearchCell):
    """A cell of several paths: X_j = sum_i SBN_n(sum_o o(X_i)) over the nodes i that j reads.

    The inner sum is over the n operations that are active between i and j.
    """

    def __init__(
        self, space: PathSpace, previous: Sequence[int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__(space, previous, channels, reduction=reduction, after_reduction=after_reduction)
        self.names = space.candidates
        self.norms = nn.ModuleList(ShadowBatchNorm(channels, space.shadows) for _ in space.topology.edges)

    def forward(self, inputs: Sequence[Tensor], cell: CellGenotype) -> Tensor:  # type: ignore[override]
        """The intermediate nodes' maps as channels of one, (images, nodes x channels, height, width), in ``cell``.

        Raises :class:`UserError` on an operation that is no candidate, and on a node that reads nothing.
        """
        active = self._active(cell)
        states = self._states(inputs)
        for node in self.topology.intermediate:
            terms = []
            for e in self.topology.incoming[node]:
                source, _ = self.topology.edges[e]
                maps = [path(states[source]) for path in active[e]]
                if maps:
                    terms.append(self.norms[e](added(maps), len(maps)))
            if not terms:
                raise UserError(f"node {node} of a cell of several paths reads no other node.")
            states.append(added(terms))
        return torch.cat([states[node] for node in self.topology.output], dim=1)

    def _active(self, cell: CellGenotype) -> list[list[nn.Module]]:
        """The modules of every edge whose paths ``cell`` has, in the order of the candidates."""
        chosen: list[set[str]] = [set() for _ in self.topology.edges]
        for source, target, op in cell.edges:
            chosen[self.topology.edges.index((source, target))].add(choose("path", op, self.names))
        found = []
        for e, ops in enumerate(chosen):
            found.append([path for name, path in zip(self.names, self.candidates(e), strict=True) if name in ops])
        return found


class CellsSupernet(Supernet):
    """The supernet of several paths in the space of DARTS: a stem, ``layers`` cells, pooling and a linear classifier.

    At most ``most`` paths of an edge are active; cells layers//3 and 2*layers//3 are reductions. ``norms``: shadow, or
    plain for one batch norm an edge. A child is a :class:`Genotype` of a normal and a reduction cell.
    """

    cell: type[SearchCell] = PathCell

    def __init__(
        self,
        *,
        channels: int,
        most: int,
        norms: str,
        classes: int,
        in_channels: int,
        generator: Generator,
        layers: int,
        nodes: int = 4,
    ) -> None:
        if most > len(PATHS):
            raise UserError(f"an edge has {len(PATHS)} paths, so at most {most} cannot be active.")
        space = PathSpace(darts_cell(nodes), PATHS, style=STYLE, shadows=most if norms == "shadow" else 1)
        super().__init__(
            space,
            channels=channels,
            layers=layers,
            classes=classes,
            in_channels=in_channels,
            reductions=True,
            head_bias=True,
            generator=generator,
        )
        self.most = most

    def draw(self, generator: Generator) -> Genotype:
        """For every node of both cells two different nodes that it reads, and for each edge 1 to ``most`` paths."""
        normal, reduction = (self._drawn_cell(generator) for _ in range(2))
        return Genotype(normal, reduction)

    def _drawn_cell(self, generator: Generator) -> CellGenotype:
        edges = []
        for node in self.space.topology.intermediate:
            sources = torch.randperm(node, generator=generator)[:READ].sort().values
            for source in sources.tolist():
                paths = draw_paths(len(PATHS), self.most, generator)
                edges += [(source, node, PATHS[k]) for k in paths]
        return _cell(self.space.topology, edges)

    def forward(self, images: Tensor, child: Genotype) -> Tensor:  # type: ignore[override]
        """Class logits (batch, classes) of ``images`` (batch, channels, side, side) in the ``child``."""
        older = newer = self.stem(images)
        for kind, cell in zip(self.cell_type, self.cells, strict=True):
            chosen = child.reduce if kind else child.normal
            older, newer = newer, cell(self._read(older, newer), chosen)
        return self.classifier(newer.mean(dim=(2, 3)))


def _cell(topology: Topology, edges: Sequence[tuple[int, int, str]]) -> CellGenotype:
    return CellGenotype(topology.inputs, topology.nodes, tuple(edges), topology.output)


class CellChildren:
    """The children of a :class:`CellsSupernet` by their *genes*, and what they cost in a network of ``size``.

    A node has three genes: which two nodes it reads, and which paths the first and the second of these edges has. First
    come the nodes of the normal cell, then those of the reduction cell. The network is also that of a child alone
    (:class:`nas_core.cells.evaluation.EvaluationNetwork`), which has the same convolutions.
    """

    def __init__(self, *, most: int, size: Size, nodes: int = 4) -> None:
        self.topology = darts_cell(nodes)
        self.size = size
        self.sets = subsets(PATHS, most)
        self.pairs = {node: list(itertools.combinations(range(node), READ)) for node in self.topology.intermediate}
        self.madds_of = self._every_path()
        first = self.child([0] * len(self.counts))
        self.fixed = network_counts(first, size).madds - self._of_paths(first)  # stem, preprocessing and classifier

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each gene has."""
        of_cell: list[int] = []
        for pairs in self.pairs.values():
            of_cell += [len(pairs), len(self.sets), len(self.sets)]
        return tuple(of_cell * 2)

    def child(self, genes: Sequence[int]) -> Genotype:
        """The cells that the genes stand for."""
        half = len(genes) // 2
        return Genotype(self._cell_of(genes[:half]), self._cell_of(genes[half:]))

    def _cell_of(self, genes: Sequence[int]) -> CellGenotype:
        edges = []
        for place, (node, pairs) in enumerate(self.pairs.items()):
            pair, *of_edges = genes[3 * place : 3 * place + 3]
            for source, paths in zip(pairs[pair], of_edges, strict=True):
                edges += [(source, node, op) for op in self.sets[paths]]
        return _cell(self.topology, edges)

    def madds(self, genes: Sequence[int]) -> int:
        """Multiply-adds of the convolutions and the classifier for one image, exactly."""
        return self.fixed + self._of_paths(self.child(genes))

    def extremes(self) -> tuple[int, int]:
        """Multiply-adds of the smallest and of the largest child."""
        least = most = self.fixed
        edges = READ * self.topology.nodes
        for kind in range(2):
            # The cheapest and the dearest set cost as much whichever node an edge leaves, so an input stands for all.
            of_sets = [sum(self._of_path(kind, 0, op) for op in paths) for paths in self.sets]
            least += edges * min(of_sets)
            most += edges * max(of_sets)
        return least, most

    def _of_paths(self, child: Genotype) -> int:
        total = 0
        for kind, cell in enumerate((child.normal, child.reduce)):
            assert cell is not None, "a child has a reduction cell"
            total += sum(self._of_path(kind, source, op) for source, _, op in cell.edges)
        return total

    def _of_path(self, kind: int, source: int, op: str) -> int:
        stride = 2 if kind and source < self.topology.inputs else 1
        return self.madds_of[kind, op, stride]

    def _every_path(self) -> dict[tuple[int, str, int], int]:
        """Of a kind of cells (0 normal, 1 reduction), a path and its stride the multiply-adds in all cells together."""
        found: dict[tuple[int, str, int], int] = dict.fromkeys(itertools.product(range(2), PATHS, (1, 2)), 0)
        channels, side = self.size.channels, self.size.side
        for layer in range(self.size.layers):
            kind = int(layer in (self.size.layers // 3, 2 * self.size.layers // 3))
            if kind:
                channels *= 2
                side = (side + 1) // 2
            for op, stride in itertools.product(PATHS, (1, 2)):
                cost = OPERATIONS[op].cost(channels, side, stride)
                found[kind, op, stride] += cost.madds if cost.params else 0  # pools have no multiply-adds
        return found
