"""The settings of a search for a front: accurate and cheap children of a trained supernet."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nas_core.cells.multipath_cells import DARTS_SPACES
from nas_core.errors import UserError, choose
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.settings import TAG, Data, RunConfig, one_of

ALGORITHMS = ("NSGA-II", "random")
SEARCHED = ("S1", *DARTS_SPACES)  # spaces whose children are numbered and counted
# What a search shares with the training of its supernet: changed in one, it changes in the other.
SHARED = ("profile", "seed", "threads", "device")


class FrontConfig(RunConfig):
    """A search for a front: children of the supernet that the run ``after`` has trained, accurate and cheap."""

    trainer: ClassVar[str] = "nas_core.trainers.front:FrontSearch"

    kind: Annotated[Literal["front"], TAG] = "front"
    after: MultiPathConfig = Field(description="the training of the supernet")
    data: Data = Field(description="images: those that recalibrate, that score (valid) and that report (test)")
    algorithm: Annotated[str, one_of("search for a front", ALGORITHMS)] = Field(description="NSGA-II or random")
    size: int = Field(gt=1, description="n, individuals of the population, and of its offspring")
    generations: int = Field(gt=0, description="N, generations after the initial one")
    crowding: tuple[float, float] = Field(
        (1.0, 1.0), description="w, weights of accuracy and multiply-adds in the crowding distance"
    )
    recalibrate: int = Field(gt=0, description="batches of 250 training images that set a child's batch norms")
    budget: float = Field(
        gt=0, le=1, description="bound on multiply-adds, as a share of the way from the smallest child to the largest"
    )
    least_accuracy: float = Field(ge=0, lt=1, description="accuracy that every member of a population exceeds")
    found: int = Field(3, gt=0, description="K, children that the search returns")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in SHARED:
            if getattr(self, name) != getattr(self.after, name):
                raise UserError(f"run {self.run!r} and the training {self.after.run!r} must have the same {name}")
        if (self.data.name, self.data.train) != (self.after.data.name, self.after.data.train):
            raise UserError(f"run {self.run!r} must see the training images of {self.after.run!r}")
        choose(f"space that run {self.run!r} can search", self.after.paths.space, SEARCHED)
        if not self.data.valid or not self.data.test:
            raise UserError(f"run {self.run!r}: children are scored on valid and reported on test images; give both")
        if self.data.search:
            raise UserError(f"run {self.run!r}: a search for a front has no logits, so data.search must be 0")
        if min(self.crowding) <= 0:
            raise UserError(f"run {self.run!r}: the weights of the crowding distance must be positive")
        return self

    def but(self, **changes: Any) -> Self:
        """As for all settings; what a search shares with the training of its supernet changes there, too."""
        shared = {name: value for name, value in changes.items() if name in SHARED}
        if "after" not in changes and shared:
            changes["after"] = self.after.but(**shared)
        return super().but(**changes)

    def cost(self) -> float:
        """Evaluations times images times paths, in 12 layers."""
        images = self.data.valid + 250 * self.recalibrate
        paths = 12 * (1 + self.after.paths.most) / 2
        return float((2 + self.generations) * self.size * images * paths)
