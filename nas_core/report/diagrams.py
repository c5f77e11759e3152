"""A cell as a picture: its graph, with every edge labelled."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.topology import Topology
from nas_core.report.layout import RADIUS, at, bounds, curve, output_node, place_labels, positions
from nas_core.report.style import (
    DARK,
    FAINT,
    FONT,
    GREY,
    INPUT_EDGE,
    INPUT_NODE,
    INTERMEDIATE_EDGE,
    INTERMEDIATE_NODE,
    OUTPUT_NODE,
    ink,
    mark,
    new_axes,
    op_style,
    short,
    text_width,
    use_style,
)

BEND = 0.42  # how far two parallel edges stand apart


@dataclass(frozen=True)
class Edge:
    """One drawn edge: its kind is kept, dropped, candidate or output."""

    source: int
    target: int
    kind: str
    colour: str
    text: str = ""
    op: str = ""
    bend: float = 0.0


@dataclass(frozen=True)
class Look:
    """Widths and sizes in points, for a large and for a small drawing."""

    line: float
    arrow: float
    font: float
    marks: bool


Pair = tuple[int, int]  # source and target of an edge
Box = tuple[float, float, float, float]  # left, right, bottom, top
Drawn = list[tuple[Edge, np.ndarray]]  # edges with the control points of their curves
Label = tuple[np.ndarray, str, str, str]  # the curve on which it sits, its text, the colour of its box, its gid
BEZIER = (Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4)
LARGE = Look(2.0, 11, FONT, False)
SMALL = Look(1.3, 6, 7, True)
FACES = {"input": INPUT_NODE, "output": OUTPUT_NODE, "intermediate": INTERMEDIATE_NODE}
# Kinds of edges that are drawn thin: width and head against a kept edge, line style, height above the paper.
THIN: dict[str, tuple[float, float, Any, int]] = {
    "dropped": (0.5, 0.7, (0, (1, 1.6)), 1),
    "output": (0.45, 0.7, (0, (4, 2.2)), 2),
}


def cell_edges(topology: Topology, genotype: CellGenotype | None = None) -> list[Edge]:
    """Everything that a drawing of the cell shows, dropped and output edges first, so that kept ones lie on top.

    Raises ``ValueError`` if the genotype has other nodes than the topology.
    """
    if genotype is None:
        return _output_edges(topology, topology.output) + _candidate_edges(topology)
    if (genotype.inputs, genotype.nodes) != (topology.inputs, topology.nodes):
        raise ValueError(
            f"a genotype with {genotype.inputs} input and {genotype.nodes} intermediate nodes does not fit topology "
            f"{topology.name!r}, which has {topology.inputs} and {topology.nodes}"
        )
    pairs = {(i, j) for i, j, _ in genotype.edges}
    dropped = [Edge(i, j, "dropped", FAINT) for i, j in topology.edges if (i, j) not in pairs]
    return dropped + _output_edges(topology, genotype.output) + _kept_edges(genotype)


def _output_edges(topology: Topology, concatenated: Sequence[int]) -> list[Edge]:
    end = output_node(topology)
    return [Edge(node, end, "output", GREY) for node in concatenated]


def _candidate_edges(topology: Topology) -> list[Edge]:
    """All edges of the cell with their numbers."""
    edges = []
    for number, (i, j) in enumerate(topology.edges):
        colour = INPUT_EDGE if i < topology.inputs else INTERMEDIATE_EDGE
        edges.append(Edge(i, j, "candidate", colour, str(number)))
    return edges


def _kept_edges(genotype: CellGenotype) -> list[Edge]:
    """The edges of a genotype with their operations; parallel ones bend apart."""
    total = Counter((i, j) for i, j, _ in genotype.edges)
    seen: Counter[Pair] = Counter()
    edges = []
    for i, j, op in genotype.edges:
        gap = BEND * min(1, 1.6 / total[i, j])
        bend = gap * (seen[i, j] - (total[i, j] - 1) / 2)
        seen[i, j] += 1
        edges.append(Edge(i, j, "kept", op_style(op).colour, short(op), op, bend))
    return edges


@use_style()
def draw_cell(
    ax: Axes | None,
    topology: Topology,
    genotype: CellGenotype | None = None,
    *,
    labels: bool = True,
    highlight: Mapping[Pair, str] | None = None,
    texts: Mapping[Pair, str] | None = None,
    names: Mapping[int, str] | None = None,
) -> Axes:
    """Draw a cell as a directed acyclic graph and return its axes (new ones if ``ax`` is None).

    Without a genotype every candidate edge is shown with its number, intermediate edges in violet. With one, kept edges
    have the colour and the name of their operation, dropped ones are faint, and a node without any kept input is
    hollow. Output edges (concatenation) are thin and dashed. ``highlight``: colours of the broad bands beneath
    some edges, output edges (node, output node) included. ``texts``: numbers on edges,
    output edges included, below their label; of parallel edges the first one gets it. ``names``: what stands beside
    input and output nodes, if not c_{k-2}, c_{k-1} and c_k. Raises ``ValueError`` for an edge that the cell lacks.
    """
    drawn = drawn_edges(topology, genotype)
    box = bounds(topology, [points for _, points in drawn])
    if ax is None:
        ax = new_axes(0.72 * (box[1] - box[0]), 0.72 * (box[3] - box[2]))
    draw_graph(ax, topology, drawn, LARGE, box, names or {})
    highlight = highlight or {}
    for which in highlight:
        for _, points in _found(drawn, which, "highlight"):
            band = FancyArrowPatch(path=Path(points, BEZIER), arrowstyle="-", lw=9, color=highlight[which], zorder=0.5)
            band.set(alpha=0.75, capstyle="round", gid=f"highlight {which[0]}-{which[1]}")
            ax.add_patch(band)
    write_labels(ax, topology, edge_labels(drawn, labels, texts or {}), drawn)
    return ax


def drawn_edges(topology: Topology, genotype: CellGenotype | None = None) -> Drawn:
    """All edges of :func:`cell_edges` with their curves."""
    drawn = []
    for edge in cell_edges(topology, genotype):
        drawn.append((edge, curve(topology, edge.source, edge.target, edge.bend)))
    return drawn


def _found(drawn: Drawn, which: Pair, purpose: str) -> Drawn:
    found = [(edge, points) for edge, points in drawn if (edge.source, edge.target) == which]
    if not found:
        raise ValueError(f"cannot {purpose} edge {which}: the cell has no such edge")
    return found


def draw_graph(
    ax: Axes, topology: Topology, drawn: Drawn, look: Look, box: Box, names: Mapping[int, str] | None = None
) -> None:
    """All edges and nodes, in axes that show the part ``box`` (left, right, bottom, top) of the plane."""
    ax.set(xlim=box[:2], ylim=box[2:], aspect="equal")
    ax.set_axis_off()
    for edge, points in drawn:
        ax.add_patch(_arrow(edge, points, look))
        if look.marks and edge.kind == "kept":
            ax.plot(*at(points, 0.45), zorder=4, **mark(edge.op, 4.6))
    fed = {edge.target for edge, _ in drawn if edge.kind in ("kept", "candidate")}
    for node, place in positions(topology).items():
        hollow = node in topology.intermediate and node not in fed
        _node(ax, topology, node, place, look, hollow=hollow)
    _write_names(ax, topology, names or {}, look)


def _write_names(ax: Axes, topology: Topology, names: Mapping[int, str], look: Look) -> None:
    """What stands beside input and output nodes; ``names`` replaces what it names."""
    shown = {node: f"$c_{{k-{topology.inputs - node}}}$" for node in range(topology.inputs)}
    shown[output_node(topology)] = "$c_k$"
    shown.update(names)
    for node, (x, y) in positions(topology).items():
        if node not in shown:
            continue
        side, align = (-1, "right") if node < topology.inputs else (1, "left")
        beside = x + side * 1.35 * RADIUS
        ax.text(beside, y, shown[node], ha=align, va="center", size=look.font + 1, gid=f"name {node}")


def _arrow(edge: Edge, points: np.ndarray, look: Look) -> FancyArrowPatch:
    width, head, line, height = THIN.get(edge.kind, (1.0, 1.0, "-", 3))
    if edge.text == "none":
        line = op_style("none").line
    patch = FancyArrowPatch(path=Path(points, BEZIER), arrowstyle="-|>", mutation_scale=head * look.arrow, ls=line)
    patch.set(lw=width * look.line, color=edge.colour, zorder=height)
    patch.set_gid(f"{edge.kind} {edge.source}-{edge.target} {edge.text}".strip())
    return patch


def _node_kind(topology: Topology, node: int) -> str:
    if node < topology.inputs:
        return "input"
    if node == output_node(topology):
        return "output"
    return "intermediate"


def _node(
    ax: Axes, topology: Topology, node: int, place: tuple[float, float], look: Look, *, hollow: bool = False
) -> None:
    """One node with its number; ``hollow`` and dashed if nothing reaches it."""
    kind = _node_kind(topology, node)
    shape = _node_shape(place, kind)
    shape.set(fc=FACES[kind], ec=DARK, lw=0.5 * look.line, zorder=5, gid=f"node {node}")
    letter = "black"
    if hollow:
        shape.set(fc="white", ec=GREY, ls=(0, (2, 1.4)), gid=f"node {node} hollow")
        letter = GREY
    ax.add_patch(shape)
    ax.text(*place, str(node), ha="center", va="center_baseline", size=look.font, color=letter, zorder=6)


def _node_shape(place: tuple[float, float], kind: str) -> Patch:
    """A circle for an intermediate node, a box for input and output."""
    if kind == "intermediate":
        return Circle(place, RADIUS)
    x, y = place
    side = 1.7 * RADIUS
    rounded = f"round,pad=0,rounding_size={0.3 * side}"
    return FancyBboxPatch((x - side / 2, y - side / 2), side, side, boxstyle=rounded)


def edge_labels(drawn: Drawn, labels: bool, texts: Mapping[Pair, str]) -> list[Label]:
    """The label of every kept or candidate edge, unless ``labels`` is false, and the numbers of ``texts`` below."""
    numbers = {}  # of the first of parallel edges
    for which, text in texts.items():
        first, _ = _found(drawn, which, "write on")[0]
        numbers[id(first)] = text
    shown = []
    for edge, points in drawn:
        lines = [edge.text if labels else "", numbers.get(id(edge), "")]
        if any(lines):
            colour = edge.colour if edge.kind in ("kept", "candidate") else "#F2F2F2"
            gid = f"label {edge.source}-{edge.target} {edge.text}".strip()
            shown.append((points, "\n".join(filter(None, lines)), colour, gid))
    return shown


def write_labels(ax: Axes, topology: Topology, labels: Sequence[Label], drawn: Drawn) -> None:
    """Put every label on its curve, in a box of its colour, apart from the other ones, nodes and edges."""
    if not labels:
        return
    sizes = np.array([_label_size(text) for _, text, _, _ in labels]) / points_per_unit(ax)
    curves = [points for points, _, _, _ in labels]
    labelled = {id(points) for points in curves}
    others = [points for _, points in drawn if id(points) not in labelled]
    spots = place_labels(curves, sizes, positions(topology).values(), others)
    for (_, words, colour, gid), (x, y) in zip(labels, spots, strict=True):
        text = ax.text(x, y, words, size=FONT, color=ink(colour), ha="center", va="center", zorder=7, gid=gid)
        text.set_bbox({"boxstyle": "round,pad=0.28,rounding_size=0.4", "fc": colour, "ec": "white", "lw": 0.9})


def _label_size(text: str) -> tuple[float, float]:
    """Width and height of a label with its box, in points."""
    return text_width(text) + 9, FONT + 6.5 + 1.25 * FONT * text.count("\n")


def points_per_unit(ax: Axes) -> float:
    """The size of one unit of the drawing once the figure is laid out."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    left, right = ax.get_xlim()
    return float(ax.get_window_extent().width * 72 / figure.dpi / (right - left))


def edge_handles(topology: Topology) -> list[Line2D]:
    """Legend entries of the edge types of a cell drawn without genotype."""
    inputs = len(topology.input_edges)
    intermediate = len(topology.intermediate_edges)
    output = len(topology.output)
    return [
        Line2D([], [], color=INPUT_EDGE, lw=2, label=f"input edges ({inputs})"),
        Line2D([], [], color=INTERMEDIATE_EDGE, lw=2, label=f"intermediate edges ({intermediate})"),
        Line2D([], [], color=GREY, lw=0.9, ls=(0, (4, 2.2)), label=f"output edges ({output})"),
    ]
