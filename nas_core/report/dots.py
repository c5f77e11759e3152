"""Dots with their intervals, a row a thing and a colour a series: means that are to be compared at a glance."""

import pandas as pd
from matplotlib.axes import Axes

from nas_core.report.style import SERIES, use_style


@use_style()
def dots(table: pd.DataFrame, ax: Axes, *, rows: str, series: str) -> Axes:
    """Draw ``mean`` with a line from ``low`` to ``high`` of every row of ``table``.

    ``rows``: the column whose values are named at the left, from the top in their order; ``series``: the column that
    colours tell apart, whose names are for a legend. Axes of ``table`` are in the units of its numbers.
    """
    names = list(table[rows].unique())
    groups = list(table[series].unique())
    height = len(groups) + 1  # a free line after each name
    for index, group in enumerate(groups):
        colour, _, marker = SERIES[index % len(SERIES)]
        of_group = table[table[series] == group]
        places = [height * names.index(name) + index for name in of_group[rows]]
        ax.hlines(
            places,
            of_group["low"],
            of_group["high"],
            color=colour,
            lw=1.4,
            gid=f"interval {group}",
        )
        ax.plot(
            of_group["mean"],
            places,
            ls="",
            marker=marker,
            color=colour,
            mec="white",
            mew=0.4,
            label=str(group),
        )
    ax.set_yticks([height * place + (len(groups) - 1) / 2 for place in range(len(names))], labels=names)
    ax.set_ylim(height * len(names) - 1.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    return ax
