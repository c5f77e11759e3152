"""Tables: printed values beside measured ones, and a table drawn as a picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nas_core.errors import UserError
from nas_core.report.style import FONT, text_width, use_style

PRINTED, SPREAD = "printed", "spread (standard deviation)"
PAD, LINE = 0.09, 0.155  # inches around a cell's text and for one of its lines
WRAP = 38  # characters after which the text of a cell goes on in the next line


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


@use_style()
def table_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """A table as a picture, as large as it needs to be: index and headings bold, numbers right, long text wrapped."""
    named = table.index.name is not None or not isinstance(table.index, pd.RangeIndex)
    shown = table.reset_index() if named else table
    rows = _wrapped_rows(shown)
    across, down = _grid_lines(rows, top=0.34 if title else 0.08)
    width = max(across[-1] + 0.1, 1.2 * text_width(title, "bold") / 72 + 0.2, 4.0)
    height = down[-1] + 0.08
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))  # inches
    ax.set_axis_off()
    ax.text(0.1, 0.17, title, size=9.5, weight="bold", va="center")
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in shown.dtypes]
    for r, row in enumerate(rows):
        middle = (down[r] + down[r + 1]) / 2
        if r and r % 2 == 0:
            ax.fill_between([0.1, across[-1]], down[r], down[r + 1], color="#F3F5F8", lw=0)
        for c, text in enumerate(row):
            x, side = (across[c] + PAD, "left")
            if numeric[c]:
                x, side = (across[c + 1] - PAD, "right")
            heading = r == 0 or (c == 0 and named)
            ax.text(
                x,
                middle,
                text,
                ha=side,
                va="center_baseline",
                size=FONT,
                weight="bold" if heading else "normal",
                linespacing=1.25,
                parse_math=False,
            )
    ax.hlines([down[0], down[1], down[-1]], 0.1, across[-1], color="black", lw=[1.2, 0.7, 1.2])
    return figure


def _wrapped_rows(table: pd.DataFrame) -> list[list[str]]:
    """The headings and then every row as texts, long ones on several lines."""
    columns = []
    for c, heading in enumerate(table.columns):
        cells = [textwrap.fill(text, WRAP) for text in _texts(table.iloc[:, c])]
        columns.append([textwrap.fill(str(heading), 16), *cells])
    return [list(row) for row in zip(*columns, strict=True)]


def _grid_lines(rows: Sequence[Sequence[str]], top: float) -> tuple[np.ndarray, np.ndarray]:
    """The borders of columns, (columns + 1,), and of rows, (rows + 1,), in inches from the left and from above."""
    widths = []
    for column in zip(*rows, strict=True):
        widest = max(text_width(text, "bold") / 72 for text in column)
        widths.append(2 * PAD + widest)
    heights = []
    for row in rows:
        lines = max(1 + text.count("\n") for text in row)
        heights.append(0.6 * PAD + LINE * lines)
    return np.cumsum([0.1, *widths]), np.cumsum([top, *heights])


def _texts(column: pd.Series) -> list[str]:
    """The cells of a column as a person reads them; floats of about one size with equally many decimals."""
    texts = [number(value) for value in column]
    if not pd.api.types.is_float_dtype(column):
        return texts
    sizes = [abs(value) for value in column if value and not math.isnan(value)]
    if not sizes or not 1e-3 <= max(sizes) < 1000 or min(sizes) < max(sizes) / 1000:
        return texts
    most = max(len(text.partition(".")[2]) for text in texts)
    decimals = min(most, 3 - math.floor(math.log10(max(sizes))))
    return [f"{value:.{decimals}f}" if text else "" for text, value in zip(texts, column, strict=True)]
