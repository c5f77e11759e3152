"""Many small cells over the epochs of a search."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.topology import Topology
from nas_core.report.diagrams import SMALL, Box, draw_graph, drawn_edges
from nas_core.report.layout import bounds
from nas_core.report.standard import WIDEST
from nas_core.report.style import FAINT, WIRING_ORDER, op_handles, short, use_style


@use_style()
def topology_snapshots(
    genotypes: Sequence[CellGenotype], epochs: Sequence[int], topology: Topology, *, columns: int = 3
) -> Figure:
    """A grid of small cells, one per epoch, each with the numbers of its kept edges; one legend for the operations.

    Raises ``ValueError`` for another number of epochs than of genotypes, and for none.
    """
    if len(genotypes) != len(epochs) or not genotypes:
        raise ValueError(f"{len(genotypes)} genotypes and {len(epochs)} epochs: give one epoch for each genotype")
    drawn = [drawn_edges(topology, genotype) for genotype in genotypes]
    curves = []
    for cell in drawn:
        curves += [points for _, points in cell]
    box = bounds(topology, curves)
    columns = min(columns, len(genotypes))
    rows = math.ceil(len(genotypes) / columns)
    height = rows * (cell_height(box, (WIDEST - 0.1) / columns) + 0.3) + 0.45
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
    figure = Figure(figsize=(WIDEST, height), layout=layout)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid:
        ax.set_axis_off()
    for ax, genotype, epoch, edges in zip(grid, genotypes, epochs, drawn, strict=False):
        draw_graph(ax, topology, edges, SMALL, box)
        ax.set_title(snapshot_title(genotype, epoch, topology), size=7, pad=2)
    handles = snapshot_handles(genotypes)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, columnspacing=1.0)
    return figure


def snapshot_table(
    genotypes: Sequence[CellGenotype], epochs: Sequence[int], topology: Topology, *, seed: int
) -> pd.DataFrame:
    """What :func:`topology_snapshots` draws, tidy: a row an edge and epoch with its operation, ``none`` if dropped."""
    rows = []
    for genotype, epoch in zip(genotypes, epochs, strict=True):
        kept = {(i, j): op for i, j, op in genotype.edges}
        for number, edge in enumerate(topology.edges):
            kind = "intermediate" if number in topology.intermediate_edges else "input"
            rows.append((f"epoch {epoch}", seed, number, f"{edge[0]} → {edge[1]}", kind, kept.get(edge, "none")))
    return pd.DataFrame(rows, columns=["panel", "seed", "edge", "nodes", "kind", "op"])


def cell_height(box: Box, width: float) -> float:
    """How high a cell in ``box`` is that is ``width`` wide, in inches."""
    left, right, bottom, top = box
    return width * (top - bottom) / (right - left)


def snapshot_handles(genotypes: Sequence[CellGenotype]) -> list[Line2D]:
    """Legend entries of the operations that occur, the usual ones in their order first, and of dropped edges."""
    names: set[str] = set()
    for genotype in genotypes:
        names.update(short(op) for _, _, op in genotype.edges)
    usual = [op for op in WIRING_ORDER if op in names]
    others = sorted(names - set(WIRING_ORDER))
    dropped = Line2D([], [], color=FAINT, ls=(0, (1, 1.6)), lw=1, label="dropped")
    return [*op_handles(usual + others, solid=True), dropped]


def snapshot_title(genotype: CellGenotype, epoch: int, topology: Topology) -> str:
    """``epoch 7: 5 of 14 kept`` and below how many of them are input and intermediate edges."""
    kept = {(i, j) for i, j, _ in genotype.edges}
    wide = sum(i < topology.inputs for i, _ in kept)
    return (
        f"epoch {epoch}: {len(kept)} of {len(topology.edges)} kept\n"
        f"{wide}/{len(topology.input_edges)} input, {len(kept) - wide}/{len(topology.intermediate_edges)} intermediate"
    )
