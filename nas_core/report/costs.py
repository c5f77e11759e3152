"""Drawings of where gradients and costs flow in a cell; costs are written in 10⁻³."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.topology import Topology
from nas_core.report.diagrams import draw_cell
from nas_core.report.flows import Step, draw_flow, flow_handles, join_cells
from nas_core.report.heat import signed
from nas_core.report.layout import output_node
from nas_core.report.style import FONT, new_figure, use_style

UNIT = 1e3  # costs are written in thousandths
FIRST, SECOND = "first path", "second path"
PAD = 10  # points between a drawing and its title, for the numbers of its highest edge


def thousandths(cost: float, digits: int = 1) -> str:
    """A cost in 10⁻³ with its sign, 0 if it is zero to round-off."""
    return signed(UNIT * cost, digits)


@use_style()
def draw_two_paths(topology: Topology, terms: Mapping[int, Sequence[float]]) -> Figure:
    """Draw how an edge into the first and one into the second intermediate node of a minimal cell are paid.

    ``terms``: of every edge the parts of its cost, two (first path, second path) or one.
    """
    figure, ((left, right), (below, beside)) = new_figure(7.0, 3.5, 2, 2, height_ratios=[2.0, 1])
    paths: dict[str, list[tuple[int, ...]]] = {FIRST: [(4, 2, 0)], SECOND: [(4, 3, 2, 0)]}
    first, second = (thousandths(term) for term in terms[0])
    draw_flow(left, topology, paths, texts={FIRST: {(2, 0): first}, SECOND: {(2, 0): second}}, labels=False)
    left.set_title("type 1: edges 0 and 1, here edge 0", pad=PAD)
    left.legend(handles=flow_handles(paths), loc="lower right", bbox_to_anchor=(1.02, -0.02))
    only = {FIRST: [(4, 3, 0)]}
    draw_flow(right, topology, only, texts={FIRST: {(3, 0): thousandths(terms[2][0])}}, labels=False)
    right.set_title("type 2: edges 2, 3 and 4, here edge 2", pad=PAD)
    formula_1 = r"$\langle\,\partial L/\partial X_4^2\;+\;J_4^T\,\partial L/\partial X_4^3,\;\;X_2^i\,\rangle$"
    formula_2 = r"$\langle\,\partial L/\partial X_4^3\cdot\partial X_4^3/\partial X_3^i,\;\;X_3^i\,\rangle$"
    on_two_paths = {edge: parts for edge, parts in terms.items() if len(parts) == 2}
    on_one_path = {edge: parts for edge, parts in terms.items() if len(parts) == 1}
    _write_terms(below, formula_1, on_two_paths)
    _write_terms(beside, formula_2, on_one_path)
    return figure


def _write_terms(ax: Axes, formula: str, terms: Mapping[int, Sequence[float]]) -> None:
    """A formula and below it what it gives for every edge."""
    ax.set_axis_off()
    ax.text(
        0.5,
        0.95,
        formula,
        size=9,
        ha="center",
        va="top",
        transform=ax.transAxes,
    )
    for row, (edge, parts) in enumerate(terms.items()):
        line = f"edge {edge}:  {thousandths(sum(parts))}"
        if len(parts) > 1:
            written = " + ".join(f"({thousandths(part)})" for part in parts)
            line = f"edge {edge}:  {written} = {thousandths(sum(parts))}"
        ax.text(
            0.5,
            0.66 - 0.21 * row,
            line,
            size=FONT,
            ha="center",
            va="top",
            transform=ax.transAxes,
        )


@use_style()
def draw_gradient_and_cost(
    topology: Topology,
    gradients: Mapping[str, Mapping[Step, float]],
    costs: Mapping[Step, float],
    stops: Collection[Step],
) -> Figure:
    """Draw (a) where gradients flow, by path with their norms, and (b) where costs do and where they stop.

    ``gradients``: of every path its steps in order with the norm there; ``costs``: of every step, from the output on.
    """
    figure, ((left, right),) = new_figure(7.0, 2.35, 1, 2)
    paths = {}
    for name, steps in gradients.items():
        (start, _), *_ = steps
        ends = [end for _, end in steps]
        paths[name] = [(start, *ends)]
    norms = {}
    for name, steps in gradients.items():
        norms[name] = {step: f"{norm:.2g}" for step, norm in steps.items()}
    draw_flow(left, topology, paths, texts=norms, labels=False)
    left.set_title("(a) gradient of the weights on edge 0, norms", pad=PAD)
    left.legend(handles=flow_handles(paths), loc="lower right", bbox_to_anchor=(1.02, -0.04))
    written = {step: thousandths(cost) for step, cost in costs.items()}
    draw_flow(
        right,
        topology,
        {"cost": list(costs)},
        texts={"cost": written},
        stops={"cost": stops},
        labels=False,
    )
    right.set_title("(b) costs in 10⁻³", pad=PAD)
    return figure


@use_style()
def draw_last_two(topology: Topology, costs: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Draw the last two cells of a network with the cost of every edge.

    ``costs``: rows of ``cell`` ("second-last", "last"), ``source``, ``target``, ``operation`` (short, "" on output
    edges) and ``cost``; ``names``: full names of operations by their short ones.
    """
    figure, ((left, right),) = new_figure(7.0, 2.3, 1, 2)
    for ax, cell in ((left, "second-last"), (right, "last")):
        rows = costs[costs.cell == cell]
        pairs = list(zip(rows.source, rows.target, strict=True))
        on_edges = rows.operation != ""
        edges = []
        for (i, j), op in zip(pairs, rows.operation, strict=True):
            if op:
                edges.append((i, j, names[op]))
        genotype = CellGenotype(topology.inputs, topology.nodes, tuple(edges), topology.output)
        texts = dict(zip(pairs, map(thousandths, rows.cost), strict=True))
        draw_cell(ax, topology, genotype, texts=texts)
        of_edges = thousandths(rows.cost[on_edges].sum())
        of_output = thousandths(rows.cost[~on_edges].sum())
        ax.set_title(f"{cell} cell: edges {of_edges}, output {of_output}")
    join_cells(left, right)
    return figure


