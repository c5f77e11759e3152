"""Pictures of measured costs: means by operation and edge, sums over the epochs, and L, H and C beside them."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nas_core.report.costs import thousandths
from nas_core.report.curves import curves, guide, marker_positions
from nas_core.report.heat import heat_map
from nas_core.report.standard import GUIDE
from nas_core.report.style import DARK, GREY, INTERMEDIATE_EDGE, SERIES, mark, new_figure, op_style, use_style

SUM, LEAK = "sum of the edges", "passed on by skip"


@use_style()
def draw_mean_costs(table: pd.DataFrame, ops: Sequence[str], intermediate: Collection[str]) -> Figure:
    """Mean costs by edge and operation, a map a panel, written in 10⁻³; red costs, blue pays.

    ``table``: rows of ``panel``, ``edge``, ``operation`` and ``mean cost`` (nats); ``ops``: the columns in order;
    ``intermediate``: the edges whose names stand in their colour. Every panel has colours of its own scale, up to its
    largest cost.
    """
    panels = list(dict.fromkeys(table["panel"]))
    edges = table["edge"].nunique()
    figure, (axes,) = new_figure(7.0, 0.75 + 0.24 * edges, 1, len(panels), sharey=True)
    for ax, panel in zip(axes, panels, strict=True):
        grid = table[table["panel"] == panel].pivot_table("mean cost", "edge", "operation", sort=False, dropna=False)
        grid = grid.reindex(columns=list(ops)).rename_axis(index=None, columns=None)
        limit = float(grid.abs().max().max()) or 1.0
        heat_map(
            ax,
            grid,
            grid.map(_written),
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
        )
        ax.set_title(f"{panel}: mean cost (10⁻³ nats)")
        for name in ax.get_yticklabels():
            if name.get_text() in intermediate:
                name.set_color(INTERMEDIATE_EDGE)
    return figure


def placed(table: pd.DataFrame, ops: Sequence[str]) -> pd.DataFrame:
    """``table`` with the column ``place``: operations stand 1 apart, the edges of an operation side by side."""
    edges = list(dict.fromkeys(table["edge"]))
    beside = dict(zip(edges, np.linspace(-0.3, 0.3, len(edges)), strict=True))
    columns = {op: column for column, op in enumerate(ops)}
    return table.assign(place=table["operation"].map(columns) + table["edge"].map(beside))


def _written(cost: float) -> str:
    """A cost in 10⁻³, in at most five characters."""
    return thousandths(cost, 1 if abs(cost) < 0.0995 else 0)


@use_style()
def draw_signs(table: pd.DataFrame, ops: Sequence[str], intermediate: Collection[str]) -> Figure:
    """Mean costs with their standard errors, a panel a time, a group an operation, a dot an edge.

    ``table``: rows of ``panel``, ``operation``, ``edge``, ``place`` (see :func:`placed`), ``cost``, ``low`` and
    ``high``, these three in 10⁻³.
    """
    panels = list(dict.fromkeys(table["panel"]))
    figure, (axes,) = new_figure(7.0, 2.6, 1, len(panels))
    edges = list(dict.fromkeys(table["edge"]))
    for ax, panel in zip(axes, panels, strict=True):
        guide(ax, y=0)
        for op in ops:
            for edge in edges:
                row = table[(table["panel"] == panel) & (table["operation"] == op) & (table["edge"] == edge)]
                face = "white" if edge in intermediate else op_style(op).colour
                colour = op_style(op).colour
                ax.vlines(
                    row["place"],
                    row["low"],
                    row["high"],
                    color=colour,
                    lw=1.2,
                    gid=f"error {edge} {op}",
                )
                look = {
                    **mark(op),
                    "mfc": face,
                    "mec": op_style(op).colour,
                    "mew": 0.9,
                    "ls": "",
                }
                ax.plot(row["place"], row["cost"], **look, gid=f"mean {edge} {op}")
        ax.set_xticks(range(len(ops)), labels=list(ops))
        ax.grid(False, axis="x")
        ax.set_title(panel)
    axes[0].set_ylabel("mean cost (10⁻³ nats)")
    return figure


def edge_looks(names: Sequence[str], intermediate: Collection[str]) -> dict[str, dict[str, Any]]:
    """How the curves of edges, of their sum and of what skip passes on are drawn, by name."""
    looks: dict[str, dict[str, Any]] = {}
    inputs = iter(SERIES)
    for name in names:
        if name in intermediate:
            looks[name] = {
                "color": INTERMEDIATE_EDGE,
                "ls": (0, (5, 2)),
                "marker": "s",
                "lw": 1.5,
            }
        else:
            colour, line, marker = next(inputs)
            looks[name] = {"color": colour, "ls": line, "marker": marker, "lw": 1.2}
    looks[SUM] = {"color": DARK, "ls": "-", "marker": "", "lw": 2.6}
    looks[LEAK] = {"color": GREY, "ls": (0, (1, 1.2)), "marker": "", "lw": 1.6}
    return looks


@use_style()
def draw_edge_costs(ax: Axes, table: pd.DataFrame, intermediate: Collection[str]) -> Axes:
    """Draw a ``curve_table`` of the costs of edges, :data:`SUM` and :data:`LEAK`, with the band of the sum alone."""
    names = [name for name in table["curve"].unique() if name not in (SUM, LEAK)]
    looks = edge_looks(names, intermediate)
    guide(ax, y=0)
    for index, (name, rows) in enumerate(table.groupby("curve", sort=False)):
        look = looks[str(name)]
        if name == SUM and rows["band"].any():
            gid = f"band {name!s}"
            ax.fill_between(
                rows["epoch"],
                rows["low"],
                rows["high"],
                color=DARK,
                alpha=0.15,
                lw=0,
                gid=gid,
            )
        every = marker_positions(len(rows), index)
        ax.plot(
            rows["epoch"],
            rows["mean"],
            **look,
            mec="white",
            mew=0.4,
            markevery=every,
            label=name,
            gid=name,
        )
    ax.set(xlabel="epoch", ylabel="cost (nats)")
    return ax


@use_style()
def draw_loss_and_costs(losses: pd.DataFrame, costs: pd.DataFrame, intermediate: Collection[str]) -> Figure:
    """(a) Loss and accuracy, (b) the cost of every edge, their sum and what skip passes on, over the epochs.

    ``losses``: a ``curve_table`` of ``loss`` and ``accuracy``; ``costs``: as for :func:`draw_edge_costs`.
    """
    figure, ((left, right),) = new_figure(7.0, 2.9, 1, 2)
    accuracy, handles = _second_axis(left, losses, ("loss",), "accuracy")
    left.legend(handles=handles[:2], fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    left.set(title="(a) loss and accuracy", ylabel="loss (nats)")
    accuracy.set_ylabel("accuracy")
    draw_edge_costs(right, costs, intermediate).set_title("(b) costs of the edges")
    figure.legend(handles=right.get_legend_handles_labels()[0], loc="outside right center", fontsize=7)
    return figure


@use_style()
def draw_two_cells(table: pd.DataFrame, intermediate: Collection[str]) -> Figure:
    """The costs of the edges of two cells over the epochs, a panel each on a scale of its own."""
    panels = list(dict.fromkeys(table["panel"]))
    figure, (axes,) = new_figure(7.0, 2.9, 1, len(panels))
    for ax, panel in zip(axes, panels, strict=True):
        draw_edge_costs(ax, table[table["panel"] == panel], intermediate).set_title(panel)
    axes[-1].set_ylabel("")
    handles = axes[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, columnspacing=1.2)
    return figure


@use_style()
def draw_loss_terms(table: pd.DataFrame, width: float = 7.0) -> Figure:
    """L and H on the left axis, C on a right axis of its own scale, over the epochs; a panel a group of images.

    ``table``: a ``curve_table`` of ``L``, ``H`` and ``C`` with a column ``panel``.
    """
    panels = list(dict.fromkeys(table["panel"]))
    figure, (axes,) = new_figure(width, 2.9, 1, len(panels))
    handles: list[Any] = []
    for ax, panel in zip(axes, panels, strict=True):
        rows = table[table["panel"] == panel]
        right, handles = _second_axis(ax, rows, ("L", "H"), "C")
        cost = rows[rows["curve"] == "C"]
        if cost["low"].min() < 0 < cost["high"].max():
            guide(right, y=0, text="C = 0")
        ax.set(title=panel if len(panels) > 1 else "", ylabel="L and H (nats)" if panel == panels[0] else "")
        right.set_ylabel("C (nats)" if panel == panels[-1] else "")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7)
    return figure


def _second_axis(ax: Axes, table: pd.DataFrame, left: Sequence[str], right: str) -> tuple[Axes, list[Any]]:
    """Draw the curves ``left``, and the curve ``right`` on an axis at the right side, whose labels have its colour.

    Returns that axis, and what a legend needs.
    """
    other = ax.twinx()
    handles: list[Any] = []
    for index, name in enumerate((*left, right)):
        colour, line, marker = SERIES[index]
        where = other if name == right else ax
        rows = table[table["curve"] == name]
        if rows["band"].any():
            where.fill_between(
                rows["epoch"],
                rows["low"],
                rows["high"],
                color=colour,
                alpha=0.18,
                lw=0,
            )
        look = {
            "color": colour,
            "ls": line,
            "marker": marker,
            "mec": "white",
            "mew": 0.4,
        }
        every = marker_positions(len(rows), index)
        label = f"{name} (right axis)" if name == right else name
        handles += where.plot(rows["epoch"], rows["mean"], **look, markevery=every, label=label)
        if name == right:
            other.tick_params(axis="y", colors=colour)
            other.yaxis.label.set_color(colour)
    other.spines["right"].set_visible(True)
    other.grid(False)
    ax.set_xlabel("epoch")
    for band in filter(None, table["band"].unique()):
        handles.append(Patch(color=GREY, alpha=0.25, lw=0, label=band))
    return other, handles


@use_style()
def draw_by_cell(table: pd.DataFrame) -> Figure:
    """What stands in every cell of a stack, a panel a time, on a logarithmic scale.

    ``table``: rows of ``panel``, ``curve``, ``cell`` (1 is the first), ``mean``, ``low`` and ``high``, in 10⁻³.
    """
    panels = list(dict.fromkeys(table["panel"]))
    figure, (axes,) = new_figure(7.0, 2.5, 1, len(panels), sharey=True)
    for ax, panel in zip(axes, panels, strict=True):
        of_panel = table[table["panel"] == panel]
        for index, (name, rows) in enumerate(of_panel.groupby("curve", sort=False)):
            colour, line, marker = SERIES[index]
            ax.vlines(
                rows["cell"],
                rows["low"],
                rows["high"],
                color=colour,
                lw=1,
                gid=f"range {name}",
            )
            ax.plot(
                rows["cell"],
                rows["mean"],
                color=colour,
                ls=line,
                marker=marker,
                label=name,
                gid=f"mean {name}",
            )
        ax.set(yscale="log", xlabel="cell", title=panel)
        ax.set_xticks(sorted(of_panel["cell"].unique()))
    axes[0].set_ylabel("mean cost (10⁻³ nats)")
    figure.legend(handles=axes[0].get_legend_handles_labels()[0], loc="outside lower center", ncols=2, fontsize=7)
    return figure


@use_style()
def draw_theorem_2(points: pd.DataFrame, curve: pd.DataFrame) -> Figure:
    """(a) What the edges cost, less what skip passes on, against L − H; (b) that over the epochs.

    ``points``: rows of ``L − H`` and ``cost`` (nats), one an epoch and seed; ``curve``: a ``curve_table``.
    """
    figure, ((left, right),) = new_figure(7.0, 2.6, 1, 2)
    ends = [points["L − H"].min(), points["L − H"].max()]
    left.plot(ends, ends, color=GREY, lw=0.8, ls=":", gid=GUIDE)
    left.plot(
        points["L − H"],
        points["cost"],
        ls="",
        marker="o",
        ms=3.5,
        mfc="none",
        color=SERIES[0][0],
        gid="epochs",
    )
    left.set(xlabel="L − H (nats)", ylabel="cost of the edges (nats)", title="(a) every epoch of every seed")
    curves(curve, right, ylabel="nats")
    guide(right, y=0)
    right.set_title("(b) over the epochs")
    return figure


@use_style()
def draw_logit_scale(table: pd.DataFrame, tangents: pd.DataFrame) -> Figure:
    """The loss when all class logits are multiplied by s, and its slope at s = 1 by ln s, which is C.

    ``table``: rows of ``curve``, ``s`` and ``loss``; ``tangents``: rows of ``curve``, ``s`` and ``loss``, two a curve.
    """
    figure, ((ax,),) = new_figure(4.6, 2.8)
    for index, (name, rows) in enumerate(table.groupby("curve", sort=False)):
        colour, line, _ = SERIES[index]
        ax.plot(
            rows["s"],
            rows["loss"],
            color=colour,
            ls=line,
            label=str(name),
            gid=f"loss {name}",
        )
        tangent = tangents[tangents["curve"] == name]
        ax.plot(
            tangent["s"],
            tangent["loss"],
            color=colour,
            lw=2.4,
            alpha=0.5,
            gid=f"slope {name}",
        )
    guide(ax, x=1)
    ax.set(xscale="log", xlabel="factor s of the class logits", ylabel="loss (nats)")
    ticks = [0.25, 0.5, 1, 2, 4]
    ax.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=7)
    return figure
