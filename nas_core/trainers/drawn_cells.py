"""Cells drawn at random, as DARTS derives them: every node reads two earlier ones, each by one operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Generator

from nas_core.cells.evaluation import choose_operation
from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import Topology, darts_cell
from nas_core.trainers.settings import MOST_NODES, Settings, Used, used_operations

DRAWN = tuple(op for op in CANDIDATES if op != "none")


class DrawnCells(Settings):
    """The law of the cells: all of them are equally likely."""

    nodes: int = Field(4, gt=0, le=MOST_NODES, description="intermediate nodes")
    candidates: tuple[Annotated[str, AfterValidator(choose_operation)], ...] = Field(
        DRAWN, min_length=1, description="operations, each as likely as any other"
    )
    reductions: bool = Field(True, description="whether there are reduction cells, at 1/3 and 2/3 of the depth")

    def used(self) -> Iterator[Used]:
        """The operations."""
        yield from used_operations(self.candidates)

    def topology(self) -> Topology:
        """The graph from which each node keeps two edges."""
        return darts_cell(self.nodes)

    def draw(self, generator: Generator) -> Genotype:
        """A normal cell, and a reduction cell if there are reductions."""
        normal = random_cell(self.topology(), self.candidates, generator)
        if not self.reductions:
            return Genotype(normal)
        return Genotype(normal, random_cell(self.topology(), self.candidates, generator))


def random_cell(topology: Topology, candidates: tuple[str, ...], generator: Generator) -> CellGenotype:
    """A cell drawn uniformly: two different sources for every node, and an operation for each."""
    edges = []
    for node in topology.intermediate:
        sources = torch.randperm(node, generator=generator)[:2].sort().values
        picks = torch.randint(len(candidates), (len(sources),), generator=generator)
        for source, pick in zip(sources.tolist(), picks.tolist(), strict=True):
            edges.append((source, node, candidates[pick]))
    return CellGenotype(topology.inputs, topology.nodes, tuple(edges), topology.output)
