"""Modules, networks and matrices as boxes."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.transforms import Affine2D, Affine2DBase, ScaledTranslation
from numpy.typing import ArrayLike

from nas_core.report.style import DARK, FAINT, FONT, ink, new_axes, op_style, short, use_style

TINTS = {"ReLU": "#FBE3B5", "Conv": "#D3E3F3", "BatchNorm": "#D5EBDD", "Pool": "#E6DDF1", "Linear": "#F6D9CB"}
CELLS = {"normal": "#DCE3EC", "reduction": "#F2B37A"}
ENDS = {"stem": "#F4F4F4", "pool": TINTS["Pool"], "linear": TINTS["Linear"]}
FILLS = {**CELLS, **ENDS}  # of everything in a strip
PITCH, SIDE = 0.29, 0.21  # inches: from cell to cell, width of a cell

Point = tuple[float, float]


class Sheet:
    """Axes in which inches are drawn whatever their size, at the top; all lengths are in inches."""

    def __init__(self, ax: Axes | None, across: Point, up: Point, anchor: float) -> None:
        """``across`` and ``up``: the ends of the drawing; ``anchor``: 0 stands on the left, 0.5 in the middle."""
        if ax is None:
            ax = new_axes(across[1] - across[0] + 0.1, up[1] - up[0] + 0.1)
        ax.set_axis_off()
        self.ax = ax
        origin = Affine2D().translate((anchor - 1) * across[0] - anchor * across[1], -up[1])
        place = ScaledTranslation(anchor, 1, cast(Affine2DBase, ax.transAxes))
        self.transform = origin + ax.figure.dpi_scale_trans + place

    def box(self, x: float, y: float, width: float, height: float, tint: str, gid: str) -> None:
        """A box around (x, y)."""
        shape = FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.05",
            fc=tint,
            ec=DARK,
            lw=0.9,
        )
        self._add(shape, gid)

    def arrow(self, start: Point, end: Point, gid: str = "arrow", colour: str = DARK, arc: float = 0.0) -> None:
        """An arrow that ends just before ``end``; ``arc``: how far it bends, against its length."""
        shape = FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            connectionstyle=f"arc3,rad={arc}",
            mutation_scale=8,
            shrinkA=0,
            shrinkB=1,
            lw=1.0,
            color=colour,
        )
        shape.set_zorder(0.5)
        self._add(shape, gid)

    def _add(self, shape: Patch, gid: str) -> None:
        shape.set(gid=gid, transform=self.transform, clip_on=False)
        self.ax.add_patch(shape)

    def text(self, x: float, y: float, text: str, **look: Any) -> None:
        """A text, centred at (x, y) unless ``look`` says otherwise."""
        centred: dict[str, Any] = {"ha": "center", "va": "center", "size": FONT}
        centred.update(look)
        self.ax.text(
            x,
            y,
            text,
            transform=self.transform,
            clip_on=False,
            **centred,
        )


@use_style()
def draw_network(ax: Axes | None, kinds: Sequence[str], texts: Mapping[int | str, str] | None = None) -> Axes:
    """Draw a network of cells as a strip: stem, cells, pool, linear; return its axes (new ones if ``ax`` is None).

    Every cell reads the two outputs before it (cell 0 the stem twice): the nearer one along the strip, the other one in
    an arc. Boxes get lower with every reduction. ``kinds``: ``normal`` or ``reduction`` of every cell. ``texts``: what
    stands below a cell (its number) or below stem, pool and linear. A cell takes 0.44 inches, however large the axes
    are. Raises ``ValueError`` for another kind of cell and for a text without a place.
    """
    texts = texts or {}
    strip: list[tuple[int | str, str]] = [("stem", "stem"), *enumerate(kinds), ("pool", "pool"), ("linear", "linear")]
    _check_network(strip, kinds, texts)
    reductions = np.cumsum([kind == "reduction" for _, kind in strip])
    heights = 0.5 + 0.4 * 0.62**reductions
    lines = max((text.count("\n") + 1 for text in texts.values()), default=0)
    sheet = Sheet(ax, (-0.2, PITCH * (len(strip) - 1) + 0.2), (-0.5 - 0.14 * lines, 0.78), 0)
    for k, (place, kind) in enumerate(strip):
        x = k * PITCH
        sheet.box(x, 0, SIDE, heights[k], FILLS[kind], f"{kind} {place}")
        sheet.text(x, 0, str(place), rotation=0 if kind in CELLS else 90)
        sheet.text(
            x,
            -0.5,
            texts.get(place, ""),
            va="top",
            size=FONT - 1,
            linespacing=1.3,
            gid=f"text {place}",
        )
        if k:
            sheet.arrow((x - PITCH + SIDE / 2, 0), (x - SIDE / 2, 0), f"k-1 {place}")
        if kind in CELLS:
            back = max(k - 2, 0)
            start = (back * PITCH + 0.05, heights[back] / 2)
            end = (x - 0.05, heights[k] / 2)
            sheet.arrow(start, end, f"k-2 {place}", "#A9B4C2", arc=-0.42 if k > 1 else -0.9)
    return sheet.ax


def _check_network(
    strip: Sequence[tuple[int | str, str]], kinds: Sequence[str], texts: Mapping[int | str, str]
) -> None:
    """Raise ``ValueError`` for a kind of cell that there is not, and for a text without a place."""
    for kind in kinds:
        if kind not in CELLS:
            raise ValueError(f"a cell is {' or '.join(CELLS)}, not {kind!r}")
    places = dict(strip)
    for place in texts:
        if place not in places:
            raise ValueError(f"no place {place!r} to write on: there are stem, 0 to {len(kinds) - 1}, pool and linear")


def network_handles() -> list[Patch]:
    """Legend entries of the two kinds of cells."""
    return [Patch(fc=tint, ec=DARK, lw=0.8, label=f"{kind} cell") for kind, tint in CELLS.items()]


@use_style()
def draw_matrix(
    ax: Axes | None, matrix: ArrayLike, rows: Sequence[str], columns: Sequence[str], *, form: str = ".2g"
) -> Axes:
    """Draw a small matrix with its numbers, shape (rows, columns), each column in the colour of its operation.

    An entry is the more coloured the nearer it is to 1; ``form`` is the format of the numbers. Raises ``ValueError``
    if names and shape do not fit.
    """
    z = np.asarray(matrix, dtype=float)
    if z.shape != (len(rows), len(columns)):
        raise ValueError(f"a matrix of shape {z.shape} does not fit {len(rows)} rows and {len(columns)} columns")
    if ax is None:
        ax = new_axes(0.45 * len(columns) + 0.7, 0.3 * len(rows) + 0.4)
    full = np.array([to_rgb(op_style(op).colour) for op in columns])
    shown = 1 - np.clip(z, 0, 1)[..., None] * (1 - full)
    ax.imshow(shown, aspect="auto", gid="guide colours")  # the numbers themselves are written on it
    ax.set_box_aspect(0.3 * len(rows) / (0.45 * len(columns)))
    for (i, j), value in np.ndenumerate(z):
        colour = ink(shown[i, j]) if value >= 0.05 else "#9A9A9A"
        number = f"{value:{form}}".replace("-", "−")
        if not float(f"{value:{form}}"):
            number = number.lstrip("−")
        ax.text(
            j,
            i,
            number,
            ha="center",
            va="center",
            size=FONT,
            color=colour,
            gid=f"entry {i} {j}",
        )
    _frame_entries(ax, rows, [short(op) for op in columns])
    return ax


def _frame_entries(ax: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Thin lines around the entries of a matrix, names on the left and above."""
    ax.spines[:].set(visible=True, color=FAINT)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    ax.tick_params(which="both", length=0, labeltop=True, labelbottom=False, labelsize=FONT)
    ax.grid(False)
    ax.grid(which="minor", color=FAINT, lw=0.8)
