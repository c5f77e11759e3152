"""MixPath in S4: cells by what they are worth, and the features that a cell sums, as maps and as arrows in a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nas_core.claims.mixpath_cells import cosines
from nas_core.report.style import FAINT, SERIES, new_figure, use_style

NAMES = {"conv1x1": "1×1", "conv3x3": "3×3", "maxpool3x3": "pool"}
PALE = "#B9C3CE"  # single networks behind their mean


def cell_name(text: str) -> str:
    """The operations of a cell as a picture names them: ``conv1x1 conv3x3 conv3x3`` is 1×1 + 2·3×3."""
    operations = text.split()
    parts = []
    for op, name in NAMES.items():
        count = operations.count(op)
        if count:
            parts.append(name if count == 1 else f"{count}·{name}")
    return " + ".join(parts)


@use_style()
def worth(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a row a cell, the best one on top: every network's accuracy alone, and their mean.

    ``table``: ``cell`` in the order of the rows, ``kind`` (network or mean) and ``acc`` (points).
    """
    cells = list(table["cell"].unique())
    rows = table["cell"].map(cells.index)
    for kind, colour, size in (("network", PALE, 2.5), ("mean", SERIES[0][0], 4)):
        part = table["kind"] == kind
        ax.plot(table["acc"][part], rows[part], "o", mew=0, ls="none", color=colour, ms=size, gid=kind)
    ax.set_yticks(range(len(cells)), labels=[cell_name(cell) for cell in cells], size=7)
    ax.set_ylim(len(cells) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("accuracy alone (%)")
    return ax


@use_style()
def picks(counts: pd.DataFrame, cells: Sequence[str], ax: Axes) -> Axes:
    """Draw how many seeds of a method (columns of ``counts``) pick a cell (its index), beside the rows of ``cells``."""
    methods = list(counts.columns)
    for column, method in enumerate(methods):
        for cell, count in counts[method].items():
            if count:
                ax.text(column, cells.index(str(cell)), f"{count:g}", size=7.5, ha="center", va="center_baseline")
                ax.plot(column, cells.index(str(cell)), "o", ms=9, mfc="none", mec=SERIES[column][0], gid="guide")
    ax.set_xticks(range(len(methods)), labels=methods, size=7)
    ax.set_yticks(range(len(cells)), labels=[])
    ax.set(xlim=(-0.5, len(methods) - 0.5), ylim=(len(cells) - 0.5, -0.5))
    ax.tick_params(axis="both", length=0)
    ax.xaxis.tick_top()
    ax.grid(visible=True, axis="y")
    return ax


@use_style()
def worth_and_picks(table: pd.DataFrame, counts: pd.DataFrame) -> Figure:
    """The drawings of :func:`worth` and :func:`picks` beside each other, a row a cell in the order of ``table``."""
    figure, ((left, right),) = new_figure(7.0, 5.4, 1, 2, width_ratios=[2.2, 1])
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.02, 0, 0.98, 1))
    worth(table, left)
    picks(counts, list(table["cell"].unique()), right)
    return figure


