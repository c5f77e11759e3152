"""Groups side by side: bars with their intervals, points, and thin lines, each drawn from a tidy table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nas_core.report.style import DARK, INPUT_EDGE, INTERMEDIATE_EDGE, SERIES, use_style

FILLED = 0.8  # of the distance between two groups


def placed(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """A table of curves, a bar a row, with the ``place`` of each: a place for every group, its curves side by side."""
    groups, curves = list(table[group].unique()), list(table["curve"].unique())
    first = table[group].map(groups.index)
    shift = table["curve"].map(curves.index) - (len(curves) - 1) / 2
    return table.assign(place=first + shift * FILLED / len(curves))


@use_style()
def grouped_bars(table: pd.DataFrame, ax: Axes, *, group: str, ylabel: str = "") -> Axes:
    """Draw a table of :func:`placed`: bars are its ``mean``, lines reach from ``low`` to ``high``."""
    curves = list(table["curve"].unique())
    for index, (name, rows) in enumerate(table.groupby("curve", sort=False)):
        colour = SERIES[index][0]
        ax.bar(
            rows["place"],
            rows["mean"],
            FILLED / len(curves),
            color=colour,
            alpha=0.75,
            gid=f"mean {name}",
        )
        ax.vlines(
            rows["place"],
            rows["low"],
            rows["high"],
            color=DARK,
            lw=1.2,
            gid=f"band {name}",
        )
    groups = list(table[group].unique())
    ax.set_xticks(range(len(groups)), labels=groups)
    ax.set(xlabel=group, ylabel=ylabel)
    ax.grid(visible=False, axis="x")
    return ax


@use_style()
def bars_legend(figure: Figure, table: pd.DataFrame) -> None:
    """One legend below all panels that :func:`grouped_bars` drew from parts of ``table``."""
    handles: list[Any] = []
    for index, name in enumerate(table["curve"].unique()):
        handles.append(Patch(color=SERIES[index][0], alpha=0.75, lw=0, label=name))
    for band in filter(None, table["band"].unique()):
        handles.append(Line2D([], [], color=DARK, lw=1.2, label=band))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7)


@use_style()
def points(table: pd.DataFrame, ax: Axes, *, x: str, y: str, joined: bool = False) -> Axes:
    """Draw the column ``y`` against ``x``, a colour and a marker a ``curve``; ``joined``: by lines, with a legend."""
    for index, (name, rows) in enumerate(table.groupby("curve", sort=False)):
        colour, line, marker = SERIES[index]
        look: dict[str, Any] = {"color": colour, "marker": marker, "mec": "white", "mew": 0.4}
        look["ls"] = line if joined else "none"
        ax.plot(rows[x], rows[y], **look, label=str(name), gid=f"points {name}")
    ax.set(xlabel=x, ylabel=y)
    if joined:
        ax.legend()
    return ax


@use_style()
def thin_edges(table: pd.DataFrame, ax: Axes, intermediate: Collection[int]) -> Axes:
    """Draw the curves ``edge 0``, ``edge 1``, ... of a table as thin lines; the ``intermediate`` ones differ."""
    for name, rows in table.groupby("curve", sort=False):
        number = int(str(name).removeprefix("edge "))
        colour = INTERMEDIATE_EDGE if number in intermediate else INPUT_EDGE
        ax.plot(
            rows["epoch"],
            rows["mean"],
            color=colour,
            lw=0.6,
            alpha=0.7,
            zorder=2,
            gid=str(name),
        )
    return ax
