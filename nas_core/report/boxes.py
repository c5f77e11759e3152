"""Modules, networks and matrices as boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.textpath import TextPath
from numpy.typing import ArrayLike

from nas_core.report.diagrams import FONT, ink
from nas_core.report.style import GREY, new_axes, op_style, short, use_style

EDGE = "#3B4754"
TINTS = {"ReLU": "#FBE3B5", "Conv": "#D3E3F3", "BatchNorm": "#D5EBDD", "Pool": "#E6DDF1", "Linear": "#F6D9CB"}
CELLS = {"normal": "#DCE3EC", "reduction": "#F2B37A"}
ENDS = {"stem": "#F4F4F4", "pool": TINTS["Pool"], "linear": TINTS["Linear"]}


@use_style()
def draw_modules(ax: Axes | None, names: Sequence[str | tuple[str, str]], texts: Sequence[str] = ()) -> Axes:
    """Draw modules as a stack of boxes from top to bottom and return its axes (new ones if ``ax`` is None).

    ``names``: of every box its name, or name and detail; it is tinted by the class that its name contains (ReLU, Conv,
    BatchNorm, Pool, Linear) and white without one. ``texts``: what stands beside every arrow between two boxes, e.g. a
    shape. Axes of one's own have to be as large as the drawing, whose unit is one inch. Raises ``ValueError`` for
    another number of texts.
    """
    if texts and len(texts) != len(names) - 1:
        raise ValueError(f"{len(texts)} texts for {len(names) - 1} arrows: give one for each arrow")
    lines = [(name,) if isinstance(name, str) else name for name in names]
    width = max(_inches(line) for pair in lines for line in pair) + 0.3
    height, free = 0.3 + 0.15 * (max(map(len, lines)) - 1), 0.26
    half = max([width / 2, *(_inches(line) + 0.12 for text in texts for line in text.split("\n"))])
    total = len(names) * (height + free) - free
    ax = _axes(ax, (-half, half), (-total, 0))
    for k, pair in enumerate(lines):
        top = -k * (height + free)
        tint = next((t for kind, t in TINTS.items() if kind in pair[0]), "white")
        _box(ax, (-width / 2, top - height, width, height), tint, f"module {k} {pair[0]}")
        for line, text in enumerate(pair):
            y = top - height / 2 + 0.155 * ((len(pair) - 1) / 2 - line)
            look: dict[str, Any] = {
                "size": FONT - 0.5 * line,
                "color": GREY if line else "black",
                "weight": "normal" if line else "bold",
            }
            ax.text(0, y, text, ha="center", va="center", **look)
        if k + 1 < len(lines):
            _arrow(ax, (0, top - height), (0, top - height - free))
        if k < len(texts):
            ax.text(0.1, top - height - free / 2, texts[k], ha="left", va="center", size=FONT - 0.5, gid=f"text {k}")
    return ax


@use_style()
def draw_network(ax: Axes | None, kinds: Sequence[str], texts: Mapping[int | str, str] | None = None) -> Axes:
    """Draw a network of cells as a strip: stem, cells, pool, linear; return its axes (new ones if ``ax`` is None).

    Every cell reads the two outputs before it (cell 0 the stem twice): the nearer one along the strip, the other one in
    an arc. Boxes get lower with every reduction. ``kinds``: ``normal`` or ``reduction`` of every cell. ``texts``: what
    stands below a cell (its number) or below stem, pool and linear. Raises ``ValueError`` for others.
    """
    boxes: list[int | str] = ["stem", *range(len(kinds)), "pool", "linear"]
    if unknown := [k for k in kinds if k not in CELLS] + [t for t in texts or () if t not in boxes]:
        raise ValueError(
            f"{unknown[0]!r} is neither normal or reduction nor one of {len(kinds)} cells, stem, pool, linear"
        )
    pitch, side, heights = 0.44, 0.28, []
    for box in boxes:
        reduced = list(kinds[: box + 1 if isinstance(box, int) else 0 if box == "stem" else len(kinds)]).count(
            "reduction"
        )
        heights.append(0.5 + 0.4 * 0.62**reduced)
    lines = max([text.count("\n") + 1 for text in (texts or {}).values()], default=0)
    ax = _axes(ax, (-side / 2 - 0.06, pitch * (len(boxes) - 1) + side / 2 + 0.06), (-0.5 - 0.14 * lines, 0.78))
    for k, (box, height) in enumerate(zip(boxes, heights, strict=True)):
        x, kind = k * pitch, kinds[box] if isinstance(box, int) else str(box)
        _box(ax, (x - side / 2, -height / 2, side, height), (CELLS | ENDS)[kind], f"{kind} {box}")
        ax.text(x, 0, str(box), ha="center", va="center", size=FONT, rotation=90 * isinstance(box, str))
        if k:
            _arrow(ax, (x - pitch + side / 2, 0), (x - side / 2, 0), gid=f"k-1 {box}")
        if isinstance(box, int):
            back = max(k - 2, 0)
            start, end = (back * pitch + 0.05, heights[back] / 2), (x - 0.05, height / 2)
            _arrow(ax, start, end, "#A9B4C2", gid=f"k-2 {box}", connectionstyle=f"arc3,rad={-0.42 if k > 1 else -0.9}")
        if texts and box in texts:
            ax.text(x, -0.5, texts[box], ha="center", va="top", size=FONT - 1, linespacing=1.3, gid=f"text {box}")
    return ax


def network_handles() -> list[Patch]:
    """Legend entries of the two kinds of cells."""
    return [Patch(fc=tint, ec=EDGE, lw=0.8, label=f"{kind} cell") for kind, tint in CELLS.items()]


@use_style()
def draw_matrix(ax: Axes | None, matrix: ArrayLike, rows: Sequence[str], columns: Sequence[str]) -> Axes:
    """Draw a small matrix with its numbers, shape (rows, columns), each column in the colour of its operation.

    An entry is the more coloured the nearer it is to 1. Raises ``ValueError`` if names and shape do not fit.
    """
    z = np.asarray(matrix, dtype=float)
    if z.shape != (len(rows), len(columns)):
        raise ValueError(f"a matrix of shape {z.shape} does not fit {len(rows)} rows and {len(columns)} columns")
    ax = new_axes(0.45 * len(columns) + 0.7, 0.3 * len(rows) + 0.4) if ax is None else ax
    full = np.array([to_rgb(op_style(op).colour) for op in columns])
    shown = 1 - np.clip(z, 0, 1)[..., None] * (1 - full)
    ax.imshow(shown, aspect="auto")
    for (i, j), value in np.ndenumerate(z):
        colour = ink(shown[i, j]) if value >= 0.05 else "#9A9A9A"
        ax.text(j, i, f"{value:.2g}", ha="center", va="center", size=FONT, color=colour, gid=f"entry {i} {j}")
    ax.set_xticks(range(len(columns)), [short(op) for op in columns])
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    ax.tick_params(which="both", length=0, labeltop=True, labelbottom=False)
    ax.grid(False)
    ax.grid(which="minor", color="white", lw=1.5)
    return ax


def _inches(text: str) -> float:
    return float(TextPath((0, 0), text, size=FONT, prop=FontProperties(weight="bold")).get_extents().width) / 72


def _axes(ax: Axes | None, across: tuple[float, float], up: tuple[float, float]) -> Axes:
    """Axes without ticks whose unit is one inch if they are new or as large as that."""
    ax = new_axes(across[1] - across[0] + 0.15, up[1] - up[0] + 0.15) if ax is None else ax
    ax.set(xlim=(across[0] - 0.04, across[1] + 0.04), ylim=(up[0] - 0.04, up[1] + 0.04), aspect="equal")
    ax.set_axis_off()
    return ax


def _box(ax: Axes, place: tuple[float, float, float, float], tint: str, gid: str) -> None:
    x, y, width, height = place
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.05", fc=tint, ec=EDGE, lw=0.9)
    shape.set_gid(gid)
    ax.add_patch(shape)


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = EDGE, gid: str = "arrow", **shape: str
) -> None:
    arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, lw=1.0, color=colour, shrinkA=0, shrinkB=1)
    arrow.set(gid=gid, zorder=0.5, **shape)
    ax.add_patch(arrow)
