"""The settings of a search by a controller."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nas_core.backends.formulations import FORMULATIONS, possible
from nas_core.errors import UserError
from nas_core.trainers.settings import TAG, Beta, Data, Network, RunConfig, Settings, Weights, one_of


class ControllerSettings(Settings):
    """The controller and how it learns; the defaults are those of AutoDL's ENAS, whose search space has edges, too."""

    layers: int = Field(2, gt=0, description="of the LSTM")
    size: int = Field(32, gt=0, description="of its state and of the embeddings of the operations")
    init: float = Field(0.1, gt=0, description="its parameters are drawn from the uniform law on (-init, init)")
    tanh: float = Field(2.5, gt=0, description="bound on a logit: tanh * tanh(x / temperature)")
    temperature: float = Field(5.0, gt=0, description="of the logits, see there")
    lr: float = Field(1e-3, gt=0, description="learning rate of Adam")
    betas: tuple[Beta, Beta] = Field((0.0, 0.999), description="decay of the moments' averages")
    clip: float = Field(5.0, gt=0, description="bound on the gradient norm")
    steps: int = Field(50, gt=0, description="steps after every epoch of the weights")
    samples: int = Field(20, gt=0, description="networks drawn for a step")
    baseline_decay: float = Field(0.99, ge=0, lt=1, description="of the moving baseline, by drawn network")
    entropy_weight: float = Field(1e-4, ge=0, description="of the entropy of a drawn network in its reward")
    update: bool = Field(True, description="whether the controller learns")
    tried: int = Field(10, gt=0, description="networks drawn in the end, of which the most accurate is derived")


class ControllerConfig(RunConfig):
    """A search by a controller: the supernet's weights and the controller learn in turns."""

    trainer: ClassVar[str] = "nas_core.trainers.enas:ENAS"

    kind: Annotated[Literal["controller"], TAG] = "controller"
    data: Data = Field(description="images")
    network: Network = Field(description="supernet and search space")
    controller: ControllerSettings = Field(description="what draws networks, and how it learns")
    weights: Weights = Field(description="optimiser of the weights")
    epochs: int = Field(gt=0, description="passes over the training images")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")
    formulation: Annotated[str, one_of("formulation", FORMULATIONS)] = Field(
        default_factory=lambda settings: _formulations(settings)[:2][-1],
        description="of the supernet: plain, fused, or native by name only",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.formulation not in (allowed := _formulations(dict(self))):
            raise UserError(f"formulation {self.formulation!r} cannot compute this run. Allowed: {', '.join(allowed)}.")
        if not self.data.search:
            raise UserError(f"run {self.run!r}: the controller is rewarded on search images; data.search is 0")
        if not self.data.valid:
            raise UserError(f"run {self.run!r}: a network is chosen on valid images; data.valid is 0")
        if min(self.data.train, self.data.search) < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many images in every half")
        return self

    @property
    def weight_steps(self) -> int:
        """Steps of the weights in an epoch."""
        return self.data.train // self.batch

    def cost(self) -> float:
        """Passes times edges times images."""
        edges = self.network.layers * len(self.network.topology().edges)
        passes = 2 * self.weight_steps + self.controller.steps * self.controller.samples
        return float(self.epochs * passes * self.batch * edges)


def _formulations(settings: dict[str, Any]) -> tuple[str, ...]:
    """Those that can compute a supernet of this ``network`` on this ``device``, the fastest last."""
    return possible(settings["network"].space().style, twice=False, device=settings["device"])
