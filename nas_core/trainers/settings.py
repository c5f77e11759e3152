"""Settings: frozen, validated, plain JSON, each with its unit or its reason; what several kinds of runs share."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from nas_core.cells.evaluation import UNLIKE_SEARCH
from nas_core.cells.operations import CANDIDATES, NORMALISERS, OPERATIONS, ORDERS, Style
from nas_core.cells.supernet import Space
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.data import SOURCES
from nas_core.errors import UserError, choose
from nas_core.registry import Registry
from nas_core.trainers.devices import check_name

_TOPOLOGIES: dict[str, Callable[[], Topology]] = {
    "darts": darts_cell,
    "minimal": minimal_cell,
    "simplified": simplified_cell,
    "modified": modified_cell,
}


def _check_topology(name: str, make: Callable[[], Topology]) -> None:
    if not callable(make) or not isinstance(make(), Topology):
        raise UserError(f"cell {name!r}: register a function that returns a Topology, not {make!r}.")


TOPOLOGIES: Registry[Callable[[], Topology]] = Registry("cell", _TOPOLOGIES, check=_check_topology)
Used = tuple[Registry[Any], str]  # a registry, and a name in it
Beta = Annotated[float, Field(ge=0, lt=1)]
MOST_NODES = 32  # of a cell that has an edge between any two: 560 edges
TAG = Field(description="tells these settings from others where they are JSON")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # what may be part of a file name


def frozen(value: Any) -> Any:
    """Lists, which is what JSON has, become tuples, and numpy's numbers and arrays Python's."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    return value


def one_of(kind: str, allowed: Iterable[str]) -> AfterValidator:
    """What a field of names is annotated with; another name is a :class:`UserError` that lists the allowed ones."""
    return AfterValidator(partial(choose, kind, allowed=allowed))


def added(default: Any, *, implied: Any, **constraints: Any) -> Any:
    """A field that did not always exist: where it has the value ``implied`` before, a run is the one it was before.

    Records from before the field stay valid then (to be replayed). A ``default`` other than ``implied`` makes other
    runs, and so does a default that changes later. To add one::

        nesterov: bool = added(False, implied=False, description="...")
    """
    return Field(default, json_schema_extra={"implied": implied}, **constraints)


class Settings(BaseModel):
    """Base of all settings: an unknown or ill-typed field is a :class:`UserError` that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        given = {name: frozen(value) for name, value in values.items()}
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise UserError(self._sentence(error)) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """What ``help`` shows first are the settings, with what they mean."""
        lines = [_described(name, field) for name, field in cls.model_fields.items()]
        cls.__doc__ = "\n".join([cls.__dict__.get("__doc__") or "", "", *lines])

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            return str(cause)
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            return cls.no_field(name)
        return f"{cls.__name__}.{name}: {first['msg']}, not {first['input']!r}."

    @classmethod
    def no_field(cls, name: str) -> str:
        """The sentence about a field that does not exist, with the nearest one."""
        near = difflib.get_close_matches(name, cls.model_fields, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        return f"{cls.__name__} has no field {name!r}{hint} Allowed: {', '.join(cls.model_fields)}."

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated like any other; a default that depends on them follows."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        given.update(changes)
        return type(self)(**given)

    def identity(self) -> dict[str, Any]:
        """The settings as JSON has them, without the :func:`added` ones whose value was implied before."""
        content = self.model_dump(mode="json")
        for name, value in self:
            extra = type(self).model_fields[name].json_schema_extra
            if isinstance(extra, dict) and "implied" in extra and extra["implied"] == value:
                del content[name]
            elif isinstance(value, Settings):
                content[name] = value.identity()
            elif isinstance(value, tuple) and all(isinstance(item, Settings) for item in value):
                content[name] = [item.identity() for item in value]
        return content

    def used(self) -> Iterator[Used]:
        """What these settings, and those in them, use of what plugins may register."""
        for _, value in self:
            for settings in _settings_in(value):
                yield from settings.used()


def _described(name: str, field: FieldInfo) -> str:
    """A line of ``help``: name, default if any, and description."""
    default = ""
    if not field.is_required() and field.default_factory is None:
        default = f" = {field.default!r}"
    return f"    {name}{default}: {field.description}"


class Data(Settings):
    """Which images a run sees."""

    name: Annotated[str, one_of("data set", SOURCES)] = Field(description="data set; see nas_core.data")
    train: int = Field(gt=0, description="images that train the weights")
    search: int = Field(0, ge=0, description="images that train the logits in bi-level search; 0: the training images")
    valid: int = Field(0, ge=0, description="images on which settings may be chosen")
    test: int = Field(0, ge=0, description="images on which accuracies are reported")

    def used(self) -> Iterator[Used]:
        """The data set."""
        yield SOURCES, self.name


class Network(Settings):
    """The supernet and its search space."""

    cell: Annotated[str, one_of("cell", TOPOLOGIES)] = Field("darts", description="topology of the cell")
    nodes: int = Field(4, gt=0, le=MOST_NODES, description="intermediate nodes of the DARTS cell")
    candidates: tuple[str, ...] = Field(CANDIDATES, description="operations that an edge chooses from")
    allowed: tuple[tuple[int, tuple[str, ...]], ...] = Field((), description="(edge, operations it may take)")
    channels: int = Field(gt=0, description="channels C of the first cell; the stem has 3C")
    layers: int = Field(gt=0, description="number of cells")
    reductions: bool = Field(description="reduction cells at 1/3 and 2/3 of the depth")
    head_bias: bool = Field(description="bias of the classifier; Theorem 2 needs none")
    normaliser: Annotated[str, one_of("normaliser", NORMALISERS)] = Field("batch", description="of the cells")
    affine: bool = Field(False, description="scale and shift in the cells' normalisers")
    order: Annotated[str, one_of("order", ORDERS)] = Field("rcb", description="of ReLU, convolution, normaliser")
    eps: float = Field(1e-5, gt=0, description="added to the variance by the normalisers")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        edges = [edge for edge, _ in self.allowed]
        for edge in edges:
            if edges.count(edge) > 1:
                raise UserError(f"Network.allowed names edge {edge} more than once; one entry says all it may take.")
        self.space()
        return self

    def used(self) -> Iterator[Used]:
        """The cell and its operations."""
        yield TOPOLOGIES, self.cell
        yield from used_operations(self.candidates)

    def topology(self) -> Topology:
        """The cell's graph."""
        if self.cell == "darts":
            return darts_cell(self.nodes)
        return TOPOLOGIES[self.cell]()

    def space(self) -> Space:
        """The search space."""
        style = Style(self.normaliser, self.affine, self.order, self.eps)
        return Space(self.topology(), self.candidates, dict(self.allowed), style)


