"""Pictures of MixPath's shadow batch norms: their four parameters, slopes against the law, features in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nas_core.report.curves import curve_table, guide
from nas_core.report.style import GREY, SERIES, new_figure, use_style

SIGNS = {"mean": "mean μ", "var": "variance σ²", "gamma": "scale γ", "beta": "shift β"}
LEMMA, LAW, APART = "lemma: n²", "law: n(1 + (n − 1)ρ)", "uncorrelated: n"
MARKERS = ("o", "s", "^", "D")  # of 1, 2, 3, 4 paths


def norm_label(n: int) -> str:
    """How the paper calls the shadow norm of ``n`` paths."""
    return f"SBN$_{n}$"


def parameter_table(rows: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """What :func:`parameter_panels` draws, tidy: row, panel, parameter, paths, channel (from 1) and value.

    ``rows``: by the title of a row of panels the four parameters, each (norms, channels).
    """
    tables = []
    for title, parameters in rows.items():
        for name in SIGNS:
            for n, values in enumerate(parameters[name], start=1):
                present = values[~np.isnan(values)]
                part = pd.DataFrame({"channel": np.arange(1, len(present) + 1), "value": present})
                panel = f"{title}, {SIGNS[name]}"
                tables.append(part.assign(row=title, panel=panel, parameter=name, paths=n))
    return pd.concat(tables, ignore_index=True)


@use_style()
def parameter_panels(table: pd.DataFrame) -> Figure:
    """Draw a :func:`parameter_table`: a row of four panels for each title, a curve for each shadow norm."""
    titles = list(table["row"].unique())
    figure, axes = new_figure(7.0, 0.55 + 1.45 * len(titles), len(titles), len(SIGNS))
    for (title, *_), row in zip(table.groupby("row", sort=False), axes, strict=True):
        for ax, (name, sign) in zip(row, SIGNS.items(), strict=True):
            part = table[(table["row"] == title) & (table["parameter"] == name)]
            for n in part["paths"].unique():
                values = part[part["paths"] == n]
                colour, line, _ = SERIES[n - 1]
                ax.plot(
                    values["channel"],
                    values["value"],
                    color=colour,
                    ls=line,
                    lw=1.1,
                    label=norm_label(n),
                )
            ax.ticklabel_format(axis="y", useMathText=True)
            if name != "gamma":
                guide(ax, y=0)
            if ax in axes[0]:
                ax.set_title(sign)
            if ax in axes[-1]:
                ax.set_xlabel("channel")
        row[0].set_ylabel(title)
    legends = [ax.get_legend_handles_labels() for ax in axes[:, 0]]
    handles, labels = max(legends, key=lambda legend: len(legend[0]))
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def slope_table(slopes: Mapping[str, np.ndarray], laws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """What :func:`slope_panels` draws, tidy: panel, curve, paths, mean over seeds and its interval.

    ``slopes``: of every panel the measured slopes, (seeds, norms); ``laws``: of some panels what the law says of the
    same seeds. Lemma and uncorrelated paths stand beside the law.
    """
    tables = []
    for panel, measured in slopes.items():
        n = np.arange(1, measured.shape[1] + 1)
        found = {"measured": measured}
        if panel in laws:
            found |= {LEMMA: n.astype(float) ** 2, LAW: laws[panel], APART: n.astype(float)}
        tables.append(curve_table(found, x=n).assign(panel=panel))
    return pd.concat(tables, ignore_index=True).rename(columns={"epoch": "paths"})


@use_style()
def slope_panels(table: pd.DataFrame) -> Figure:
    """Draw a :func:`slope_table`: measured slopes as dots with intervals, what is expected as lines."""
    panels = list(table["panel"].unique())
    figure, (axes,) = new_figure(7.0, 2.5, 1, len(panels))
    looks: dict[str, dict[str, Any]] = {
        LEMMA: {"color": SERIES[1][0], "ls": SERIES[1][1]},
        LAW: {"color": SERIES[0][0], "ls": "-"},
        APART: {"color": SERIES[2][0], "ls": SERIES[2][1]},
    }
    with_law = table.loc[table["curve"] == LAW, "panel"]
    plain = table[~table["panel"].isin(with_law)]
    bottom = min(0, plain["low"].min()) - 0.3
    top = max(table["paths"].max(), plain["high"].max()) + 0.3
    for ax, panel in zip(axes, panels, strict=True):
        part = table[table["panel"] == panel]
        for name, look in looks.items():
            rows = part[part["curve"] == name]
            ax.plot(rows["paths"], rows["mean"], lw=1.3, label=name, **look)
        dots = part[part["curve"] == "measured"]
        ax.vlines(dots["paths"], dots["low"], dots["high"], color="black", lw=1)
        ax.plot(
            dots["paths"],
            dots["mean"],
            "o",
            color="black",
            ms=4,
            label="measured",
            zorder=4,
        )
        if not len(part[part["curve"] == LAW]):
            ax.axline((1, 1), slope=1, color=GREY, lw=0.8, ls=":", gid="guide")
            ax.set_ylim(bottom, top)
        ax.set(title=panel, xlabel="n, active paths", xticks=sorted(part["paths"].unique()))
    axes[0].set_ylabel("slope against SBN$_1$")
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@use_style()
def by_layer(table: pd.DataFrame, ax: Axes, *, ylabel: str) -> Axes:
    """Draw a :func:`nas_core.report.curves.curve_table` over the layers, counted from 1, its legend on the right."""
    for index, (name, rows) in enumerate(table.groupby("curve", sort=False)):
        colour, line, marker = SERIES[index % len(SERIES)]
        ax.fill_between(
            rows["layer"],
            rows["low"],
            rows["high"],
            color=colour,
            alpha=0.18,
            lw=0,
        )
        ax.plot(
            rows["layer"],
            rows["mean"],
            color=colour,
            ls=line,
            marker=marker,
            mec="white",
            mew=0.4,
            label=name,
        )
    ax.set(xlabel="layer", ylabel=ylabel, xticks=sorted(table["layer"].unique()))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def plane_table(planes: Mapping[str, np.ndarray], combinations: Sequence[str], counts: Sequence[int]) -> pd.DataFrame:
    """What :func:`planes` draws, tidy: panel, combination, paths, image, x and y.

    ``planes``: of every panel the points, (combinations, images, 2); ``combinations``: their names, ``counts``: how
    many paths they have.
    """
    tables = []
    for panel, points in planes.items():
        for name, count, part in zip(combinations, counts, points, strict=True):
            rows = pd.DataFrame({"image": np.arange(len(part)), "x": part[:, 0], "y": part[:, 1]})
            tables.append(rows.assign(panel=panel, combination=name, paths=count))
    return pd.concat(tables, ignore_index=True)


@use_style()
def planes(table: pd.DataFrame, *, height: float = 3.5) -> Figure:
    """Draw a :func:`plane_table`: a colour for each combination, a marker for each number of paths."""
    panels = list(table["panel"].unique())
    names = table[["combination", "paths"]].drop_duplicates()
    colours = colormaps["turbo"](np.linspace(0.03, 0.97, len(names)))
    look = dict(zip(names["combination"], colours, strict=True))
    figure, (axes,) = new_figure(7.0, height, 1, len(panels))
    for ax, panel in zip(axes, panels, strict=True):
        part = table[table["panel"] == panel]
        for (name, count), rows in part.groupby(["combination", "paths"], sort=False):
            ax.scatter(
                rows["x"],
                rows["y"],
                s=7,
                marker=MARKERS[int(count) - 1],
                color=look[name],
                lw=0,
                alpha=0.8,
            )
        ax.set(title=panel, xticks=[], yticks=[])
    handles = []
    for name, count in names.itertuples(index=False):
        handles.append(Line2D([], [], ls="", marker=MARKERS[int(count) - 1], ms=4, color=look[name], label=name))
    figure.legend(handles=handles, loc="outside lower center", ncols=8, title="active kernels", handletextpad=0.1)
    return figure


@use_style()
def dot_panels(table: pd.DataFrame, *, height: float = 2.5, sharey: bool = False) -> tuple[Figure, np.ndarray]:
    """Draw a :func:`dot_table` for each ``panel`` of ``table``, side by side, with one legend; also the axes."""
    panels = list(table["panel"].unique())
    figure, (axes,) = new_figure(7.0, height, 1, len(panels), sharey=sharey)
    for ax, panel in zip(axes, panels, strict=True):
        dots(table[table["panel"] == panel], ax)
        ax.set_title(panel)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure, axes


@use_style()
def dots(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a :func:`dot_table`: groups side by side, a mark with its interval for each curve."""
    places = {name: place for place, name in enumerate(table["group"].unique())}
    for index, (name, rows) in enumerate(table.groupby("curve", sort=False)):
        colour, _, marker = SERIES[index % len(SERIES)]
        ax.vlines(rows["place"], rows["low"], rows["high"], color=colour, lw=1.2)
        ax.plot(
            rows["place"],
            rows["mean"],
            ls="",
            marker=marker,
            color=colour,
            mec="white",
            mew=0.4,
            ms=6,
            label=name,
        )
    ax.set_xticks(list(places.values()), labels=list(places), rotation=0)
    ax.set_xlim(-0.5, len(places) - 0.5)
    ax.margins(y=0.15)
    return ax


def dot_table(values: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """What :func:`dots` draws, tidy: group, curve, place, mean over seeds and its interval.

    ``values``: by curve and group the numbers, (seeds,); curves stand a little apart from each other.
    """
    tables = []
    for index, (curve, groups) in enumerate(values.items()):
        apart = 0.17 * (index - (len(values) - 1) / 2)
        for place, (group, numbers) in enumerate(groups.items()):
            row = curve_table({curve: np.asarray(numbers)[:, None]}, x=[place + apart])
            tables.append(row.assign(group=group).rename(columns={"epoch": "place"}))
    return pd.concat(tables, ignore_index=True)
