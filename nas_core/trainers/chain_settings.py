"""The settings of runs on chains of ProxylessNAS: a search, and the training of what searches found."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from nas_core.cells.latency import SPACES, members, target
from nas_core.errors import UserError
from nas_core.trainers.known import settings_if_json
from nas_core.trainers.methods import ProxylessNAS, Reinforce
from nas_core.trainers.settings import TAG, Alpha, Data, RunConfig, Settings, Weights, added, one_of

Digest = Annotated[str, Field(pattern="^[0-9a-f]{12}$", description="names the table of latencies by its content")]
ChainName = Annotated[str, one_of("chain", SPACES), Field(description="the chain, as its table of latencies names it")]
Smoothing = Annotated[float, Field(ge=0, lt=1)]


class LatencyTerm(Settings):
    """How latency enters the loss of the logits, or the reward."""

    form: Literal["additive", "multiplicative", "reward"] = Field(
        "additive", description="see nas_core.relaxations.latency; REINFORCE has a discounted reward"
    )
    weight: float = Field(ge=0, description="of the latency: a factor, or an exponent")
    reference: float = Field(gt=1, description="latency that counts as 1, in microseconds for a batch")


class SearchedChain(Settings):
    """The space."""

    name: ChainName

    @property
    def candidates(self) -> tuple[str, ...]:
        """No operations of cells."""
        return ()


class ChainSearchConfig(RunConfig):
    """ProxylessNAS on a chain: weights alone at first, then weights and logits, each on images of their own."""

    trainer: ClassVar[str] = "nas_core.trainers.chain_search:ChainSearch"
    probes: ClassVar[tuple[str, ...]] = ()
    keep_weights: ClassVar[bool] = False

    kind: Annotated[Literal["chain search"], TAG] = "chain search"
    data: Data = Field(description="images")
    network: SearchedChain = Field(description="the space that is searched")
    method: ProxylessNAS | Reinforce = Field(discriminator="method", description="the estimator of the gradient")
    table: Digest
    latency: LatencyTerm | None = Field(None, description="none: accuracy alone")
    weights: Weights = Field(description="optimiser of the weights; its cosine spans all epochs")
    alpha: Alpha = Field(description="optimiser of the logits; ProxylessNAS has no first moment")
    warm_up: int = Field(ge=0, description="epochs in which the weights alone learn, on paths drawn uniformly")
    epochs: int = Field(gt=0, description="passes over the training images, the warm-up among them")
    interval: int = Field(gt=0, description="steps of the weights for one of the logits")
    batch: int = Field(gt=0, description="images a step of the weights; an incomplete last batch is dropped")
    search_batch: int = Field(gt=0, description="images a step of the logits")
    label_smoothing: Smoothing = added(0.0, implied=0.0, description="of the labels in the loss of the weights")
    enumerated: tuple[int, ...] = added(
        (), implied=(), description="epochs after which all members are scored by the shared weights"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method.resource is not None or self.method.remedy is not None:
            raise UserError(f"run {self.run!r}: resource and remedy are those of cells; a chain has 'latency'")
        rewarded = self.latency is not None and self.latency.form == "reward"
        if self.latency is not None and rewarded != isinstance(self.method, Reinforce):
            raise UserError(f"run {self.run!r}: the form 'reward' is for REINFORCE, which takes no other")
        if self.warm_up >= self.epochs:
            raise UserError(f"run {self.run!r}: the warm-up must leave some of the {self.epochs} epochs")
        if self.data.train < self.batch or self.data.search < self.search_batch:
            raise UserError(f"run {self.run!r}: a batch needs at least as many images as it has, in either half")
        if self.enumerated:
            members(target(self.network.name))  # refuses a space that is too large
        if not all(0 <= epoch <= self.epochs for epoch in self.enumerated):
            raise UserError(f"run {self.run!r}: members are scored after epochs 0 to {self.epochs}")
        if list(self.enumerated) != sorted(set(self.enumerated)):
            raise UserError(f"run {self.run!r}: give the epochs that have scores in their order, each once")
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in an epoch."""
        return self.data.train // self.batch

    def cost(self) -> float:
        """Steps times images times passes times slots."""
        passes = 3.0 + self.method.samples if isinstance(self.method, Reinforce) else 5.0
        slots = len(target(self.network.name).macro.slots)
        return passes * slots * self.epochs * self.steps_per_epoch * self.batch


