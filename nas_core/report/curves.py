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


def spread_marks(length: int, index: int, count: int = 5) -> list[int]:
    """Where a curve carries its markers: about ``count`` points, shifted from curve to curve."""
    step = max(1, length // count)
    return [int(i) for i in np.arange(index * step // 3 % step if step > 1 else 0, length, step)]


@use_style()
def band(ax: Axes | None, x: Numbers, series: np.ndarray, label: str, *, index: int = 0, kind: Band = "ci") -> Axes:
    """Draw the mean over seeds as a line and a band around it (:func:`mean_band`); one seed is a line alone.

    ``series``: (seeds, T) or (T,). ``index`` chooses colour, line style and marker from ``SERIES``.
    """
    ax = ax or new_axes()
    mean, low, high = mean_band(series, kind)
    colour, line, marker = SERIES[index % len(SERIES)]
    if np.ndim(series) == 2 and len(series) > 1:
        ax.fill_between(x, low, high, color=colour, alpha=0.18, lw=0, gid=f"band {label}")
    look = {"ls": line, "marker": marker, "mec": "white", "mew": 0.4, "markevery": spread_marks(len(mean), index)}
    ax.plot(x, mean, color=colour, label=label, gid=f"mean {label}", zorder=3, **look)
    return ax


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
        band(ax, np.arange(np.shape(series)[-1]) if x is None else x, series, label, index=index, kind=kind)
    ax.set(xlabel="epoch", ylabel=ylabel)
    handles: list[Any] = ax.get_legend_handles_labels()[0]
    if any(np.ndim(series) == 2 and len(series) > 1 for series in data.values()):
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
    ax = accuracy_curves({k: v.mean(axis=2) for k, v in entropy.items()}, ax, ylabel="entropy (nats)")
    for index, values in enumerate(entropy.values()):
        ax.plot(values.mean(axis=0), color=SERIES[index % len(SERIES)][0], lw=0.5, alpha=0.5, gid="edge")
    legend = ax.get_legend()
    known = [h for h in legend.legend_handles if h is not None] if legend else []
    ax.legend(handles=[*known, Line2D([], [], color=GREY, lw=0.5, label="one edge")])
    if ops:
        ax.axhline(np.log(ops), color=GREY, lw=0.8, ls=":")
        text = f"ln {ops} (uniform) "
        ax.annotate(text, (1, np.log(ops)), xycoords=("axes fraction", "data"), ha="right", va="bottom", size=7)
    ax.set_ylim(0, 1.09 * np.log(ops) if ops else None)
    return ax


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
    prob = prob[None] if prob.ndim == 3 else prob
    if prob.shape[2:] != (len(topology.edges), len(ops)):
        raise ValueError(f"prob {prob.shape} does not fit {len(topology.edges)} edges and {len(ops)} operations")
    rows, columns = topology.nodes, topology.inputs + topology.nodes - 1
    size = (2.05 * columns + 0.4, 1.5 * rows + 0.4 + 0.25 * bool(title))
    figure, axes = new_figure(*size, rows, columns, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.set_axis_off()
    for e, (i, j) in enumerate(topology.edges):
        ax = axes[j - topology.inputs, i]
        ax.set_axis_on()
        _panel(ax, prob[:, :, e], ops, np.arange(prob.shape[1]) if x is None else x)
        name, weight = f"{e}: {i}→{j}", "normal"
        if e in topology.intermediate_edges:
            name, weight = f"{e}: {i}→{j}  (intermediate)", "bold"
            ax.set_facecolor(SHADE)
            ax.spines[["left", "bottom"]].set_linewidth(1.8)
        ax.set_title(name, size=8, pad=3, weight=weight)
        ax.set(ylabel="probability" if i == 0 else "", xlabel="epoch" if j == topology.edges[-1][1] else "")
    handles = _panel_handles(ops, len(prob))
    if rows == 1:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles) // 2)
    else:  # the upper right corner is empty
        across = max(2, columns - topology.inputs)
        narrow = {"borderaxespad": 0, "columnspacing": 0.8, "handlelength": 1.8, "handletextpad": 0.5, "fontsize": 7}
        legend = axes[0, -1].legend(handles=handles, loc="upper right", ncols=across, **narrow)
        legend.set_in_layout(False)
    if title:
        figure.suptitle(title, size=9.5)
    return figure


def _panel(ax: Axes, prob: np.ndarray, ops: Sequence[str], x: Numbers) -> None:
    """One edge; ``prob``: (seeds, T+1, ops)."""
    for k, op in enumerate(ops):
        style = op_style(op)
        if len(prob) > 1:
            ax.plot(x, prob[:, :, k].T, color=style.colour, lw=0.45, alpha=0.4, gid=f"seed {op}")
        look = mark(op, 3.4) | {"lw": 1.5, "ls": style.line, "markevery": spread_marks(len(x), k, 4)}
        ax.plot(x, prob[:, :, k].mean(axis=0), gid=f"mean {op}", zorder=4 if op == "none" else 3, **look)
    ax.set(ylim=(-0.04, 1.04), yticks=[0, 0.5, 1])


def _panel_handles(ops: Sequence[str], seeds: int) -> list[Any]:
    handles: list[Any] = op_handles(ops)
    if seeds > 1:
        handles.append(Line2D([], [], color=GREY, lw=1.6, label="mean of seeds"))
        handles.append(Line2D([], [], color=GREY, lw=0.5, label=f"one of {seeds} seeds"))
    handles.append(Patch(fc=SHADE, ec="black", lw=1.2, label="intermediate edge"))
    return handles
