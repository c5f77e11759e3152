"""Sweeps: one run at several values of some of its settings and for several seeds, as one tidy table."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from nas_core.errors import UserError
from nas_core.runs import obtain
from nas_core.runs.store import Record
from nas_core.trainers.settings import RunConfig, Settings

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Point:
    """One run of a sweep: ``swept`` are the changed settings by dotted name."""

    swept: dict[str, Any]
    config: RunConfig


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep with their records, in the order of the values; the last setting changes fastest."""

    points: tuple[Point, ...]
    records: tuple[Record, ...]

    def runs(self) -> pd.DataFrame:
        """One row a run: what was swept, seed, and the key, by which :func:`nas_core.runs.load` finds the record."""
        rows = []
        for point in self.points:
            rows.append({**_labels(point), "key": point.config.key()})
        return pd.DataFrame(rows)

    def table(self, name: str) -> pd.DataFrame:
        """The table ``name`` of all records below each other; the first columns say what was swept, and the seed."""
        parts = []
        for point, record in zip(self.points, self.records, strict=True):
            part = record.table(name)
            for place, (label, value) in enumerate(_labels(point).items()):
                name_there = f"swept {label}" if label in part else label
                part.insert(place, name_there, [value] * len(part))
            parts.append(part)
        return pd.concat(parts, ignore_index=True)


def sweep(
    base: RunConfig,
    values: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] = (),
    jobs: int | None = None,
    echo: Callable[[str], None] = print,
) -> Sweep:
    """The records of ``base`` at every combination of ``values`` and for every seed; what is missing is computed.

    ``values``: settings by dotted name, as in ``{"alpha.lr": [0.01, 0.03], "method.cost_clamp": [1.0, None]}``;
    ``seeds``: by default that of ``base``. A setting that does not exist, or a value that it cannot have, is a
    :class:`UserError` before anything is computed. ``jobs`` and ``echo`` are as in :func:`nas_core.runs.obtain`.
    """
    points = list(combinations(base, values, (base.seed,) if len(seeds) == 0 else seeds))
    records = obtain([point.config for point in points], jobs=jobs, echo=echo)
    return Sweep(tuple(points), tuple(records))


def combinations(base: RunConfig, values: Mapping[str, Sequence[Any]], seeds: Sequence[int]) -> Iterator[Point]:
    """The runs of a sweep, each checked like any other settings."""
    if "seed" in values:
        raise UserError("seeds are not one of the swept settings: give them as seeds.")
    for name, options in values.items():
        if isinstance(options, str) or len(options) == 0:
            raise UserError(f"{name} must be given a list of values, and at least one, not {options!r}.")
    for chosen in itertools.product(*values.values()):
        at = dict(zip(values, chosen, strict=True))
        for seed in seeds:
            yield Point(at, changed(base, {**at, "seed": seed}))


def changed(settings: S, values: Mapping[str, Any]) -> S:
    """``settings`` with others, by dotted name, all at once, so that they may depend on each other."""
    new: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        first, dot, rest = name.partition(".")
        if dot:
            inner.setdefault(first, {})[rest] = value
        else:
            new[first] = value
    for name, changes in inner.items():
        part = new[name] if name in new else _part(settings, name)
        if not isinstance(part, Settings):
            asked = next(iter(changes))
            raise UserError(f"{type(settings).__name__}.{name} is {part!r}, which has no setting {asked!r}.")
        new[name] = changed(part, changes)
    return settings.but(**new)


def _part(settings: Settings, name: str) -> Any:
    if name not in type(settings).model_fields:
        raise UserError(settings.no_field(name))
    return getattr(settings, name)


def _labels(point: Point) -> dict[str, Any]:
    """The first columns of a row: the swept values, as they may stand in a table, and the seed."""
    labels = {}
    for name, value in point.swept.items():
        plain = value is None or isinstance(value, str | int | float)
        labels[name] = value if plain else str(value)
    labels["seed"] = point.config.seed
    return labels
