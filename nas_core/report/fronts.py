"""Searches for a front: accuracy against cost, hypervolume, and the found children as blocks with their kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from nas_core.report.style import DARK, FAINT, GREY, SERIES, ink, new_axes, use_style

KERNEL_COLOURS = {3: "#56B4E9", 5: "#009E73", 7: "#E69F00", 9: "#882255"}
BLOCK, GAP, LANE = 0.44, 0.06, 0.17  # inches: width of a block, between two, height of a kernel
HEAD, FOOT = 0.42, 0.4  # inches: above the kernels of a row, below them
ALL, FRONT = "evaluated", "front"  # roles of a point


@dataclass(frozen=True)
class Drawn:
    """A child as it is drawn: ``blocks`` are (expansion, kernels), ``widths`` their output channels."""

    title: str
    blocks: tuple[tuple[int, tuple[int, ...]], ...]
    widths: tuple[int, ...]
    sides: tuple[int, ...]  # of the map that each block reads, in pixels


def points_table(searches: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    """What :func:`draw_fronts` draws, tidy: search, role, millions of multiply-adds, accuracy in percent.

    ``searches``: label -> the children that were evaluated and those of the front, with columns ``madds`` and ``acc``.
    """
    parts = []
    for label, tables in searches.items():
        for role, table in zip((ALL, FRONT), tables, strict=True):
            columns = {
                "search": label,
                "role": role,
                "million": table["madds"] / 1e6,
                "percent": 100 * table["acc"],
            }
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


@use_style()
def draw_fronts(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a :func:`points_table`: faint dots for all that was evaluated, and the fronts as marked lines."""
    ax = ax or new_axes()
    searches = table.groupby("search", sort=False)
    for (label, of_search), (colour, line, marker) in zip(searches, SERIES, strict=False):
        every = of_search[of_search["role"] == ALL]
        front = of_search[of_search["role"] == FRONT].sort_values("million")
        faint: dict[str, Any] = {
            "s": 9,
            "color": colour,
            "alpha": 0.3,
            "linewidths": 0,
            "marker": marker,
        }
        ax.scatter(every["million"], every["percent"], **faint)
        look = {
            "color": colour,
            "ls": line,
            "marker": marker,
            "ms": 4.5,
            "mec": "white",
            "mew": 0.4,
        }
        ax.plot(front["million"], front["percent"], label=str(label), **look)
    ax.set(xlabel="multiply-adds (millions)", ylabel="one-shot accuracy (%)")
    ax.legend(loc="lower left", title="front of", title_fontsize=7.5, alignment="left")
    return ax


@use_style()
def draw_generation(children: pd.DataFrame, front: pd.DataFrame, ax: Axes, title: str) -> None:
    """One generation of a search whose true front is known.

    ``children``: ``madds``, ``percent`` and ``role`` of population and offspring; ``front``: the true one.
    """
    ax.plot(
        front["madds"],
        front["percent"],
        color=GREY,
        lw=1,
        drawstyle="steps-post",
        label="true front",
    )
    looks: dict[str, dict[str, Any]] = {
        "offspring": {"marker": "^", "color": "#D55E00"},
        "population": {"marker": "o", "color": "#0072B2"},
    }
    for role, look in looks.items():
        of_role = children[children["role"] == role]
        ax.scatter(
            of_role["madds"],
            of_role["percent"],
            s=16,
            linewidths=0.4,
            edgecolors="white",
            label=role,
            **look,
        )
    ax.set_title(title, size=8)
    ax.set(xlabel="multiply-adds", ylabel="accuracy (%)")


@use_style()
def draw_pairs(table: pd.DataFrame, ax: Axes, *, left: str, right: str, ylabel: str) -> None:
    """One line a seed between its values in ``left``, a control, and ``right``; the means as bars across."""
    for _, row in table.iterrows():
        ax.plot(
            [0, 1],
            [row[left], row[right]],
            color=FAINT,
            lw=1,
            marker="o",
            ms=4,
            mfc=DARK,
            mec="white",
            mew=0.4,
        )
    for place, name in enumerate((left, right)):
        ax.plot(
            [place],
            [table[name].mean()],
            color=SERIES[1 - place][0],
            marker="_",
            ms=26,
            mew=2.4,
        )
    ax.set_xticks([0, 1], [left, right])
    ax.set_xlim(-0.4, 1.4)
    ax.grid(visible=False, axis="x")
    ax.set_ylabel(ylabel)


