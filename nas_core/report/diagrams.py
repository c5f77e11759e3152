"""Cells as pictures: one cell large, with every edge labelled, or many small ones over the epochs of a search."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
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
    WIRING_ORDER,
    ink,
    mark,
    new_axes,
    op_handles,
    op_style,
    short,
    text_width,
    use_style,
)

INPUT_EDGE, INTERMEDIATE_EDGE = "#4D4D4D", "#0072B2"
BEND = 0.42  # how far two parallel edges stand apart
SCALE = 0.26  # inches per unit of a small drawing


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


Box = tuple[float, float, float, float]  # left, right, bottom, top
Drawn = list[tuple[Edge, np.ndarray]]  # edges with the control points of their curves
Label = tuple[np.ndarray, str, str, str]  # the curve on which it sits, its text, the colour of its box, its gid
BEZIER = (Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4)
LARGE, SMALL = Look(2.0, 11, FONT, False), Look(1.3, 6, 7, True)


def cell_edges(topology: Topology, genotype: CellGenotype | None = None) -> list[Edge]:
    """Everything that a drawing of the cell shows, dropped and output edges first, so that kept ones lie on top.

    Raises ``ValueError`` if the genotype has other nodes than the topology.
    """
    end = output_node(topology)
    if genotype is None:
        colours = [INPUT_EDGE if i < topology.inputs else INTERMEDIATE_EDGE for i, _ in topology.edges]
        shown = [Edge(*edge, "candidate", colours[e], str(e)) for e, edge in enumerate(topology.edges)]
        return [Edge(i, end, "output", GREY) for i in topology.output] + shown
    if (genotype.inputs, genotype.nodes) != (topology.inputs, topology.nodes):
        raise ValueError(
            f"a genotype with {genotype.inputs} input and {genotype.nodes} intermediate nodes does not fit topology "
            f"{topology.name!r}, which has {topology.inputs} and {topology.nodes}"
        )
    total, seen = Counter((i, j) for i, j, _ in genotype.edges), Counter[tuple[int, int]]()
    kept = []
    for i, j, op in genotype.edges:
        bend = BEND * min(1, 1.6 / total[i, j]) * (seen[i, j] - (total[i, j] - 1) / 2)
        seen[i, j] += 1
        kept.append(Edge(i, j, "kept", op_style(op).colour, short(op), op, bend))
    dropped = [Edge(i, j, "dropped", FAINT) for i, j in topology.edges if (i, j) not in total]
    return dropped + [Edge(i, end, "output", GREY) for i in genotype.output] + kept


@use_style()
def draw_cell(
    ax: Axes | None,
    topology: Topology,
    genotype: CellGenotype | None = None,
    *,
    labels: bool = True,
    highlight: Mapping[tuple[int, int], str] | None = None,
    texts: Mapping[tuple[int, int], str] | None = None,
    names: Mapping[int, str] | None = None,
) -> Axes:
    """Draw a cell as a directed acyclic graph and return its axes (new ones if ``ax`` is None).

    Without a genotype every candidate edge is shown with its number, intermediate edges in blue. With one, kept edges
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
    _draw(ax, topology, drawn, LARGE, box, names or {})
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
    return [(e, curve(topology, e.source, e.target, e.bend)) for e in cell_edges(topology, genotype)]


def _found(drawn: Drawn, which: tuple[int, int], purpose: str) -> Drawn:
    if found := [(e, points) for e, points in drawn if (e.source, e.target) == which]:
        return found
    raise ValueError(f"cannot {purpose} edge {which}: the cell has no such edge")


