"""What a search for a front needs of the children of a supernet: their genes, their cost, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.random import Generator

from nas_core.cells.chain import Choice, Macro
from nas_core.cells.chain_counts import ChainCosts
from nas_core.cells.genotype import Genotype
from nas_core.cells.mixpath import S1, sampled_choices
from nas_core.cells.multipath import S1_STEM, narrowed, spelled
from nas_core.cells.multipath_cells import DARTS_SPACES, CellChildren
from nas_core.cells.sizes import Size
from nas_core.data import load
from nas_core.trainers.algorithm1 import Genes
from nas_core.trainers.front_settings import FrontConfig

DRAWS = 500  # random children of which that of the closest cost is taken


class Children(Protocol):
    """The children that a search looks for."""

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each gene has."""

    def child(self, genes: Genes) -> Any:
        """What the supernet computes."""

    def madds(self, genes: Genes) -> int:
        """Multiply-adds for one image, exactly."""

    def extremes(self) -> tuple[int, int]:
        """Multiply-adds of the smallest and of the largest child."""

    def spelled(self, genes: Genes) -> str:
        """The child as text."""

    def genotypes(self, front: Sequence[Genes], rng: Generator) -> dict[str, list[Genotype]]:
        """What a record keeps of the children of the front, if these are cells."""


@dataclass(frozen=True)
class S1Space:
    """The children of an S1 supernet: genes number the choices of every layer, which are the same in all layers."""

    costs: ChainCosts
    choices: tuple[Choice, ...]

    @classmethod
    def of(cls, config: FrontConfig) -> S1Space:
        """That of the supernet that a search is after, at the size of the images that it sees."""
        data = load(config.data.name, train=config.data.train)
        assert data.side is not None, "multiply-adds are counted for square images"
        paths = config.after.paths
        macro = narrowed(S1, paths.channels, S1_STEM)
        costs = ChainCosts(macro, data.side, data.channels, data.source.classes)
        return cls(costs, tuple(sampled_choices(paths.most)))

    @property
    def macro(self) -> Macro:
        """Where the blocks stand."""
        return self.costs.macro

    @property
    def counts(self) -> tuple[int, ...]:
        """How many choices each layer has."""
        return (len(self.choices),) * len(self.macro.slots)

    def child(self, genes: Genes) -> tuple[Choice, ...]:
        """The block of every layer."""
        return tuple(self.choices[gene] for gene in genes)

    def madds(self, genes: Genes) -> int:
        """Multiply-adds for one image, exactly."""
        return self.costs.of_child(self.child(genes))

    def extremes(self) -> tuple[int, int]:
        """Multiply-adds of the smallest and of the largest child."""
        least, most = self.costs.fixed(), self.costs.fixed()
        for place in range(len(self.macro.slots)):
            of_choices = [self.costs.of_slot(place, choice) for choice in self.choices]
            least += min(of_choices)
            most += max(of_choices)
        return least, most

    def spelled(self, genes: Genes) -> str:
        """A word a layer, as ``e3k3k7``."""
        return spelled(self.child(genes))

    def genotypes(self, front: Sequence[Genes], rng: Generator) -> dict[str, list[Genotype]]:
        """None: chains are no cells."""
        return {}


class CellSpace(CellChildren):
    """The children of a supernet of cells, as wide and deep as there."""

    @classmethod
    def of(cls, config: FrontConfig) -> CellSpace:
        """That of the supernet that a search is after, at the size of the images that it sees."""
        data = load(config.data.name, train=config.data.train)
        assert data.side is not None, "multiply-adds are counted for square images"
        paths = config.after.paths
        size = Size(
            channels=paths.channels,
            layers=DARTS_SPACES[paths.space],
            classes=data.source.classes,
            side=data.side,
            in_channels=data.channels,
        )
        return cls(most=paths.most, size=size)

    def spelled(self, genes: Genes) -> str:
        """The genotype as a line of JSON."""
        return self.child(genes).to_json()

    def genotypes(self, front: Sequence[Genes], rng: Generator) -> dict[str, list[Genotype]]:
        """``front``: those given; ``random``: for each of them, of many uniform draws the one of the closest cost."""
        drawn = [tuple(int(pick) for pick in rng.integers(self.counts)) for _ in range(DRAWS)]
        alike = []
        for genes in front:
            others = [each for each in drawn if each != genes]
            alike.append(self.child(self._closest(genes, others)))
        return {"front": [self.child(genes) for genes in front], "random": alike}

    def _closest(self, genes: Genes, others: Sequence[Genes]) -> Genes:
        wanted = self.madds(genes)
        return min(others, key=lambda each: abs(self.madds(each) - wanted))


SPACES: dict[str, Callable[[FrontConfig], Children]] = {"S1": S1Space.of, **dict.fromkeys(DARTS_SPACES, CellSpace.of)}
