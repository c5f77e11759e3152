"""A genotype as a picture and as lines of text."""

from __future__ import annotations

from matplotlib.figure import Figure

from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.topology import Topology
from nas_core.report.diagrams import draw_cell
from nas_core.report.style import new_figure, use_style


def _cells(genotype: Genotype) -> dict[str, CellGenotype]:
    """The cells of a genotype by their names."""
    cells = {"normal cell": genotype.normal}
    if genotype.reduce is not None:
        cells["reduction cell"] = genotype.reduce
    return cells


@use_style()
def genotype_figure(genotype: Genotype) -> Figure:
    """The normal and the reduction cell, one above the other, with their width, mid and depth."""
    cells = _cells(genotype)
    longest = max(cell.nodes for cell in cells.values())
    figure, axes = new_figure(2.0 + 1.3 * longest, 3.4 * len(cells), len(cells))
    for ax, (name, cell) in zip(axes[:, 0], cells.items(), strict=True):
        draw_cell(ax, graph_of(cell), cell)
        ax.set_title(f"{name}: width {cell.width()}, mid {cell.mid()}, depth {cell.depth()}", size=9)
    return figure


def graph_of(cell: CellGenotype) -> Topology:
    """The topology that has the edges of ``cell`` and no others."""
    pairs = {(source, target) for source, target, _ in cell.edges}
    edges = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    return Topology("genotype", cell.inputs, cell.nodes, tuple(edges), cell.output)


def genotype_text(genotype: Genotype) -> str:
    """For every node what it reads, and which nodes are concatenated, one a line."""
    lines = []
    for name, cell in _cells(genotype).items():
        lines.append(name)
        for node in cell.intermediate:
            read = [f"{op}({source})" for source, target, op in cell.edges if target == node]
            lines.append(f"  node {node} = {' + '.join(read) or '0'}")
        lines.append(f"  output = nodes {', '.join(map(str, cell.output))}")
    return "\n".join(lines)
