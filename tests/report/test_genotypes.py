"""A genotype as picture and text: both show the edges that it has, and no others."""

from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.report.genotypes import genotype_figure, genotype_text

NORMAL = CellGenotype(2, 2, ((0, 2, "sep_conv_3x3"), (0, 2, "max_pool_3x3"), (1, 2, "conv_7x1_1x7")), (2, 3))
REDUCE = CellGenotype(1, 2, ((1, 2, "skip_connect"), (0, 1, "dil_conv_5x5")), (2,))


def test_a_picture_shows_both_cells_with_their_edges_alone() -> None:
    figure = genotype_figure(Genotype(NORMAL, REDUCE))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["normal cell: width 3, mid 0, depth 1", "reduction cell: width 1, mid 1, depth 2"]
    kinds = ("kept", "dropped", "output")
    shown = []
    for ax in figure.axes:
        shown.append([str(p.get_gid()) for p in ax.patches if str(p.get_gid()).startswith(kinds)])
    assert sorted(shown[0]) == ["kept 0-2 max", "kept 0-2 sep3", "kept 1-2 c7x1", "output 2-4", "output 3-4"]
    assert sorted(shown[1]) == ["kept 0-1 dil5", "kept 1-2 skip", "output 2-3"]


def test_a_genotype_without_reduction_is_one_cell() -> None:
    assert len(genotype_figure(Genotype(NORMAL)).axes) == 1
    assert genotype_text(Genotype(NORMAL)).splitlines() == [
        "normal cell",
        "  node 2 = sep_conv_3x3(0) + max_pool_3x3(0) + conv_7x1_1x7(1)",
        "  node 3 = 0",
        "  output = nodes 2, 3",
    ]


def test_text_has_the_reduction_after_the_normal_cell() -> None:
    assert genotype_text(Genotype(NORMAL, REDUCE)).splitlines()[4:] == [
        "reduction cell",
        "  node 1 = dil_conv_5x5(0)",
        "  node 2 = skip_connect(1)",
        "  output = nodes 2",
    ]
