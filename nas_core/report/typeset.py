"""A table of words and numbers as a picture: at most 7 inches wide, letters of 7 points or more."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nas_core.errors import UserError
from nas_core.report.style import FONT, GREY, text_width, use_style

WIDEST = 7.0  # inches
SIZES = (8.0, 7.5, 7.0)  # points, the largest that fits is taken
PAD = 0.075  # inches on either side of a cell's text
LEADING = 1.25  # height of a line against the size of its letters
CAPITAL = 0.365  # half the height of a capital letter against its size
OURS = "#DDE7F3"
EDGE = 0.05  # inches around the table
NUMBER = re.compile(r"[−+~≈]?[0-9][0-9,]*")


@dataclass(frozen=True)
class Heading:
    """What stands above a column, above it and its neighbours, and whether its numbers are aligned."""

    text: str
    group: str = ""
    number: bool = False


@dataclass(frozen=True)
class Cell:
    """The text of a cell and its look; ``span``: rows that it takes, 0 if one above covers it."""

    text: str
    bold: bool = False
    ours: bool = False
    wrap: int = 40
    span: int = 1

    def over(self, rows: int) -> Cell:
        """The same cell over several rows."""
        return replace(self, span=rows)

    @property
    def numeric(self) -> bool:
        """Whether this is a number, perhaps with a sign or a unit, and not a word or a dash."""
        return NUMBER.match(self.text) is not None

    @property
    def before(self) -> str:
        """The part of a number before its decimal point."""
        found = NUMBER.match(self.text)
        return found[0] if found else ""

    @property
    def after(self) -> str:
        """The decimal point of a number and what follows."""
        return self.text[len(self.before) :]

    @property
    def folded(self) -> str:
        """The text on several lines."""
        lines = [textwrap.fill(line, self.wrap, break_on_hyphens=False) for line in self.text.split("\n")]
        return "\n".join(lines)


@dataclass(frozen=True)
class Grid:
    """A table that is ready to be shown; ``lines``: rows above which there is a thin line."""

    title: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
    lines: Sequence[int] = ()
    note: str = ""


@dataclass(frozen=True)
class Layout:
    """Where things are, in inches from the left and from above."""

    size: float  # points
    across: np.ndarray  # (columns + 1,)
    down: np.ndarray  # (rows + 1,): the first row begins below the headings
    top: float  # of the headings
    groups: float  # height of the line of groups
    height: float


@use_style()
def typeset(grid: Grid) -> Figure:
    """Draw the table; raises :class:`UserError` if it is wider than 7 inches in letters of 7 points."""
    layout = _fit(grid)
    width = layout.across[-1] + EDGE
    figure = Figure(figsize=(width, layout.height))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(layout.height, 0))
    ax.set_axis_off()
    if grid.title:
        title = textwrap.fill(grid.title, _letters(width))
        ax.text(EDGE, EDGE, title, size=8.5, weight="bold", va="top", linespacing=1.2)
    _draw_shades(ax, grid, layout)
    _draw_headings(ax, grid, layout)
    for c in range(len(grid.headings)):
        _draw_column(ax, grid, layout, c)
    _draw_lines(ax, grid, layout)
    return figure


def _letters(width: float) -> int:
    """How many bold letters of 8.5 points fit beside each other."""
    return int((width - 2 * EDGE) * 72 / (8.5 * 0.66))


def _fit(grid: Grid) -> Layout:
    """The largest letters in which the table is no wider than a page."""
    for size in SIZES:
        across = _columns(grid, size)
        if across[-1] + EDGE <= WIDEST:
            break
    else:
        widest = grid.headings[int(np.diff(across).argmax())].text.replace("\n", " ")
        raise UserError(
            f"the table is {across[-1] + EDGE:.1f} in wide in letters of 7 points, {WIDEST:g} in are allowed: "
            f"break its headings, or wrap a column (the widest is {widest!r})."
        )
    line = size * LEADING / 72
    lines_of_title = 0
    if grid.title:
        lines_of_title = len(textwrap.wrap(grid.title, _letters(across[-1] + EDGE)))
    top = EDGE + lines_of_title * 0.15 + (0.05 if grid.title else 0)
    groups = line + 0.06 if any(heading.group for heading in grid.headings) else 0.0
    lines = max(heading.text.count("\n") + 1 for heading in grid.headings)
    start = top + groups + lines * line + 0.07
    down = start + np.cumsum([0, *_heights(grid, line)])
    below = 0.19 if grid.note else 0.0
    return Layout(size, across, down, top, groups, float(down[-1]) + below + EDGE)


def _columns(grid: Grid, size: float) -> np.ndarray:
    """The borders of the columns in inches, (columns + 1,)."""
    widths = []
    for c, heading in enumerate(grid.headings):
        cells = [row[c] for row in grid.rows]
        widths.append(max(_width(heading.text, size, "bold"), _body_width(cells, heading.number, size)) + 2 * PAD)
    for group, members in _groups(grid):
        missing = _width(group, size, "bold") + 2 * PAD - sum(widths[c] for c in members)
        for c in members:
            widths[c] += max(0.0, missing) / len(members)
    return EDGE + np.cumsum([0, *widths])


def _groups(grid: Grid) -> list[tuple[str, list[int]]]:
    """Every group with its neighbouring columns."""
    found = []
    for group, members in groupby(range(len(grid.headings)), lambda c: grid.headings[c].group):
        if group:
            found.append((group, list(members)))
    return found


def _width(text: str, size: float, weight: str = "normal") -> float:
    """The width of a text in inches."""
    return text_width(text, weight) / 72 * size / FONT


def _body_width(cells: Sequence[Cell], number: bool, size: float) -> float:
    """The width of the texts of a column in inches; numbers stand at their decimal points."""
    words = [cell for cell in cells if not (number and cell.numeric)]
    widest = max((_width(cell.folded, size, _weight(cell)) for cell in words), default=0.0)
    before, after = _around(cells, number, size)
    return max(widest, before + after)


def _around(cells: Sequence[Cell], number: bool, size: float) -> tuple[float, float]:
    """The widths before and after the decimal points of a column, in inches; 0 if it is one of words."""
    numbers = [cell for cell in cells if number and cell.numeric]
    before = max((_width(cell.before, size, _weight(cell)) for cell in numbers), default=0.0)
    after = max((_width(cell.after, size, _weight(cell)) for cell in numbers), default=0.0)
    return before, after


def _weight(cell: Cell) -> str:
    return "bold" if cell.bold else "normal"


def _heights(grid: Grid, line: float) -> np.ndarray:
    """The heights of the rows in inches; a cell over several rows takes what they have and adds what it lacks."""
    lines = []
    for row in grid.rows:
        lines.append(max(_lines(cell) for cell in row if cell.span <= 1))
    heights = np.array(lines) * line + 0.045
    for r, row in enumerate(grid.rows):
        for cell in row:
            if cell.span > 1:
                lacking = _lines(cell) * line + 0.045 - heights[r : r + cell.span].sum()
                heights[r : r + cell.span] += max(0.0, lacking) / cell.span
    return heights


def _lines(cell: Cell) -> int:
    return cell.folded.count("\n") + 1 if cell.span else 1


def _draw_shades(ax: Axes, grid: Grid, layout: Layout) -> None:
    """The ground behind what is ours, and what it means."""
    for r, row in enumerate(grid.rows):
        for c, cell in enumerate(row):
            if cell.ours and cell.span:
                above, below = layout.down[r], layout.down[r + cell.span]
                ax.fill_between(layout.across[c : c + 2], above, below, color=OURS, lw=0, zorder=0.5)
    if grid.note:
        y = layout.down[-1] + 0.13
        ax.fill_between([EDGE, EDGE + 0.18], y - 0.05, y + 0.05, color=OURS, lw=0)
        _write(ax, EDGE + 0.24, y + CAPITAL * 7 / 72, grid.note, size=7, color=GREY)


def _draw_headings(ax: Axes, grid: Grid, layout: Layout) -> None:
    line = layout.size * LEADING / 72
    bottom = layout.down[0] - 0.065
    for c, heading in enumerate(grid.headings):
        left, right = layout.across[c : c + 2]
        x, side = ((left + right) / 2, "center") if heading.number else (left + PAD, "left")
        for k, words in enumerate(reversed(heading.text.split("\n"))):
            _write(ax, x, bottom - k * line, words, size=layout.size, weight="bold", ha=side)
    for group, members in _groups(grid):
        left, right = layout.across[members[0]], layout.across[members[-1] + 1]
        y = layout.top + layout.groups
        _write(ax, (left + right) / 2, y - 0.06, group, size=layout.size, weight="bold", ha="center")
        ax.hlines(y - 0.02, left + PAD / 2, right - PAD / 2, color="black", lw=0.5)


def _draw_column(ax: Axes, grid: Grid, layout: Layout, c: int) -> None:
    number = grid.headings[c].number
    cells = [row[c] for row in grid.rows]
    left, right = layout.across[c : c + 2]
    middle = (left + right) / 2
    before, after = _around(cells, number, layout.size)
    point = middle + (before - after) / 2
    for r, cell in enumerate(cells):
        if not cell.span:
            continue
        y = (layout.down[r] + layout.down[r + cell.span]) / 2
        look: dict[str, Any] = {"size": layout.size, "weight": _weight(cell)}
        if number and cell.numeric:
            y += CAPITAL * layout.size / 72
            _write(ax, point, y, cell.before, ha="right", **look)
            _write(ax, point, y, cell.after, ha="left", **look)
        else:
            x, side = (middle, "center") if number else (left + PAD, "left")
            _write_lines(ax, x, y, cell.folded.split("\n"), ha=side, **look)


def _write_lines(ax: Axes, x: float, middle: float, lines: Sequence[str], *, size: float, **look: Any) -> None:
    """Lines of text, together as high above as below ``middle``."""
    line = size * LEADING / 72
    first = middle + CAPITAL * size / 72 - (len(lines) - 1) / 2 * line
    for k, words in enumerate(lines):
        _write(ax, x, first + k * line, words, size=size, **look)


def _write(ax: Axes, x: float, y: float, words: str, **look: Any) -> None:
    """One line of text, its letters standing at ``y``."""
    ax.text(x, y, words, va="baseline", parse_math=False, **look)


def _draw_lines(ax: Axes, grid: Grid, layout: Layout) -> None:
    ends = (EDGE, layout.across[-1])
    ax.hlines([layout.top, layout.down[0], layout.down[-1]], *ends, color="black", lw=[1.1, 0.7, 1.1])
    for r in grid.lines:
        ax.hlines(layout.down[r], *ends, color=GREY, lw=0.4)
