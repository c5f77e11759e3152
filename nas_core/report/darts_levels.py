"""Pictures of methods side by side: seeds as dots, means with the interval of the claims, and counted costs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nas_core.report.curves import guide
from nas_core.report.style import SERIES, new_figure, use_style

MEAN = "mean"  # in the column of the seeds: the row of the mean, with its interval
Key = tuple[str, str, str]  # panel, row, series
Interval = Callable[[np.ndarray, str], tuple[float, float] | None]


def seeds_table(values: Mapping[Key, Sequence[float]], interval: Interval) -> pd.DataFrame:
    """What :func:`draw_seeds` draws, tidy: panel, row, series, seed, value, low and high, place.

    ``values``: by panel, row and series one number a seed; ``interval``: :func:`nas_core.claims.seeds.interval`. The
    rows of a panel stand 1 apart, from above, and the series of a row side by side; dots are spread around their place,
    the same way every time.
    """
    rows: list[dict[str, object]] = []
    for panel in dict.fromkeys(key[0] for key in values):
        of_panel = {key: numbers for key, numbers in values.items() if key[0] == panel}
        names = list(dict.fromkeys(row for _, row, _ in of_panel))
        kinds = list(dict.fromkeys(series for *_, series in of_panel))
        beside = np.linspace(-0.22, 0.22, len(kinds)) if len(kinds) > 1 else np.zeros(1)
        for (_, row, series), numbers in of_panel.items():
            place = names.index(row) + float(beside[kinds.index(series)])
            key = {"panel": panel, "row": row, "series": series}
            rows += _rows(key, np.asarray(numbers, dtype=float), place, interval)
    return pd.DataFrame(rows)


def _rows(key: dict[str, str], numbers: np.ndarray, place: float, interval: Interval) -> list[dict[str, object]]:
    """The seeds, and their mean."""
    found: list[dict[str, object]] = []
    for seed, value in enumerate(numbers):
        shift = 0.07 * np.sin(2.4 * seed)
        found.append({**key, "seed": seed, "value": value, "place": place + shift})
    low, high = interval(numbers, "mean") or (numbers.mean(), numbers.mean())
    mean = {"seed": MEAN, "value": float(numbers.mean()), "low": low, "high": high, "place": place}
    return [*found, {**key, **mean}]


@use_style()
def draw_seeds(
    table: pd.DataFrame, labels: Mapping[str, str], *, zero: Sequence[str] = (), height: float = 2.6
) -> Figure:
    """A panel beside the other: every seed a dot, every mean a diamond with its 95 % interval.

    ``table``: a :func:`seeds_table`; ``labels``: what stands below each panel; ``zero``: panels with a line at zero.
    """
    panels = list(dict.fromkeys(table["panel"]))
    figure, (axes,) = new_figure(7.0, height, 1, len(panels))
    for ax, panel in zip(axes, panels, strict=True):
        draw_panel(ax, table[table["panel"] == panel])
        ax.set(title=panel, xlabel=labels[panel])
        if panel in zero:
            guide(ax, x=0)
    names = [list(dict.fromkeys(table["row"][table["panel"] == panel])) for panel in panels]
    if all(rows == names[0] for rows in names):
        for ax in axes[1:]:
            ax.set_yticklabels([])
    handles, kinds = axes[0].get_legend_handles_labels()
    if len(kinds) > 1:
        figure.legend(handles, kinds, loc="outside lower center", ncols=len(kinds), fontsize=7)
    return figure


@use_style()
def draw_panel(ax: Axes, rows: pd.DataFrame) -> None:
    """The rows of one panel of a :func:`seeds_table`."""
    names = list(dict.fromkeys(rows["row"]))
    for index, (series, part) in enumerate(rows.groupby("series", sort=False)):
        colour, _, marker = SERIES[index]
        seeds, means = part[part["seed"] != MEAN], part[part["seed"] == MEAN]
        ax.plot(seeds["value"], seeds["place"], "o", color=colour, ms=3, alpha=0.35, mew=0, gid=f"seeds {series}")
        ax.hlines(means["place"], means["low"], means["high"], color=colour, lw=1.4, gid=f"interval {series}")
        look: dict[str, Any] = {"ls": "", "marker": marker, "ms": 5, "color": colour, "mec": "white", "mew": 0.5}
        ax.plot(means["value"], means["place"], **look, label=str(series), gid=f"mean {series}")
    ax.set_yticks(range(len(names)), labels=names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(False, axis="y")


@use_style()
def draw_bars(table: pd.DataFrame, *, height: float = 2.0) -> Figure:
    """Lying bars with their numbers, a panel a quantity: rows of ``panel``, ``row``, ``value`` and ``text``."""
    panels = list(dict.fromkeys(table["panel"]))
    figure, (axes,) = new_figure(7.0, height, 1, len(panels))
    for ax, panel in zip(axes, panels, strict=True):
        rows = table[table["panel"] == panel]
        bars = ax.barh(range(len(rows)), rows["value"], height=0.62, color=SERIES[0][0], alpha=0.8)
        ax.bar_label(bars, labels=list(rows["text"]), padding=2, fontsize=7)
        ax.set_yticks(range(len(rows)), labels=list(rows["row"]) if ax is axes[0] else [])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlim(0, 1.22 * rows["value"].max())
        ax.set_title(panel)
        ax.grid(False)
        ax.set_xticks([])
        ax.spines["bottom"].set_visible(False)
    return figure