def _draw(ax: Axes, topology: Topology, drawn: Drawn, look: Look, box: Box, names: Mapping[int, str]) -> None:
    """All edges and nodes, in axes that show the part ``box`` (left, right, bottom, top) of the plane."""
    ax.set(xlim=box[:2], ylim=box[2:], aspect="equal")
    ax.set_axis_off()
    for edge, points in drawn:
        ax.add_patch(_arrow(edge, points, look))
        if look.marks and edge.kind == "kept":
            ax.plot(*at(points, 0.45), zorder=4, **mark(edge.op, 4.6))
    fed = {e.target for e, _ in drawn if e.kind in ("kept", "candidate")}
    back = {n: f"$c_{{k-{topology.inputs - n}}}$" for n in range(topology.inputs)}
    names = back | {output_node(topology): "$c_k$"} | dict(names)
    for node, place in positions(topology).items():
        _node(ax, topology, node, place, node in fed or node not in topology.intermediate, look)
        if node in names:
            side = -1 if node < topology.inputs else 1
            x, align = place[0] + side * 1.35 * RADIUS, "left" if side > 0 else "right"
            ax.text(x, place[1], names[node], ha=align, va="center", size=look.font + 1, gid=f"name {node}")


def _arrow(edge: Edge, points: np.ndarray, look: Look) -> FancyArrowPatch:
    thin = {"dropped": (0.5, 0.7, (0, (1, 1.6)), 1), "output": (0.45, 0.7, (0, (4, 2.2)), 2)}
    width, head, line, z = thin.get(edge.kind, (1.0, 1.0, "-", 3))
    line = op_style("none").line if edge.text == "none" else line
    patch = FancyArrowPatch(path=Path(points, BEZIER), arrowstyle="-|>", mutation_scale=head * look.arrow, ls=line)
    patch.set(lw=width * look.line, color=edge.colour, zorder=z)
    patch.set_gid(f"{edge.kind} {edge.source}-{edge.target} {edge.text}".strip())
    return patch


def _node(ax: Axes, topology: Topology, node: int, place: tuple[float, float], fed: bool, look: Look) -> None:
    """One node with its number; hollow and dashed if nothing reaches it; input and output nodes with their names."""
    x, y = place
    kind = "input" if node < topology.inputs else "output" if node == output_node(topology) else "intermediate"
    face = {"input": "#DCE3EC", "output": "#F6E3CF", "intermediate": DARK}[kind] if fed else "white"
    letter = ("white" if kind == "intermediate" else "black") if fed else GREY
    side = 1.7 * RADIUS
    shape: Patch = Circle(place, RADIUS)
    if kind != "intermediate":
        rounded = f"round,pad=0,rounding_size={0.3 * side}"
        shape = FancyBboxPatch((x - side / 2, y - side / 2), side, side, boxstyle=rounded)
    shape.set(fc=face, ec=DARK if fed else GREY, lw=0.5 * look.line, ls="-" if fed else (0, (2, 1.4)), zorder=5)
    shape.set_gid(f"node {node} {'' if fed else 'hollow'}".strip())
    ax.add_patch(shape)
    ax.text(x, y, str(node), ha="center", va="center_baseline", size=look.font, color=letter, zorder=6)


def edge_labels(drawn: Drawn, labels: bool, texts: Mapping[tuple[int, int], str]) -> list[Label]:
    """The label of every kept or candidate edge, unless ``labels`` is false, and the numbers of ``texts`` below."""
    first = {id(_found(drawn, which, "write on")[0][0]): text for which, text in texts.items()}
    shown = []
    for edge, points in drawn:
        lines = [edge.text if labels else "", first.get(id(edge), "")]
        if any(lines):
            gid = f"label {edge.source}-{edge.target} {edge.text}".strip()
            colour = edge.colour if edge.kind in ("kept", "candidate") else "#F2F2F2"
            shown.append((points, "\n".join(filter(None, lines)), colour, gid))
    return shown


