"""Where something flows through a cell: broad directed bands beside its edges."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Polygon

from nas_core.cells.topology import Topology
from nas_core.report.diagrams import draw_cell, drawn_edges, edge_labels, points_per_unit, write_labels
from nas_core.report.layout import at
from nas_core.report.style import FONT, GREY, use_style

Paths = Mapping[str, Sequence[tuple[int, ...]]]  # of every flow the paths, each a list of nodes
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
    texts: Mapping[str, Mapping[tuple[int, int], str]] | None = None,
    labels: bool = True,
    names: Mapping[int, str] | None = None,
) -> Axes:
    """Draw a cell (:func:`draw_cell`) and along it named flows, each a list of paths of nodes, e.g. (4, 3, 2, 0).

    A path against the direction of the edges is one that goes backwards, as gradients and costs do. A band lies beside
    its edge: the first flow to the left, the second to the right of it, and so on. ``texts``: of every flow the numbers
    on its steps, e.g. ``{"cost": {(3, 2): "0"}}``; ``labels`` and ``names`` as in :func:`draw_cell`. Raises
    ``ValueError`` for a step without an edge and for a number on a step that its flow does not take.
    """
    ax = draw_cell(ax, topology, labels=False, names=names)
    drawn, unit, taken = drawn_edges(topology), points_per_unit(ax), Counter[tuple[int, int, int]]()
    curves = {(e.source, e.target): points for e, points in drawn}
    texts = dict(texts or {})
    colour, written = _colours(flows, colours), edge_labels(drawn, labels, {})
    for k, (flow, paths) in enumerate(flows.items()):
        margin = {}  # of every step the curve beside its band, where its number stands
        for a, b in dict.fromkeys(step for path in paths for step in pairwise(path)):
            edge, side = (min(a, b), max(a, b)), 1 - 2 * (k % 2)
            if edge not in curves:
                raise ValueError(f"flow {flow!r} cannot go from {a} to {b}: the cell has no edge {edge}")
            away = FREE + WIDTH / 2 + (WIDTH + 1) * taken[*edge, side]
            taken[*edge, side] += 1
            path = _aside(curves[edge], side * away / unit)[:: 1 if a < b else -1]
            margin[a, b] = _aside(curves[edge], side * (away + WIDTH / 2 + TEXT) / unit)
            band = Polygon(_ribbon(path, WIDTH / unit, HEAD / unit), fc=colour[flow], ec="white", lw=0.5)
            band.set(zorder=2.5, gid=f"flow {flow} {a}-{b}")
            ax.add_patch(band)
        for step, text in texts.pop(flow, {}).items():
            if step not in margin:
                raise ValueError(f"cannot write on step {step}: flow {flow!r} does not take it")
            written.append((margin[step], text, colour[flow], f"text {flow} {step[0]}-{step[1]}"))
    if texts:
        raise ValueError(f"cannot write on flow {next(iter(texts))!r}: there is no such flow")
    write_labels(ax, topology, written, drawn)
    return ax


def flow_handles(flows: Sequence[str] | Paths, colours: Mapping[str, str] | None = None) -> list[Patch]:
    """Legend entries of named flows."""
    used = _colours(flows, colours)
    return [Patch(fc=used[flow], label=flow) for flow in flows]


def _colours(flows: Sequence[str] | Paths, given: Mapping[str, str] | None) -> dict[str, str]:
    others = cycle(OTHERS)
    return {flow: COLOURS.get(flow) or next(others) for flow in flows} | dict(given or {})


def _aside(points: np.ndarray, distance: float) -> np.ndarray:
    """The control points of a curve at a distance to the left of another one (Tiller and Hanson: its legs, moved)."""
    legs = np.diff(points, axis=0)
    normals = np.stack([-legs[:, 1], legs[:, 0]], axis=-1) / np.hypot(*legs.T)[:, None]
    before, after = normals[[0, 0, 1, 2]], normals[[0, 1, 2, 2]]
    mitres = (before + after) / (1 + (before * after).sum(axis=1, keepdims=True))
    return np.asarray(points + distance * mitres)


def _ribbon(points: np.ndarray, width: float, head: float) -> np.ndarray:
    """The outline of a broad arrow along a curve, shape (corners, 2)."""
    path = at(points, np.linspace(0, 1, 201))
    ahead = np.hypot(*(path - path[-1]).T)
    path, tip = path[ahead >= min(head, 0.6 * ahead[0])], path[-1]
    along = np.gradient(path, axis=0)
    normals = np.stack([-along[:, 1], along[:, 0]], axis=-1) / np.hypot(*along.T)[:, None]
    left, right = path + normals * width / 2, path - normals * width / 2
    barb = normals[-1] * width / 2
    return np.concatenate([left, [left[-1] + barb, tip, right[-1] - barb], right[::-1]])


@use_style()
def join_cells(left: Axes, right: Axes, text: str = "") -> Axes:
    """Draw the line from the output of one drawn cell to the input c_{k-1} of the next one; return its axes, ``right``.

    Both stand in axes of one figure, side by side; ``text`` is written below the end of the line.
    """
    named = [[t for t in ax.texts if str(t.get_gid()).startswith("name")] for ax in (left, right)]
    arrow = {"arrowstyle": "-|>", "color": GREY, "lw": 1.2, "shrinkA": 2, "shrinkB": 2}
    start, end = named[0][-1], named[1][-2]
    line = right.annotate(
        "", (0, 0.5), (1, 0.5), xycoords=end, textcoords=start, arrowprops=arrow, annotation_clip=False
    )
    line.set(in_layout=False, gid="join")
    below: dict[str, Any] = {"xycoords": end, "textcoords": "offset points", "ha": "right", "va": "top", "size": FONT}
    right.annotate(text, (1, 0), (0, -5), **below, annotation_clip=False, gid="join text")
    return right
