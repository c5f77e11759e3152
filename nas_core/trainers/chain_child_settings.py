"""The settings of the training of one child of S1 alone: one that a search has found, or a random one of like cost."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nas_core.errors import UserError
from nas_core.trainers.front_settings import SHARED, FrontConfig
from nas_core.trainers.settings import TAG, Data, RunConfig, Weights, one_of

PICKS = ("found", "random")


class ChainChildConfig(RunConfig):
    """The training of a child alone, from scratch, as wide as in the supernet in which it was found."""

    trainer: ClassVar[str] = "nas_core.trainers.chain_child:ChainChild"

    kind: Annotated[Literal["chain child"], TAG] = "chain child"
    of: FrontConfig = Field(description="the search")
    place: int = Field(ge=0, description="which of its found children, from the cheapest, 0")
    pick: Annotated[str, one_of("child", PICKS)] = Field(
        description="the found child itself, or a random one of the multiply-adds closest to its own"
    )
    data: Data = Field(description="images; another data set is a transfer of the architecture")
    weights: Weights = Field(description="optimiser of the weights")
    epochs: int = Field(gt=0, description="passes over the training images")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in SHARED:
            if getattr(self, name) != getattr(self.of, name):
                raise UserError(f"run {self.run!r} and the search {self.of.run!r} must have the same {name}")
        if self.of.after.paths.space != "S1":
            raise UserError(f"run {self.run!r}: chains are children of S1, not of {self.of.after.paths.space}")
        if self.place >= self.of.found:
            raise UserError(f"run {self.run!r}: {self.of.run!r} finds {self.of.found} children, from 0 on")
        if not self.data.test:
            raise UserError(f"run {self.run!r}: a child is measured on test images; data.test is 0")
        if self.data.search:
            raise UserError(f"run {self.run!r}: a child has no logits, so data.search must be 0")
        if self.data.train < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many training images")
        return self

    def but(self, **changes: Any) -> Self:
        """As for all settings; what a training shares with the search changes there, too."""
        shared = {name: value for name, value in changes.items() if name in SHARED}
        if "of" not in changes and shared:
            changes["of"] = self.of.but(**shared)
        return super().but(**changes)

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in an epoch."""
        return self.data.train // self.batch

    def cost(self) -> float:
        """Passes times paths, about two in each of 12 layers, times images."""
        return float(2 * self.epochs * self.steps_per_epoch * self.batch * 24)
