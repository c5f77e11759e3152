"""Cells with several paths on an edge: an arrow a path, in the colour and with the mark of its operation."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nas_core.cells.genotype import CellGenotype
from nas_core.report.diagrams import SMALL, draw_graph, drawn_edges
from nas_core.report.genotypes import graph_of
from nas_core.report.layout import bounds
from nas_core.report.snapshots import cell_height
from nas_core.report.standard import WIDEST
from nas_core.report.style import WIRING_ORDER, new_figure, op_handles, short, use_style


@use_style()
def draw_path_cells(cells: Mapping[str, CellGenotype]) -> Figure:
    """The cells below each other, each under its name, and a legend of the operations that occur."""
    boxes = {}
    for name, cell in cells.items():
        boxes[name] = bounds(graph_of(cell), [points for _, points in drawn_edges(graph_of(cell), cell)])
    heights = [cell_height(box, WIDEST - 0.4) + 0.25 for box in boxes.values()]
    figure, axes = new_figure(WIDEST, sum(heights) + 0.3, len(cells), height_ratios=heights)
    for ax, (name, cell) in zip(axes[:, 0], cells.items(), strict=True):
        draw_graph(ax, graph_of(cell), drawn_edges(graph_of(cell), cell), SMALL, boxes[name])
        ax.set_title(name, size=8)
    occurring = {short(op) for cell in cells.values() for _, _, op in cell.edges}
    handles = op_handles([op for op in WIRING_ORDER if op in occurring], solid=True)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, columnspacing=1.0)
    return figure


def path_cells_table(cells: Mapping[str, CellGenotype]) -> pd.DataFrame:
    """What :func:`draw_path_cells` draws, tidy: a row a path."""
    rows = []
    for name, cell in cells.items():
        rows += [(name, source, target, short(op)) for source, target, op in cell.edges]
    return pd.DataFrame(rows, columns=["panel", "source", "target", "operation"])


def read_paths(ax: Axes) -> set[tuple[int, int, str]]:
    """The paths that a drawing of one cell shows: source, target and the short name of the operation of each arrow."""
    found = set()
    for patch in ax.patches:
        kind, *rest = str(patch.get_gid()).split()
        if kind == "kept":
            nodes, operation = rest
            source, target = nodes.split("-")
            found.add((int(source), int(target), operation))
    return found
