"""The settings of the training of a supernet of several paths (MixPath)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nas_core.cells.mixpath import AFTER_PROJECTION, PLACEMENTS
from nas_core.cells.multipath import NORMS, SPACES, placements
from nas_core.errors import UserError
from nas_core.trainers.settings import TAG, Data, RunConfig, Settings, Used, Weights, added, one_of


class Paths(Settings):
    """The supernet: its space, how many paths of a layer are active, and what normalises their sum."""

    space: Annotated[str, one_of("space of several paths", SPACES)] = Field(description="search space, as S1")
    channels: int = Field(gt=0, description="channels of the stem (S1: 32, S4: 128 as released); widths in proportion")
    most: int = Field(4, gt=0, description="m, the largest number of active paths in a layer")
    norms: Annotated[str, one_of("batch norms", NORMS)] = Field(
        "shadow", description="a batch norm for every number of active paths (shadow), or one for all (plain)"
    )
    placement: Annotated[str, one_of("placement of the batch norms", PLACEMENTS)] = added(
        AFTER_PROJECTION, implied=AFTER_PROJECTION, description="where the batch norm of a sum stands"
    )

    @model_validator(mode="after")
    def _placed(self) -> Self:
        possible = placements(self.space)
        if self.placement not in possible:
            allowed = ", ".join(possible)
            raise UserError(f"Paths.placement: {self.space} has no {self.placement!r}; allowed: {allowed}.")
        return self

    @property
    def placed(self) -> dict[str, str]:
        """What the builder of the space is told about the placement: nothing where there is but one."""
        return {"placement": self.placement} if len(placements(self.space)) > 1 else {}

    def used(self) -> Iterator[Used]:
        """The space."""
        yield SPACES, self.space


class MultiPathConfig(RunConfig):
    """The training of a supernet of several paths: weights alone, each step on a child of its own."""

    trainer: ClassVar[str] = "nas_core.trainers.multipath:MultiPathTraining"

    kind: Annotated[Literal["multi-path"], TAG] = "multi-path"
    data: Data = Field(description="images")
    paths: Paths = Field(description="supernet")
    weights: Weights = Field(description="optimiser of the weights")
    epochs: int = Field(gt=0, description="passes over the training images")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")
    cutout: int = Field(0, ge=0, description="side of the square that is cut out of every training image, in pixels")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.data.search:
            raise UserError(f"run {self.run!r}: a supernet of several paths has no logits, so data.search must be 0")
        if self.data.train < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many training images")
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in an epoch."""
        return self.data.train // self.batch

    def cost(self) -> float:
        """Passes times paths, in 12 layers, times images."""
        paths = 12 * (1 + self.paths.most) / 2
        return float(2 * self.epochs * self.steps_per_epoch * self.batch * paths)
