"""The complete description of a run: frozen, validated settings, each with its unit or its reason."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from nas_core.backends.formulations import FORMULATIONS, possible
from nas_core.cells.operations import CANDIDATES, NORMALISERS, ORDERS, Style
from nas_core.cells.supernet import Space
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.data import SOURCES
from nas_core.errors import UserError, choose
from nas_core.relaxations import RELAXATIONS, no_gradient, one_hot_gradient
from nas_core.relaxations.resource import PENALTIES

TOPOLOGIES = {"darts": darts_cell, "minimal": minimal_cell, "simplified": simplified_cell, "modified": modified_cell}
PROBES = ("losses", "costs", "accuracy", "child")
Positive = Annotated[float, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
SINGLE_PATH = ("one-hot", "uniform", "binary", "two-path", "reinforce")  # relaxations that draw one operation an edge


def _frozen(value: Any) -> Any:
    """Lists, which is what JSON has, become tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def one_of(kind: str, allowed: Iterable[str]) -> AfterValidator:
    """What a field of names is annotated with; another name is a :class:`UserError` that lists the allowed ones."""
    return AfterValidator(partial(choose, kind, allowed=allowed))


class Settings(BaseModel):
    """Base of all settings: an unknown or ill-typed field is a :class:`UserError` that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**{name: _frozen(value) for name, value in values.items()})
        except ValidationError as error:
            raise UserError(self._sentence(error)) from None

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        if isinstance(first.get("ctx", {}).get("error"), UserError):
            return str(first["ctx"]["error"])
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, cls.model_fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            return f"{cls.__name__} has no field {name!r}{hint} Allowed: {', '.join(cls.model_fields)}."
        return f"{cls.__name__}.{name}: {first['msg']}, not {first['input']!r}."

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated like any other; a default that depends on them follows."""
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})


class Data(Settings):
    """Which images a run sees."""

    name: Annotated[str, one_of("data set", SOURCES)] = Field(description="data set; see nas_core.data")
    train: int = Field(gt=0, description="images that train the weights")
    search: int = Field(0, ge=0, description="images that train the logits in bi-level search; 0: the training images")
    valid: int = Field(0, ge=0, description="images on which settings may be chosen")
    test: int = Field(0, ge=0, description="images on which accuracies are reported")


class Network(Settings):
    """The supernet and its search space."""

    cell: Annotated[str, one_of("cell", TOPOLOGIES)] = Field("darts", description="topology of the cell")
    nodes: int = Field(4, gt=0, description="intermediate nodes of the DARTS cell")
    candidates: tuple[str, ...] = CANDIDATES
    allowed: tuple[tuple[int, tuple[str, ...]], ...] = Field((), description="(edge, operations it may take)")
    channels: int = Field(gt=0, description="channels C of the first cell; the stem has 3C")
    layers: int = Field(gt=0, description="number of cells")
    reductions: bool = Field(description="reduction cells at 1/3 and 2/3 of the depth")
    head_bias: bool = Field(description="bias of the classifier; Theorem 2 needs none")
    normaliser: Annotated[str, one_of("normaliser", NORMALISERS)] = "batch"
    affine: bool = Field(False, description="scale and shift in the cells' normalisers")
    order: Annotated[str, one_of("order", ORDERS)] = Field("rcb", description="of ReLU, convolution, normaliser")
    eps: float = Field(1e-5, gt=0, description="added to the variance by the normalisers")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.space()
        return self

    def topology(self) -> Topology:
        """The cell's graph."""
        return darts_cell(self.nodes) if self.cell == "darts" else TOPOLOGIES[self.cell]()

    def space(self) -> Space:
        """The search space."""
        style = Style(self.normaliser, self.affine, self.order, self.eps)
        return Space(self.topology(), self.candidates, dict(self.allowed), style)