def write_labels(ax: Axes, topology: Topology, labels: Sequence[Label], drawn: Drawn) -> None:
    """Put every label on its curve, in a box of its colour, apart from the other ones, nodes and edges."""
    if not labels:
        return
    widths = [text_width(text) + 9 for _, text, _, _ in labels]
    heights = [FONT + 6.5 + 1.25 * FONT * text.count("\n") for _, text, _, _ in labels]
    sizes = np.stack([widths, heights], axis=-1) / points_per_unit(ax)
    others = [points for _, points in drawn if not any(points is p for p, *_ in labels)]
    spots = place_labels([points for points, *_ in labels], sizes, positions(topology).values(), others)
    for (_, words, colour, gid), (x, y) in zip(labels, spots, strict=True):
        text = ax.text(x, y, words, size=FONT, color=ink(colour), ha="center", va="center", zorder=7, gid=gid)
        text.set_bbox({"boxstyle": "round,pad=0.28,rounding_size=0.4", "fc": colour, "ec": "white", "lw": 0.9})


def points_per_unit(ax: Axes) -> float:
    """The size of one unit of the drawing once the figure is laid out."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    left, right = ax.get_xlim()
    return float(ax.get_window_extent().width * 72 / figure.dpi / (right - left))


def edge_handles(topology: Topology) -> list[Line2D]:
    """Legend entries of the edge types of a cell drawn without genotype."""
    count = len(topology.input_edges), len(topology.intermediate_edges), len(topology.output)
    return [
        Line2D([], [], color=INPUT_EDGE, lw=2, label=f"input edges ({count[0]})"),
        Line2D([], [], color=INTERMEDIATE_EDGE, lw=2, label=f"intermediate edges ({count[1]})"),
        Line2D([], [], color=GREY, lw=0.9, ls=(0, (4, 2.2)), label=f"output edges ({count[2]})"),
    ]


@use_style()
def topology_snapshots(
    genotypes: Sequence[CellGenotype], epochs: Sequence[int], topology: Topology, *, columns: int = 4, title: str = ""
) -> Figure:
    """A grid of small cells, one per epoch, each with the numbers of its kept edges; one legend for the operations."""
    if len(genotypes) != len(epochs) or not genotypes:
        raise ValueError(f"{len(genotypes)} genotypes and {len(epochs)} epochs: give one epoch for each genotype")
    columns = min(columns, len(genotypes))
    rows = -(-len(genotypes) // columns)
    drawn = [drawn_edges(topology, g) for g in genotypes]
    box = bounds(topology, [points for cell in drawn for _, points in cell])
    height = rows * (SCALE * (box[3] - box[2]) + 0.23) + 0.4 + 0.25 * bool(title)
    size = (columns * SCALE * (box[1] - box[0]), height)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, genotype, epoch, cell in zip(grid, genotypes, epochs, drawn, strict=False):
        _draw(ax, topology, cell, SMALL, box, {})
        ax.set_title(snapshot_title(genotype, epoch, topology), size=7.5, pad=2)
    for ax in grid[len(genotypes) :]:
        ax.set_axis_off()
    names = {short(op) for g in genotypes for _, _, op in g.edges}
    used = [op for op in WIRING_ORDER if op in names] + sorted(names - set(WIRING_ORDER))
    dropped = Line2D([], [], color=FAINT, ls=(0, (1, 1.6)), lw=1, label="dropped")
    figure.legend(handles=[*op_handles(used, solid=True), dropped], loc="outside lower center", ncols=len(used) + 1)
    if title:
        figure.suptitle(title, size=9.5)
    return figure


def snapshot_title(genotype: CellGenotype, epoch: int, topology: Topology) -> str:
    """``epoch 7: 5 of 14 kept`` and below how many of them are input and intermediate edges."""
    kept = {(i, j) for i, j, _ in genotype.edges}
    wide = sum(i < topology.inputs for i, _ in kept)
    return (
        f"epoch {epoch}: {len(kept)} of {len(topology.edges)} kept\n"
        f"{wide}/{len(topology.input_edges)} input, {len(kept) - wide}/{len(topology.intermediate_edges)} intermediate"
    )
