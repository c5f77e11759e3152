"""Pictures of a space whose ground truth is known: what its chains are worth, what is found, what REINFORCE needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nas_core.report.curves import curve_table, curves, guide
from nas_core.report.dots import dots
from nas_core.report.style import DARK, SERIES, use_style

STEP = 0.085  # between the dots of neighbouring seeds


def worth_table(truth: pd.DataFrame) -> pd.DataFrame:
    """A row a chain: mean accuracy in points over seeds of the ground truth, and its standard error.

    ``truth``: ``member``, ``choices``, ``madds`` and ``test``, a share, a row for every seed.
    """
    grouped = truth.groupby("member")
    table = grouped[["choices", "madds"]].first()
    table["accuracy"] = 100 * grouped["test"].mean()
    error = 100 * grouped["test"].sem()
    table["low"], table["high"] = table["accuracy"] - error, table["accuracy"] + error
    table["blocks"] = 3 - table["choices"].str.count("zero")
    return table.reset_index()


@use_style()
def worth(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a table of :func:`worth_table`: accuracy against thousands of multiply-adds, a mark by blocks kept."""
    for index, (blocks, rows) in enumerate(table.groupby("blocks", sort=True)):
        colour, _, marker = SERIES[index]
        words = f"{blocks} of 3"
        ax.vlines(rows["thousands"], rows["low"], rows["high"], color=colour, lw=0.7, alpha=0.5, gid=f"error {blocks}")
        ax.plot(rows["thousands"], rows["accuracy"], marker, color=colour, ms=4, mec="white", mew=0.4, label=words)
    ax.set(xlabel="multiply-adds (thousands)", ylabel="test accuracy alone (%)")
    ax.legend(loc="upper left", fontsize=7, handlelength=1, title="blocks kept", title_fontsize=7)
    return ax


def found_table(values: pd.DataFrame) -> pd.DataFrame:
    """Heights of the dots, and means, for ``values``: ``search`` in words, ``seed``, ``accuracy`` in points."""
    names = list(dict.fromkeys(values["search"]))
    table = values.copy()
    middle = table.groupby("search")["seed"].transform("mean")
    table["height"] = table["search"].map(names.index) + STEP * (table["seed"] - middle)
    table["mean"] = table.groupby("search")["accuracy"].transform("mean")
    return table


@use_style()
def found(table: pd.DataFrame, ax: Axes, *, best: float, mean: float) -> Axes:
    """Draw a table of :func:`found_table`: a row a search, its seeds as dots, their mean as a bar."""
    names = list(dict.fromkeys(table["search"]))
    for place, name in enumerate(names):
        rows = table[table["search"] == name]
        colour = SERIES[place % len(SERIES)][0]
        ax.plot(rows["accuracy"], rows["height"], "o", color=colour, ms=3.5, alpha=0.75, gid=f"found {name}")
        ax.plot(rows["mean"].iloc[:1], [place], "|", color=DARK, ms=15, mew=1.8, gid=f"mean {name}")
    guide(ax, x=mean)
    guide(ax, x=best)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="test accuracy alone (%)", ylim=(len(names) - 0.4, -0.6))
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    return ax


@use_style()
def ranks(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw ``mean``, ``low`` and ``high`` of Kendall's tau of every ``judge``."""
    dots(table, ax, rows="judge", series="curve")
    guide(ax, x=0)
    ax.set_xlabel("Kendall's tau with the ground truth")
    return ax


@use_style()
def panels(widths: Sequence[float] = (1.15, 1), height: float = 4.6) -> tuple[Figure, Mapping[str, Axes]]:
    """A figure of three panels: one of the whole height, and two one above the other."""
    figure = Figure(figsize=(7.0, height), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.015, 0, 0.97, 1))
    mosaic: Any = [["tall", "upper"], ["tall", "lower"]]
    return figure, figure.subplot_mosaic(mosaic, width_ratios=list(widths))


# ------------------------------------------------------------------------------------------------ REINFORCE


def noise_table(noises: Mapping[str, np.ndarray], images: Sequence[int]) -> pd.DataFrame:
    """By words, (seeds, numbers of images): noise over the squared length of the exact gradient, as curves."""
    return curve_table(noises, x=images)


@use_style()
def noise(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a table of :func:`noise_table` on logarithmic axes."""
    curves(table, ax, legend=False)
    ax.set(xscale="log", yscale="log", xlabel="images for a reward", ylabel="noise / signal")
    _images_as_ticks(ax, table)
    guide(ax, y=1)
    ax.set_ylim(top=60 * table["high"].max())  # room for the legend
    ax.legend(loc="upper right", fontsize=7)
    return ax


@use_style()
def straightness(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw mean cosines with the exact gradient over the number of networks of a step, a curve a number of images."""
    curves(table, ax, legend=False)
    ax.set(xscale="log", xlabel="networks in a step", ylabel="cosine with the exact gradient")
    ax.set(ylim=(0, 1.35), yticks=[0, 0.25, 0.5, 0.75, 1])
    _images_as_ticks(ax, table)
    ax.legend(loc="upper left", fontsize=7, ncols=2, columnspacing=1)
    return ax


def _images_as_ticks(ax: Axes, table: pd.DataFrame) -> None:
    """The numbers on the horizontal axis as they are."""
    numbers = sorted(table["epoch"].unique())
    ax.set_xticks(numbers, labels=[f"{number:,}" for number in numbers])
    ax.minorticks_off()


@use_style()
def ends(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw where walks end, a row a setting: ``mean``, ``low`` and ``high`` of every ``curve``."""
    dots(table, ax, rows="setting", series="curve")
    guide(ax, x=0)
    guide(ax, x=1)
    ax.set_xlabel("share of the way from random to best")
    ax.tick_params(axis="y", labelsize=7)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, fontsize=7)
    return ax
