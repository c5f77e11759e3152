"""Cells with several paths on an edge: every path is an arrow of its own, and can be read back."""

from nas_core.cells.genotype import CellGenotype
from nas_core.report.path_cells import draw_path_cells, path_cells_table, read_paths

NORMAL = CellGenotype(
    2, 1, ((0, 2, "sep_conv_3x3"), (0, 2, "max_pool_3x3"), (0, 2, "skip_connect"), (1, 2, "dil_conv_5x5")), (2,)
)
REDUCE = CellGenotype(2, 1, ((0, 2, "avg_pool_3x3"), (1, 2, "avg_pool_3x3")), (2,))
CELLS = {"normal cell": NORMAL, "reduction cell": REDUCE}


def test_every_path_is_an_arrow_with_its_operation() -> None:
    figure = draw_path_cells(CELLS)
    assert [ax.get_title() for ax in figure.axes] == list(CELLS)
    shown = [read_paths(ax) for ax in figure.axes]
    assert shown[0] == {(0, 2, "sep3"), (0, 2, "max"), (0, 2, "skip"), (1, 2, "dil5")}
    assert shown[1] == {(0, 2, "avg"), (1, 2, "avg")}


def test_parallel_paths_lie_apart() -> None:
    ax = draw_path_cells(CELLS).axes[0]
    middles = [tuple(line.get_xydata()[0].round(3)) for line in ax.lines]
    assert len(middles) == len(set(middles)) == len(NORMAL.edges)


def test_the_legend_has_the_operations_that_occur_and_no_others() -> None:
    (legend,) = draw_path_cells(CELLS).legends
    assert [text.get_text() for text in legend.get_texts()] == ["skip", "max", "avg", "sep3", "dil5"]


def test_the_table_has_a_row_a_path() -> None:
    table = path_cells_table(CELLS)
    assert len(table) == len(NORMAL.edges) + len(REDUCE.edges)
    assert table.iloc[0].tolist() == ["normal cell", 0, 2, "sep3"]
