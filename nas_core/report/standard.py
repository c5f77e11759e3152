"""What every picture must be like to be saved: its size, its letters, its words, and all its numbers in the table."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle, StepPatch
from matplotlib.text import Text

from nas_core.report.style import use_style

WIDEST = 7.0  # inches
SMALLEST = 7.0  # points
GUIDE = "guide"  # gid of a line that marks a place and shows no data
RTOL, ATOL = 1e-6, 1e-9
# Outside of formulas; what is wrong with each.
WRONG_WORDS = {
    r"\b[WS]-[A-Z]{3,}\w*": "the id of a run",
    r"\b[a-z]+[a-z0-9]*_[a-z0-9_]+": "an identifier",
    r"\d[eE][-+]?\d": "a number as a program writes it",
    r"(?<![\w)\]–-])-\.?\d": "a hyphen for a minus",
    r"\b\d+ ?x ?\d": "the letter x for a times sign",
}
FORMULA = re.compile(r"\$[^$]*\$")


@use_style()
def problems(figure: Figure, table: pd.DataFrame) -> list[str]:
    """Everything that keeps a picture from being saved beside ``table``, in words."""
    figure.draw_without_rendering()
    found = []
    width = figure.get_size_inches()[0]
    if width > WIDEST + 1e-6:
        found.append(f"it is {width:.2f} in wide; at most {WIDEST:g} in")
    found += dict.fromkeys(_wrong_texts(figure))
    found += dict.fromkeys(_missing_numbers(figure, table))
    return found


def charts(figure: Figure) -> list[Axes]:
    """The axes that show data: those with a frame; what is drawn on others is a drawing."""
    return [ax for ax in figure.axes if ax.axison and ax.get_visible()]


def _wrong_texts(figure: Figure) -> Iterator[str]:
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        words = text.get_text()
        if not words.strip() or not text.get_visible():
            continue
        size = float(text.get_fontsize())
        if size < SMALLEST - 1e-6:
            yield f"{words!r} is {size:.1f} pt high; at least {SMALLEST:g} pt"
        plain = FORMULA.sub("", words)
        for pattern, what in WRONG_WORDS.items():
            if match := re.search(pattern, plain):
                yield f"{words!r} has {what}: {match[0]!r}"


def _missing_numbers(figure: Figure, table: pd.DataFrame) -> Iterator[str]:
    shown = [ax for ax in charts(figure) if any(drawn_numbers(ax))]
    if len(shown) > 1 and "panel" not in table.reset_index():
        yield f"its table needs a column 'panel', since it has {len(shown)} panels"
    known = _numbers_in(table)
    for ax in shown:
        for artist, numbers in drawn_numbers(ax):
            absent = numbers[~_among(numbers, known)]
            if len(absent):
                name = artist.get_gid() or artist.get_label()
                where = ax.get_title() or ax.get_ylabel() or "a panel"
                yield f"{type(artist).__name__} {name!r} of {where!r}: {absent[0]:.6g} is not in its table"


def drawn_numbers(ax: Axes) -> Iterator[tuple[Artist, np.ndarray]]:
    """Every artist of ``ax`` that shows data, with its finite numbers, (n,)."""
    for artist in [*ax.lines, *ax.collections, *ax.patches, *ax.images]:
        if str(artist.get_gid()).startswith(GUIDE) or not artist.get_visible():
            continue
        if isinstance(artist, Line2D | Patch) and not artist.get_transform().contains_branch(ax.transData):
            continue
        numbers: np.ndarray = np.ma.masked_invalid(np.ma.asarray(_numbers_of(artist), dtype=float)).compressed()
        if len(numbers):
            yield artist, numbers


def _numbers_of(artist: Artist) -> np.ndarray:
    """The numbers that an artist shows; those along an axis of categories, 0, 1, 2, ..., are left out."""
    if isinstance(artist, Line2D):
        return _without_positions(np.column_stack([artist.get_xdata(orig=False), artist.get_ydata(orig=False)]))
    if isinstance(artist, StepPatch):
        return np.asarray(artist.get_data()[0], dtype=float)
    if isinstance(artist, Rectangle):
        return np.array([artist.get_height()]) if _upright(artist) else np.array([artist.get_width()])
    if isinstance(artist, PathCollection):
        return _without_positions(np.asarray(artist.get_offsets(), dtype=float))
    if isinstance(artist, LineCollection | PolyCollection):
        return _without_positions(np.concatenate([path.vertices for path in artist.get_paths()] or [np.empty((0, 2))]))
    if isinstance(artist, Collection) or hasattr(artist, "get_array"):
        return np.asarray(artist.get_array())
    return np.empty(0)


def _without_positions(points: np.ndarray) -> np.ndarray:
    """The points (n, 2) as numbers, without an axis on which all are whole or lie midway: places of categories.

    Where that goes for both axes, the vertical one is kept.
    """
    columns = [column for column in points.T if not np.allclose(2 * column, np.round(2 * column))]
    return np.concatenate(columns or [points[:, 1]])


def _upright(bar: Rectangle) -> bool:
    """Whether a bar stands on the zero line; otherwise it lies."""
    return bool(np.isclose(bar.get_y(), 0))


def _numbers_in(table: pd.DataFrame) -> np.ndarray:
    """All numbers of a table, sorted."""
    plain = table.reset_index()
    columns = [pd.to_numeric(plain[name], errors="coerce").to_numpy(dtype=float) for name in plain]
    numbers = np.concatenate(columns)
    return np.sort(numbers[np.isfinite(numbers)])


def _among(numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of ``numbers`` are in ``known`` (sorted), up to rounding; (n,)."""
    if not len(known):
        return np.zeros(len(numbers), dtype=bool)
    after = np.clip(np.searchsorted(known, numbers), 0, len(known) - 1)
    before = np.clip(after - 1, 0, len(known) - 1)
    nearest = np.minimum(abs(known[after] - numbers), abs(known[before] - numbers))
    return nearest <= ATOL + RTOL * abs(numbers)


def emptiest(picture: np.ndarray) -> float:
    """The share of a picture, (height, width, 3) in [0, 1], that its largest white rectangle takes."""
    white = np.asarray((picture > 0.98).all(2))
    rows, columns = white.shape
    step = max(1, columns // 140)
    rows, columns = rows // step * step, columns // step * step
    blocks = np.asarray(white[:rows, :columns].reshape(rows // step, step, columns // step, step).all((1, 3)))
    above = np.zeros(blocks.shape[1], dtype=int)
    largest = 0
    for row in blocks:
        above = np.where(row, above + 1, 0)
        largest = max(largest, _largest_below(above))
    return largest / blocks.size


def _largest_below(heights: np.ndarray) -> int:
    """The area of the largest rectangle below a skyline of bars one wide."""
    best = 0
    for height in np.unique(heights[heights > 0]):
        tall = np.concatenate([[0], heights >= height, [0]]).astype(int)
        starts = np.flatnonzero(np.diff(tall) == 1)
        ends = np.flatnonzero(np.diff(tall) == -1)
        best = max(best, int(height) * int((ends - starts).max()))
    return best
