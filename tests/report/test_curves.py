"""Curves: the numbers behind every line, band and legend."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy import stats

from nas_core.cells.topology import Topology, darts_cell, minimal_cell, simplified_cell
from nas_core.papers import OPERATIONS
from nas_core.report.curves import accuracy_curves, band, dropped_curves, entropy_curves, mean_band, probability_panels
from nas_core.report.style import SHADE, WIRING_ORDER, op_style

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


def test_band_draws_the_mean_and_the_band() -> None:
    series, x = draw(4, 6), np.arange(1, 7)
    ax = band(None, x, series, "ours", index=2)
    np.testing.assert_allclose(lines(ax, "mean ours")[0], series.mean(0))
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), x)
    (area,) = ax.collections
    np.testing.assert_allclose(area.get_datalim(ax.transData).y1, mean_band(series)[2].max())


def test_one_seed_has_no_band() -> None:
    for series in (draw(6), draw(1, 6)):
        ax = band(None, range(6), series, "one")
        assert len(ax.lines) == 1
        assert not ax.collections


def test_axes_given_are_used_and_returned() -> None:
    ax = Figure().subplots()
    assert accuracy_curves({"a": draw(2, 3)}, ax) is ax
    assert dropped_curves({"all": draw(2, 3)}, ax) is ax
    assert entropy_curves({"a": draw(2, 3, 4)}, ax) is ax


def test_accuracy_curves_name_every_label_and_the_band() -> None:
    ax = accuracy_curves({"SNAS": draw(5, 9), "DARTS": draw(5, 9), "ENAS": draw(9)}, ylabel="accuracy")
    assert legend_texts(ax) == ["SNAS", "DARTS", "ENAS", "95 % interval of the mean"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "accuracy")
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 3
    assert legend_texts(accuracy_curves({"one": draw(9)})) == ["one"]


def test_dropped_curves_span_zero_to_one() -> None:
    data = {"all": draw(3, 5), "input": draw(3, 5), "intermediate": draw(3, 5)}
    ax = dropped_curves(data)
    assert legend_texts(ax) == [*data, "smallest to largest seed"]
    low, high = ax.get_ylim()
    assert low < 0 < 1 < high


def test_entropy_curves_have_a_line_per_edge_and_the_mean() -> None:
    data = {"SNAS": draw(3, 6, 14), "DARTS": draw(2, 6, 14)}
    ax = entropy_curves(data, ops=8)
    np.testing.assert_allclose(lines(ax, "mean SNAS")[0], data["SNAS"].mean((0, 2)))
    edges = lines(ax, "edge")
    assert len(edges) == 28
    np.testing.assert_allclose(edges[14 + 3], data["DARTS"][:, :, 3].mean(0))
    assert any(np.allclose(line.get_ydata(), np.log(8)) for line in ax.lines)
    assert legend_texts(ax) == ["SNAS", "DARTS", "95 % interval of the mean", "one edge"]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda t: t.name)
def test_panels_show_every_edge_in_its_place(topology: Topology) -> None:
    prob = draw(3, 5, len(topology.edges), 8)
    figure = probability_panels(prob, OPS, topology, title="a title")
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == len(topology.edges)
    for ax in panels:
        edge = int(ax.get_title().split(":")[0])
        assert f"{edge}: {topology.edges[edge][0]}→{topology.edges[edge][1]}" in ax.get_title()
        marked = edge in topology.intermediate_edges
        assert ("intermediate" in ax.get_title()) == (to_hex(ax.get_facecolor()).upper() == SHADE) == marked
        place = ax.get_subplotspec()
        assert place is not None
        source, target = topology.edges[edge]
        assert (place.rowspan.start, place.colspan.start) == (target - topology.inputs, source)
        for k, op in enumerate(OPS):
            np.testing.assert_allclose(lines(ax, f"mean {op}")[0], prob[:, :, edge, k].mean(0))
            np.testing.assert_array_equal(lines(ax, f"seed {op}"), prob[:, :, edge, k])
    (legend,) = [ax for ax in figure.axes if ax.get_legend()]
    texts = legend_texts(legend)
    assert texts == [*WIRING_ORDER, "mean of seeds", "one of 3 seeds", "intermediate edge"]


def test_panels_of_one_seed_have_one_line_per_operation() -> None:
    prob = draw(5, 5, 3)
    figure = probability_panels(prob, OPS[:3], minimal_cell(), x=[0, 2, 4, 6, 8])
    ax = figure.axes[0]
    assert len(ax.lines) == 3
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), prob[:, 0, 0])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0, 2, 4, 6, 8])
    assert [line.get_color() for line in ax.lines] == [op_style(op).colour for op in OPS[:3]]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda t: t.name)
def test_the_legend_does_not_cover_panels(topology: Topology) -> None:
    figure = probability_panels(draw(2, 5, len(topology.edges), 8), OPS, topology)
    figure.draw_without_rendering()
    (owner,) = [ax for ax in figure.axes if ax.get_legend()]
    legend = owner.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes if ax.axison)
    assert min(t.get_fontsize() for t in legend.get_texts()) >= 7


def test_panels_reject_another_shape() -> None:
    with pytest.raises(ValueError, match="does not fit 5 edges and 8 operations"):
        probability_panels(draw(2, 5, 4, 8), OPS, minimal_cell())
