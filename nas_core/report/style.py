"""How every picture of this project looks: fonts, and one colour and marker per operation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.textpath import TextPath

from nas_core.errors import UserError
from nas_core.papers import OPERATIONS
from nas_core.registry import Registry

GREY = "#5F5F5F"
FAINT = "#C4C4C4"
DARK = "#3B4754"  # outlines of nodes and boxes
# As in the wiring paper's captions: nodes by kind, and the edges between intermediate nodes.
INPUT_NODE, INTERMEDIATE_NODE, OUTPUT_NODE = "#A9C6E8", "#F7B267", "#A9C6E8"
INPUT_EDGE, INTERMEDIATE_EDGE = "#5F5F5F", "#6A3D9A"
SHADE = "#EEF1F6"  # behind the panels of intermediate edges
FONT = 8.0  # points: letters of diagrams and tables


@dataclass(frozen=True)
class OpStyle:
    """How one candidate operation is drawn everywhere: its short label, colour, marker and line style."""

    label: str
    colour: str
    marker: str
    line: Any = "-"


# Okabe-Ito without its yellow (too pale on white) and with a wine red; at least 16 CIELAB units apart for every
# common colour blindness. The order is the one of the wiring paper's axes.
WIRING_ORDER: tuple[str, ...] = ("none", "skip", "max", "avg", "sep3", "dil3", "dil5", "sep5")
_STYLES = {
    "none": OpStyle("none", "#1A1A1A", "x", (0, (1, 1.2))),
    "skip": OpStyle("skip", "#E69F00", "o", (0, (5, 2))),
    "max": OpStyle("max", "#0072B2", "^"),
    "avg": OpStyle("avg", "#56B4E9", "v", (0, (4, 1.2, 1, 1.2))),
    "sep3": OpStyle("sep3", "#D55E00", "s"),
    "dil3": OpStyle("dil3", "#009E73", "D", (0, (5, 2))),
    "dil5": OpStyle("dil5", "#882255", "P", (0, (4, 1.2, 1, 1.2))),
    "sep5": OpStyle("sep5", "#CC79A7", "*"),
}


def _check_style(op: str, style: OpStyle) -> None:
    """Raise :class:`UserError` unless this can be drawn and is told from the others."""
    if not is_color_like(style.colour):
        raise UserError(f"style of {op!r}: {style.colour!r} is no colour.")
    if style.marker not in MarkerStyle.markers:
        raise UserError(f"style of {op!r}: {style.marker!r} is no marker of matplotlib.")
    for other, known in STYLES.items():
        if other != op and (known.label == style.label or known.colour == style.colour):
            raise UserError(f"style of {op!r}: {other!r} has the label {known.label!r} and colour {known.colour}.")


# Plugins register the style of an operation under its full name.
STYLES: Registry[OpStyle] = Registry("style of an operation", _STYLES, check=_check_style)
SCALES = {"*": 1.6, "P": 1.25, "D": 0.85}  # of markers that look smaller or larger than they are
SHORT = {name: label for label, name in OPERATIONS.items()}
# Curves that are not operations (methods, edges, groups) are told apart by all three of these, in this order.
SERIES: tuple[tuple[str, Any, str], ...] = (
    ("#0072B2", "-", "o"),
    ("#D55E00", (0, (5, 2)), "s"),
    ("#009E73", (0, (4, 1.2, 1, 1.2)), "^"),
    ("#882255", (0, (1, 1.2)), "D"),
    ("#E69F00", "-", "v"),
    ("#56B4E9", (0, (5, 2)), "P"),
)


def op_style(op: str) -> OpStyle:
    """The style of an operation, by its full or its short name; one that is not in the eight is drawn grey."""
    name = SHORT.get(op, op)
    unknown = OpStyle(name, GREY, "h")
    return STYLES.get(name, unknown)


def short(op: str) -> str:
    """The short label of an operation: ``sep_conv_3x3`` is ``sep3``."""
    return op_style(op).label


@contextmanager
def use_style() -> Iterator[None]:
    """Draw in the project's style inside this context (also a decorator: ``@use_style()``); nothing leaks out of it."""
    settings = {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper", font_scale=0.86),  # letters of 7.5 points and more
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
        "mathtext.fontset": "dejavusans",
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.grid": True,
        "grid.color": "#E3E3E3",
        "grid.linewidth": 0.5,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "lines.markersize": 4,
        "svg.hashsalt": "nas-core",
    }
    with mpl.rc_context(settings):
        yield


@use_style()
def new_figure(
    width: float = 7.0, height: float = 3.0, rows: int = 1, columns: int = 1, **grid: Any
) -> tuple[Figure, np.ndarray]:
    """A figure (inches) in the project's style and its axes, shape (rows, columns); not known to pyplot.

    ``grid`` goes to ``Figure.subplots``. What is wider than 7 inches, the width of a page, cannot be saved.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def new_axes(width: float = 4.2, height: float = 3.0) -> Axes:
    """Fresh axes on a figure of their own (inches)."""
    axes: Axes = new_figure(width, height)[1][0, 0]
    return axes


def mark(op: str, size: float = 5.0) -> dict[str, Any]:
    """Marker settings of an operation, for ``Axes.plot`` and legends; stars and pluses are drawn larger."""
    style = op_style(op)
    look: dict[str, Any] = {
        "marker": style.marker,
        "ms": size * SCALES.get(style.marker, 1.0),
        "color": style.colour,
    }
    if style.marker == "x":
        look["mew"] = 1.2
    else:
        look["mec"] = "white"
        look["mew"] = 0.3
    return look


def op_handles(ops: Sequence[str], *, solid: bool = False) -> list[Line2D]:
    """Legend entries of operations: colour, marker and, unless ``solid``, line style."""
    handles = []
    for op in ops:
        line = "-" if solid else op_style(op).line
        handles.append(Line2D([], [], ls=line, lw=1.6, label=short(op), **mark(op)))
    return handles


def text_width(text: str, weight: str = "normal") -> float:
    """The width in points of the widest line of a text in letters of FONT points; 0 without letters."""
    prop = FontProperties(family="DejaVu Sans", weight=weight)
    widths = [0.0]
    for line in text.split("\n"):
        if line.strip():
            path = TextPath((0, 0), line, size=FONT, prop=prop)
            widths.append(path.get_extents().width)
    return max(widths)


def ink(colour: str | np.ndarray) -> str:
    """White or black, whichever is read better on a colour."""
    plain = colour if isinstance(colour, str) else tuple(colour)
    red, green, blue = to_rgb(plain)
    brightness = 0.30 * red + 0.59 * green + 0.11 * blue
    return "white" if brightness < 0.58 else "black"
