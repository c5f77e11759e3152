"""Curves over epochs: numbers in, axes out. Arrays have seeds first, then epochs; NaN is what a seed has not."""

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
from nas_core.report.style import GREY, SERIES, SHADE, mark, new_axes, new_figure, op_handles, op_style, use_style

Band = Literal["ci", "range"]
Numbers = Sequence[float] | np.ndarray
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


@use_style()
def band(ax: Axes | None, x: Numbers, series: np.ndarray, label: str, *, index: int = 0, kind: Band = "ci") -> Axes:
    """Draw the mean over seeds as a line and a band around it (:func:`mean_band`); one seed is a line alone.

    ``series``: (seeds, T) or (T,). ``index`` chooses colour, line style and marker from ``SERIES``.
    """
    ax = ax or new_axes()
    mean, low, high = mean_band(series, kind)
    colour, line, marker = SERIES[index % len(SERIES)]
    if _several(series):
        ax.fill_between(x, low, high, color=colour, alpha=0.18, lw=0, gid=f"band {label}")
    ax.plot(
        x,
        mean,
        color=colour,
        ls=line,
        marker=marker,
        mec="white",
        mew=0.4,
        markevery=marker_positions(len(mean), index),
        zorder=3,
        label=label,
        gid=f"mean {label}",
    )
    return ax


def _several(series: np.ndarray) -> bool:
    """Whether a series has more than one seed."""
    return np.ndim(series) == 2 and len(series) > 1


@use_style()
def accuracy_curves(
    data: Mapping[str, np.ndarray],
    ax: Axes | None = None,
    *,
    x: Numbers | None = None,
    ylabel: str = "validation accuracy",
    kind: Band = "ci",
) -> Axes:
    """Accuracy, or what ``ylabel`` says, over epochs (or ``x``): a mean with its band per label.

    ``data``: label -> (seeds, T) or (T,). The legend says what the band is.
    """
    ax = ax or new_axes()
    for index, (label, series) in enumerate(data.items()):
        epochs = np.arange(np.shape(series)[-1]) if x is None else x
        band(ax, epochs, series, label, index=index, kind=kind)
    ax.set(xlabel="epoch", ylabel=ylabel)
    handles: list[Any] = ax.get_legend_handles_labels()[0]
    if any(_several(series) for series in data.values()):
        handles.append(Patch(color=GREY, alpha=0.25, lw=0, label=BANDS[kind]))
    ax.legend(handles=handles)
    return ax


