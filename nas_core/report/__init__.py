"""Plots (numbers in, axes out), cell diagrams, tables beside printed values, and the one ``save``; imports no torch."""

from nas_core.report import measured, theory
from nas_core.report.boxes import draw_matrix, draw_network, network_handles
from nas_core.report.chains import Box, Chain, draw_chains
from nas_core.report.compare import Difference, compare, parts
from nas_core.report.costs import draw_gradient_and_cost, draw_last_two, draw_small_cells, draw_two_paths, thousandths
from nas_core.report.curves import curve_table, curves, guide, probability_panels, probability_table, signed_log
from nas_core.report.diagrams import draw_cell, edge_handles
from nas_core.report.dots import dots
from nas_core.report.evolution import (
    Pattern,
    count_bars,
    edge_curves,
    edges_table,
    in_blocks,
    kind_curves,
    kind_legend,
    kind_table,
    pattern_panels,
    turned_table,
)
from nas_core.report.flows import connect, draw_flow, draw_unit, flow_handles, join_cells, unit_handles
from nas_core.report.footer import footer
from nas_core.report.fronts import (
    Drawn,
    draw_children,
    draw_fronts,
    draw_generation,
    draw_pairs,
    points_table,
    read_children,
)
from nas_core.report.heat import cost_map, heat_map, signed
from nas_core.report.paper_table import Column, PaperTable, over_seeds, paper_table
from nas_core.report.save import picture, save, show
from nas_core.report.scenes import box_handles, draw_scene
from nas_core.report.snapshots import snapshot_table, topology_snapshots
from nas_core.report.style import WIRING_ORDER, new_figure, op_handles, op_style, use_style
from nas_core.report.verdicts import Verdicts, verdict_text

# fmt: off
__all__ = [
    "WIRING_ORDER", "Box", "Chain", "Column", "Difference", "Drawn", "PaperTable", "Pattern", "Verdicts",
    "box_handles", "compare", "connect", "cost_map", "count_bars", "curve_table", "curves", "dots", "draw_cell",
    "draw_chains", "draw_children", "draw_flow", "draw_fronts", "draw_generation", "draw_gradient_and_cost",
    "draw_last_two", "draw_matrix", "draw_network", "draw_pairs", "draw_scene", "draw_small_cells",
    "draw_two_paths", "draw_unit", "edge_curves", "edge_handles", "edges_table", "flow_handles", "footer", "guide",
    "heat_map", "in_blocks", "join_cells", "kind_curves", "kind_legend", "kind_table", "measured",
    "network_handles", "new_figure", "op_handles", "op_style", "over_seeds", "paper_table", "parts",
    "pattern_panels", "picture", "points_table", "probability_panels", "probability_table", "read_children", "save",
    "show", "signed", "signed_log", "snapshot_table", "theory", "thousandths", "topology_snapshots", "turned_table",
    "unit_handles", "use_style", "verdict_text",
]
