"""Where something flows: bands beside the edges of a cell, gradients in a small unit, arrows between pictures."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import cycle, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, ConnectionPatch, FancyArrowPatch, Patch, Polygon
from matplotlib.path import Path
from matplotlib.text import Text
from numpy.typing import ArrayLike

from nas_core.cells.topology import Topology
from nas_core.report.diagrams import BEZIER, draw_cell, drawn_edges, edge_labels, points_per_unit, write_labels
from nas_core.report.layout import at, part
from nas_core.report.style import DARK, FONT, GREY, INPUT_NODE, INTERMEDIATE_NODE, OUTPUT_NODE, new_axes, use_style

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


# The unit of SNAS's Figure 6: an edge in series and two in parallel, whose ends are added up in the loss.
PLACES = {
    "i": (0.0, 0.0),
    "j": (2.7, 0.0),
    "l": (5.4, 1.8),
    "m": (5.4, -1.8),
    "L": (7.9, 0.0),
}
UNIT_EDGES = (("i", "j"), ("j", "l"), ("j", "m"))
NODE, GATE = 0.36, 0.3  # radii of a node and of an edge variable
APART = 0.42  # between the curves of two operations, at their middles
FACE = {"i": INPUT_NODE, "L": OUTPUT_NODE}
OPERATION, COMPOUND, PARAMETER, SEARCH = "#9A9A9A", "#000000", "#7B3FA0", "#C8102E"
DOTTED = (0, (1, 1.3))
DASHED = (0, (3, 1.6))


@use_style()
def draw_unit(
    ax: Axes | None, weights: ArrayLike, lengths: Mapping[str, float], *, stochastic: Sequence[str] = ()
) -> Axes:
    """Draw how gradients flow back through a unit of three edges with three operations each (SNAS, Fig. 6).

    Node j reads i; l and m, in parallel, read j; the loss L reads both. ``weights``: the edge variables Z of (i, j),
    (j, l) and (j, m), shape (3, 3): every operation is a line as broad as its weight, with a square for its parameters.
    Dotted: gradients of nodes; purple: of parameters; red: of the edge variables. ``lengths``: what stands beside the
    nodes j, l and m. ``stochastic``: names of nodes that are dashed, because they depend on a random Z; with any of
    them the edge variables are dashed, too. Raises ``ValueError`` for weights of another shape.
    """
    z = np.asarray(weights, dtype=float)
    if z.shape != (len(UNIT_EDGES), 3):
        raise ValueError(f"the unit has three edges of three operations, so weights of shape {z.shape} do not fit")
    if ax is None:
        ax = new_axes(3.4, 2.2)
    ax.set(xlim=(-0.6, 8.4), ylim=(-2.75, 2.75), aspect="equal")
    ax.set_axis_off()
    gate_line = DASHED if stochastic else "-"
    for (start, end), row in zip(UNIT_EDGES, z, strict=True):
        _unit_edge(ax, start, end, row, gate_line)
    for node in ("l", "m"):
        _unit_arrow(ax, _straight(node, "L", 0.12), OPERATION, f"sum {node}-L", lw=1.0)
        _unit_arrow(ax, _straight("L", node, 0.12), COMPOUND, f"compound L-{node}", ls=DOTTED)
    for node, place in PLACES.items():
        line = DASHED if node in stochastic else "-"
        circle = Circle(
            place,
            NODE,
            fc=FACE.get(node, INTERMEDIATE_NODE),
            ec=DARK,
            lw=1.2,
            ls=line,
            zorder=5,
            gid=f"node {node}",
        )
        ax.add_patch(circle)
        name = f"$x_{node}$" if node != "L" else r"$\mathcal{L}$"
        ax.text(*place, name, ha="center", va="center", size=FONT, zorder=6)
    for node, length in lengths.items():
        x, y = PLACES[node]
        ax.text(
            x,
            y + np.copysign(0.62, y or -1),
            f"{length:.2f}",
            ha="center",
            va="center",
            size=FONT - 0.5,
        )
    return ax


def _unit_edge(ax: Axes, start: str, end: str, weights: np.ndarray, gate_line: str | tuple) -> None:
    """Three operations with their parameters, the edge variable, and the gradients of all of them."""
    outwards = -1 if end == "m" else 1  # where the edge variable stands, away from the parallel edge
    for k, weight in enumerate(weights):
        points = _straight(start, end, 0.0, APART * (1 - k))
        _unit_arrow(
            ax,
            points,
            OPERATION,
            f"operation {start}-{end} {k}",
            lw=0.5 + 2.6 * weight,
            z=1,
        )
        _unit_arrow(
            ax,
            part(points, 0.9, 0.54),
            PARAMETER,
            f"parameter {start}-{end} {k}",
            lw=1.1,
            z=3,
        )
        ax.plot(*at(points, 0.47), "s", color=PARAMETER, ms=4, zorder=4)
    _unit_arrow(ax, _straight(end, start, 0.0, 1.75 * APART * outwards), COMPOUND, f"compound {end}-{start}", ls=DOTTED)
    line = _straight(end, start, 0.0, -3.1 * APART * outwards)
    gate = at(line, 0.55)
    _unit_arrow(
        ax,
        part(line, 0.0, 0.42),
        SEARCH,
        f"search {start}-{end}",
        lw=1.4,
        z=3,
    )
    x, y = map(float, gate)
    ax.add_patch(Circle((x, y), GATE, fc="white", ec=SEARCH, lw=1.1, ls=gate_line, zorder=4, gid=f"gate {start}-{end}"))
    ax.text(
        x,
        y,
        "$Z$",
        ha="center",
        va="center",
        size=FONT - 0.5,
        color=SEARCH,
        zorder=6,
    )


def _straight(start: str, end: str, aside: float, bend: float = 0.0) -> np.ndarray:
    """A curve between two nodes, from rim to rim, moved to its left or bent to its left; control points, (4, 2)."""
    tail = np.array(PLACES[start])
    head = np.array(PLACES[end])
    along = (head - tail) / np.hypot(*(head - tail))
    left = np.array([-along[1], along[0]])
    tail = tail + (NODE + 0.06) * along
    head = head - (NODE + 0.06) * along
    line = tail + np.linspace(0, 1, 4)[:, None] * (head - tail)
    return np.asarray(line + left * (aside + bend * np.array([0.3, 1.25, 0.9, 0.1])[:, None]))


def _unit_arrow(
    ax: Axes, points: np.ndarray, colour: str, gid: str, *, lw: float = 1.1, ls: str | tuple = "-", z: float = 2
) -> None:
    """An arrow along a curve; its head is solid, whatever the line is."""
    shaft = FancyArrowPatch(path=Path(points, BEZIER), arrowstyle="-", color=colour, lw=lw, ls=ls)
    head = FancyArrowPatch(path=Path(part(points, 0.8, 1.0), BEZIER), arrowstyle="-|>", color=colour, lw=0)
    head.set_mutation_scale(6 + lw)
    shaft.set(zorder=z, gid=gid, capstyle="butt")
    head.set(zorder=z, gid=f"head of {gid}")
    ax.add_patch(shaft)
    ax.add_patch(head)


def unit_handles() -> list[Line2D]:
    """Legend entries of :func:`draw_unit`."""
    return [
        Line2D([], [], color=OPERATION, lw=2, label="operation, as broad as its weight"),
        Line2D([], [], color=COMPOUND, lw=1.1, ls=DOTTED, label="gradient of a node"),
        Line2D([], [], color=PARAMETER, lw=1.1, marker="s", ms=4, label="gradient of parameters"),
        Line2D([], [], color=SEARCH, lw=1.4, label="search gradient"),
    ]


def connect(start: Axes, end: Axes, *, height: float = 0.5, before: float = 3.0) -> None:
    """Draw an arrow from the middle of the right rim of axes to the left rim of others in the same figure.

    ``height``: where it arrives, 0 at the bottom of ``end`` and 1 at its top; ``before``: points between its head and
    the rim, for what stands there.
    """
    arrow = ConnectionPatch(
        (1, 0.5),
        (0, height),
        start.transAxes,
        end.transAxes,
        arrowstyle="-|>",
        mutation_scale=9,
        lw=1.1,
        color=GREY,
    )
    arrow.set(in_layout=False, gid="connect")
    arrow.shrinkA = 3.0
    arrow.shrinkB = before
    figure = start.get_figure(root=True)
    assert figure is not None
    figure.add_artist(arrow)
