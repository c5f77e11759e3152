"""Where something flows through a cell: broad directed bands beside its edges."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import cycle, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Polygon
from matplotlib.text import Text

from nas_core.cells.topology import Topology
from nas_core.report.diagrams import draw_cell, drawn_edges, edge_labels, points_per_unit, write_labels
from nas_core.report.layout import at
from nas_core.report.style import DARK, FONT, GREY, use_style

Paths = Mapping[str, Sequence[tuple[int, ...]]]  # of every flow the paths, each a list of nodes
Step = tuple[int, int]  # from a node to a neighbour, along an edge or against it
COLOURS = {"gradient": "#6CC7A6", "cost": "#F2966B"}
OTHERS = ("#A99BDD", "#E3C94F", "#8DB8E8", "#D7A0B8", "#A9B7A0", "#C9A27E")
WIDTH, FREE, HEAD = 5.0, 2.0, 10.0  # of a band, between it and the middle of the edge, of its head; in points
TEXT = 7.5  # from the outer rim of a band to the middle of its number, in points


@use_style()
def draw_flow(
    ax: Axes | None,
    topology: Topology,
    flows: Paths,
    *,
    colours: Mapping[str, str] | None = None,
    texts: Mapping[str, Mapping[Step, str]] | None = None,
    stops: Mapping[str, Collection[Step]] | None = None,
    labels: bool = True,
    names: Mapping[int, str] | None = None,
) -> Axes:
    """Draw a cell (:func:`draw_cell`) and along it named flows, each a list of paths of nodes, e.g. (4, 3, 2, 0).

    A path against the direction of the edges is one that goes backwards, as gradients and costs do. A band lies beside
    its edge: the first flow to the left, the second to the right of it, and so on. ``texts``: of every flow the numbers
    on its steps, e.g. ``{"cost": {(3, 2): "0"}}``; ``stops``: of every flow the steps on which it does not arrive and
    its band ends half-way at a bar; ``labels`` and ``names`` as in :func:`draw_cell`. Raises ``ValueError`` for a step
    without an edge, for a number on a step that its flow does not take, and for a stop on such a step.
    """
    texts = texts or {}
    stops = stops or {}
    ax = draw_cell(ax, topology, labels=False, names=names)
    drawn = drawn_edges(topology)
    written = edge_labels(drawn, labels, {})
    colour = _colours(flows, colours)
    bands = _Bands({(edge.source, edge.target): points for edge, points in drawn}, points_per_unit(ax))
    for k, (flow, paths) in enumerate(flows.items()):
        side = 1 if k % 2 == 0 else -1
        margins = {}
        stopped = stops.get(flow, ())
        for step in _steps(paths):
            outline, margins[step] = bands.add(flow, step, side, stops=step in stopped)
            band = Polygon(outline, fc=colour[flow], ec="white", lw=0.5)
            band.set(zorder=2.5, gid=f"flow {flow} {step[0]}-{step[1]}")
            ax.add_patch(band)
            if step in stopped:
                bar = Polygon(bands.bar(step), fc=DARK, ec="none")
                bar.set(zorder=2.6, gid=f"stop {flow} {step[0]}-{step[1]}")
                ax.add_patch(bar)
        for step in stopped:
            if step not in margins:
                raise ValueError(f"cannot stop on step {step}: flow {flow!r} does not take it")
        for step, text in texts.get(flow, {}).items():
            if step not in margins:
                raise ValueError(f"cannot write on step {step}: flow {flow!r} does not take it")
            written.append((margins[step], text, colour[flow], f"text {flow} {step[0]}-{step[1]}"))
    unknown = [flow for flow in texts if flow not in flows]
    if unknown:
        raise ValueError(f"cannot write on flow {unknown[0]!r}: there is no such flow")
    write_labels(ax, topology, written, drawn)
    return ax


def _steps(paths: Sequence[tuple[int, ...]]) -> list[Step]:
    """Every step that one of the paths takes, once."""
    steps: dict[Step, None] = {}
    for path in paths:
        steps |= dict.fromkeys(pairwise(path))
    return list(steps)


class _Bands:
    """Bands beside edges, later ones further out."""

    def __init__(self, curves: Mapping[Step, np.ndarray], unit: float) -> None:
        """``curves``: of every edge its control points, (4, 2); ``unit``: points per unit of the drawing."""
        self.curves = curves
        self.unit = unit
        self.taken: Counter[tuple[Step, int]] = Counter()
        self.ends: dict[Step, np.ndarray] = {}  # control points of the bands that stop, (4, 2)

    def add(self, flow: str, step: Step, side: int, *, stops: bool) -> tuple[np.ndarray, np.ndarray]:
        """The outline of a new band, (corners, 2), and the curve beside it, where its number stands, (4, 2).

        ``side``: 1 for the left of the edge, -1 for the right; one that ``stops`` ends half-way.
        """
        edge = (min(step), max(step))
        if edge not in self.curves:
            raise ValueError(f"flow {flow!r} cannot go from {step[0]} to {step[1]}: the cell has no edge {edge}")
        away = FREE + WIDTH / 2 + (WIDTH + 1) * self.taken[edge, side]
        self.taken[edge, side] += 1
        path = _aside(self.curves[edge], side * away / self.unit)
        if step != edge:
            path = path[::-1]
        margin = _aside(self.curves[edge], side * (away + WIDTH / 2 + TEXT) / self.unit)
        share = 0.5 if stops else 1.0
        if stops:
            self.ends[step] = path
        return _ribbon(path, WIDTH / self.unit, HEAD / self.unit, share), margin

    def bar(self, step: Step) -> np.ndarray:
        """The outline of the bar at which the last band on a step stops, (corners, 2)."""
        middle, ahead = at(self.ends[step], np.array([0.5, 0.56]))
        along = (ahead - middle) / np.hypot(*(ahead - middle))
        across = np.array([-along[1], along[0]]) * 1.5 * WIDTH / self.unit
        near = middle + along * 1.0 / self.unit
        far = near + along * 2.0 / self.unit
        return np.array([near + across, far + across, far - across, near - across])


def flow_handles(flows: Sequence[str] | Paths, colours: Mapping[str, str] | None = None) -> list[Patch]:
    """Legend entries of named flows."""
    used = _colours(flows, colours)
    return [Patch(fc=used[flow], label=flow) for flow in flows]


def _colours(flows: Sequence[str] | Paths, given: Mapping[str, str] | None) -> dict[str, str]:
    """The colour of every flow: the given one, that of its name, or the next one that is free."""
    others = cycle(OTHERS)
    used = {}
    for flow in flows:
        used[flow] = COLOURS.get(flow) or next(others)
    used.update(given or {})
    return used


def _aside(points: np.ndarray, distance: float) -> np.ndarray:
    """The control points of a curve at a distance to the left of another one (Tiller and Hanson: its legs, moved)."""
    normals = _normals(np.diff(points, axis=0))
    before = normals[[0, 0, 1, 2]]
    after = normals[[0, 1, 2, 2]]
    mitres = (before + after) / (1 + (before * after).sum(axis=1, keepdims=True))
    return np.asarray(points + distance * mitres)


def _normals(directions: np.ndarray) -> np.ndarray:
    """Unit vectors to the left of directions; shape (n, 2) in and out."""
    left = np.stack([-directions[:, 1], directions[:, 0]], axis=-1)
    return np.asarray(left / np.hypot(*directions.T)[:, None])


def _ribbon(points: np.ndarray, width: float, head: float, share: float) -> np.ndarray:
    """The outline of a broad arrow along this share of a curve, shape (corners, 2)."""
    path = at(points, np.linspace(0, share, 201))
    tip = path[-1]
    ahead = np.hypot(*(path - tip).T)
    path = path[ahead >= min(head, 0.6 * ahead[0])]
    normals = _normals(np.gradient(path, axis=0))
    left = path + normals * width / 2
    right = path - normals * width / 2
    barb = normals[-1] * width / 2
    return np.concatenate([left, [left[-1] + barb, tip, right[-1] - barb], right[::-1]])


@use_style()
def join_cells(left: Axes, right: Axes, text: str = "") -> Axes:
    """Draw the line from the output of one drawn cell to the input c_{k-1} of the next one; return its axes, ``right``.

    Both stand in axes of one figure, side by side; ``text`` is written below the end of the line.
    """
    start = _names(left)[-1]
    end = _names(right)[-2]
    line = right.annotate(
        "",
        (0, 0.5),
        (1, 0.5),
        xycoords=end,
        textcoords=start,
        arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1.2, "shrinkA": 2, "shrinkB": 2},
        annotation_clip=False,
    )
    line.set(in_layout=False, gid="join")
    right.annotate(
        text,
        (1, 0),
        (0, -5),
        xycoords=end,
        textcoords="offset points",
        ha="right",
        va="top",
        size=FONT,
        annotation_clip=False,
        gid="join text",
    )
    return right


def _names(ax: Axes) -> list[Text]:
    """The names of a cell's inputs and, last, of its output."""
    return [text for text in ax.texts if str(text.get_gid()).startswith("name")]
