"""Pictures of searched chains: accuracies by search, predicted and summed latencies, fronts of accuracy and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from nas_core.report.curves import guide
from nas_core.report.style import DARK, FAINT, GREY, SERIES, new_figure, use_style

STEP = 0.09  # between the dots of neighbouring seeds
SKIPPED = "Zero"  # in the place of a block's kernel
HELD_OUT, LEARNED = SERIES[1][0], FAINT


def dot_table(values: pd.DataFrame) -> pd.DataFrame:
    """``values``: columns ``search`` (words), ``seed``, ``value``; adds the heights at which dots and means stand."""
    order = {name: place for place, name in enumerate(dict.fromkeys(values["search"]))}
    table = values.copy()
    middle = table.groupby("search")["seed"].transform("mean")
    table["height"] = table["search"].map(order) + STEP * (table["seed"] - middle)
    means = values.groupby("search", sort=False)["value"].mean()
    table["mean"] = table["search"].map(means)
    return table


@use_style()
def draw_dots(table: pd.DataFrame, xlabel: str) -> Figure:
    """A row for each search: its seeds as dots, their mean as a bar; the mean of the last row is a line through all."""
    names = list(dict.fromkeys(table["search"]))
    figure, ((ax,),) = new_figure(7, 0.75 + 0.36 * len(names))
    for place, name in enumerate(names):
        rows = table[table["search"] == name]
        colour = GREY if place == len(names) - 1 else SERIES[place % len(SERIES)][0]
        ax.plot(
            rows["value"],
            rows["height"],
            "o",
            color=colour,
            ms=4,
            alpha=0.75,
        )
        ax.plot(rows["mean"].iloc[:1], [place], "|", color=colour, ms=16, mew=2)
    guide(ax, x=float(table["mean"].iloc[-1]))
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=xlabel, ylim=(len(names) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    return figure


@use_style()
def draw_fits(blocks: pd.DataFrame, networks: pd.DataFrame, unit: str = "ms") -> Figure:
    """Left: predicted over measured latency of blocks; right: that of whole networks over the sum of their blocks.

    ``blocks``: ``held_out``, ``measured``, ``predicted``; ``networks``: ``sum``, ``measured``; all in ``unit``.
    """
    figure, ((left, right),) = new_figure(7, 2.9, 1, 2)
    for held_out, marker, colour, words in ((False, "o", LEARNED, "learned from"), (True, "D", HELD_OUT, "held out")):
        rows = blocks[blocks["held_out"] == held_out]
        left.plot(
            rows["measured"],
            rows["predicted"],
            marker,
            color=colour,
            mec=DARK,
            mew=0.4,
            ls="",
            label=words,
        )
    left.set(xscale="log", yscale="log", xlabel=f"measured ({unit})", ylabel=f"predicted ({unit})")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left.set_title("Blocks", loc="left")
    left.legend(loc="upper left")
    right.plot(networks["sum"], networks["measured"], "o", color=SERIES[0][0])
    right.set(xlabel=f"sum over blocks, stem and head ({unit})", ylabel=f"measured ({unit})")
    right.set_title("Whole networks", loc="left")
    for ax, columns in ((left, blocks[["measured", "predicted"]]), (right, networks[["sum", "measured"]])):
        _diagonal(ax, columns.to_numpy(dtype=float))
    return figure


def _diagonal(ax: Axes, numbers: np.ndarray) -> None:
    """Equal axes, and the line on which both numbers agree."""
    low, high = 0.94 * numbers.min(), 1.06 * numbers.max()
    ax.plot(
        [low, high],
        [low, high],
        color=GREY,
        lw=0.8,
        ls="--",
        zorder=0,
        gid="guide",
    )
    ax.set(xlim=(low, high), ylim=(low, high))
    ax.minorticks_off()


def over_seeds_by_weight(points: pd.DataFrame) -> pd.DataFrame:
    """``points``: ``form``, ``weight``, ``seed``, ``latency``, ``accuracy``; the means over seeds and their errors."""
    grouped = points.groupby(["form", "weight"], sort=False)[["latency", "accuracy"]]
    mean, error = grouped.mean(), grouped.sem()
    return mean.join(error.add_suffix(" error")).reset_index()


@use_style()
def draw_front(means: pd.DataFrame, points: pd.DataFrame, drawn: pd.DataFrame, unit: str) -> Figure:
    """Left: accuracy over latency, means of every weight joined; right: latency over the weight's rank, all seeds.

    ``means``: of :func:`over_seeds_by_weight`; ``points``: with ``rank``; ``drawn``: ``latency`` and ``accuracy``.
    """
    figure, ((left, right),) = new_figure(7, 3.0, 1, 2)
    left.plot(
        drawn["latency"],
        drawn["accuracy"],
        "x",
        color=GREY,
        ms=4,
        ls="",
        label="drawn at random",
    )
    for (form, rows), (colour, line, marker) in zip(means.groupby("form", sort=False), SERIES, strict=False):
        left.errorbar(
            rows["latency"],
            rows["accuracy"],
            xerr=rows["latency error"],
            yerr=rows["accuracy error"],
            color=colour,
            ls=line,
            marker=marker,
            lw=1.2,
            elinewidth=0.8,
            label=form,
        )
        of_form = points[points["form"] == form]
        shift = 0.06 if colour == SERIES[0][0] else -0.06
        right.plot(
            of_form["rank"] + shift,
            of_form["latency"],
            marker,
            color=colour,
            ms=3.5,
            alpha=0.7,
            ls="",
        )
        by_rank = of_form.groupby("rank")["latency"].mean()
        right.plot(by_rank.index, by_rank.to_numpy(), color=colour, ls=line, lw=1.2)
    left.set(xlabel=f"latency by the table ({unit})", ylabel="test accuracy, trained alone (%)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    weights = []
    for rank in range(points["rank"].max() + 1):
        weights.append("\n".join(_weights_at(means, rank)))
    right.set_xticks(range(len(weights)), weights)
    right.set(xlabel="weight (above: additive, below: multiplicative)", ylabel=f"latency ({unit})")
    return figure


def _weights_at(means: pd.DataFrame, rank: int) -> list[str]:
    """The weight of this rank in every form."""
    weights = []
    for _, rows in means.groupby("form", sort=False):
        weights.append(f"{rows['weight'].iloc[rank]:g}")
    return weights


def front_table(means: pd.DataFrame, points: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """All that :func:`draw_front` shows, in one table with a column ``panel``."""
    bars = means.copy()
    for name in ("latency", "accuracy"):
        bars[f"{name} low"] = bars[name] - bars[f"{name} error"]
        bars[f"{name} high"] = bars[name] + bars[f"{name} error"]
    ranked = points.copy()
    first = ranked["form"].iloc[0]
    ranked["place"] = ranked["rank"] + np.where(ranked["form"] == first, 0.06, -0.06)
    parts = [
        bars.assign(panel="means over seeds"),
        ranked.assign(panel="every seed"),
        drawn.assign(panel="drawn at random"),
    ]
    return pd.concat(parts, ignore_index=True)


def block_names(choices: str) -> list[tuple[str, str]]:
    """The blocks of a chain in words: kernel, and expansion; ``zero`` is the shortcut alone."""
    found = []
    for word in choices.split():
        if word == "zero":
            found.append((SKIPPED, "shortcut"))
        else:
            kernel, _, expansion = word[1:].partition("e")
            found.append((f"{kernel} × {kernel}", f"times {expansion}"))
    return found


def chain_rows(
    found: Mapping[str, str], kinds: Sequence[str] = ("conv", "skip")
) -> dict[str, list[tuple[str, str, str]]]:
    """Name, detail and kind of every block of every chain, by the chain's title."""
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for title, choices in found.items():
        rows[title] = []
        for name, detail in block_names(choices):
            kind = kinds[1] if name == SKIPPED else kinds[0]
            rows[title].append((name, detail, kind))
    return rows