@use_style()
def draw_children(children: Sequence[Drawn], ax: Axes | None = None) -> Axes:
    """Draw children below each other: a block a layer, its expansion on top and a lane for every kernel it may have.

    A lane is filled where its kernel is active; below a block stand its output channels and the side of its input.
    """
    layers = max(len(child.blocks) for child in children)
    lanes = len(KERNEL_COLOURS)
    row = HEAD + lanes * LANE + FOOT
    width, height = 0.62 + layers * (BLOCK + GAP), len(children) * row
    ax = ax or new_axes(width, height)
    ax.set_axis_off()
    ax.set(xlim=(0, width), ylim=(-height, 0), aspect="equal")
    for number, child in enumerate(children):
        top = -number * row - HEAD
        ax.text(
            0,
            top + 0.31,
            child.title,
            ha="left",
            va="center",
            size=8,
            weight="bold",
        )
        labels = {"expansion": top + 0.1, "channels": top - lanes * LANE - 0.1, "input": top - lanes * LANE - 0.24}
        for text, y in labels.items():
            ax.text(0.56, y, text, ha="right", va="center", size=7, color=GREY)
        for layer, (expansion, kernels) in enumerate(child.blocks):
            x = 0.62 + layer * (BLOCK + GAP)
            gid = f"expansion {number} {layer}"
            ax.text(
                x + BLOCK / 2,
                labels["expansion"],
                f"×{expansion}",
                ha="center",
                va="center",
                size=7.5,
                gid=gid,
            )
            _kernels(ax, kernels, (x, top), f"{number} {layer}")
            below = {"channels": f"{child.widths[layer]}", "input": f"{child.sides[layer]}×{child.sides[layer]}"}
            for name, text in below.items():
                ax.text(
                    x + BLOCK / 2,
                    labels[name],
                    text,
                    ha="center",
                    va="center",
                    size=7,
                    color=GREY,
                )
    return ax


def _kernels(ax: Axes, kernels: Sequence[int], corner: tuple[float, float], place: str) -> None:
    """The lanes of a block whose upper left corner is ``corner``."""
    x, top = corner
    for lane, (kernel, colour) in enumerate(KERNEL_COLOURS.items()):
        y = top - (lane + 1) * LANE
        active = kernel in kernels
        face = colour if active else "#F6F6F6"
        ax.add_patch(Rectangle((x, y), BLOCK, LANE, fc=face, ec="white", lw=0.8))
        if active:
            text = ax.text(
                x + BLOCK / 2,
                y + LANE / 2,
                f"{kernel}×{kernel}",
                ha="center",
                va="center",
                size=7,
            )
            text.set(color=ink(colour), gid=f"kernel {place}")
    height = len(KERNEL_COLOURS) * LANE
    ax.add_patch(Rectangle((x, top - height), BLOCK, height, fc="none", ec=DARK, lw=0.8))


def read_children(ax: Axes) -> list[list[tuple[int, tuple[int, ...]]]]:
    """The blocks, (expansion, kernels), that a drawing by :func:`draw_children` shows, by child: what is written there.

    Kernels are in the order in which they stand, from above.
    """
    expansions: dict[tuple[int, int], int] = {}
    kernels: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for text in ax.texts:
        kind, *place = str(text.get_gid()).split()
        if kind not in ("expansion", "kernel"):
            continue
        child, layer = (int(number) for number in place)
        written = int(text.get_text().split("×")[1])
        if kind == "expansion":
            expansions[child, layer] = written
        else:
            kernels.setdefault((child, layer), []).append((-text.get_position()[1], written))
    children: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
    for child, layer in sorted(expansions):
        from_above = sorted(kernels.get((child, layer), []))
        block = (expansions[child, layer], tuple(kernel for _, kernel in from_above))
        children.setdefault(child, []).append(block)
    return list(children.values())
