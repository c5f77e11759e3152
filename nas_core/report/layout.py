"""Where the nodes, edges and labels of a cell are drawn: an arc diagram, computed from the topology alone.

Intermediate nodes stand on a line, input nodes in a column on its left, the output on its right. Edges between
neighbours are straight, all others are arcs nested above or below the line, so no edge runs through a node.
Coordinates are in units in which neighbours are ``STEP`` apart and a node has radius ``RADIUS``.

A curve is a cubic Bezier curve, given by its control points, shape (4, 2).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from nas_core.cells.topology import Topology

STEP = 1.75
RADIUS = 0.3
HALF = 1.25  # half the height of the column of input nodes
GAP = 0.05  # between an arrow's ends and the nodes
# What a label costs where it stands: overlap with nodes and other labels, each point of another edge beneath it, and
# distance from the middle of its own edge.
OVERLAP_COST, BENEATH_COST, DISTANCE_COST = 60, 0.08, 0.6


def output_node(topology: Topology) -> int:
    """The number of the output node, which follows the intermediate ones."""
    return topology.inputs + topology.nodes


def positions(topology: Topology) -> dict[int, tuple[float, float]]:
    """The centre of every node, the output included."""
    places = {0: (0.0, 0.0)}
    if topology.inputs > 1:
        heights = np.linspace(HALF, -HALF, topology.inputs)
        places = {node: (0.0, float(y)) for node, y in enumerate(heights)}
    for node in (*topology.intermediate, output_node(topology)):
        places[node] = (STEP * (node - topology.inputs + 1), 0.0)
    return places


def curve(topology: Topology, i: int, j: int, bend: float = 0.0) -> np.ndarray:
    """The curve of edge (i, j), cut at the rims of both nodes: control points, shape (4, 2).

    ``bend`` moves its middle sideways, which keeps parallel edges apart.
    """
    places = positions(topology)
    start = np.array(places[i])
    end = np.array(places[j])
    dx, dy = end - start
    leave, arrive = _handles(topology, i, j, dx)
    points = np.array([start, start + leave, end + arrive, end])
    sideways = np.array([-dy, dx]) / np.hypot(dx, dy)
    points += bend * np.array([0.6, 1, 1, 0.6])[:, None] * sideways
    return _cut(points, start, end)


def _handles(topology: Topology, i: int, j: int, dx: float) -> np.ndarray:
    """Where an edge heads when it leaves and whence it comes when it arrives, relative to its nodes; shape (2, 2)."""
    if i < topology.inputs and topology.inputs > 1:
        return _input_handles(topology, i, j, dx)
    return _line_handles(topology, i, j, dx)


def _input_handles(topology: Topology, i: int, j: int, dx: float) -> np.ndarray:
    """Of an edge from one of several input nodes.

    Arcs from the upper input node run above the line and those from the lower one below, longer ones outside.
    """
    span = j - topology.inputs + 1
    height = positions(topology)[i][1]
    side = np.sign(height)
    if span == 1:
        return np.array([(0.35 * dx, 0), (-0.35 * dx, 0.45 * side)])
    leave = (0.3 * dx, 0.65 * side * (span - 1))
    arrive = (-0.09 * dx, height + 0.6 * side * (span - 1))
    return np.array([leave, arrive])


def _line_handles(topology: Topology, i: int, j: int, dx: float) -> np.ndarray:
    """Of an edge between nodes on the line: straight between neighbours, otherwise an arc, the higher the longer.

    Arcs alternate from node to node, those to the output the other way round. With one input node its arcs run above
    the line and all others below.
    """
    span = j - i
    if topology.inputs == 1:
        above = i == 0
    else:
        even = (i - topology.inputs) % 2 == 0
        above = even != (j == output_node(topology))
    lift = 0.0
    if span > 1:
        lift = 0.66 * (1.0 if above else -1.0) * span
    return np.array([(max(0.1, 0.28 - 0.04 * span) * dx, lift), (-0.29 * dx, lift)])


def at(points: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """Points of a curve at parameters ``t`` in [0, 1], of any shape (...); shape (..., 2)."""
    t = np.asarray(t, dtype=float)[..., None]
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    total: np.ndarray = sum((w * p for w, p in zip(weights, points, strict=True)), np.zeros(2))
    return total


def _cut(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The part of a curve that lies outside the nodes at its ends."""
    grid = np.linspace(0, 1, 401)
    path = at(points, grid)
    from_start = np.hypot(*(path - start).T)
    from_end = np.hypot(*(path - end).T)
    outside = np.flatnonzero(np.minimum(from_start, from_end) >= RADIUS + GAP)
    first = grid[outside[0]]
    last = grid[outside[-1]]
    return part(points, first, last)