@use_style()
def draw_small_cells(topologies: Sequence[Topology], costs: pd.DataFrame, norms: Mapping[str, float]) -> Figure:
    """Draw simplified and modified cells with the paths of gradient and cost.

    ``costs``: rows of ``cell``, ``source``, ``target``, ``cost``; ``norms``: of every cell the norm of the gradient of
    the weights on edge (0, 1).
    """
    figure, axes = new_figure(7.0, 1.8, 1, len(topologies))
    for ax, topology in zip(axes[0], topologies, strict=True):
        end = output_node(topology)
        over_1: list[tuple[int, ...]] = [(end, 1, 0)] if 1 in topology.output else []
        flows: dict[str, list[tuple[int, ...]]] = {
            "gradient": [*over_1, (end, 2, 1, 0)],
            "cost": [*over_1, (end, 2, 0), (end, 2, 1)],
        }
        of_cell = costs[costs.cell == topology.name].set_index(["target", "source"]).cost
        paid: dict[Step, str] = {}
        for (target, source), cost in zip(of_cell.index, of_cell, strict=True):
            if over_1 or (target, source) != (1, 0):
                paid[target, source] = thousandths(cost)
        texts = {"gradient": {(1, 0): f"{norms[topology.name]:.2f}"}, "cost": paid}
        draw_flow(
            ax,
            topology,
            flows,
            texts=texts,
            stops={"cost": [(2, 1)]},
            labels=False,
        )
        ax.set_title(f"{topology.name} cell: edge (0,1) costs {thousandths(of_cell[1, 0])}")
    for ax in axes[0]:
        ax.set_ylim(axes[0][0].get_ylim())  # so that both stand at one height
    axes[0][-1].legend(handles=flow_handles(["gradient", "cost"]), loc="lower center", bbox_to_anchor=(0.5, -0.05))
    return figure
