"""Curves: the numbers behind every line, band and legend."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy import stats

from nas_core.cells.topology import Topology, darts_cell, minimal_cell, simplified_cell
from nas_core.papers import OPERATIONS
from nas_core.report.curves import (
    curve_table,
    curves,
    guide,
    mean_band,
    probability_panels,
    probability_table,
    signed_log,
)
from nas_core.report.standard import charts, problems
from nas_core.report.style import SHADE, WIRING_ORDER, new_figure, op_style

OPS = tuple(OPERATIONS.get(op, op) for op in WIRING_ORDER)

TOPOLOGIES = [darts_cell(4), minimal_cell(), simplified_cell()]


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def lines(ax: Axes, gid: str) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in ax.lines if line.get_gid() == gid]


def legend_texts(owner: Axes | Figure) -> list[str]:
    legend = owner.get_legend() if isinstance(owner, Axes) else owner.legends[0]
    assert legend is not None
    return [t.get_text() for t in legend.get_texts()]


def test_exact_band_is_the_students_t_interval() -> None:
    series = draw(5, 7)
    mean, low, high = mean_band(series)
    expected = stats.t.interval(0.95, 4, loc=series.mean(0), scale=stats.sem(series, axis=0))
    np.testing.assert_allclose(mean, series.mean(0), rtol=1e-14)
    np.testing.assert_allclose((low, high), expected, rtol=1e-12)


def test_range_band_is_smallest_and_largest_seed() -> None:
    series = draw(3, 4)
    mean, low, high = mean_band(series, "range")
    np.testing.assert_array_equal(low, series.min(0))
    np.testing.assert_array_equal(high, series.max(0))
    assert ((low < mean) & (mean < high)).all()


def test_missing_values_use_the_seeds_that_are_there() -> None:
    series = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]])
    mean, low, high = mean_band(series)
    np.testing.assert_array_equal(mean, [2, 2, np.nan])
    assert high[0] - low[0] > 2
    assert high[1] == low[1] == 2


def test_the_table_of_curves_has_mean_and_band_and_these_are_drawn() -> None:
    series, x = draw(4, 6), np.arange(1, 7)
    table = curve_table({"other": draw(6), "ours": series}, x=x)
    rows = table[table.curve == "ours"]
    np.testing.assert_array_equal(rows[["mean", "low", "high"]].to_numpy().T, mean_band(series))
    np.testing.assert_array_equal(rows.epoch, x)
    ax = curves(table)
    np.testing.assert_array_equal(lines(ax, "mean ours")[0], rows["mean"])
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), x)
    (area,) = ax.collections
    np.testing.assert_allclose(area.get_datalim(ax.transData).y1, rows["high"].max())
    assert not problems(figure_of(ax), table)


def figure_of(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def test_one_seed_has_no_band() -> None:
    for series in (draw(6), draw(1, 6)):
        ax = curves(curve_table({"one": series}))
        assert len(ax.lines) == 1
        assert not ax.collections
        assert legend_texts(ax) == ["one"]


def test_axes_given_are_used_and_returned() -> None:
    ax = Figure().subplots()
    assert curves(curve_table({"a": draw(2, 3)}), ax) is ax


@pytest.mark.parametrize(
    ("kind", "words"), [("ci", "95 % interval of the mean"), ("range", "smallest to largest seed")]
)
def test_curves_name_every_label_and_the_band(kind, words) -> None:
    ax = curves(curve_table({"SNAS": draw(5, 9), "DARTS": draw(5, 9), "ENAS": draw(9)}, kind=kind), ylabel="accuracy")
    assert legend_texts(ax) == ["SNAS", "DARTS", "ENAS", words]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "accuracy")
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 3


def test_a_guide_says_what_it_marks_and_is_no_data() -> None:
    table = curve_table({"a": draw(2, 3)})
    ax = curves(table)
    guide(ax, y=2.079, text="ln 8")
    guide(ax, x=1.5, text="here")
    assert [text.get_text() for text in ax.texts] == ["ln 8", "here"]
    assert not problems(figure_of(ax), table)


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda t: t.name)
def test_panels_show_every_edge_in_its_place(topology: Topology) -> None:
    prob = draw(3, 5, len(topology.edges), 8)
    table = probability_table(prob, OPS, topology)
    figure = probability_panels(table, topology)
    panels = charts(figure)
    assert len(panels) == len(topology.edges)
    low, high = np.quantile(prob, (0.1, 0.9), axis=0)
    for ax in panels:
        edge = int(ax.get_title().split(":")[0])
        source, target = topology.edges[edge]
        assert ax.get_title() == f"{edge}: {source} → {target}"
        assert (to_hex(ax.get_facecolor()).upper() == SHADE) == (edge in topology.intermediate_edges)
        place = ax.get_subplotspec()
        assert place is not None
        assert (place.rowspan.start, place.colspan.start) == (target - topology.inputs, source)
        for k, op in enumerate(OPS):
            np.testing.assert_allclose(lines(ax, f"mean {op}")[0], prob[:, :, edge, k].mean(0))
            (area,) = [band for band in ax.collections if band.get_gid() == f"band {op}"]
            box = area.get_datalim(ax.transData)
            np.testing.assert_allclose((box.y0, box.y1), (low[:, edge, k].min(), high[:, edge, k].max()))
    owners = [ax for ax in figure.axes if ax.get_legend()] or [figure]
    texts = legend_texts(owners[0])
    assert texts == [*WIRING_ORDER, "mean of 3 seeds", "middle 80 % of the seeds", "intermediate edge"]
    assert not problems(figure, table)


def test_panels_of_one_seed_have_one_line_per_operation() -> None:
    prob = draw(5, 5, 3)
    table = probability_table(prob, OPS[:3], minimal_cell(), x=[0, 2, 4, 6, 8])
    ax = probability_panels(table, minimal_cell()).axes[0]
    assert len(ax.lines) == 3
    assert not ax.collections
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), prob[:, 0, 0])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0, 2, 4, 6, 8])
    assert [line.get_color() for line in ax.lines] == [op_style(op).colour for op in OPS[:3]]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda t: t.name)
def test_the_legend_does_not_cover_panels(topology: Topology) -> None:
    figure = probability_panels(probability_table(draw(2, 5, len(topology.edges), 8), OPS, topology), topology)
    figure.draw_without_rendering()
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()] or figure.legends
    box = legends[0].get_window_extent()
    assert not any(box.overlaps(ax.get_window_extent()) for ax in charts(figure))


def test_panels_reject_another_shape() -> None:
    with pytest.raises(ValueError, match="does not fit 5 edges"):
        probability_table(draw(2, 5, 14, 8), OPS, minimal_cell())


def test_an_axis_with_both_signs_has_decades_true_minuses_and_keeps_its_reach() -> None:
    _, axes = new_figure(4, 3)
    ax = axes[0, 0]
    ax.plot([0, 1, 2], [-0.5, 0.02, 20])
    reach = ax.get_ylim()
    signed_log(ax)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["−1", "−0.1", "0", "0.1", "1", "10"]
    assert ax.get_ylim() == reach
    assert ax.get_yscale() == "symlog"