def part(points: np.ndarray, first: float, last: float) -> np.ndarray:
    """The part of a curve between two parameters in [0, 1], backwards if ``last`` is the smaller; control points."""
    corners = ((first, first, first), (first, first, last), (first, last, last), (last, last, last))
    return np.array([_blossom(points, *corner) for corner in corners])


def _blossom(points: np.ndarray, *t: float) -> np.ndarray:
    """De Casteljau's division with another parameter at each level, which gives the control points of a part."""
    for u in t:
        points = points[:-1] + u * (points[1:] - points[:-1])
    return np.asarray(points[0])


def bounds(topology: Topology, curves: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of everything that is drawn, with a margin for the names of inputs and output."""
    grid = np.linspace(0, 1, 41)
    paths = [at(points, grid) for points in curves]
    points = np.concatenate([*paths, list(positions(topology).values())])
    left, low = points.min(axis=0)
    right, high = points.max(axis=0)
    return left - 1.25, right + 1.25, min(low, -RADIUS) - 0.35, max(high, RADIUS) + 0.35


def place_labels(
    curves: Sequence[np.ndarray],
    sizes: np.ndarray,
    nodes: Iterable[tuple[float, float]],
    others: Sequence[np.ndarray],
) -> np.ndarray:
    """Where the labels of edges sit, shape (edges, 2): on their own curve, apart from each other, nodes and edges.

    ``sizes``: width and height of each label, (edges, 2); ``others``: the curves of edges without label. Starting from
    the middles, labels move one after the other to the place of least overlap until nothing changes.
    """
    grid = np.linspace(0.1, 0.9, 49)
    spots = np.array([at(points, grid) for points in curves])  # (edges, places, 2)
    fixed = _fixed_costs(spots, grid, sizes, list(nodes), [*curves, *others])
    choice = np.full(len(curves), len(grid) // 2)
    for _ in range(8):
        before = choice.copy()
        for k in range(len(curves)):
            taken = np.zeros(len(grid))
            for m in range(len(curves)):
                if m != k:
                    taken = taken + _overlap(spots[k], sizes[k], spots[m, choice[m]], sizes[m])
            choice[k] = (fixed[k] + OVERLAP_COST * taken).argmin()
        if (choice == before).all():
            break
    return spots[np.arange(len(curves)), choice]


def _fixed_costs(
    spots: np.ndarray,
    grid: np.ndarray,
    sizes: np.ndarray,
    nodes: Sequence[tuple[float, float]],
    curves: Sequence[np.ndarray],
) -> np.ndarray:
    """What each label costs at each of its places, wherever the other labels stand; shape (edges, places).

    ``curves`` are all edges, those of the labels first.
    """
    fixed = np.tile(DISTANCE_COST * (grid - 0.5) ** 2, (len(spots), 1))
    traces = np.array([at(points, np.linspace(0, 1, 81)) for points in curves])
    node_size = np.full(2, 2 * RADIUS)
    for k, (spot, size) in enumerate(zip(spots, sizes, strict=True)):
        fixed[k] += OVERLAP_COST * sum(_overlap(spot, size, node, node_size) for node in nodes)
        trace = np.delete(traces, k, axis=0).reshape(-1, 2)
        beneath = np.abs(spot[:, None] - trace) < size / 2 + 0.06
        fixed[k] += BENEATH_COST * beneath.all(axis=-1).sum(axis=1)
    return fixed


def _overlap(spots: np.ndarray, size: np.ndarray, other: ArrayLike, other_size: np.ndarray) -> np.ndarray:
    """By how much a label of ``size`` at each of ``spots``, (places, 2), overlaps a box, (places,); 0 if apart."""
    distance = np.abs(spots - other)
    shared = (size + other_size) / 2 - distance
    return np.clip(shared.min(axis=-1), 0, None)
