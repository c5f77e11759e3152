"""What happens to the edges of a cell during a search: by kind of edge, and edge by edge.

Arrays have seeds first, then epochs. As in :mod:`nas_core.report.curves`, numbers become a tidy table, which is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.topology import Topology
from nas_core.report.curves import BANDS, Numbers, curve_table, marker_positions
from nas_core.report.diagrams import SMALL, draw_graph, drawn_edges
from nas_core.report.layout import bounds
from nas_core.report.snapshots import cell_height, snapshot_handles
from nas_core.report.standard import WIDEST
from nas_core.report.style import DARK, FAINT, GREY, INPUT_EDGE, INTERMEDIATE_EDGE, new_axes, use_style

# Colour, line style and marker of every kind of edge.
KINDS: dict[str, tuple[str, Any, str]] = {
    "input edges": (INPUT_EDGE, "-", "o"),
    "intermediate edges": (INTERMEDIATE_EDGE, (0, (5, 2)), "s"),
    "all edges": ("#0072B2", (0, (4, 1.2, 1, 1.2)), "^"),
}


def kind_table(data: Mapping[str, np.ndarray], *, median: int | None = None, x: Numbers | None = None) -> pd.DataFrame:
    """What :func:`kind_curves` draws, tidy: curve, epoch, mean, low and high over seeds, and the ``median`` seed.

    ``data``: a name of ``KINDS`` -> (seeds, T). ``median``: the index of the seed that is drawn by itself.
    """
    table = curve_table(data, x=x, kind="range")
    if median is not None:
        table["median_seed"] = np.concatenate([series[median] for series in data.values()])
    return table


@use_style()
def kind_curves(table: pd.DataFrame, ax: Axes | None = None, *, ylabel: str = "") -> Axes:
    """Draw a :func:`kind_table`: thick lines are means, bands reach over all seeds, thin lines are the median seed.

    :func:`kind_legend` explains all panels of a figure.
    """
    ax = ax or new_axes()
    for index, (name, rows) in enumerate(table.groupby("curve", sort=False)):
        colour, line, marker = KINDS[str(name)]
        epochs = rows["epoch"]
        ax.fill_between(
            epochs,
            rows["low"],
            rows["high"],
            color=colour,
            alpha=0.13,
            lw=0,
            gid=f"band {name}",
        )
        if "median_seed" in rows:
            ax.plot(
                epochs,
                rows["median_seed"],
                color=colour,
                ls=line,
                lw=0.8,
                gid=f"median {name}",
            )
        every = marker_positions(len(rows), index)
        look = {
            "color": colour,
            "ls": line,
            "marker": marker,
            "lw": 1.8,
            "mec": "white",
            "mew": 0.4,
        }
        ax.plot(
            epochs,
            rows["mean"],
            **look,
            markevery=every,
            zorder=3,
            label=name,
            gid=f"mean {name}",
        )
    ax.set(xlabel="epoch", ylabel=ylabel)
    return ax


@use_style()
def kind_legend(figure: Figure, table: pd.DataFrame) -> None:
    """One legend below all panels that :func:`kind_curves` drew from parts of ``table``."""
    handles = kind_handles(table)
    columns = len(handles) if figure.get_figwidth() > 6 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=7, columnspacing=1.2)


def kind_handles(table: pd.DataFrame) -> list[Any]:
    """Its entries."""
    handles: list[Any] = []
    for name in table["curve"].unique():
        colour, line, marker = KINDS[str(name)]
        handles.append(Line2D([], [], color=colour, ls=line, marker=marker, lw=1.8, mec="white", mew=0.4, label=name))
    if table["band"].any():
        handles[0].set_label(f"{handles[0].get_label()} (mean)")
        handles.append(Patch(color=GREY, alpha=0.25, lw=0, label=BANDS["range"]))
    if "median_seed" in table:
        handles.append(Line2D([], [], color=GREY, lw=0.8, label="median seed"))
    return handles


def turned_table(turns: Mapping[str, np.ndarray], epochs: int) -> pd.DataFrame:
    """The share of seeds that have turned by each epoch, as :func:`kind_curves` draws it.

    ``turns``: a name of ``KINDS`` -> the epoch at which each seed turns, (seeds,), NaN where it never does.
    """
    when = np.arange(1, epochs + 1)
    shares = {name: (np.asarray(turn)[:, None] <= when).mean(0) for name, turn in turns.items()}
    return curve_table(shares, x=when)


@use_style()
def count_bars(table: pd.DataFrame, ax: Axes | None = None, *, xlabel: str = "", ylabel: str = "") -> Axes:
    """Bars side by side, a colour a series: columns ``series``, ``count`` (whole numbers) and ``share``."""
    ax = ax or new_axes()
    names = table["series"].unique()
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        rows = table[table["series"] == name]
        places = rows["count"] + (index - (len(names) - 1) / 2) * width
        colour = (INTERMEDIATE_EDGE, FAINT)[index % 2]
        ax.bar(
            places,
            rows["share"],
            width,
            color=colour,
            ec=DARK,
            lw=0.6,
            label=str(name),
        )
    ax.set_xticks(sorted(table["count"].unique()))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="upper left")
    return ax


@dataclass(frozen=True)
class Pattern:
    """A column of :func:`pattern_panels`: what one search does to the edges of its cell.

    ``cells``: what stands above a cell, and the most probable topology; ``dropped`` and ``none``: tables as of
    :func:`kind_table`; ``control``: a :func:`nas_core.report.curve_table` that is drawn beside ``dropped``.
    """

    title: str
    topology: Topology
    cells: tuple[tuple[str, CellGenotype], ...]
    dropped: pd.DataFrame
    none: pd.DataFrame
    control: pd.DataFrame | None = None


@use_style()
def pattern_panels(patterns: Sequence[Pattern]) -> Figure:
    """Searches side by side: cells of one seed, then the share of dropped edges, then the probability of none."""
    cells = []
    curves = []
    for pattern in patterns:
        for _, cell in pattern.cells:
            cells.append(cell)
            curves += [points for _, points in drawn_edges(pattern.topology, cell)]
    box = bounds(patterns[0].topology, curves)
    width = WIDEST / len(patterns) - 0.3  # beside numbers and labels of the axes below
    above = len(patterns[0].cells)
    heights = [cell_height(box, width)] * above + [1.25, 1.25]
    figure = Figure(figsize=(WIDEST, sum(heights) + 1.6), layout="constrained")
    axes = figure.subplots(above + 2, len(patterns), squeeze=False, height_ratios=heights)
    for column, pattern in enumerate(patterns):
        for ax, (words, cell) in zip(axes[:above, column], pattern.cells, strict=True):
            draw_graph(ax, pattern.topology, drawn_edges(pattern.topology, cell), SMALL, box)
            ax.set_title(words, size=7, pad=2)
        _pattern_curves(pattern, axes[above, column], axes[above + 1, column])
        axes[0, column].set_title(f"{pattern.title}\n{pattern.cells[0][0]}", size=7, pad=2)
    axes[above, 0].set_ylabel("share dropped")
    axes[above + 1, 0].set_ylabel("P(none)")
    _pattern_legend(figure, patterns, cells)
    return figure


def _pattern_curves(pattern: Pattern, dropped: Axes, none: Axes) -> None:
    kind_curves(pattern.dropped, dropped)
    if pattern.control is not None:
        dropped.plot(
            pattern.control["epoch"],
            pattern.control["mean"],
            color=GREY,
            ls=":",
            lw=1.4,
            gid="control",
        )
    kind_curves(pattern.none, none)
    for ax in (dropped, none):
        ax.set(ylim=(-0.04, 1.04), yticks=[0, 0.5, 1])
    dropped.set_xlabel("")
    dropped.tick_params(labelbottom=False)


def _pattern_legend(figure: Figure, patterns: Sequence[Pattern], cells: Sequence[CellGenotype]) -> None:
    """One legend of operations above, next to the cells, and one of curves below."""
    handles = kind_handles(patterns[0].dropped)
    if any(pattern.control is not None for pattern in patterns):
        handles.append(Line2D([], [], color=GREY, ls=":", lw=1.4, label="control on one level"))
    operations = snapshot_handles(cells)
    look: dict[str, Any] = {"fontsize": 7, "columnspacing": 1.0, "handletextpad": 0.5}
    figure.legend(handles=operations, ncols=len(operations), loc="outside upper center", **look)
    figure.legend(handles=handles, ncols=len(handles), loc="outside lower center", **look)


def in_blocks(series: np.ndarray, length: int) -> np.ndarray:
    """Means over blocks of ``length`` epochs, (seeds, T // length), of a noisy series, (seeds, T)."""
    seeds, epochs = series.shape
    whole = series[:, : epochs // length * length]
    return whole.reshape(seeds, -1, length).mean(2)


def edges_table(series: np.ndarray, *, median: int, x: Numbers | None = None) -> pd.DataFrame:
    """What :func:`edge_curves` draws, tidy: every edge of the ``median`` seed, and the mean of edges over all seeds.

    ``series``: (seeds, T, edges). Columns: curve (``edge 0``, ..., ``mean``), epoch, mean, low, high, band.
    """
    tables = [curve_table({"mean": series.mean(2)}, x=x)]
    for edge in range(series.shape[2]):
        tables.append(curve_table({f"edge {edge}": series[median, :, edge]}, x=x))
    return pd.concat(tables, ignore_index=True)


@use_style()
def edge_curves(table: pd.DataFrame, ax: Axes | None = None, *, colour: str = DARK, ylabel: str = "") -> Axes:
    """Draw an :func:`edges_table`: a thin line an edge of one seed, a thick one with its band for the mean."""
    ax = ax or new_axes()
    for name, rows in table.groupby("curve", sort=False):
        if name == "mean":
            ax.fill_between(
                rows["epoch"],
                rows["low"],
                rows["high"],
                color=colour,
                alpha=0.25,
                lw=0,
                gid="band",
            )
            ax.plot(
                rows["epoch"],
                rows["mean"],
                color=colour,
                lw=2.4,
                zorder=4,
                gid="mean",
            )
        else:
            ax.plot(
                rows["epoch"],
                rows["mean"],
                color=colour,
                lw=0.6,
                alpha=0.55,
                gid=str(name),
            )
    thin = Line2D(
        [],
        [],
        color=colour,
        lw=0.6,
        alpha=0.8,
        label="an edge of the median seed",
    )
    thick = Line2D([], [], color=colour, lw=2.4, label="mean of edges and seeds")
    band = Patch(color=colour, alpha=0.25, lw=0, label=BANDS["ci"])
    ax.legend(handles=[thick, band, thin], loc="lower left")
    ax.set(xlabel="epoch", ylabel=ylabel)
    return ax
