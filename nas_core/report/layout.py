"""Where the nodes, edges and labels of a cell are drawn: an arc diagram, computed from the topology alone.

Intermediate nodes stand on a line, input nodes in a column on its left, the output on its right. Edges between
neighbours are straight, all others are arcs nested above or below the line, so no edge runs through a node.
Coordinates are in units in which neighbours are ``STEP`` apart and a node has radius ``RADIUS``.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from nas_core.cells.topology import Topology

STEP = 1.75
RADIUS = 0.3
HALF = 1.25  # half the height of the column of input nodes
GAP = 0.05  # between an arrow's ends and the nodes


def output_node(topology: Topology) -> int:
    """The number of the output node, which follows the intermediate ones."""
    return topology.inputs + topology.nodes


def positions(topology: Topology) -> dict[int, tuple[float, float]]:
    """The centre of every node, the output included."""
    heights = np.linspace(HALF, -HALF, topology.inputs) if topology.inputs > 1 else [0.0]
    places = {i: (0.0, float(y)) for i, y in enumerate(heights)}
    line = [*topology.intermediate, output_node(topology)]
    return places | {n: (STEP * (k + 1), 0.0) for k, n in enumerate(line)}


def curve(topology: Topology, i: int, j: int, bend: float = 0.0) -> np.ndarray:
    """The cubic Bezier curve of edge (i, j), cut at the rims of both nodes: control points, shape (4, 2).

    ``bend`` moves its middle sideways, which keeps parallel edges apart.
    """
    places = positions(topology)
    start, end = np.array(places[i]), np.array(places[j])
    dx, dy = end - start
    leave, arrive = _handles(topology, i, j, dx)
    points = np.array([start, start + leave, end + arrive, end])
    points += bend * np.array([0.6, 1, 1, 0.6])[:, None] * np.array([-dy, dx]) / np.hypot(dx, dy)
    return _cut(points, start, end)


def _handles(topology: Topology, i: int, j: int, dx: float) -> np.ndarray:
    """Where an edge heads when it leaves and whence it comes when it arrives, relative to its nodes; shape (2, 2).

    Arcs from the upper input node run above the line and those from the lower one below, longer ones outside; other
    arcs alternate. With one input node its arcs run above the line and all others below.
    """
    single, first = topology.inputs == 1, i < topology.inputs
    span = j - i if single or not first else j - topology.inputs + 1
    if first and not single:
        height = positions(topology)[i][1]
        side = np.sign(height)
        if span == 1:
            return np.array([(0.35 * dx, 0), (-0.35 * dx, 0.45 * side)])
        return np.array([(0.3 * dx, 0.65 * side * (span - 1)), (-0.09 * dx, height + 0.6 * side * (span - 1))])
    even, out = (i - topology.inputs) % 2 == 0, j == output_node(topology)
    side = 1.0 if first or (not single and even != out) else -1.0
    lift = 0.66 * side * span if span > 1 else 0.0
    return np.array([(max(0.1, 0.28 - 0.04 * span) * dx, lift), (-0.29 * dx, lift)])


def at(points: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """Points of a cubic Bezier curve at parameters in [0, 1]; shape (..., 2)."""
    t = np.asarray(t, dtype=float)[..., None]
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    total: np.ndarray = sum((w * p for w, p in zip(weights, points, strict=True)), np.zeros(2))
    return total


def _cut(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The part of a curve that lies outside the nodes at its ends."""
    grid, rim = np.linspace(0, 1, 401), RADIUS + GAP
    path = at(points, grid)
    outside = np.flatnonzero((np.hypot(*(path - start).T) >= rim) & (np.hypot(*(path - end).T) >= rim))
    first, last = grid[outside[0]], grid[outside[-1]]
    corners = ((first, first, first), (first, first, last), (first, last, last), (last, last, last))
    return np.array([_blossom(points, *c) for c in corners])


def _blossom(points: np.ndarray, *t: float) -> np.ndarray:
    """De Casteljau's division with another parameter at each level, which gives the control points of a part."""
    for u in t:
        points = points[:-1] + u * (points[1:] - points[:-1])
    return np.asarray(points[0])


def bounds(topology: Topology, curves: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of everything that is drawn, with a margin for the names of inputs and output."""
    paths = [at(c, np.linspace(0, 1, 41)) for c in curves]
    points = np.concatenate([*paths, list(positions(topology).values())])
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    return left - 1.25, right + 1.25, min(low, -RADIUS) - 0.35, max(high, RADIUS) + 0.35


def place_labels(
    curves: Sequence[np.ndarray], sizes: np.ndarray, nodes: Iterable[tuple[float, float]], others: Sequence[np.ndarray]
) -> np.ndarray:
    """Where the labels of edges sit, shape (edges, 2): on their own curve, apart from each other, nodes and edges.

    ``sizes``: width and height of each label, (edges, 2); ``others``: the curves of edges without label. Starting from
    the middles, labels move one after the other to the place of least overlap until nothing changes.
    """
    grid = np.linspace(0.1, 0.9, 49)
    spots = np.array([at(c, grid) for c in curves])  # (edges, places, 2)
    traces = np.array([at(c, np.linspace(0, 1, 81)) for c in (*curves, *others)])
    fixed = np.tile(0.6 * (grid - 0.5) ** 2, (len(curves), 1))
    for k, (spot, size) in enumerate(zip(spots, sizes, strict=True)):
        fixed[k] += 60 * sum(_overlap(spot, size, node, np.full(2, 2 * RADIUS)) for node in nodes)
        beneath = np.delete(traces, k, axis=0).reshape(-1, 2)
        fixed[k] += 0.08 * (np.abs(spot[:, None] - beneath) < size / 2 + 0.06).all(axis=-1).sum(axis=1)
    choice = np.full(len(curves), len(grid) // 2)
    for _ in range(8):
        before = choice.copy()
        for k in range(len(curves)):
            rest = [m for m in range(len(curves)) if m != k]
            taken = sum(_overlap(spots[k], sizes[k], spots[m, choice[m]], sizes[m]) for m in rest)
            choice[k] = (fixed[k] + 60 * taken).argmin()
        if (choice == before).all():
            break
    return spots[np.arange(len(curves)), choice]


def _overlap(spots: np.ndarray, size: np.ndarray, other: ArrayLike, other_size: np.ndarray) -> np.ndarray:
    """By how much a label at each spot overlaps a box (0: apart)."""
    return np.clip(((size + other_size) / 2 - np.abs(spots - other)).min(axis=-1), 0, None)
