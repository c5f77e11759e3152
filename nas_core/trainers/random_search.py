"""Random search in the DARTS space: draw cells, train each briefly, keep the best on validation (DARTS, Sec. 3.3).

The baseline that every search has to beat at an equal budget.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from nas_core.cells.genotype import Genotype
from nas_core.errors import UserError
from nas_core.trainers.classifier import Classifier, classifier
from nas_core.trainers.drawn_cells import DrawnCells
from nas_core.trainers.fitting import Fitting, FromScratch
from nas_core.trainers.result import Result
from nas_core.trainers.settings import TAG, Data, RunConfig, Weights
from nas_core.trainers.streams import states

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


class RandomSearch(FromScratch):
    """The training of every drawn cell, one after another, of which the best is kept."""

    config: RandomSearchConfig

    def __init__(self, config: RandomSearchConfig) -> None:
        self.best, self.best_weights = -1, dict[str, Tensor]()  # the child that is best so far, and its state
        super().__init__(config, STREAMS, networks=config.samples)

    def begin(self, number: int) -> Fitting:
        """Draw the next cell."""
        self.genotype = self.config.cells.draw(self.streams["cells"])
        return super().begin(number)

    def untrained(self, number: int) -> Classifier:
        """The network of the present genotype."""
        return classifier(
            self.genotype,
            self.data,
            generator=self.streams["init"],
            channels=self.config.cells.channels,
            layers=self.config.cells.layers,
        )

    def close(self, number: int) -> None:
        """Measure the trained network, and keep it if it is the best so far."""
        counts = self.fitting.counts()
        self.journal.add_genotype("children", self.genotype)
        self.journal.add_row(
            "children",
            child=number,
            acc=self.fitting.accuracy("valid"),
            params=counts.params,
            madds=counts.madds,
        )
        if self._is_best(number):
            self.best = number
            self.best_weights = self.fitting.network.trained()
            if self.config.data.test:
                self.journal.rows["best"] = [{"child": number, "acc": self.fitting.accuracy("test")}]

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
        self.fitting = super().begin(self.done // self.per_training)
        self.fitting.load_state(state["fitting"])
        self.load_rest(state)

    def result(self) -> Result:
        """Table ``children`` (validation accuracy, parameters, multiply-adds), genotypes, the ``best`` one's weights.

        With test images, the table ``best`` has its test accuracy.
        """
        self.check_done()
        result = self.journal.result(self.best_weights)
        result.genotypes["best"] = [result.genotypes["children"][self.best]]
        return result
