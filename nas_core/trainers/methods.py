"""The methods of search as settings: what each of them lets one choose, and nothing that would mean nothing to it.

A method says how Z is drawn (its ``relaxation``), which data the logits see (``levels``), and what else enters their
gradient. :mod:`nas_core.trainers.search` runs all of them in one loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from nas_core.errors import UserError
from nas_core.relaxations import RELAXATIONS, one_hot_gradient
from nas_core.relaxations.resource import PENALTIES
from nas_core.trainers.settings import TAG, Settings, Used, added, one_of

Positive = Annotated[float, Field(gt=0)]
Levels = Annotated[Literal["single", "bi-level"], Field(description="whether the logits see data of their own")]
Temperature = Annotated[
    tuple[Positive, Positive],
    Field(description="of the relaxation, in the first and in the last epoch; linear between"),
]
DropPath = Annotated[
    float, Field(ge=0, lt=1, description="how often an edge gives nothing for an image, in a step of the search")
]


class Resource(Settings):
    """The resource constraint of SNAS (eqs. 9 to 11): eta times a penalty enters the loss of the logits."""

    weight: float = Field(gt=0, description="eta")
    penalty: Annotated[str, one_of("resource penalty", PENALTIES)] = Field("log", description="of an edge's costs")
    estimator: Literal["reparametrised", "score", "expected"] = Field(
        "reparametrised", description="of the penalty's gradient: through the drawn Z, by the law of Z, or analytic"
    )


class Remedy(Settings):
    """What keeps the common level of the costs from deciding on ``none``; see :mod:`nas_core.relaxations.remedies`."""

    centre: Literal["no", "cell", "edge"] = Field(
        "no", description="costs are taken relative to their mean in the cell; or none leaves the choice on an edge"
    )
    none_free: float = Field(0.0, ge=0, le=1, description="share of the epochs, the first ones, without none")
    calibrated: bool = Field(False, description="the logits' loss is that at the scale of class logits that fits best")

    def is_none_free(self, epoch: int, epochs: int) -> bool:
        """Whether none is absent in the epoch with this number, from 0."""
        return epoch < self.none_free * epochs


class Method(Settings):
    """What all methods have."""

    update_theta: bool = Field(True, description="whether the weights learn")

    def temperature_at(self, progress: float) -> float:
        """The relaxation's temperature: ``progress`` is 0 in the first epoch and 1 in the last."""
        return 1.0

    def bounded(self, cost: Tensor) -> Tensor:
        """The costs of the edges, (cell types, edges, ops), as the logits' gradient takes them."""
        return cost


class Learned(Method):
    """A method whose logits learn."""

    update_alpha: bool = Field(True, description="whether the logits learn; otherwise their costs are only measured")
    resource: Resource | None = Field(None, description="resource constraint, if any")
    remedy: Remedy | None = added(None, implied=None, description="against the bias of none, if any")

    @model_validator(mode="after")
    def _remediable(self) -> Self:
        if self.remedy is None:
            return self
        method: Any = self
        if self.remedy.calibrated and (method.levels == "single" or isinstance(self, SecondOrder | Reinforce)):
            raise UserError(
                f"{type(self).__name__}: only a method whose logits learn by one pass on images of their own has a "
                "loss of theirs to calibrate. Allowed: DARTS(levels='bi-level'), ProxylessNAS()."
            )
        if self.resource is not None:
            raise UserError(f"{type(self).__name__}: a remedy and a resource constraint exclude each other.")
        return self

    @model_validator(mode="after")
    def _felt(self) -> Self:
        if self.resource is None:
            return self
        method: Any = self  # each of them names a relaxation
        relaxation = RELAXATIONS[method.relaxation]
        one_hot = relaxation.logit_gradient is one_hot_gradient
        if self.resource.estimator == "score" and relaxation.score is None:
            raise UserError(
                f"{type(self).__name__}: its Z is not drawn, so that the resource estimator 'score' has no law to "
                "differentiate. Allowed: 'reparametrised', 'expected'."
            )
        if self.resource.estimator == "reparametrised" and self.resource.penalty == "log" and one_hot:
            raise UserError(
                f"{type(self).__name__}: by a one-hot Z the gradient of the log penalty does not tell what an "
                "operation costs. Allowed: estimator 'score' or 'expected', or penalty 'linear'."
            )
        return self


class DARTS(Learned):
    """DARTS, first order: Z = softmax(a)."""

    relaxation: ClassVar[str] = "softmax"

    method: Annotated[Literal["DARTS"], TAG] = "DARTS"
    levels: Levels = "single"
    drop_path: DropPath = 0.0


class SNAS(Learned):
    """SNAS: Z is a concrete variable whose temperature falls (eq. 5)."""

    relaxation: ClassVar[str] = "concrete"

    method: Annotated[Literal["SNAS"], TAG] = "SNAS"
    levels: Levels = "single"
    temperature: Temperature = (1.0, 1.0)
    drop_path: DropPath = 0.0

    def temperature_at(self, progress: float) -> float:
        """Linear in the epoch t of T, from 1 in the first (t = 0) to 0.03 in the last (t = T - 1) in SNAS.

        The released code divides by T instead, so that its last epoch has 0.0365 (T = 150). With few epochs that would
        stay far from 0.03 (0.111 for T = 12), at which a child is all but one-hot.
        """
        return linear(self.temperature, progress)