def used_operations(names: Iterable[str]) -> Iterator[Used]:
    """Operations as a search builds them, and as an evaluation network does where that is otherwise."""
    for name in names:
        yield OPERATIONS, name
        if name in UNLIKE_SEARCH:
            yield UNLIKE_SEARCH, name


class Weights(Settings):
    """SGD on the weights of a network; half a cosine from lr to lr_min by epoch."""

    lr: float = Field(gt=0, description="learning rate of the first epoch")
    lr_min: float = Field(0.0, ge=0, description="where the cosine would arrive after the last epoch")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    decay: float = Field(3e-4, ge=0, description="L2 weight decay")
    clip: float = Field(5.0, gt=0, description="bound on the gradient norm")


class Alpha(Settings):
    """Adam on the logits; its step is about lr whatever the gradient's size, so lr x steps bounds their travel."""

    lr: float = Field(gt=0, description="learning rate")
    betas: tuple[Beta, Beta] = Field((0.5, 0.999), description="decay of the moments' averages")
    decay: float = Field(1e-3, ge=0, description="L2 weight decay")
    clip: float | None = Field(None, gt=0, description="bound on the gradient norm; none: no bound")
    init_mean: float = Field(0.0, description="mean of the normal law that the first logits are drawn from")
    init_std: float = Field(1e-3, ge=0, description="its standard deviation")


class RunConfig(Settings):
    """What every kind of run has; a kind adds its own settings and names the ``trainer`` that computes it.

    A field that holds the settings of another run, or a tuple of them, says that this run needs that one's result.
    """

    trainer: ClassVar[str]  # module and class, as in nas_core.trainers.search:Search

    run: str = Field(pattern=NAME, description="id of the run")
    profile: str = Field(pattern=NAME, description="smoke, laptop, paper, or a name of one's own")
    seed: int = Field(ge=0, lt=2**31, description="of all that is random in the run")
    threads: int = Field(1, gt=0, le=1024, description="threads of torch; part of what a run is")
    device: Annotated[str, AfterValidator(check_name)] = Field("cpu", description="where it is computed; torch's name")

    def needs(self) -> tuple[RunConfig, ...]:
        """The runs whose results the trainer is given."""
        found: list[RunConfig] = []
        for _, value in self:
            found += [settings for settings in _settings_in(value) if isinstance(settings, RunConfig)]
        return tuple(found)

    def images(self) -> tuple[Data, ...]:
        """The images that it sees itself."""
        return tuple(value for _, value in self if isinstance(value, Data))

    def identity(self) -> dict[str, Any]:
        """The settings, and the digest of all that they use of what is not the package's own."""
        content = super().identity()
        outside = {}
        for registry, name in self.used():
            digest = registry.digest(name)
            if digest is not None:
                outside[f"{registry.kind} {name}"] = digest
        if outside:
            content["outside"] = outside
        return content

    def key(self) -> str:
        """Names the run's record: every setting counts, defaults included, and so does what they use from outside."""
        text = json.dumps(self.identity(), sort_keys=True)
        return f"{self.run}-{self.profile}-s{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def cost(self) -> float:
        """Rough relative length of the run, for starting the longest first."""
        raise NotImplementedError


def _settings_in(value: Any) -> Iterator[Settings]:
    if isinstance(value, Settings):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _settings_in(item)
