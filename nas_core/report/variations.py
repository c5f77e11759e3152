"""Charts of varied settings: a row a setting, a panel a quantity; dots are means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nas_core.claims.seeds import interval
from nas_core.report.curves import guide
from nas_core.report.style import DARK, FAINT, INTERMEDIATE_EDGE, new_figure, use_style

ROW = 0.225  # inches
HEAD = 0.95  # inches for titles, axis labels and the legend


def dot_row(panel: str, row: str, values: Sequence[float], *, section: str = "", shows: int | None = None) -> dict:
    """A row of :func:`dot_chart` from the numbers of all seeds, (seeds,).

    ``section``: rows that follow each other in the same section stand together. ``shows``: in how many of the seeds
    the pattern of the panel shows.
    """
    numbers = np.asarray(values, dtype=float)
    ends = interval(numbers, "mean") or (numbers[0], numbers[0])
    return {
        "panel": panel,
        "section": section,
        "row": row,
        "mean": float(numbers.mean()),
        "low": ends[0],
        "high": ends[1],
        "shows": shows,
        "seeds": len(numbers),
    }


@use_style()
def dot_chart(
    table: pd.DataFrame,
    *,
    xlabels: Mapping[str, str],
    bounds: Mapping[str, float] | None = None,
    colour: str = INTERMEDIATE_EDGE,
) -> Figure:
    """Draw rows of :func:`dot_row`: a panel for each of ``xlabels``, its bound as a line.

    A dot is filled where the pattern shows in most seeds; in how many, stands at the right of its panel. A column
    ``end`` of the table, if there is one, is drawn as a small stroke.
    """
    rows = list(dict.fromkeys(table["row"]))
    figure, (axes,) = new_figure(7, HEAD + ROW * len(rows), 1, len(xlabels), sharey=True)
    for ax, (panel, xlabel) in zip(axes, xlabels.items(), strict=True):
        of_panel = table[table["panel"] == panel].set_index("row").reindex(rows)
        _draw_panel(ax, of_panel, colour)
        ax.set_title(panel, size=8.5)
        ax.set_xlabel(xlabel)
        if bounds and panel in bounds:
            guide(ax, x=bounds[panel])
    axes[0].set_yticks(range(len(rows)), labels=rows)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    for place in _changes(table.drop_duplicates("row")["section"].tolist()):
        for ax in axes:
            ax.axhline(place, color=FAINT, lw=0.6, gid="guide")
    figure.legend(handles=_handles(table, colour), loc="outside lower center", ncols=4, fontsize=7.5)
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame, colour: str) -> None:
    """The dots, intervals and counts of one panel, from the top down."""
    places = np.arange(len(rows))
    ax.hlines(places, rows["low"], rows["high"], color=colour, lw=1.1)
    if "end" in rows and rows["end"].notna().any():
        ax.scatter(
            rows["end"],
            places,
            marker="|",
            s=45,
            color=DARK,
            lw=1.4,
            zorder=3,
        )
    filled = rows["shows"].isna() | (2 * rows["shows"] > rows["seeds"])
    faces = np.where(filled, colour, "white")
    ax.scatter(
        rows["mean"],
        places,
        s=22,
        c=faces,
        edgecolors=colour,
        lw=1.1,
        zorder=4,
    )
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        if pd.notna(row["shows"]):
            text = f"{row['shows']:.0f}/{row['seeds']:.0f}"
            ax.text(
                1.01,
                float(place),
                text,
                transform=ax.get_yaxis_transform(),
                va="center",
                size=7,
            )


def _changes(sections: Sequence[str]) -> list[float]:
    """Between which rows the section changes."""
    return [index - 0.5 for index in range(1, len(sections)) if sections[index] != sections[index - 1]]


def _handles(table: pd.DataFrame, colour: str) -> list[Line2D]:
    """What the marks mean."""
    dot: dict[str, Any] = {"marker": "o", "ls": "-", "lw": 1.1, "color": colour, "ms": 4.7}
    handles = [Line2D([], [], **dot, label="mean, 95 % interval")]
    if table["shows"].notna().any():
        handles[0].set_label("shows in most seeds")
        handles.append(Line2D([], [], **dot, mfc="white", label="shows in fewer"))
    if "end" in table:
        handles.append(Line2D([], [], ls="", marker="|", ms=7, mew=1.4, color=DARK, label="share at the end"))
    return handles
