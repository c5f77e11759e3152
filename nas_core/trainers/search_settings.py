"""The settings of a search."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nas_core.backends.formulations import FORMULATIONS, possible
from nas_core.errors import UserError
from nas_core.trainers.methods import AnyMethod, Exact, Reinforce, SecondOrder
from nas_core.trainers.observer import CALIBRATION, IDENTITIES, PROBES
from nas_core.trainers.settings import TAG, Alpha, Data, Network, RunConfig, Weights, added, one_of


def formulations(settings: dict[str, Any]) -> tuple[str, ...]:
    """Those that can compute a search with this ``network``, ``method`` and ``device`` here, the fastest last."""
    method = settings["method"]
    twice = isinstance(method, SecondOrder) and isinstance(method.estimator, Exact)
    return possible(settings["network"].space().style, twice=twice, device=settings["device"])


def usual_formulation(settings: dict[str, Any]) -> str:
    """Fused wherever that is possible, otherwise plain; whatever this machine has built."""
    return "fused" if "fused" in formulations(settings) else "plain"


class SearchConfig(RunConfig):
    """A search: the supernet's weights and the logits of its architecture learn together."""

    trainer: ClassVar[str] = "nas_core.trainers.search:Search"

    kind: Annotated[Literal["search"], TAG] = "search"
    data: Data = Field(description="images")
    network: Network = Field(description="supernet and search space")
    method: AnyMethod
    weights: Weights = Field(description="optimiser of the weights")
    alpha: Alpha = Field(description="optimiser of the logits")
    epochs: int = Field(gt=0, description="passes over the training images")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")
    probes: tuple[Annotated[str, one_of("probe", (*PROBES, CALIBRATION, IDENTITIES))], ...] = Field(
        (), description="what is recorded besides"
    )
    formulation: Annotated[str, one_of("formulation", FORMULATIONS)] = Field(
        default_factory=usual_formulation, description="of the supernet: plain, fused, or native by name only"
    )
    keep_weights: bool = added(False, implied=False, description="whether the final weights stay, for a later run")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.formulation not in (allowed := formulations(dict(self))):
            raise UserError(
                f"formulation {self.formulation!r} cannot compute this run: 'fused' is for batch norm, order 'rcb' and "
                f"no estimator 'exact', 'native' also needs `make native` and a CPU. Allowed: {', '.join(allowed)}."
            )
        for probe, split in (("accuracy", "valid"), ("child", "test")):
            if probe in self.probes and not getattr(self.data, split):
                raise UserError(f"run {self.run!r}: the probe {probe!r} needs {split} images; data.{split} is 0")
        if IDENTITIES in self.probes and (self.network.head_bias or "costs" not in self.probes):
            raise UserError(f"run {self.run!r}: {IDENTITIES!r} needs the probe 'costs', and a classifier without bias")
        if (self.method.levels == "bi-level") != (self.data.search > 0):
            raise UserError(f"run {self.run!r}: bi-level search needs search images, single-level search takes none")
        if self.method.remedy is not None and "none" not in self.network.candidates:
            raise UserError(f"run {self.run!r}: a remedy for none needs none among the candidates")
        if self.data.train < self.batch or 0 < self.data.search < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many images in every half")
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in an epoch."""
        return self.data.train // self.batch

    def cost(self) -> float:
        """Passes times edges times operations times images."""
        edges = self.network.layers * len(self.network.topology().edges)
        paths = len(self.network.candidates)
        if self.method.relaxation not in ("softmax", "concrete"):
            paths = 1
        passes = 2 if self.method.levels == "single" else 3
        if isinstance(self.method, SecondOrder):
            passes += 6
        if isinstance(self.method, Reinforce):
            passes += self.method.samples
        return float(self.epochs * self.steps_per_epoch * self.batch * passes * edges * paths)