class Method(Settings):
    """How Z is drawn, which data each step sees, and what else enters the logits' gradient."""

    relaxation: Annotated[str, one_of("relaxation", RELAXATIONS)]
    levels: Literal["single", "bi-level"] = Field("single", description="whether the logits see data of their own")
    temperature: tuple[Positive, Positive] = Field((1.0, 1.0), description="of the relaxation, at start and end")
    update_alpha: bool = True
    update_theta: bool = True
    drop_path: float = Field(0.0, ge=0, lt=1, description="how often an edge gives nothing for an image of a step")
    cost_clamp: float | None = Field(None, gt=0, description="bound on the absolute cost of an edge summed over layers")
    hypergradient: Literal["first order", "finite difference", "exact"] = Field(
        "first order", description="of DARTS: whether the logits see how a weight step would depend on them"
    )
    radius: float = Field(0.01, gt=0, description="of the finite difference: the weights move by it, times v / |v|")
    samples: int = Field(10, gt=0, description="networks drawn for a step of REINFORCE")
    baseline_momentum: float = Field(0.99, ge=0, le=1, description="way of REINFORCE's baseline to the mean reward")
    resource_weight: float = Field(0.0, ge=0, description="eta of SNAS eq. 9, on the resource penalty")
    resource_penalty: Annotated[str, one_of("resource penalty", PENALTIES)] = Field("log", description="of SNAS")
    resource_estimator: Literal["reparametrised", "score", "expected"] = Field(
        "reparametrised", description="of the penalty's gradient: through the drawn Z, by the law of Z, or analytic"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if RELAXATIONS[self.relaxation].costs != "drawn" and self.levels != "bi-level":
            raise UserError(
                f"the logits of the relaxation {self.relaxation!r} learn in a step of their own; allowed: levels "
                "'bi-level'."
            )
        if self.hypergradient != "first order" and (self.relaxation, self.levels) != ("softmax", "bi-level"):
            raise UserError(
                f"hypergradient {self.hypergradient!r} is for the relaxation 'softmax' with levels 'bi-level'; "
                "allowed otherwise: 'first order'."
            )
        if self.drop_path and not self.one_pass:
            raise UserError(
                f"drop_path {self.drop_path} is for methods whose logits learn from one pass; allowed with "
                f"relaxation {self.relaxation!r} and hypergradient {self.hypergradient!r}: 0."
            )
        return self

    @property
    def one_pass(self) -> bool:
        """Whether a step on the logits is one forward and one backward pass."""
        return RELAXATIONS[self.relaxation].costs != "reward" and self.hypergradient == "first order"

    @model_validator(mode="after")
    def _felt(self) -> Self:
        name, method = self.relaxation, RELAXATIONS[self.relaxation]
        blind = method.logit_gradient is one_hot_gradient and self.resource_penalty == "log"
        why = ""
        if method.logit_gradient is no_gradient:
            why = "whose logits rest; allowed: 0."
        elif self.resource_estimator == "reparametrised" and blind:
            why = (
                "since by a one-hot Z the gradient of the log penalty does not tell what an operation costs; allowed: "
                "resource_estimator 'score' or 'expected', resource_penalty 'linear', or 0."
            )
        elif self.resource_estimator == "score" and method.score is None:
            why = "whose Z is not drawn, by resource_estimator 'score'; allowed: 'reparametrised', 'expected', or 0."
        if self.resource_weight and why:
            raise UserError(f"resource_weight does nothing with the relaxation {name!r}, {why}")
        return self


class Weights(Settings):
    """SGD on the weights of operations, stem, preprocessing and classifier; cosine from lr to lr_min by epoch."""

    lr: float = Field(gt=0)
    lr_min: float = Field(0.0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    decay: float = Field(3e-4, ge=0, description="L2 weight decay")
    clip: float = Field(5.0, gt=0, description="bound on the gradient norm")


class Alpha(Settings):
    """Adam on the logits; its step is about lr whatever the gradient's size, so lr x steps bounds their travel."""

    lr: float = Field(gt=0)
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    decay: float = Field(1e-3, ge=0, description="L2 weight decay")
    clip: float | None = Field(None, gt=0, description="bound on the gradient norm")
    init_mean: float = 0.0
    init_std: float = Field(1e-3, ge=0)


def formulations(settings: dict[str, Any]) -> tuple[str, ...]:
    """Those that can compute a run with this ``network``, ``method`` and ``device`` here, the fastest last."""
    twice = settings["method"].hypergradient == "exact"
    return possible(settings["network"].space().style, twice=twice, device=settings["device"])


class RunConfig(Settings):
    """One run: what :func:`nas_core.trainers.build` needs, and nothing it does not."""

    run: str = Field(description="id in the catalogue")
    profile: str
    seed: int = Field(ge=0)
    data: Data
    network: Network
    method: Method
    weights: Weights
    alpha: Alpha
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")
    probes: tuple[Annotated[str, one_of("probe", PROBES)], ...] = ()
    threads: int = Field(1, gt=0, description="threads of torch; part of what a run is")
    device: str = "cpu"
    formulation: Annotated[str, one_of("formulation", FORMULATIONS)] = Field(
        default_factory=lambda known: formulations(known)[-1], description="of the supernet; by default the fastest"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.formulation not in (allowed := formulations(dict(self))):
            raise UserError(
                f"formulation {self.formulation!r} cannot compute this run: 'fused' is for batch norm, order 'rcb' and "
                f"no hypergradient 'exact', 'native' also needs `make native` and a CPU. Allowed: {', '.join(allowed)}."
            )
        for probe, split in (("accuracy", "valid"), ("child", "test")):
            if probe in self.probes and not getattr(self.data, split):
                raise UserError(f"run {self.run!r}: the probe {probe!r} needs {split} images; data.{split} is 0")
        if (self.method.levels == "bi-level") != (self.data.search > 0):
            raise UserError(f"run {self.run!r}: bi-level search needs search images, single-level search takes none")
        if self.data.train < self.batch or 0 < self.data.search < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many images in every half")
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in an epoch."""
        return self.data.train // self.batch

    def key(self) -> str:
        """Names the run's record: every field counts, defaults included."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return f"{self.run}-{self.profile}-s{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def trainer(self) -> str:
        """The module and the class of the trainer."""
        return "nas_core.trainers.search:Search"

    def needs(self) -> tuple[RunConfig, ...]:
        """The runs whose results this one is given."""
        return ()

    def identity(self) -> dict[str, Any]:
        """The settings that tell this run from every other one, as JSON has them."""
        return self.model_dump(mode="json")

    def cost(self) -> float:
        """Rough relative length of the run, for starting the longest first."""
        paths = 1 if self.method.relaxation in SINGLE_PATH else len(self.network.candidates)
        passes = 3 if self.method.levels == "bi-level" else 2
        passes += 6 * (self.method.hypergradient != "first order")
        passes += self.method.samples * (self.method.relaxation == "reinforce")
        edges = self.network.layers * len(self.network.topology().edges)
        return float(self.epochs * self.steps_per_epoch * self.batch * passes * edges * paths)
