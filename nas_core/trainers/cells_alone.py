"""The ground truth of MixPath's space S4: every distinct cell in a network of its own, trained from scratch.

NAS-Bench-101 has such a table; there is none at the scale of a laptop, so it is made here. The 255 labelled cells
compute 34 functions (:func:`nas_core.cells.mixpath.s4_distinct`), and one run trains all of them, one after another.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from nas_core.cells.counts import multiply_adds
from nas_core.cells.mixpath import Cell, s4_distinct, s4_text
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.probes.accuracy import accuracy
from nas_core.trainers.batches import Batches
from nas_core.trainers.fitting import EVAL_BATCH
from nas_core.trainers.gradients import gradients
from nas_core.trainers.journal import Journal
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.parallel_settings import Parallel, parallel_network
from nas_core.trainers.result import Result
from nas_core.trainers.settings import TAG, Data, RunConfig, Weights
from nas_core.trainers.streams import generators, load_states, states

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


class CellsAlone:
    """The training of all cells that can be stepped, saved and resumed: each step is one of the present network."""

    def __init__(self, config: CellsAloneConfig) -> None:
        self.config = config
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.streams = generators(config.seed, STREAMS)
        self.batches = Batches(config.data.train, config.batch, self.streams["weight_data"])
        self.journal = Journal()
        self.period = config.steps_per_child
        self.done, self.total = 0, len(CELLS) * self.period
        self._begin()

    def _begin(self) -> None:
        """The network of the next cell, untrained, and its optimiser."""
        config = self.config
        model = parallel_network(
            config.network, self.data, most=1, device=config.device, generator=self.streams["init"]
        )
        self.network = Alone(model, CELLS[self.done // self.period])
        self.optimiser = WeightOptimiser(list(model.parameters()), config.weights, config.epochs)

    def step(self) -> float:
        """One weight step; after the last one of a network it is measured and the next one begun. Returns the loss."""
        index = self.batches.next()
        images, labels = self.data.batch("train", index, self.config.device, self.streams["augment"])
        loss = F.cross_entropy(self.network(images), labels)
        self.optimiser.step(gradients(loss, self.optimiser.weights))
        self.done += 1
        if self.done % (self.period // self.config.epochs) == 0:
            self.optimiser.end_epoch()
        if self.done % self.period == 0:
            self._close_child()
        return loss.item()

    def _close_child(self) -> None:
        cell = self.network.cell
        self.journal.add_row(
            "cells",
            cell=s4_text(cell),
            paths=len(cell) - cell.count(None),
            madds=multiply_adds(self.network, torch.zeros(1, self.data.channels, *self.data.size)),
            acc_valid=self._accuracy("valid"),
            acc_test=self._accuracy("test"),
        )
        if self.done < self.total:
            self._begin()

    def _accuracy(self, split: str) -> float:
        return accuracy(self.network, self.data.batches(split, EVAL_BATCH, self.config.device))

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state(),
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "journal": self.journal.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        if self.done < self.total:
            self._begin()
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state(state["optimiser"])
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Table ``cells``: operations, paths, multiply-adds for one image, and accuracies (shares) of every cell."""
        if self.done != self.total:
            raise RuntimeError(f"the cells alone have done {self.done} of {self.total} steps")
        return self.journal.result()
