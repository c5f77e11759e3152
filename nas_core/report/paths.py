"""Pictures of sampled paths: one step on two of them, where many such steps lead, and what they keep in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nas_core.report.style import GREY, SERIES, mark, new_figure, op_style, short, use_style

BEFORE, AFTER, PLAIN = "before", "after", "without the rescale"
STEP_COLOURS = {BEFORE: "#B9C4D0", AFTER: "#0072B2", PLAIN: "#D55E00"}


@use_style()
def draw_step(ax: Axes, table: pd.DataFrame, pair: Sequence[int]) -> None:
    """Bars of the probabilities before and after a two-path step, the ``pair`` shaded.

    ``table``: rows of ``operation`` with a column for each of BEFORE, AFTER and PLAIN.
    """
    places = np.arange(len(table))
    for k in pair:
        ax.axvspan(k - 0.5, k + 0.5, color="#FFF3C4", zorder=0, lw=0, gid="guide")
    for index, (name, colour) in enumerate(STEP_COLOURS.items()):
        ax.bar(places + 0.25 * (index - 1), table[name], width=0.25, color=colour, label=name)
    ax.set_xticks(places, [short(op) for op in table["operation"]])
    ax.grid(axis="x", visible=False)
    ax.set(ylabel="probability", ylim=(0, 1.2 * table[list(STEP_COLOURS)].max().max()))
    ax.legend(fontsize=7, ncols=3, loc="upper left", columnspacing=1.0, handlelength=1.2)


def paths_table(prob: np.ndarray, ops: Sequence[str]) -> pd.DataFrame:
    """What :func:`draw_paths` draws, tidy: operation, epoch, mean over seeds, low and high of the middle 80 %.

    ``prob``: (seeds, epochs + 1, ops).
    """
    tables = []
    for k, op in enumerate(ops):
        low, high = np.quantile(prob[..., k], (0.1, 0.9), axis=0)
        epochs = np.arange(prob.shape[1])
        columns = {
            "operation": op,
            "epoch": epochs,
            "mean": prob[..., k].mean(0),
            "low": low,
            "high": high,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


@use_style()
def draw_paths(ax: Axes, table: pd.DataFrame) -> None:
    """The probability of every operation on an edge over the epochs, from a :func:`paths_table`."""
    for op, rows in table.groupby("operation", sort=False):
        style = op_style(str(op))
        ax.fill_between(
            rows["epoch"],
            rows["low"],
            rows["high"],
            color=style.colour,
            alpha=0.15,
            lw=0,
            gid=f"band {op}",
        )
        look: dict[str, Any] = {
            **mark(str(op), 4),
            "ls": style.line,
            "markevery": 4,
            "label": style.label,
        }
        ax.plot(rows["epoch"], rows["mean"], **look, gid=f"mean {op}")
    ax.set(xlabel="epoch", ylabel="probability", ylim=(0, 1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=7, ncols=2, loc="upper left")


@use_style()
def draw_memory(table: pd.DataFrame, modes: Sequence[str]) -> Figure:
    """(a) What one edge keeps over the number of candidates, (b) a chain over its length, (c) measured over counted.

    ``table``: rows of ``panel``, ``mode``, ``x``, and ``kept`` (a, b: KiB, MiB) or ``peak_memory_mib`` (c), one panel
    after the other.
    """
    panels = list(dict.fromkeys(table["panel"]))
    figure, (axes,) = new_figure(7.0, 3.0, 1, 3)
    for ax, panel, column in zip(axes, panels, ("kept", "kept", "peak_memory_mib"), strict=True):
        for index, mode in enumerate(modes):
            colour, line, marker = SERIES[index]
            rows = table[(table["panel"] == panel) & (table["mode"] == mode)]
            look = {
                "color": colour,
                "marker": marker,
                "mec": "white",
                "mew": 0.4,
                "label": mode,
            }
            look["ls"] = "" if ax is axes[2] else line
            ax.plot(rows["x"], rows[column], **look, gid=f"{mode} {panel}")
        ax.set(title=panel, ylim=(0, None))
    axes[0].set(xlabel="candidates $K$", ylabel="KiB kept", xlim=(0, 8.6), xticks=(2, 4, 6, 8))
    axes[1].set(xlabel="edges in a row", ylabel="MiB kept", xlim=(0, 8.6), xticks=(1, 2, 4, 8))
    axes[2].set(xlabel="MiB kept, counted", ylabel="rise of peak memory (MiB)", xlim=(0, None))
    end = min(axes[2].get_xlim()[1], axes[2].get_ylim()[1])
    axes[2].plot([0, end], [0, end], color=GREY, lw=0.8, ls=":", gid="guide")
    handles = axes[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7)
    return figure