@use_style()
def scores(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw scores in a supernet against the accuracy alone, a colour and a marker for every number of paths.

    ``table``: ``paths``, ``truth`` and ``score`` (points).
    """
    for paths in sorted(table["paths"].unique()):
        rows = table[table["paths"] == paths]
        colour, _, marker = SERIES[int(paths) - 1]
        look: dict[str, Any] = {"color": colour, "marker": marker, "mec": "white", "mew": 0.4, "ls": "none"}
        ax.plot(rows["truth"], rows["score"], **look, gid=f"paths {paths}")
    return ax


@use_style()
def paths_legend(figure: Figure) -> None:
    """One legend of the numbers of paths below all panels."""
    handles = []
    for n in range(4):
        colour, _, marker = SERIES[n]
        label = "1 path" if n == 0 else f"{n + 1} paths"
        handles.append(Line2D([], [], color=colour, marker=marker, ls="none", label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)


# ------------------------------------------------------------------------------------------------ features


def in_order(features: pd.DataFrame) -> np.ndarray:
    """The vectors by number of paths, single ones by their operation, (vectors,)."""
    single = features["operations"].where(features["paths"] == 1, "")
    keys = pd.DataFrame({"paths": features["paths"], "single": single})
    return np.asarray(keys.reset_index(drop=True).sort_values(["paths", "single"], kind="stable").index)


def similarity_table(products: np.ndarray, features: pd.DataFrame) -> pd.DataFrame:
    """Cosines of all pairs of features, tidy, in the order of :func:`in_order`: ``row``, ``column``, ``cosine``."""
    order = in_order(features)
    found = cosines(products)[np.ix_(order, order)]
    rows, columns = np.indices(found.shape)
    return pd.DataFrame({"row": rows.ravel(), "column": columns.ravel(), "cosine": found.ravel()})


def groups_of(features: pd.DataFrame) -> dict[str, int]:
    """What stands in a row of the map, and how many vectors of it there are: operations, then numbers of paths."""
    single = features["paths"] == 1
    names = features["operations"].map(NAMES).where(single, features["paths"].map("{} paths".format))
    counts = names.iloc[in_order(features)].value_counts(sort=False)
    return {str(name): int(count) for name, count in counts.items()}


@use_style()
def similarity_map(table: pd.DataFrame, ax: Axes, groups: Mapping[str, int]) -> Any:
    """Draw a table of :func:`similarity_table` as a map from 0 to 1; returns its image."""
    matrix = table.pivot_table(index="row", columns="column", values="cosine").to_numpy()
    image = ax.imshow(matrix, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    ends = np.cumsum(list(groups.values()))
    for end in ends[:-1]:
        ax.axhline(end - 0.5, color="white", lw=0.8, gid="guide")
        ax.axvline(end - 0.5, color="white", lw=0.8, gid="guide")
    middles = ends - np.array(list(groups.values())) / 2 - 0.5
    ax.set_xticks(middles, labels=list(groups), rotation=90, size=7)
    ax.set_yticks(middles, labels=list(groups), size=7)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    return image


@use_style()
def similarity_bar(figure: Any, image: Any) -> None:
    """The scale of the maps beside them; ``figure``: theirs, or their subfigure."""
    bar = figure.colorbar(image, ax=figure.axes, shrink=0.8)
    bar.set_label("cosine similarity", size=7.5)
    bar.ax.tick_params(labelsize=7)
    bar.solids.set_gid("guide")


def plane(products: np.ndarray) -> np.ndarray:
    """Coordinates (vectors, 2) in the plane through the origin that keeps most of the squared lengths.

    ``products``: inner products; without subtracting the mean, so that arrows keep their lengths as far as a plane can.
    """
    values, directions = np.linalg.eigh(products)
    found = directions[:, -1:-3:-1] * np.sqrt(values[-1:-3:-1].clip(0))
    largest = np.abs(found).argmax(0)
    return found * np.where(found[largest, [0, 1]] < 0, -1, 1)


def fan_table(products: np.ndarray, features: pd.DataFrame) -> pd.DataFrame:
    """A row a vector: ``operations``, ``paths``, ``x`` and ``y`` in its plane, and ``origin``, where arrows begin."""
    x, y = plane(products).T
    return features[["operations", "paths"]].assign(x=x, y=y, origin=0.0)


@use_style()
def fan(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a table of :func:`fan_table`: an arrow from the origin for every vector, its colour the number of paths."""
    for paths in sorted(table["paths"].unique(), reverse=True):
        rows = table[table["paths"] == paths]
        colour, _, marker = SERIES[int(paths) - 1]
        for x, y in zip(rows["x"], rows["y"], strict=True):
            ax.plot([0, x], [0, y], color=colour, lw=0.6, alpha=0.6, gid=f"arrow {paths}")
        ax.plot(rows["x"], rows["y"], ls="none", marker=marker, color=colour, ms=3, mew=0, gid=f"tips {paths}")
    ax.axhline(0, color=FAINT, lw=0.6, zorder=0, gid="guide")
    ax.axvline(0, color=FAINT, lw=0.6, zorder=0, gid="guide")
    ax.set_aspect("equal", "datalim")
    ax.tick_params(labelsize=7)
    ax.locator_params(nbins=4)
    ax.spines[["top", "right"]].set_visible(True)
    return ax


@use_style()
def similarity_and_fans(
    maps: Mapping[str, pd.DataFrame], fans: Mapping[str, pd.DataFrame], groups: Mapping[str, int]
) -> Figure:
    """MP-F6, by titles: above (a) the ``maps`` of :func:`similarity_map`, below (b) the ``fans`` of :func:`fan`."""
    figure = Figure(figsize=(7.0, 5.2), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.01, 0, 0.99, 1))
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.45, 1])
    above, below = parts
    for ax, (name, table) in zip(above.subplots(1, len(maps)), maps.items(), strict=True):
        image = similarity_map(table, ax, groups)
        ax.set_title(f"(a) {name}", size=8)
    similarity_bar(above, image)
    for ax, (name, table) in zip(below.subplots(1, len(fans)), fans.items(), strict=True):
        fan(table, ax)
        ax.set_title(f"(b) {name}", size=8)
    paths_legend(figure)
    return figure
