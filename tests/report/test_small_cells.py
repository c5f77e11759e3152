"""Pictures of the costs in small cells: settings in words, blocks of epochs, every curve in its table."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from nas_core.cells.topology import modified_cell, simplified_cell
from nas_core.report import small_cells
from nas_core.report.small_cells import EDGES, LEAK, Setting
from nas_core.report.standard import problems
from nas_core.report.style import WIRING_ORDER, new_figure

CONV = ("sep3", "dil3", "dil5", "sep5")
RNG = np.random.default_rng(0)
COSTS = RNG.normal(0, 0.05, (4, 12, 3))


def setting(*restricted: tuple[str, ...], cell=None) -> Setting:
    """The first edges restricted, the others not."""
    return Setting(cell or simplified_cell(), (*restricted, *[WIRING_ORDER] * (3 - len(restricted))))


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        (("sep5",), "only sep5"),
        (("none", *CONV), "none, convolutions"),
        (("none", "skip", "max", "avg"), "none, skip, pooling"),
        (("none", "max", "sep3"), "none, max, sep3"),
        (WIRING_ORDER[1:], "all but none"),
    ],
)
def test_settings_in_words(ops: tuple[str, ...], words: str) -> None:
    assert small_cells.in_words(ops) == words


def test_edges_with_the_same_setting_are_named_together() -> None:
    assert setting().title() == "every edge: all eight"
    assert setting(("sep5",), ("sep5",)).title() == "(0,1), (0,2): only sep5"
    both = Setting(modified_cell(), (("sep5",), WIRING_ORDER, ("none", *CONV)))
    assert both.title() == "(0,1): only sep5; (1,2): none, convolutions"
    assert both.labels() == {(0, 1): "1", (0, 2): "8", (1, 2): "5"}


def test_short_names_are_in_the_order_of_the_paper() -> None:
    allowed = np.array([[True, True, False], [False, True, True]])
    found = small_cells.short_names(("sep_conv_5x5", "max_pool_3x3", "none"), allowed)
    assert found == (("max", "sep5"), ("none", "max"))


def test_blocks_stand_at_their_middle_and_costs_are_thousandths() -> None:
    table = small_cells.edge_cost_table({"a": COSTS}, {"a": COSTS[..., 0]}, block=3)
    rows = table[table["curve"] == EDGES[2]]
    assert rows["epoch"].tolist() == [2, 5, 8, 11]
    assert rows["mean"].to_numpy() == pytest.approx(1e3 * COSTS[..., 2].reshape(4, 4, 3).mean((0, 2)))
    passed_on = table[table["curve"] == LEAK]["mean"].to_numpy()
    assert passed_on == pytest.approx(table[table["curve"] == EDGES[0]]["mean"].to_numpy())


def test_panels_show_every_curve_and_can_be_saved() -> None:
    cells = {"a": setting(), "b": setting(("sep5",), cell=modified_cell())}
    table = small_cells.edge_cost_table({"a": COSTS, "b": 2 * COSTS}, {"b": COSTS[..., 0]}, block=3)
    figure = small_cells.cost_panels(table, cells, 2)
    assert problems(figure, table) == []
    charts = [ax for ax in figure.axes if ax.axison]
    assert [len(drawn(ax, "mean")) for ax in charts] == [3, 3]
    assert [len(drawn(ax, LEAK)) for ax in charts] == [0, 1]
    assert charts[0].get_ylim() == charts[1].get_ylim()
    assert problems(figure, table[table["curve"] != EDGES[1]]) != []


def drawn(ax: Axes, what: str) -> list[np.ndarray]:
    """The heights of the lines whose gid begins with ``what``."""
    return [np.asarray(line.get_ydata()) for line in ax.lines if str(line.get_gid()).startswith(what)]


def test_settings_of_one_colour_share_a_chart() -> None:
    table = small_cells.edge_cost_table(dict.fromkeys("abc", COSTS))
    groups = {"left": ["a", "b"], "right": ["c"]}
    figure = small_cells.all_settings(table, {"left": setting(), "right": setting()}, groups)
    assert problems(figure, table) == []
    assert [len(drawn(ax, "mean")) for ax in figure.axes if ax.axison] == [6, 3]


def test_the_cell_has_the_colours_of_the_curves() -> None:
    ax = new_figure(3, 1)[1][0, 0]
    small_cells.draw_setting(ax, setting(("sep5",)))
    edges = [patch for patch in ax.patches if str(patch.get_gid()).startswith("candidate")]
    assert len(edges) == len({patch.get_edgecolor() for patch in edges}) == 3
    assert sorted(text.get_text() for text in ax.texts if str(text.get_gid()).startswith("label")) == ["1", "8", "8"]


def test_poster_panel_can_be_saved() -> None:
    table = small_cells.edge_cost_table({"a": COSTS})
    figure = small_cells.cell_and_curve(table, simplified_cell(), {"cost": [(3, 2, 1)]})
    assert problems(figure, table) == []


def test_gaps_are_drawn_seed_by_seed() -> None:
    rows = []
    for place in ("one", "two"):
        for name in ("with", "without"):
            rows += [(place, name, gap, 2.0, 1.0, 3.0) for gap in (1.25, 2.75)]
    table = pd.DataFrame(rows, columns=["place", "cell", "gap", "mean", "low", "high"])
    figure, ((ax,),) = new_figure(5, 3)
    small_cells.gap_chart(table, ax, x="place", hue="cell")
    assert problems(figure, table) == []
    assert [seeds.tolist() for seeds in drawn(ax, "seeds")] == [[1.25, 2.75]] * 4
    assert problems(figure, table.assign(gap=0.0)) != []
    figure, ((ax,),) = new_figure(5, 3)
    small_cells.gap_chart(table, ax, x="place")
    assert len(drawn(ax, "mean")) == 2
