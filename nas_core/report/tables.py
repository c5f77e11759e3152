"""Printed values beside measured ones, and how a number is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nas_core.errors import UserError

PRINTED, SPREAD = "printed", "spread (standard deviation)"


def beside_printed(printed: pd.DataFrame, measured: pd.DataFrame, key: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """One row per ``key``: what the paper prints, the mean of what was measured, and its spread over seeds.

    ``printed`` has one row per key; ``measured`` has one row per key and ``seed``, or, without a column ``seed``, one
    exact row per key. ``columns`` maps each quantity's column to its heading. Headings end in "printed", "ours, mean
    of 5 seeds" and "spread", so that no printed and measured numbers are mixed up; rows that only one side has are
    kept, printed order first. Raises :class:`UserError` for a missing column and for a key that is printed twice.
    """
    _check_columns("printed", printed, [key])
    _check_columns("measured", measured, [key, *columns])
    repeated = printed[key][printed[key].duplicated()]
    if len(repeated):
        names = ", ".join(sorted(set(repeated.astype(str))))
        raise UserError(f"the printed table has more than one row for {names}.")
    order = list(dict.fromkeys([*printed[key], *measured[key]]))
    by_key = printed.set_index(key)
    groups = measured.groupby(key, sort=False)
    seeds = len(measured["seed"].unique()) if "seed" in measured else 0
    parts: dict[str, pd.Series] = {}
    for column, heading in columns.items():
        start = f"{heading}: " if len(columns) > 1 else ""
        if column in by_key:
            parts[f"{start}{PRINTED}"] = by_key[column].reindex(order)
        parts[f"{start}ours, {_count(seeds)}"] = groups[column].mean().reindex(order)
        if seeds > 1:
            parts[f"{start}{SPREAD}"] = groups[column].std(ddof=1).reindex(order)
    return pd.DataFrame(parts, index=pd.Index(order, name=key))


def _check_columns(name: str, table: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [column for column in needed if column not in table]
    if missing:
        has = ", ".join(map(str, table))
        raise UserError(f"the {name} table has no column {', '.join(missing)}; it has {has}.")


def _count(seeds: int) -> str:
    """What a measured number is."""
    if seeds > 1:
        return f"mean of {seeds} seeds"
    return "1 seed" if seeds else "exact"


def number(value: Any) -> str:
    """A value as a person reads it: four significant digits, integers whole, nothing for what is missing."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, float | np.floating):
        return str(value)
    plain = float(value)
    if math.isnan(plain):
        return ""
    if plain.is_integer() and 1e4 <= abs(plain) < 1e15:
        return f"{plain:.0f}"
    return f"{plain:.4g}"
