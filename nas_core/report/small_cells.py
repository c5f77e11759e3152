"""What the three edges of the simplified and the modified cell cost (wiring paper, Figures 9, 27 and 28).

Edges 0, 1 and 2 of both cells are (0, 1), (0, 2) and (1, 2). Costs are drawn in 10⁻³; arrays have seeds first.
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
from matplotlib.text import Text

from nas_core.cells.topology import Topology
from nas_core.report.curves import BANDS, curve_table, guide, marker_positions
from nas_core.report.diagrams import draw_cell
from nas_core.report.evolution import in_blocks
from nas_core.report.flows import draw_flow, flow_handles
from nas_core.report.layout import output_node, positions
from nas_core.report.style import DARK, GREY, INTERMEDIATE_EDGE, WIRING_ORDER, ink, new_figure, op_style, use_style

EDGES = ("edge (0,1)", "edge (0,2)", "edge (1,2)")
LEAK = "passed on by skip"
# Colour, line and marker of every edge: input edges are grey, as in all drawings.
LOOKS: dict[str, tuple[str, Any, str]] = {
    EDGES[0]: ("#A3ABB5", (0, (4, 1.2, 1, 1.2)), "^"),
    EDGES[1]: (DARK, (0, (5, 2)), "s"),
    EDGES[2]: (INTERMEDIATE_EDGE, "-", "o"),
}
KINDS = {"pooling": ("max", "avg"), "convolutions": ("sep3", "dil3", "dil5", "sep5")}
GAP_LOOKS = (("o", INTERMEDIATE_EDGE), ("D", DARK))  # of two series of gaps
UNIT = 1e3  # costs are drawn in thousandths
YLABEL = "cost [10⁻³]"


@dataclass(frozen=True)
class Setting:
    """A cell, and the short names of the operations that each of its edges may draw."""

    cell: Topology
    drawn: tuple[tuple[str, ...], ...]

    def title(self) -> str:
        """What is restricted, in words: ``(0,1), (0,2): only sep5``."""
        groups: dict[str, list[str]] = {}
        for (i, j), ops in zip(self.cell.edges, self.drawn, strict=True):
            if len(ops) < len(WIRING_ORDER):
                groups.setdefault(in_words(ops), []).append(f"({i},{j})")
        if not groups:
            return "every edge: all eight"
        return "; ".join(f"{', '.join(edges)}: {words}" for words, edges in groups.items())

    def labels(self) -> dict[tuple[int, int], str]:
        """What stands on every edge: from how many operations it draws."""
        return {edge: str(len(ops)) for edge, ops in zip(self.cell.edges, self.drawn, strict=True)}


def in_words(ops: Sequence[str]) -> str:
    """Short names of operations as a setting: ``only sep5``, ``all but skip``, ``none, convolutions``."""
    if len(ops) == 1:
        return f"only {ops[0]}"
    missing = [op for op in WIRING_ORDER if op not in ops]
    if len(missing) == 1:
        return f"all but {missing[0]}"
    words = [op for op in ops if op in ("none", "skip")]
    for kind, members in KINDS.items():
        present = [op for op in members if op in ops]
        words += [kind] if len(present) == len(members) else present
    return ", ".join(words)


def edge_cost_table(
    costs: Mapping[str, np.ndarray], leaks: Mapping[str, np.ndarray] | None = None, *, block: int = 1
) -> pd.DataFrame:
    """What :func:`cost_panels` draws, tidy: panel, curve, epoch, mean, and the band's low and high, in 10⁻³.

    ``costs``: of every panel the costs of the edges, (seeds, T, 3); ``leaks``: of some panels what skip on (1, 2)
    passes on, (seeds, T), of which the mean alone is drawn. ``block``: epochs that are averaged; a block stands at its
    middle, and epochs are counted from 1.
    """
    tables = []
    for panel, series in costs.items():
        curves = {edge: UNIT * in_blocks(series[..., k], block) for k, edge in enumerate(EDGES)}
        epochs = (1 + block) / 2 + block * np.arange(series.shape[1] // block)
        tables.append(curve_table(curves, x=epochs).assign(panel=panel))
        if leaks and panel in leaks:
            leak = UNIT * in_blocks(leaks[panel], block).mean(0)
            tables.append(curve_table({LEAK: leak}, x=epochs).assign(panel=panel))
    return pd.concat(tables, ignore_index=True)


@use_style()
def cost_panels(table: pd.DataFrame, settings: Mapping[str, Setting], columns: int) -> Figure:
    """Draw an :func:`edge_cost_table`: for every panel its cell, with what the edges may draw, above the costs."""
    rows = -(-len(settings) // columns)
    ratios = [0.72, 1.5] * rows
    figure, axes = new_figure(7.0, 1.05 * sum(ratios) + 0.35, 2 * rows, columns, height_ratios=ratios)
    low, high = table[["low", "mean"]].min().min(), table[["high", "mean"]].max().max()
    for k, (panel, setting) in enumerate(settings.items()):
        row, column = divmod(k, columns)
        drawing, chart = axes[2 * row, column], axes[2 * row + 1, column]
        draw_setting(drawing, setting)
        drawing.set_title(f"({panel}) {setting.title()}", size=7.5)
        cost_curves(table[table["panel"] == panel], chart)
        chart.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        chart.set_xlabel("epoch" if row == rows - 1 else "")
        chart.set_ylabel(YLABEL if column == 0 else "")
    edge_legend(figure, table)
    return figure


@use_style()
def draw_setting(ax: Axes, setting: Setting) -> Axes:
    """Draw the cell, with the number of operations that every edge draws from, its edges in the colours of curves."""
    end = output_node(setting.cell)
    draw_cell(ax, setting.cell, labels=False, texts=setting.labels(), names={0: "", end: ""})
    for (i, j), name in zip(setting.cell.edges, EDGES, strict=True):
        colour = LOOKS[name][0]
        artists: list[Any] = [*ax.patches, *ax.texts]
        for artist in artists:
            words = str(artist.get_gid()).split()
            if words[1:2] != [f"{i}-{j}"]:
                continue
            if isinstance(artist, Text):
                artist.set_bbox(
                    {"boxstyle": "round,pad=0.28,rounding_size=0.4", "fc": colour, "ec": "white", "lw": 0.9}
                )
                artist.set_color(ink(colour))
            else:
                artist.set_color(colour)
    ax.set_xlim(-0.5, max(x for x, _ in positions(setting.cell).values()) + 0.5)
    return ax


@use_style()
def cost_curves(rows: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one panel of an :func:`edge_cost_table`; circles are what skip on (1, 2) passes on."""
    for k, (name, curve) in enumerate(rows.groupby("curve", sort=False)):
        if name == LEAK:
            few = curve.iloc[:: max(1, len(curve) // 10)]
            ax.plot(
                few["epoch"],
                few["mean"],
                "o",
                mfc="none",
                mec="black",
                ms=4.5,
                mew=0.8,
                zorder=5,
                gid=LEAK,
            )
            continue
        colour, line, marker = LOOKS[str(name)]
        if curve["band"].any():
            ax.fill_between(
                curve["epoch"],
                curve["low"],
                curve["high"],
                color=colour,
                alpha=0.2,
                lw=0,
                gid="band",
            )
        every = marker_positions(len(curve), k)
        look = {
            "color": colour,
            "ls": line,
            "marker": marker,
            "mec": "white",
            "mew": 0.4,
            "lw": 1.4,
        }
        ax.plot(
            curve["epoch"],
            curve["mean"],
            **look,
            markevery=every,
            zorder=3,
            gid=f"mean {name}",
        )
    guide(ax, y=0)
    ax.set(xlabel="epoch", ylabel=YLABEL)
    return ax


@use_style()
def edge_legend(figure: Figure, table: pd.DataFrame, words: str = "") -> None:
    """One legend below all panels; ``words`` say what a line is, if it is not a mean over seeds."""
    handles: list[Any] = []
    for name, (colour, line, marker) in LOOKS.items():
        handles.append(Line2D([], [], color=colour, ls=line, marker=marker, mec="white", mew=0.4, label=name))
    if table["band"].any():
        handles.append(Patch(color=GREY, alpha=0.25, lw=0, label=BANDS["ci"]))
    if LEAK in set(table["curve"]):
        handles.append(Line2D([], [], ls="", marker="o", mfc="none", mec="black", ms=4.5, label=LEAK))
    if words:
        handles.append(Line2D([], [], color=GREY, lw=0.8, label=words))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, columnspacing=1.2)


@use_style()
def all_settings(table: pd.DataFrame, cells: Mapping[str, Setting], groups: Mapping[str, Sequence[str]]) -> Figure:
    """Draw the means of many settings in few charts: curves of one colour differ in their setting (Fig. 9).

    ``groups``: of every chart, by its title, the panels of ``table`` that it takes; ``cells``: the cell above it.
    """
    figure, axes = new_figure(7.0, 3.3, 2, len(groups), height_ratios=[0.8, 2.0])
    for k, (title, panels) in enumerate(groups.items()):
        drawing, chart = axes[:, k]
        draw_setting(drawing, cells[title])
        drawing.set_title(title)
        for panel in panels:
            cost_curves(table[table["panel"] == panel].assign(band=""), chart)
        chart.set_ylabel(YLABEL if k == 0 else "")
    edge_legend(figure, table.assign(band=""), "a setting, mean over seeds")
    return figure


@use_style()
def cell_and_curve(table: pd.DataFrame, cell: Topology, paths: Mapping[str, Sequence[tuple[int, ...]]]) -> Figure:
    """Draw a cell with the paths over which gradients reach weights beside the costs of its edges (poster)."""
    figure, ((drawing, chart),) = new_figure(7.0, 2.6, 1, 2, width_ratios=[1.15, 1])
    draw_flow(drawing, cell, paths, labels=False, names={0: "", output_node(cell): ""})
    drawing.legend(handles=flow_handles(paths), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=1)
    cost_curves(table, chart)
    edge_legend(figure, table)
    return figure


@use_style()
def gap_chart(table: pd.DataFrame, ax: Axes, *, x: str, hue: str = "") -> Axes:
    """Draw the cost of (1, 2) minus that of (0, 2): the mean with its 95 % interval, and beside it every seed.

    ``table``: columns ``x``, ``hue``, ``gap``, ``mean``, ``low``, ``high`` in 10⁻³, a row a seed.
    """
    places = list(table[x].unique())
    series = list(table[hue].unique()) if hue else [""]
    apart = 1.5 * len(series) + 0.5
    for k, place in enumerate(places):
        for n, name in enumerate(series):
            rows = table[(table[x] == place) & (table[hue] == name)] if hue else table[table[x] == place]
            marker, colour = GAP_LOOKS[n]
            _one_gap(ax, rows, 2 * apart * k + 2 * n, marker, colour)
    middle = len(series) - 0.75
    ax.set_xticks([2 * apart * k + middle for k in range(len(places))], labels=places)
    ax.set_xlim(middle - apart, 2 * apart * (len(places) - 1) + middle + apart)
    ax.set_ylabel("cost of (1,2) − cost of (0,2) [10⁻³]")
    ax.grid(False, axis="x")
    guide(ax, y=0)
    handles = [
        Line2D([], [], ls="", marker=GAP_LOOKS[n][0], color=GAP_LOOKS[n][1], label=name)
        for n, name in enumerate(series)
    ]
    handles = handles if hue else []
    handles.append(Line2D([], [], color=GREY, marker="o", lw=1.6, label="mean and its 95 % interval"))
    handles.append(Line2D([], [], ls="", marker="o", ms=3.5, mfc="none", color=GREY, label="a seed"))
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, columnspacing=1.2)
    return ax


def _one_gap(ax: Axes, rows: pd.DataFrame, at: float, marker: str, colour: str) -> None:
    """The seeds of one setting half a place beside their mean."""
    low, mean, high = rows.iloc[0][["low", "mean", "high"]]
    ax.plot([at, at], [low, high], color=colour, lw=1.6, gid="interval")
    ax.plot(
        [at],
        [mean],
        marker,
        color=colour,
        ms=6,
        mec="white",
        mew=0.6,
        zorder=4,
        gid="mean",
    )
    ax.plot(
        [at + 0.5] * len(rows),
        rows["gap"],
        marker,
        color=colour,
        ms=3.5,
        mfc="none",
        mew=0.8,
        gid="seeds",
    )


def short_names(candidates: Sequence[str], allowed: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """The short names, in the paper's order, of what every edge may draw; ``allowed``: bool, (edges, ops)."""
    found = []
    for row in allowed:
        names = {op_style(op).label for op, ok in zip(candidates, row, strict=True) if ok}
        found.append(tuple(op for op in WIRING_ORDER if op in names))
    return tuple(found)
