"""Curves over epochs: arrays to a tidy table, which is drawn and saved, so that a picture has no number of its own.

Arrays have seeds first, then epochs; NaN is what a seed has not.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import stdtrit

from nas_core.cells.topology import Topology
from nas_core.report.standard import GUIDE
from nas_core.report.style import (
    GREY,
    INTERMEDIATE_EDGE,
    SERIES,
    SHADE,
    mark,
    new_axes,
    new_figure,
    op_handles,
    op_style,
    use_style,
)

Band = Literal["ci", "range"]
Numbers = Sequence[float] | np.ndarray
MIDDLE = (0.1, 0.9)  # quantiles between which the band of a probability lies
BANDS: dict[str, str] = {"ci": "95 % interval of the mean", "range": "smallest to largest seed"}


def mean_band(series: np.ndarray, kind: Band = "ci") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over seeds and the band around it: mean, low, high, each of shape (T,).

    ``series``: (seeds, T). ``ci`` is the 95 % interval of the mean from Student's t over the seeds present at each
    point, without width for fewer than two; ``range`` is the smallest and largest seed.
    """
    frame = pd.DataFrame(np.atleast_2d(np.asarray(series, dtype=float)))
    mean = frame.mean().to_numpy()
    if kind == "range":
        return mean, frame.min().to_numpy(), frame.max().to_numpy()
    quantile = stdtrit(np.maximum(frame.count() - 1, 1), 0.975)
    half = (quantile * frame.sem().fillna(0.0)).to_numpy()
    return mean, mean - half, mean + half