class DSNAS(Learned):
    """DSNAS: Z is one-hot, the gradient its score times its cost (wiring paper, Sec. 4)."""

    relaxation: ClassVar[str] = "one-hot"

    method: Annotated[Literal["DSNAS"], TAG] = "DSNAS"
    levels: Levels = "single"
    cost_clamp: float | None = Field(None, gt=0, description="bound on the absolute cost of an edge summed over layers")
    drop_path: DropPath = 0.0

    def bounded(self, cost: Tensor) -> Tensor:
        """Clamped, as in the released code."""
        if self.cost_clamp is None:
            return cost
        return cost.clamp(-self.cost_clamp, self.cost_clamp)


class ProxylessNAS(Learned):
    """ProxylessNAS with binary gates (BinaryConnect, eq. 4), on the edges of a cell; its logits see their own data."""

    levels: ClassVar[Literal["bi-level"]] = "bi-level"

    method: Annotated[Literal["ProxylessNAS"], TAG] = "ProxylessNAS"
    paths: Literal["all", "two"] = Field("two", description="operations whose costs a step on the logits measures")
    drop_path: DropPath = 0.0

    @property
    def relaxation(self) -> str:
        """All candidates, or two of them and a rescale (Sec. 3.2)."""
        return {"all": "binary", "two": "two-path"}[self.paths]


class Uniform(Method):
    """Single paths drawn uniformly; there is nothing for logits to learn (wiring paper, Sec. 5.1)."""

    relaxation: ClassVar[str] = "uniform"
    update_alpha: ClassVar[bool] = False
    resource: ClassVar[None] = None
    remedy: ClassVar[None] = None

    method: Annotated[Literal["Uniform"], TAG] = "Uniform"
    levels: Levels = "single"
    drop_path: DropPath = 0.0


class Relaxed(Learned):
    """Any relaxation in :data:`nas_core.relaxations.RELAXATIONS` that learns from the costs of what it draws."""

    method: Annotated[Literal["Relaxed"], TAG] = "Relaxed"
    relaxation: Annotated[str, one_of("relaxation", RELAXATIONS)] = Field(description="its name")
    levels: Levels = "single"
    temperature: Temperature = (1.0, 1.0)
    drop_path: DropPath = 0.0

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        if RELAXATIONS[self.relaxation].costs != "drawn":
            raise UserError(
                f"the relaxation {self.relaxation!r} does not learn from the costs of what it draws alone: take "
                "ProxylessNAS(...) or Reinforce(...)."
            )
        return self

    def used(self) -> Iterator[Used]:
        """The relaxation."""
        yield RELAXATIONS, self.relaxation

    def temperature_at(self, progress: float) -> float:
        """Linear in the epoch."""
        return linear(self.temperature, progress)


class FiniteDifference(Settings):
    """The estimator of DARTS's released code: the weights move by ``radius`` along the gradient."""

    kind: Annotated[Literal["finite difference"], TAG] = "finite difference"
    radius: float = Field(0.01, gt=0, description="of the finite difference: the weights move by it, times v / norm(v)")


class Exact(Settings):
    """By double backward; needs the plain formulation."""

    kind: Annotated[Literal["exact"], TAG] = "exact"


class SecondOrder(Learned):
    """DARTS, second order (Sec. 2.3): the logits see how a weight step would depend on them."""

    relaxation: ClassVar[str] = "softmax"
    levels: ClassVar[Literal["bi-level"]] = "bi-level"
    drop_path: ClassVar[float] = 0.0

    method: Annotated[Literal["SecondOrder"], TAG] = "SecondOrder"
    estimator: FiniteDifference | Exact = Field(
        FiniteDifference(), discriminator="kind", description="of the product of Hessian and gradient"
    )


class Reinforce(Learned):
    """REINFORCE (ProxylessNAS, Sec. 3.3): the reward is the accuracy of drawn networks on a batch."""

    relaxation: ClassVar[str] = "reinforce"
    levels: ClassVar[Literal["bi-level"]] = "bi-level"
    drop_path: ClassVar[float] = 0.0

    method: Annotated[Literal["Reinforce"], TAG] = "Reinforce"
    samples: int = Field(10, gt=0, description="networks drawn for a step")
    baseline_momentum: float = Field(0.99, ge=0, le=1, description="way of the baseline to the mean reward")
    entropy: float = added(0.0, implied=0.0, ge=0, description="weight of the entropy in what the logits climb")


AnyMethod = Annotated[
    DARTS | SNAS | DSNAS | ProxylessNAS | Uniform | Relaxed | SecondOrder | Reinforce,
    Field(discriminator="method", description="how Z is drawn, which data each step sees, what the logits learn from"),
]


def linear(ends: tuple[float, float], progress: float) -> float:
    """From the first to the second end while ``progress`` goes from 0 to 1."""
    start, end = ends
    return start + (end - start) * progress
