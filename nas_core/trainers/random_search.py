"""Random search in the DARTS space: draw cells, train each briefly, keep the best on validation (DARTS, Sec. 3.3).

The baseline that every search has to beat at an equal budget.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from nas_core.cells.genotype import Genotype
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.trainers.batches import Batches
from nas_core.trainers.drawn_cells import DrawnCells
from nas_core.trainers.fitting import Fitting
from nas_core.trainers.journal import Journal
from nas_core.trainers.result import Result
from nas_core.trainers.settings import TAG, Data, RunConfig, Weights
from nas_core.trainers.streams import generators, load_states, states

STREAMS = ("cells", "init", "weight_data", "augment")


class Cells(DrawnCells):
    """The cells that are drawn, as DARTS derives them, and the size of their networks."""

    channels: int = Field(gt=0, description="channels C of the first cell; the stem has 3C")
    layers: int = Field(gt=0, description="number of cells")


class RandomSearchConfig(RunConfig):
    """Random search: ``samples`` networks, each trained from scratch."""

    trainer: ClassVar[str] = "nas_core.trainers.random_search:RandomSearch"

    kind: Annotated[Literal["random search"], TAG] = "random search"
    data: Data = Field(description="images")
    cells: Cells = Field(description="what is drawn")
    samples: int = Field(24, gt=0, description="networks drawn; DARTS draws 24")
    weights: Weights = Field(description="optimiser of each network; the cosine spans its training")
    epochs: int = Field(gt=0, description="passes over the training images for each network")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.data.valid:
            raise UserError(f"run {self.run!r}: the best network is chosen on valid images; data.valid is 0")
        if self.data.search:
            raise UserError(f"run {self.run!r}: random search has no logits, so data.search must be 0")
        if self.data.train < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many training images")
        return self

    @property
    def steps_per_child(self) -> int:
        """Weight steps in the training of one network."""
        return self.epochs * (self.data.train // self.batch)

    def cost(self) -> float:
        """Passes times edges times images."""
        edges = 2 * self.cells.nodes * self.cells.layers
        return float(2 * self.samples * self.steps_per_child * self.batch * edges)


class RandomSearch:
    """A random search that can be stepped, saved and resumed: each step is a weight step of the present network."""

    def __init__(self, config: RandomSearchConfig) -> None:
        self.config = config
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.streams = generators(config.seed, STREAMS)
        self.batches = Batches(config.data.train, config.batch, self.streams["weight_data"])
        self.journal = Journal()
        self.period = config.steps_per_child
        self.done, self.total = 0, config.samples * self.period
        self.best, self.best_weights = -1, dict[str, Tensor]()  # the child that is best so far, and its state
        self.genotype = config.cells.draw(self.streams["cells"])
        self.fitting = self._fitting()

    def step(self) -> float:
        """One weight step; after the last one of a network it is measured and the next one drawn. Returns the loss."""
        index = self.batches.next()
        images, labels = self.data.batch("train", index, self.config.device, self.streams["augment"])
        loss = self.fitting.learn(F.cross_entropy(self.fitting.network(images), labels))
        self.done += 1
        if self.done % (self.period // self.config.epochs) == 0:
            self.fitting.optimiser.end_epoch()
        if self.done % self.period == 0:
            self._close_child()
        return loss

    def _fitting(self) -> Fitting:
        """The network of the present genotype, untrained."""
        return Fitting(
            self.genotype,
            self.data,
            self.config.weights,
            self.config.epochs,
            device=self.config.device,
            generator=self.streams["init"],
            channels=self.config.cells.channels,
            layers=self.config.cells.layers,
        )

    def _close_child(self) -> None:
        """Measure the trained network, keep it if it is the best so far, and draw the next one."""
        child = self.done // self.period - 1
        counts = self.fitting.counts()
        self.journal.add_genotype("children", self.genotype)
        self.journal.add_row(
            "children", child=child, acc=self.fitting.accuracy("valid"), params=counts.params, madds=counts.madds
        )
        if self._is_best(child):
            self.best = child
            self.best_weights = self.fitting.trained()
            if self.config.data.test:
                self.journal.rows["best"] = [{"child": child, "acc": self.fitting.accuracy("test")}]
        if self.done < self.total:
            self.genotype = self.config.cells.draw(self.streams["cells"])
            self.fitting = self._fitting()

    def _is_best(self, child: int) -> bool:
        """By validation accuracy; of equal ones the earlier."""
        rows = self.journal.rows["children"]
        return self.best < 0 or rows[child]["acc"] > rows[self.best]["acc"]

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "genotype": self.genotype.to_json(),
            "fitting": self.fitting.state(),
            "best": self.best,
            "best_weights": self.best_weights,
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "journal": self.journal.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done, self.best = state["done"], state["best"]
        self.best_weights = {name: value.clone() for name, value in state["best_weights"].items()}
        self.genotype = Genotype.from_json(state["genotype"])
        self.fitting = self._fitting()
        self.fitting.load_state(state["fitting"])
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Table ``children`` (validation accuracy, parameters, multiply-adds), genotypes, the ``best`` one's weights.

        With test images, the table ``best`` has its test accuracy.
        """
        if self.done != self.total:
            raise RuntimeError(f"the random search has done {self.done} of {self.total} steps")
        result = self.journal.result(self.best_weights)
        result.genotypes["best"] = [result.genotypes["children"][self.best]]
        return result
