"""Plots (numbers in, axes out), cell diagrams, tables beside printed values, and the one ``save``; imports no torch."""

from nas_core.report.boxes import draw_matrix, draw_modules, draw_network, network_handles
from nas_core.report.compare import Difference, compare, parts
from nas_core.report.curves import curve_table, curves, guide, probability_panels, probability_table
from nas_core.report.diagrams import draw_cell, edge_handles
from nas_core.report.evolution import edge_curves, edges_table, in_blocks, kind_curves, kind_legend, kind_table
from nas_core.report.flows import draw_flow, flow_handles, join_cells
from nas_core.report.footer import footer
from nas_core.report.paper_table import Column, PaperTable, over_seeds, paper_table
from nas_core.report.save import picture, save, show
from nas_core.report.snapshots import snapshot_table, topology_snapshots
from nas_core.report.style import WIRING_ORDER, new_figure, op_handles, op_style, use_style
from nas_core.report.tables import beside_printed
from nas_core.report.verdicts import Verdicts, verdict_table, verdict_text

# fmt: off
__all__ = [
    "WIRING_ORDER", "Column", "Difference", "PaperTable", "Verdicts", "beside_printed", "compare", "curve_table",
    "curves", "draw_cell", "draw_flow", "draw_matrix", "draw_modules", "draw_network", "edge_curves", "edge_handles",
    "edges_table", "flow_handles", "footer", "guide", "in_blocks", "join_cells", "kind_curves", "kind_legend",
    "kind_table", "network_handles", "new_figure", "op_handles", "op_style", "over_seeds", "paper_table", "parts",
    "picture", "probability_panels", "probability_table", "save", "show", "snapshot_table", "topology_snapshots",
    "use_style", "verdict_table", "verdict_text",
]
