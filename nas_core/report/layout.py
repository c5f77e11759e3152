"""Where the nodes, edges and labels of a cell are drawn: an arc diagram, computed from the topology alone.

Intermediate nodes stand on a line, input nodes in a column on its left, the output on its right. Edges between
neighbours are straight, all others are arcs nested above or below the line, so no edge runs through a node.
Coordinates are in units in which neighbours are ``STEP`` apart and a node has radius ``RADIUS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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
    if topology.inputs == 1:
        places = {0: (0.0, 0.0)}
    else:
        places = {i: (0.0, HALF - 2 * HALF * i / (topology.inputs - 1)) for i in range(topology.inputs)}
    line = [*topology.intermediate, output_node(topology)]
    return places | {n: (STEP * (k + 1), 0.0) for k, n in enumerate(line)}


def curve(topology: Topology, i: int, j: int, bend: float = 0.0) -> np.ndarray:
    """The cubic Bezier curve of edge (i, j), cut at the rims of both nodes: control points, shape (4, 2).

    ``bend`` moves its middle sideways, which keeps parallel edges apart.
    """
    places = positions(topology)
    start, end = np.array(places[i]), np.array(places[j])
    across = end - start
    if i < topology.inputs:
        points = _from_input(topology, i, j, start, end)
    else:
        span, out = j - i, j == output_node(topology)
        side = _side(topology, i, out)
        lift = side * 0.66 * span if span > 1 else 0.0
        steep = max(0.10, 0.28 - 0.04 * span) * across[0]
        points = np.array([start, start + _by(steep, lift), end + _by(-0.29 * across[0], lift), end])
    normal = np.array([-across[1], across[0]]) / np.hypot(*across)
    points += bend * np.array([0.3, 1, 1, 0.3])[:, None] * normal
    return _cut(points, start, end)


def _from_input(topology: Topology, i: int, j: int, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Arcs from an input node: the upper one's above the line, the lower one's below, longer ones outside."""
    order, dx = j - topology.inputs, end[0] - start[0]
    if topology.inputs == 1:
        lift = 0.66 * (order + 1) if order else 0.0
        return np.array([start, start + _by(0.2 * dx, lift), end + _by(-0.2 * dx, lift), end])
    side = 1.0 if start[1] > 0 else -1.0 if start[1] < 0 else 0.0
    if order == 0:
        return np.array([start, start + _by(0.35 * dx, 0), end + _by(-0.35 * dx, 0.45 * side), end])
    outer = side * (abs(start[1]) + 0.6 * order)
    return np.array([start, start + _by(0.3 * dx, side * 0.65 * order), end + _by(-0.09 * dx, outer), end])


def _by(dx: float, dy: float) -> np.ndarray:
    return np.array((dx, dy))


def _side(topology: Topology, i: int, out: bool) -> float:
    """Above (+1) or below (-1) the line: alternating for intermediate edges, opposite for output edges."""
    if topology.inputs == 1:
        return -1.0
    even = (i - topology.inputs) % 2 == 0
    return -1.0 if even == out else 1.0


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
    path = np.concatenate(
        [at(c, np.linspace(0, 1, 41)) for c in curves] + [np.array(list(positions(topology).values()))]
    )
    (left, low), (right, high) = path.min(axis=0), path.max(axis=0)
    return left - 1.25, right + 1.25, min(low, -RADIUS) - 0.35, max(high, RADIUS) + 0.35


def place_labels(
    curves: Sequence[np.ndarray], sizes: Sequence[tuple[float, float]], nodes: Mapping[int, tuple[float, float]]
) -> list[tuple[float, float]]:
    """Where the labels of edges sit: on their own curve, apart from each other, from nodes and from other edges.

    ``sizes``: width and height of each label. Starting from the middles, labels move one after the other to the
    place of least overlap until nothing changes.
    """
    grid = np.linspace(0.1, 0.9, 49)
    spots = [at(c, grid) for c in curves]
    traces = [at(c, np.linspace(0, 1, 81)) for c in curves]
    discs = np.array(list(nodes.values()))
    choice = [len(grid) // 2] * len(curves)
    fixed = [_fixed_cost(k, spots[k], sizes[k], traces, discs) + 0.6 * (grid - 0.5) ** 2 for k in range(len(curves))]
    for _ in range(8):
        before = list(choice)
        for k in range(len(curves)):
            cost = fixed[k].copy()
            for m in range(len(curves)):
                if m != k:
                    cost += 60 * _overlap(spots[k], sizes[k], spots[m][choice[m]], sizes[m])
            choice[k] = int(cost.argmin())
        if choice == before:
            break
    return [(float(spots[k][c][0]), float(spots[k][c][1])) for k, c in enumerate(choice)]


def _fixed_cost(
    k: int, spots: np.ndarray, size: tuple[float, float], traces: Sequence[np.ndarray], discs: np.ndarray
) -> np.ndarray:
    """What a label costs at each spot because of nodes (much) and of other edges beneath it (some)."""
    half = np.array(size) / 2
    gap = np.abs(spots[:, None] - discs[None]) - half - RADIUS
    cost = 60.0 * np.clip(-gap.max(axis=-1), 0, None).sum(axis=1)
    for m, trace in enumerate(traces):
        if m != k:
            inside = (np.abs(spots[:, None] - trace[None]) < half + 0.06).all(axis=-1)
            cost += 0.08 * inside.sum(axis=1)
    return cost


def _overlap(
    spots: np.ndarray, size: tuple[float, float], other: np.ndarray, other_size: tuple[float, float]
) -> np.ndarray:
    """By how much a label at each spot overlaps another one (0: apart)."""
    need = (np.array(size) + np.array(other_size)) / 2
    return np.clip((need - np.abs(spots - other)).min(axis=-1), 0, None)
