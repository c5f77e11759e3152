"""Edges by kind and edge by edge: what is drawn stands in the table, and the legend explains it."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.topology import darts_cell
from nas_core.report import (
    Pattern,
    count_bars,
    curve_table,
    edge_curves,
    edges_table,
    in_blocks,
    kind_curves,
    kind_legend,
    kind_table,
    new_figure,
    pattern_panels,
    turned_table,
)
from nas_core.report.standard import problems


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def lines(ax: Axes, gid: str) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in ax.lines if line.get_gid() == gid]


def by_kind() -> dict[str, np.ndarray]:
    return {"input edges": draw(4, 6), "intermediate edges": draw(4, 6) + 1}


def test_kinds_have_mean_range_and_the_median_seed() -> None:
    data = by_kind()
    table = kind_table(data, median=2)
    rows = table[table["curve"] == "intermediate edges"]
    series = data["intermediate edges"]
    np.testing.assert_allclose(rows["mean"], series.mean(0))
    np.testing.assert_array_equal(rows["low"], series.min(0))
    np.testing.assert_array_equal(rows["high"], series.max(0))
    np.testing.assert_array_equal(rows["median_seed"], series[2])


def test_kinds_are_drawn_from_their_table() -> None:
    table = kind_table(by_kind(), median=1, x=np.arange(1, 7))
    figure, axes = new_figure(7, 3)
    ax = kind_curves(table, axes[0, 0], ylabel="share")
    kind_legend(figure, table)
    rows = table[table["curve"] == "input edges"]
    np.testing.assert_array_equal(lines(ax, "mean input edges")[0], rows["mean"])
    np.testing.assert_array_equal(lines(ax, "median input edges")[0], rows["median_seed"])
    assert not problems(figure, table)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["input edges (mean)", "intermediate edges", "smallest to largest seed", "median seed"]


def test_one_seed_has_no_band_and_no_median() -> None:
    table = kind_table({"all edges": draw(6)})
    figure, axes = new_figure(7, 3)
    kind_curves(table, axes[0, 0])
    kind_legend(figure, table)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["all edges"]


def test_an_unknown_kind_is_not_drawn() -> None:
    with pytest.raises(KeyError):
        kind_curves(kind_table({"some edges": draw(6)}))


def test_blocks_are_means_and_leave_out_a_rest() -> None:
    series = np.arange(14.0).reshape(2, 7)
    np.testing.assert_array_equal(in_blocks(series, 3), [[1, 4], [8, 11]])
    np.testing.assert_array_equal(in_blocks(series, 1), series)


def test_edges_are_those_of_one_seed_and_the_mean_is_of_all() -> None:
    series = draw(3, 5, 4)
    table = edges_table(series, median=1)
    mean = table[table["curve"] == "mean"]
    edge = table[table["curve"] == "edge 2"]
    np.testing.assert_allclose(mean["mean"], series.mean((0, 2)))
    np.testing.assert_array_equal(edge["mean"], series[1, :, 2])
    figure, axes = new_figure(4, 3)
    edge_curves(table, axes[0, 0])
    assert len(axes[0, 0].lines) == 5
    assert not problems(figure, table)


def test_a_number_that_is_drawn_and_not_in_the_table_is_found() -> None:
    table = edges_table(draw(3, 5, 4), median=1)
    figure, axes = new_figure(4, 3)
    edge_curves(pd.concat([table, edges_table(draw(3, 5, 6) + 7, median=0)]), axes[0, 0])
    assert problems(figure, table)


def test_the_share_of_seeds_that_have_turned_rises_and_leaves_out_those_that_never_do() -> None:
    table = turned_table({"input edges": np.array([2.0, 3.0, 3.0, np.nan])}, epochs=4)
    np.testing.assert_array_equal(table["epoch"], [1, 2, 3, 4])
    np.testing.assert_array_equal(table["mean"], [0, 0.25, 0.75, 0.75])


def test_bars_stand_side_by_side_over_their_counts() -> None:
    rows = [(name, count, 0.1 * count) for name in ("ours", "chance") for count in range(3)]
    table = pd.DataFrame(rows, columns=["series", "count", "share"])
    figure, axes = new_figure(4, 3)
    ax = count_bars(table, axes[0, 0])
    (first, second) = (bar for bar in ax.patches if round(float(bar.get_height()), 9) == 0.2)
    assert first.get_x() + first.get_width() == pytest.approx(2)
    assert second.get_x() == pytest.approx(2)
    assert not problems(figure, table)


def some_pattern(title: str, control: pd.DataFrame | None = None) -> Pattern:
    cell = CellGenotype(2, 4, ((0, 2, "sep_conv_3x3"), (1, 2, "skip_connect")), (2, 3, 4, 5))
    cells = (("epoch 2: most are dropped", cell), ("epoch 5: the end", cell))
    return Pattern(title, darts_cell(4), cells, kind_table(by_kind(), median=0), kind_table(by_kind()), control)


def test_patterns_stand_side_by_side_with_cells_above_and_one_legend_each() -> None:
    control = curve_table({"control": draw(3, 6)})
    columns = [some_pattern("SNAS: P1 and P2"), some_pattern("DARTS: P3", control)]
    figure = pattern_panels(columns)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles[:2] == ["SNAS: P1 and P2\nepoch 2: most are dropped", "DARTS: P3\nepoch 2: most are dropped"]
    assert titles[2:] == ["epoch 5: the end"] * 2
    above, below = ([text.get_text() for text in legend.get_texts()] for legend in figure.legends)
    assert above == ["skip", "sep3", "dropped"]
    assert below[-1] == "control on one level"
    shown = [ax for ax in figure.axes if any(line.get_gid() == "control" for line in ax.lines)]
    assert len(shown) == 1
    np.testing.assert_array_equal(lines(shown[0], "control")[0], control["mean"])
    tables = [table.assign(panel="") for column in columns for table in (column.dropped, column.none)]
    assert not problems(figure, pd.concat([*tables, control.assign(panel="")]))
    assert problems(figure, pd.concat(tables)), "the control is not in the table"
