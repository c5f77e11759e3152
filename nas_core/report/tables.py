"""Tables: printed values beside measured ones, verdicts, and a table drawn as a picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nas_core import papers
from nas_core.errors import UserError
from nas_core.report.style import FONT, text_width, use_style

if TYPE_CHECKING:
    from nas_core.claims.verdict import Verdict

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
    for name, table, needed in (("printed", printed, [key]), ("measured", measured, [key, *columns])):
        if missing := [c for c in needed if c not in table]:
            has = ", ".join(map(str, table))
            raise UserError(f"the {name} table has no column {', '.join(missing)}; it has {has}.")
    if twice := sorted(set(printed[key][printed[key].duplicated()].astype(str))):
        raise UserError(f"the printed table has more than one row for {', '.join(twice)}.")
    order = list(dict.fromkeys([*printed[key], *measured[key]]))
    groups = measured.groupby(key, sort=False)
    by_key, many = printed.set_index(key), len(columns) > 1
    seeds = len(measured["seed"].unique()) if "seed" in measured else 0
    count = f"mean of {seeds} seeds" if seeds > 1 else "1 seed" if seeds else "exact"
    parts: dict[str, pd.Series] = {}
    for column, heading in columns.items():
        start = f"{heading}: " if many else ""
        if column in by_key:
            parts[f"{start}{PRINTED}"] = by_key[column].reindex(order)
        mean, spread = groups[column].mean(), groups[column].std(ddof=1)
        parts[f"{start}ours, {count}"] = mean.reindex(order)
        if seeds > 1:
            parts[f"{start}{SPREAD}"] = spread.reindex(order)
    return pd.DataFrame(parts, index=pd.Index(order, name=key))


def verdict_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row per claim, indexed by its id: sentence, grade, verdict, value, threshold, number of seeds.

    Raises :class:`UserError` for an unknown id.
    """
    known = papers.claims()
    if unknown := [v.id for v in verdicts if v.id not in known.index]:
        raise UserError(f"no claim {', '.join(unknown)} in claims.csv.")
    stated = known.loc[[v.id for v in verdicts], ["sentence", "grade"]].rename_axis("claim")
    return stated.assign(
        verdict=[f"{v.verdict} ({v.note})" if v.note else v.verdict for v in verdicts],
        value=[np.nan if v.value is None else float(v.value) for v in verdicts],
        threshold=[v.threshold for v in verdicts],
        seeds=[len(v.seeds) for v in verdicts],
    )


def verdict_text(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as plain text, two lines a claim: id, grade, verdict, value and threshold; then the sentence."""
    lines = []
    for key, row in verdict_table(verdicts).iterrows():
        value = "" if np.isnan(row["value"]) else f"  {number(row['value'])}"
        must = f" (must be {row['threshold']})" if row["threshold"] else ""
        seeds = f", {row['seeds']} seed{'s' if row['seeds'] > 1 else ''}" if row["seeds"] else ""
        lines.append(f"{key:<10} {row['grade']}  {row['verdict']}{value}{must}{seeds}")
        lines.append(textwrap.fill(str(row["sentence"]), 110, initial_indent="  ", subsequent_indent="  "))
    return "\n".join(lines)


def number(value: Any) -> str:
    """A value as a person reads it: four significant digits, integers whole, nothing for what is missing."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or not isinstance(value, float | np.floating):
        return "" if value is None else str(value)
    plain = float(value)
    if math.isnan(plain):
        return ""
    return f"{plain:.0f}" if plain.is_integer() and 1e4 <= abs(plain) < 1e15 else f"{plain:.4g}"


@use_style()
def table_figure(table: pd.DataFrame, title: str = "") -> Figure:
    """A table as a picture, as large as it needs to be: index and headings bold, numbers right, long text wrapped."""
    named = table.index.name is not None or not isinstance(table.index, pd.RangeIndex)
    shown = table.reset_index() if named else table
    right = [pd.api.types.is_numeric_dtype(dtype) for dtype in shown.dtypes]
    columns = [[textwrap.fill(text, WRAP) for text in _texts(shown.iloc[:, c])] for c in range(len(right))]
    rows = [[textwrap.fill(str(c), 16) for c in shown.columns], *map(list, zip(*columns, strict=True))]
    wide = [2 * PAD + max(text_width(row[c], "bold") / 72 for row in rows) for c in range(len(right))]
    tall = [0.6 * PAD + LINE * max(1 + text.count("\n") for text in row) for row in rows]
    left, tops = np.cumsum([0.1, *wide]), np.cumsum([0.34 if title else 0.08, *tall])
    figure = Figure(figsize=(max(left[-1] + 0.1, 1.2 * text_width(title, "bold") / 72 + 0.2, 4.0), tops[-1] + 0.08))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))  # inches
    ax.set_axis_off()
    ax.text(0.1, 0.17, title, size=9.5, weight="bold", va="center")
    for r, row in enumerate(rows):
        if r and r % 2 == 0:
            ax.fill_between([0.1, left[-1]], tops[r], tops[r + 1], color="#F3F5F8", lw=0)
        for c, text in enumerate(row):
            x, side = (left[c + 1] - PAD, "right") if right[c] else (left[c] + PAD, "left")
            bold = "bold" if r == 0 or (c == 0 and named) else "normal"
            place: dict[str, Any] = {"ha": side, "va": "center_baseline", "linespacing": 1.25}
            ax.text(x, (tops[r] + tops[r + 1]) / 2, text, size=FONT, weight=bold, parse_math=False, **place)
    ax.hlines([tops[0], tops[1], tops[-1]], 0.1, left[-1], color="black", lw=[1.2, 0.7, 1.2])
    return figure


def _texts(column: pd.Series) -> list[str]:
    """The cells of a column as a person reads them; floats of about one size with equally many decimals."""
    texts = [number(value) for value in column]
    sizes = [abs(v) for v in column if v] if pd.api.types.is_float_dtype(column) else []
    sizes = [v for v in sizes if not math.isnan(v)]
    if not sizes or not 1e-3 <= max(sizes) < 1000 or min(sizes) < max(sizes) / 1000:
        return texts
    decimals = min(max(len(text.partition(".")[2]) for text in texts), 3 - math.floor(math.log10(max(sizes))))
    return [f"{value:.{decimals}f}" if text else "" for text, value in zip(texts, column, strict=True)]