def marker_positions(length: int, index: int, count: int = 5) -> list[int]:
    """Where a curve carries its markers: about ``count`` points, shifted from curve to curve."""
    step = max(1, length // count)
    first = index * step // 3 % step
    return list(range(first, length, step))


def curve_table(data: Mapping[str, np.ndarray], *, x: Numbers | None = None, kind: Band = "ci") -> pd.DataFrame:
    """What :func:`curves` draws, tidy: curve, epoch, mean over seeds, and the band's low and high.

    ``data``: label -> (seeds, T) or (T,), NaN where a seed has nothing. ``x``: what stands for the epochs.
    """
    tables = []
    for label, series in data.items():
        mean, low, high = mean_band(series, kind)
        epochs = np.arange(len(mean)) if x is None else x
        several = np.ndim(series) == 2 and len(series) > 1
        columns = {"curve": label, "epoch": epochs, "mean": mean, "low": low, "high": high}
        columns["band"] = BANDS[kind] if several else ""
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


@use_style()
def curves(table: pd.DataFrame, ax: Axes | None = None, *, ylabel: str = "", legend: bool = True) -> Axes:
    """Draw a :func:`curve_table`: each mean as a line, with its band; the legend says what the band is."""
    ax = ax or new_axes()
    handles: list[Any] = []
    for index, (label, rows) in enumerate(table.groupby("curve", sort=False)):
        colour, line, marker = SERIES[index % len(SERIES)]
        if rows["band"].any():
            ax.fill_between(
                rows["epoch"], rows["low"], rows["high"], color=colour, alpha=0.18, lw=0, gid=f"band {label}"
            )
        handles += ax.plot(
            rows["epoch"],
            rows["mean"],
            color=colour,
            ls=line,
            marker=marker,
            mec="white",
            mew=0.4,
            markevery=marker_positions(len(rows), index),
            zorder=3,
            label=str(label),
            gid=f"mean {label}",
        )
    for band in filter(None, table["band"].unique()):
        handles.append(Patch(color=GREY, alpha=0.25, lw=0, label=band))
    ax.set(xlabel="epoch", ylabel=ylabel)
    if legend:
        ax.legend(handles=handles)
    return ax


@use_style()
def guide(ax: Axes, *, x: float | None = None, y: float | None = None, text: str = "") -> None:
    """A thin line across ``ax`` at a place that is no data, with a word on it at the right end or at the top."""
    look: dict[str, Any] = {"color": GREY, "lw": 0.8, "ls": ":", "gid": GUIDE, "zorder": 1}
    if y is not None:
        ax.axhline(y, **look)
        ax.annotate(text, (1, y), xycoords=("axes fraction", "data"), ha="right", va="bottom", size=7, color=GREY)
    if x is not None:
        ax.axvline(x, **look)
        ax.annotate(text, (x, 1), xycoords=("data", "axes fraction"), ha="left", va="top", size=7, color=GREY)


@use_style()
def signed_log(ax: Axes, *, linear: float = 0.1) -> None:
    """A vertical axis that is linear up to ``linear`` around zero and logarithmic beyond, with true minuses."""
    ax.set_yscale("symlog", linthresh=linear)
    low, high = ax.get_ylim()
    decades = [linear * 10**power for power in range(6)]
    ticks = [-decade for decade in reversed(decades)] + [0.0] + decades
    shown = [tick for tick in ticks if low <= tick <= high]
    ax.set_yticks(shown, labels=[f"{tick:g}".replace("-", "−") for tick in shown])
    ax.set_ylim(low, high)


def probability_table(
    prob: np.ndarray, ops: Sequence[str], topology: Topology, *, x: Numbers | None = None
) -> pd.DataFrame:
    """What :func:`probability_panels` draws, tidy: panel, edge, op, epoch, mean, and low and high over seeds.

    ``prob``: (seeds, T, edges, ops), or without seeds for one. low and high hold the middle 80 % of the seeds. Raises
    ``ValueError`` for a shape that does not fit.
    """
    prob = np.asarray(prob, dtype=float)
    if prob.ndim == 3:
        prob = prob[None]
    if prob.shape[2:] != (len(topology.edges), len(ops)):
        raise ValueError(f"prob {prob.shape} does not fit {len(topology.edges)} edges and {len(ops)} operations")
    epochs = np.arange(prob.shape[1]) if x is None else np.asarray(x)
    low, high = np.quantile(prob, MIDDLE, axis=0)
    panels = [f"{e}: {i} → {j}" for e, (i, j) in enumerate(topology.edges)]
    names = ["epoch", "panel", "op"]
    index = pd.MultiIndex.from_product([epochs, panels, ops], names=names)
    numbers = {"mean": prob.mean(0).ravel(), "low": low.ravel(), "high": high.ravel()}
    table = pd.DataFrame(numbers, index=index).reset_index()
    return table.assign(seeds=len(prob))[["panel", "op", "epoch", "mean", "low", "high", "seeds"]]


@use_style()
def probability_panels(table: pd.DataFrame, topology: Topology) -> Figure:
    """Draw a :func:`probability_table`: a panel an edge, a row per target and a column per source node.

    Thick lines are means over seeds, bands the middle 80 % of the seeds. Panels of intermediate edges are shaded and
    have a heavy frame.
    """
    figure, axes = _panel_grid(topology)
    last = topology.edges[-1][1]
    panels = table.groupby("panel", sort=False)
    for e, (i, j) in enumerate(topology.edges):
        ax = axes[j - topology.inputs, i]
        ax.set_axis_on()
        name = f"{e}: {i} → {j}"
        _panel(ax, panels.get_group(name))
        _name_panel(ax, name, intermediate=e in topology.intermediate_edges)
        if j == last:
            ax.set_xlabel("epoch")
    figure.supylabel("probability", size=7.5)
    ops = list(table["op"].unique())
    _panel_legend(figure, axes, _panel_handles(ops, int(table["seeds"].max())))
    return figure


def _panel_grid(topology: Topology) -> tuple[Figure, np.ndarray]:
    """A figure with empty axes, a row per target and a column per source node."""
    rows = topology.nodes
    columns = topology.inputs + topology.nodes - 1
    height = 1.15 * rows + 0.3
    if rows < 3:
        height += 0.35  # for the legend below
    figure, axes = new_figure(7.0, height, rows, columns, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.set_axis_off()
    return figure, axes


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    """One edge of a probability table."""
    for k, (op, curve) in enumerate(rows.groupby("op", sort=False)):
        name = str(op)
        style = op_style(name)
        if curve["seeds"].max() > 1:
            ax.fill_between(
                curve["epoch"], curve["low"], curve["high"], color=style.colour, alpha=0.13, lw=0, gid=f"band {name}"
            )
        ax.plot(
            curve["epoch"],
            curve["mean"],
            **mark(name, 3.2),
            lw=1.2,
            ls=style.line,
            markevery=marker_positions(len(curve), k, 3),
            zorder=4 if name == "none" else 3,
            gid=f"mean {name}",
        )
    ax.set(ylim=(-0.04, 1.04), yticks=[0, 0.5, 1])


def _name_panel(ax: Axes, name: str, *, intermediate: bool) -> None:
    """The title of a panel; that of an intermediate edge is shaded and has a heavy frame."""
    if not intermediate:
        ax.set_title(name, size=7.5, pad=2.5, weight="normal")
        return
    ax.set_title(name, size=7.5, pad=2.5, weight="bold")
    ax.set_facecolor(SHADE)
    ax.spines[["left", "bottom"]].set(linewidth=1.8, color=INTERMEDIATE_EDGE)


def _panel_legend(figure: Figure, axes: np.ndarray, handles: Sequence[Any]) -> None:
    """The legend in the upper right corner, which has no panels, or below few rows."""
    if len(axes) < 3:
        figure.legend(handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / 2), fontsize=7)
        return
    legend = axes[0, -1].legend(
        handles=handles,
        loc="upper right",
        ncols=2,
        borderaxespad=0,
        columnspacing=1.0,
        handlelength=2.2,
        handletextpad=0.5,
        labelspacing=0.35,
        fontsize=7,
    )
    legend.set_in_layout(False)


def _panel_handles(ops: Sequence[str], seeds: int) -> list[Any]:
    handles: list[Any] = op_handles(ops)
    if seeds > 1:
        handles.append(Line2D([], [], color=GREY, lw=1.4, label=f"mean of {seeds} seeds"))
        handles.append(Patch(color=GREY, alpha=0.25, lw=0, label="middle 80 % of the seeds"))
    handles.append(Patch(fc=SHADE, ec=INTERMEDIATE_EDGE, lw=1.4, label="intermediate edge"))
    return handles
