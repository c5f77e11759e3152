"""The ground truth of MixPath's space S4: every distinct cell in a network of its own, trained from scratch.

NAS-Bench-101 has such a table; there is none at the scale of a laptop, so it is made here. The 255 labelled cells
compute 34 functions (:func:`nas_core.cells.mixpath.s4_distinct`), and one run trains all of them, one after another.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from nas_core.cells.mixpath import Cell, s4_distinct, s4_text
from nas_core.errors import UserError
from nas_core.trainers.fitting import FromScratch
from nas_core.trainers.parallel_settings import Parallel, parallel_network
from nas_core.trainers.settings import TAG, Data, RunConfig, Weights

STREAMS = ("init", "weight_data", "augment")
CELLS = tuple(s4_distinct())


class CellsAloneConfig(RunConfig):
    """All distinct cells of S4, each alone in a network that is trained from scratch."""

    trainer: ClassVar[str] = "nas_core.trainers.cells_alone:CellsAlone"

    kind: Annotated[Literal["cells alone"], TAG] = "cells alone"
    data: Data = Field(description="images; test images measure, valid images are those that a search may choose by")
    network: Parallel = Field(description="size of the networks")
    weights: Weights = Field(description="optimiser of each network; the cosine spans its training")
    epochs: int = Field(gt=0, description="passes over the training images for each network")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not (self.data.valid and self.data.test):
            raise UserError(f"run {self.run!r}: every network is measured on valid and on test images; give both")
        if self.data.search:
            raise UserError(f"run {self.run!r}: cells alone have no logits, so data.search must be 0")
        if self.data.train < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many training images")
        return self

    @property
    def steps_per_child(self) -> int:
        """Weight steps in the training of one network."""
        return self.epochs * (self.data.train // self.batch)

    def cost(self) -> float:
        """Passes times paths times images."""
        paths = sum(len(cell) - cell.count(None) for cell in CELLS) * self.network.cells
        return float(2 * self.steps_per_child * self.batch * paths)


class Alone(nn.Module):
    """A network of S4 with its choice made, by its class logits."""

    def __init__(self, network: nn.Module, cell: Cell) -> None:
        super().__init__()
        self.network, self.cell = network, cell

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images, self.cell)


class CellsAlone(FromScratch):
    """The training of all cells, one after another; table ``cells`` has operations, paths, multiply-adds, accuracies.

    Multiply-adds are for one image, accuracies are shares of the valid and of the test images.
    """

    config: CellsAloneConfig

    def __init__(self, config: CellsAloneConfig) -> None:
        super().__init__(config, STREAMS, networks=len(CELLS))

    def untrained(self, number: int) -> Alone:
        model = parallel_network(
            self.config.network,
            self.data,
            most=1,
            device=self.config.device,
            generator=self.streams["init"],
        )
        return Alone(model, CELLS[number])

    def close(self, number: int) -> None:
        cell = CELLS[number]
        self.journal.add_row(
            "cells",
            cell=s4_text(cell),
            paths=len(cell) - cell.count(None),
            madds=self.fitting.counts().madds,
            acc_valid=self.fitting.accuracy("valid"),
            acc_test=self.fitting.accuracy("test"),
        )