class ChainTrainingConfig(RunConfig):
    """Chains trained alone, one after the other: those that searches found, and some drawn uniformly.

    With another seed, the searches ``of`` have that seed, too, unless they are given.
    """

    trainer: ClassVar[str] = "nas_core.trainers.chain_training:ChainTraining"

    kind: Annotated[Literal["chain training"], TAG] = "chain training"
    of: tuple[Annotated[ChainSearchConfig, BeforeValidator(settings_if_json)], ...] = Field(
        (), description="searches whose chains are trained"
    )
    data: Data = Field(description="images")
    network: SearchedChain = Field(description="the space of all of them")
    table: Digest
    drawn: int = Field(0, ge=0, description="chains drawn uniformly from the space, and trained as well")
    every: bool = added(False, implied=False, description="all chains of the space are trained")
    weights: Weights = Field(description="optimiser of each chain; the cosine spans its training")
    epochs: int = Field(gt=0, description="passes over the training images for each chain")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.of and not self.drawn and not self.every:
            raise UserError(f"run {self.run!r}: there is nothing to train; give searches 'of', or a number 'drawn'")
        if self.every:
            members(target(self.network.name))  # refuses a space that is too large
        for search in self.of:
            if search.network != self.network:
                raise UserError(f"run {self.run!r}: {search.run} searches another chain than {self.network.name!r}")
        if not self.data.valid or not self.data.test or self.data.search:
            raise UserError(f"run {self.run!r}: chains are measured on valid and test images, and take none to search")
        if self.data.train < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many training images")
        return self

    def but(self, **changes: Any) -> Self:
        """As of all settings; ``seed`` goes on to the searches."""
        if "seed" in changes and "of" not in changes:
            changes["of"] = tuple(search.but(seed=changes["seed"]) for search in self.of)
        return super().but(**changes)

    def identity(self) -> dict[str, Any]:
        """As of all settings; fields that searches got after they first stood here are left out of them as well.

        The field ``remedy`` of their methods is older than that, and stays.
        """
        content = super().identity()
        for search, written in zip(self.of, content["of"], strict=True):
            alone = search.identity()
            for name in set(written) - set(alone):
                del written[name]
            if "entropy" not in alone["method"]:
                written["method"].pop("entropy", None)
        return content

    @property
    def steps_per_chain(self) -> int:
        """Weight steps in the training of one chain."""
        return self.epochs * (self.data.train // self.batch)

    def cost(self) -> float:
        """Steps times images times passes times slots."""
        slots = len(target(self.network.name).macro.slots)
        every = len(members(target(self.network.name))) if self.every else 0
        return 2.0 * (len(self.of) + self.drawn + every) * self.steps_per_chain * self.batch * slots


class PredictorConfig(RunConfig):
    """A small network learns the latency of blocks from what they are; some blocks are held out, drawn by the seed."""

    trainer: ClassVar[str] = "nas_core.trainers.latency_predictor:PredictorTraining"

    kind: Annotated[Literal["latency predictor"], TAG] = "latency predictor"
    network: SearchedChain = Field(description="whose blocks")
    table: Digest
    hidden: int = Field(64, gt=0, description="width of each of two hidden layers")
    held_out: float = Field(0.25, gt=0, lt=1, description="share of the blocks that are held out")
    lr: float = Field(0.01, gt=0, description="of Adam, on all other blocks at once")
    steps: int = Field(gt=0, description="of Adam")

    def cost(self) -> float:
        """Steps, in the unit of the others."""
        return 1e3 * self.steps
