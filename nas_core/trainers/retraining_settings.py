"""The settings of a retraining: which cell, in which network, and how it learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, model_validator

from nas_core import papers
from nas_core.cells.evaluation import STEMS
from nas_core.cells.exchange import read
from nas_core.errors import UserError, choose
from nas_core.trainers.drawn_cells import DrawnCells
from nas_core.trainers.known import settings_if_json
from nas_core.trainers.settings import TAG, Data, RunConfig, Settings, Used, Weights, one_of, used_operations


def _architecture(name: str) -> str:
    return choose("released architecture", name, papers.released_genotypes()["arch"].unique())


def _readable(text: str) -> str:
    read(text)
    return text


class Derived(Settings):
    """The cell that the run ``of`` ended with."""

    origin: Annotated[Literal["derived"], TAG] = "derived"
    rule: str = Field(
        "argmax", description="name of the genotypes in that run's record, of which the last one is taken"
    )


class Released(Settings):
    """A cell that a paper released."""

    origin: Annotated[Literal["released"], TAG] = "released"
    arch: Annotated[str, AfterValidator(_architecture)] = Field(description="released architecture, as DARTS_V2")


class Drawn(DrawnCells):
    """A random cell; a seed draws cells of its own."""

    origin: Annotated[Literal["drawn"], TAG] = "drawn"
    number: int = Field(0, ge=0, le=1000, description="which of the cells that a seed draws, from 0")


class Given(Settings):
    """A genotype as text."""

    origin: Annotated[Literal["given"], TAG] = "given"
    genotype: Annotated[str, AfterValidator(_readable)] = Field(description="in a form of nas_core.cells.exchange")

    def used(self) -> Iterator[Used]:
        """The operations."""
        genotype = read(self.genotype)
        for cell in filter(None, (genotype.normal, genotype.reduce)):
            yield from used_operations(op for _, _, op in cell.edges)


AnyCells = Annotated[
    Derived | Released | Drawn | Given,
    Field(discriminator="origin", description="the cells of the network"),
]


class Evaluation(Settings):
    """The evaluation network and what regularises it (DARTS: 20 cells, C = 36, 0.4, 0.2, 16)."""

    channels: int = Field(gt=0, description="channels C of the first cell; the stem has 3C")
    layers: int = Field(gt=0, description="number of cells")
    stem: Annotated[str, one_of("stem", STEMS)] = Field("cifar", description="what precedes the cells")
    auxiliary: float = Field(0.4, ge=0, description="weight of the auxiliary tower's loss; 0: no tower")
    drop_path: float = Field(0.2, ge=0, lt=1, description="of drop-path in the last epoch, linear from 0 in the first")
    cutout: int = Field(16, ge=0, description="side of the square that is cut out of every training image, in pixels")


class RetrainingConfig(RunConfig):
    """A retraining: the evaluation network of one cell learns from scratch.

    With another seed, the run ``of`` has that seed, too, unless it is given.
    """

    trainer: ClassVar[str] = "nas_core.trainers.retraining:Retraining"

    kind: Annotated[Literal["retraining"], TAG] = "retraining"
    of: Annotated[SerializeAsAny[RunConfig], BeforeValidator(settings_if_json)] | None = Field(
        None, description="run that found the cells, if they are derived"
    )
    cells: AnyCells = Field(Derived(), validate_default=True)
    data: Data = Field(description="images")
    network: Evaluation = Field(description="evaluation network and its regularisation")
    weights: Weights = Field(description="optimiser of the weights")
    epochs: int = Field(gt=0, description="passes over the training images")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        derived = isinstance(self.cells, Derived)
        if derived and self.of is None:
            raise UserError(f"run {self.run!r}: cells are derived from another run, so give its settings as 'of'")
        if self.of is not None and not derived:
            raise UserError(f"run {self.run!r}: its cells are {self.cells.origin}, so it needs no other run 'of'")
        if not self.data.test:
            raise UserError(f"run {self.run!r}: a retraining is measured on test images; data.test is 0")
        if self.data.search:
            raise UserError(f"run {self.run!r}: a retraining has no logits, so data.search must be 0")
        if self.data.train < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many training images")
        return self

    def but(self, **changes: Any) -> Self:
        """As of all settings; ``seed`` goes on to the run ``of``."""
        if "seed" in changes and "of" not in changes and self.of is not None:
            changes["of"] = self.of.but(seed=changes["seed"])
        return super().but(**changes)

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in an epoch."""
        return self.data.train // self.batch

    def cost(self) -> float:
        """Passes times edges, at two a node, times images."""
        edges = 8 * self.network.layers
        return float(2 * self.epochs * self.steps_per_epoch * self.batch * edges)