@use_style()
def dropped_curves(data: Mapping[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Share of dropped edges (argmax is none) over epochs among input, intermediate, all: label -> (seeds, T)."""
    ax = accuracy_curves(data, ax, ylabel="share of dropped edges", kind="range")
    ax.set_ylim(-0.03, 1.03)
    return ax


@use_style()
def entropy_curves(entropy: Mapping[str, np.ndarray], ax: Axes | None = None, *, ops: int | None = None) -> Axes:
    """Entropy of the architecture distribution, in nats: mean over edges with its band, and a thin line per edge.

    ``entropy``: label -> (seeds, T, E). The band is over seeds; thin lines are means over seeds. ``ops`` marks the
    entropy of a uniform choice among that many operations.
    """
    means = {label: values.mean(axis=2) for label, values in entropy.items()}
    ax = accuracy_curves(means, ax, ylabel="entropy (nats)")
    for index, values in enumerate(entropy.values()):
        colour, _, _ = SERIES[index % len(SERIES)]
        ax.plot(values.mean(axis=0), color=colour, lw=0.5, alpha=0.5, gid="edge")
    legend = ax.get_legend()
    assert legend is not None
    one_edge = Line2D([], [], color=GREY, lw=0.5, label="one edge")
    ax.legend(handles=[*legend.legend_handles, one_edge])
    ax.set_ylim(bottom=0)
    if ops:
        _mark_uniform(ax, ops)
    return ax


def _mark_uniform(ax: Axes, ops: int) -> None:
    """The entropy of a uniform choice among ``ops`` operations, as a line near the top."""
    largest = np.log(ops)
    ax.axhline(largest, color=GREY, lw=0.8, ls=":")
    place = ("axes fraction", "data")
    ax.annotate(f"ln {ops} (uniform) ", (1, largest), xycoords=place, ha="right", va="bottom", size=7)
    ax.set_ylim(0, 1.09 * largest)


@use_style()
def probability_panels(
    prob: np.ndarray, ops: Sequence[str], topology: Topology, *, x: Numbers | None = None, title: str = ""
) -> Figure:
    """Probability of every operation over the epochs, one panel per edge: a row per target, a column per source node.

    ``prob``: (seeds, T+1, edges, ops), or without seeds for one. Thin lines are seeds, thick ones their mean. Panels
    of intermediate edges are shaded, have a heavy frame and say what they are. Raises ``ValueError`` for a shape that
    does not fit.
    """
    prob = np.asarray(prob, dtype=float)
    if prob.ndim == 3:
        prob = prob[None]
    if prob.shape[2:] != (len(topology.edges), len(ops)):
        raise ValueError(f"prob {prob.shape} does not fit {len(topology.edges)} edges and {len(ops)} operations")
    epochs = np.arange(prob.shape[1]) if x is None else x
    figure, axes = _panel_grid(topology, title)
    last = topology.edges[-1][1]
    for e, (i, j) in enumerate(topology.edges):
        ax = axes[j - topology.inputs, i]
        ax.set_axis_on()
        _panel(ax, prob[:, :, e], ops, epochs)
        _name_panel(ax, f"{e}: {i}→{j}", intermediate=e in topology.intermediate_edges)
        if i == 0:
            ax.set_ylabel("probability")
        if j == last:
            ax.set_xlabel("epoch")
    _panel_legend(figure, axes, _panel_handles(ops, len(prob)), topology)
    return figure


def _panel_grid(topology: Topology, title: str) -> tuple[Figure, np.ndarray]:
    """A figure with empty axes, a row per target and a column per source node."""
    rows = topology.nodes
    columns = topology.inputs + topology.nodes - 1
    height = 1.5 * rows + 0.4
    if title:
        height += 0.25
    figure, axes = new_figure(2.05 * columns + 0.4, height, rows, columns, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.set_axis_off()
    if title:
        figure.suptitle(title, size=9.5)
    return figure, axes


def _panel(ax: Axes, prob: np.ndarray, ops: Sequence[str], x: Numbers) -> None:
    """One edge; ``prob``: (seeds, T+1, ops)."""
    for k, op in enumerate(ops):
        style = op_style(op)
        if len(prob) > 1:
            ax.plot(x, prob[:, :, k].T, color=style.colour, lw=0.45, alpha=0.4, gid=f"seed {op}")
        ax.plot(
            x,
            prob[:, :, k].mean(axis=0),
            **mark(op, 3.4),
            lw=1.5,
            ls=style.line,
            markevery=marker_positions(len(x), k, 4),
            zorder=4 if op == "none" else 3,
            gid=f"mean {op}",
        )
    ax.set(ylim=(-0.04, 1.04), yticks=[0, 0.5, 1])


def _name_panel(ax: Axes, name: str, *, intermediate: bool) -> None:
    """The title of a panel; that of an intermediate edge is shaded and has a heavy frame."""
    if not intermediate:
        ax.set_title(name, size=8, pad=3, weight="normal")
        return
    ax.set_title(f"{name}  (intermediate)", size=8, pad=3, weight="bold")
    ax.set_facecolor(SHADE)
    ax.spines[["left", "bottom"]].set_linewidth(1.8)


def _panel_legend(figure: Figure, axes: np.ndarray, handles: Sequence[Any], topology: Topology) -> None:
    """The legend in the upper right corner, which has no panels, or below a single row."""
    if len(axes) == 1:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles) // 2)
        return
    legend = axes[0, -1].legend(
        handles=handles,
        loc="upper right",
        ncols=max(2, axes.shape[1] - topology.inputs),
        borderaxespad=0,
        columnspacing=0.8,
        handlelength=1.8,
        handletextpad=0.5,
        fontsize=7,
    )
    legend.set_in_layout(False)


def _panel_handles(ops: Sequence[str], seeds: int) -> list[Any]:
    handles: list[Any] = op_handles(ops)
    if seeds > 1:
        handles.append(Line2D([], [], color=GREY, lw=1.6, label="mean of seeds"))
        handles.append(Line2D([], [], color=GREY, lw=0.5, label=f"one of {seeds} seeds"))
    handles.append(Patch(fc=SHADE, ec="black", lw=1.2, label="intermediate edge"))
    return handles
