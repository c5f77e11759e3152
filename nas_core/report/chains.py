"""Modules in a row between two ends, and below them the cost that flows back through them, or stops."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Polygon

from nas_core.report.boxes import TINTS, Sheet
from nas_core.report.diagrams import FACES
from nas_core.report.flows import COLOURS
from nas_core.report.style import DARK, FONT, GREY, ink, text_width, use_style

BOX, HEAD, BELOW, ROW = 0.44, 0.24, 0.52, 0.16  # inches: a box, its title, the cost below it, between two rows
FREE, NODE = 0.3, 0.15  # inches: between two boxes, radius of a node
BAND, TIP = 0.07, 0.14  # inches: width and head of the band of a cost


@dataclass(frozen=True)
class Box:
    """One module: its name, a detail below it, and its kind, which gives its colour (a key of ``boxes.TINTS``)."""

    name: str
    detail: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Chain:
    """A row of modules from an input to an output, each end a node (a number) or words.

    ``costs``: what is written below every arrow, one more than boxes, from the input on; ``stop``: the box at whose
    end the cost stops on its way back (none: it reaches the input).
    """

    title: str
    boxes: tuple[Box, ...]
    ends: tuple[str, str]
    costs: tuple[str, ...] = ()
    stop: int | None = None


@use_style()
def draw_chains(chains: Sequence[Chain], ax: Axes | None = None) -> Axes:
    """Draw rows of modules below each other, boxes in columns that end together, and return the axes.

    Where a chain has costs, a band below it shows them flowing back from the output: up to the input, or up to a bar
    in front of the box where they stop. Raises ``ValueError`` for another number of costs.
    """
    for chain in chains:
        if chain.costs and len(chain.costs) != len(chain.boxes) + 1:
            raise ValueError(f"{chain.title}: {len(chain.costs)} costs for {len(chain.boxes) + 1} arrows")
    widths = _column_widths(chains)
    ends = []
    for side in (0, 1):
        ends.append(max(_end_width(chain.ends[side]) for chain in chains))
    edges = np.cumsum([ends[0], *[FREE + width for width in widths]])  # right edges: of the first end, of the columns
    total = float(edges[-1] + FREE + ends[1])
    heights = [HEAD + BOX + (BELOW if chain.costs else 0) + ROW for chain in chains]
    height = sum(heights) - ROW
    sheet = Sheet(ax, (0, total), (-height, 0), 0.5)
    top = 0.0
    for number, chain in enumerate(chains):
        row = _Row(sheet, chain, number, top - HEAD - BOX / 2)
        row.draw(edges[1:], widths, (ends[0], total - ends[1]))
        top -= HEAD + BOX + (BELOW if chain.costs else 0) + ROW
    return sheet.ax


def _column_widths(chains: Sequence[Chain]) -> list[float]:
    """The width of every column of boxes in inches; the last boxes of all chains stand in the last one."""
    widths = [0.0] * max(len(chain.boxes) for chain in chains)
    for chain in chains:
        for k, box in enumerate(reversed(chain.boxes), start=1):
            needed = max(text_width(box.name, "bold"), text_width(box.detail)) / 72 + 0.16
            widths[-k] = max(widths[-k], needed)
    return widths


def _end_width(end: str) -> float:
    return 2 * NODE if end.isdigit() else text_width(end) / 72 + 0.12


class _Row:
    """One chain on a sheet, its boxes at height ``y``."""

    def __init__(self, sheet: Sheet, chain: Chain, number: int, y: float) -> None:
        self.sheet = sheet
        self.chain = chain
        self.number = number
        self.y = y

    def draw(self, rights: np.ndarray, widths: Sequence[float], ends: tuple[float, float]) -> None:
        """``rights``, ``widths``: right edges and widths of all columns; ``ends``: where the ends' inner sides are."""
        count = len(self.chain.boxes)
        spans = [(ends[0], ends[0])]
        for right, width, box in zip(rights[-count:], widths[-count:], self.chain.boxes, strict=True):
            self._box(box, (float(right) - width, float(right)))
            spans.append((float(right) - width, float(right)))
        spans.append((ends[1], ends[1]))
        self.sheet.text(0.0, self.y + BOX / 2 + 0.14, self.chain.title, ha="left", weight="bold")
        self._end(self.chain.ends[0], ends[0], -1)
        self._end(self.chain.ends[1], ends[1], 1)
        for before, after in pairwise(spans):
            self.sheet.arrow((before[1] + 0.02, self.y), (after[0], self.y), f"arrow {self.number}")
        if self.chain.costs:
            self._cost(spans)

    def _box(self, box: Box, span: tuple[float, float]) -> None:
        middle = sum(span) / 2
        tint = TINTS.get(box.kind, "white")
        self.sheet.box(
            middle,
            self.y,
            span[1] - span[0],
            BOX,
            tint,
            f"module {self.number} {box.name}",
        )
        self.sheet.text(middle, self.y + 0.09 * bool(box.detail), box.name, weight="bold")
        self.sheet.text(middle, self.y - 0.1, box.detail, size=FONT - 0.5, color=GREY)

    def _end(self, end: str, x: float, side: int) -> None:
        """A node as a circle, or words; ``x`` is the side that faces the boxes."""
        if not end.isdigit():
            self.sheet.text(x + side * 0.04, self.y, end, ha="left" if side > 0 else "right")
            return
        face = FACES["intermediate"]
        circle = Circle(
            (x + side * NODE, self.y),
            NODE,
            fc=face,
            ec=DARK,
            lw=0.9,
            gid=f"node {self.number} {end}",
        )
        circle.set(transform=self.sheet.transform, clip_on=False)
        self.sheet.ax.add_patch(circle)
        self.sheet.text(x + side * NODE, self.y, end, color=ink(face))

    def _cost(self, spans: Sequence[tuple[float, float]]) -> None:
        """The band from the output back to where it stops, and the costs below the arrows."""
        low = self.y - BOX / 2 - 0.14
        start = spans[-1][0] + NODE * self.chain.ends[1].isdigit()
        end = spans[0][1]
        if self.chain.stop is not None:
            end = spans[self.chain.stop + 1][1] + 0.08
        neck = end + TIP
        half = BAND / 2
        outline = [
            (start, low + half),
            (neck, low + half),
            (neck, low + 2.2 * half),
            (end, low),
            (neck, low - 2.2 * half),
            (neck, low - half),
            (start, low - half),
        ]
        self._polygon(outline, "cost")
        if self.chain.stop is not None:
            bar = end - 0.03
            corners = [(bar, low + 0.1), (bar, low - 0.1), (bar - 0.035, low - 0.1), (bar - 0.035, low + 0.1)]
            self._polygon(corners, "stop")
        for (before, after), text in zip(pairwise(spans), self.chain.costs, strict=True):
            middle = (before[1] + after[0]) / 2
            self.sheet.text(middle, low - 0.2, text, gid=f"cost {self.number}")

    def _polygon(self, outline: Sequence[tuple[float, float]], gid: str) -> None:
        colour = DARK if gid == "stop" else COLOURS["cost"]
        shape = Polygon(outline, closed=True, fc=colour, ec="none", gid=f"{gid} {self.number}")
        shape.set(transform=self.sheet.transform, clip_on=False)
        self.sheet.ax.add_patch(shape)
