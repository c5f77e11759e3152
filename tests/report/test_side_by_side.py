"""Methods side by side: all that is drawn is in the table, and stands where the table says."""

import numpy as np
import pandas as pd
import pytest

from nas_core.claims.seeds import interval
from nas_core.report import darts_levels, new_figure, paths
from nas_core.report.standard import drawn_numbers, problems

VALUES = {
    ("(a)", "first", "one"): [1.25, 2.5, 4.125, 3.3, 2.2],
    ("(a)", "first", "other"): [7.5, 7.75, 8.125, 8.3, 8.1],
    ("(a)", "second", "one"): [5.1, 5.2, 5.3, 5.4, 5.55],
    ("(a)", "second", "other"): [6.1, 6.2, 6.3, 6.4, 6.55],
    ("(b)", "difference", ""): [-1.1, 0.2, 0.3, 0.4, -0.15],
}


def test_every_number_that_is_drawn_is_in_the_table():
    table = darts_levels.seeds_table(VALUES, interval)
    figure = darts_levels.draw_seeds(table, {"(a)": "points", "(b)": "points"}, zero=["(b)"])
    assert problems(figure, table) == []
    assert problems(figure, table[table["seed"] != darts_levels.MEAN])


def test_means_have_the_interval_of_the_claims():
    table = darts_levels.seeds_table(VALUES, interval)
    rows = table[table["seed"] == darts_levels.MEAN].set_index(["panel", "row", "series"])
    for key, numbers in VALUES.items():
        assert rows.loc[key, "value"] == pytest.approx(np.mean(numbers))
        assert (rows.loc[key, "low"], rows.loc[key, "high"]) == interval(np.array(numbers), "mean")


def test_equal_seeds_have_an_interval_without_width():
    table = darts_levels.seeds_table({("(a)", "r", ""): [2.0, 2.0]}, interval)
    mean = table[table["seed"] == darts_levels.MEAN].iloc[0]
    assert (mean["low"], mean["high"]) == (2.0, 2.0)


def test_rows_stand_one_apart_and_series_beside_each_other():
    table = darts_levels.seeds_table(VALUES, interval)
    place = table[table["seed"] == darts_levels.MEAN].set_index(["row", "series"])["place"]
    assert place["second", "one"] - place["first", "one"] == pytest.approx(1)
    assert place["first", "other"] > place["first", "one"]
    assert place["difference", ""] == 0


def test_bars_carry_their_numbers():
    rows = [{"panel": p, "row": r, "value": v, "text": f"{v:g}"} for p, r, v in (("a", "x", 2.5), ("b", "x", 4.25))]
    table = pd.DataFrame(rows)
    figure = darts_levels.draw_bars(table)
    assert problems(figure, table) == []
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["2.5", "4.25"]


def test_paths_have_their_mean_and_the_middle_of_the_seeds():
    prob = np.random.default_rng(0).dirichlet(np.ones(3), (11, 5))
    ops = ("none", "skip_connect", "max_pool_3x3")
    table = paths.paths_table(prob, ops)
    last = table[(table["operation"] == "skip_connect") & (table["epoch"] == 4)].iloc[0]
    assert last["mean"] == pytest.approx(prob[:, 4, 1].mean())
    assert (last["low"], last["high"]) == pytest.approx(tuple(np.quantile(prob[:, 4, 1], (0.1, 0.9))))
    figure, ((ax,),) = new_figure(4, 2)
    paths.draw_paths(ax, table)
    assert problems(figure, table) == []


def test_a_step_shows_three_bars_an_operation():
    table = pd.DataFrame({"operation": ["none", "skip_connect"]})
    for k, name in enumerate(paths.STEP_COLOURS):
        table[name] = [0.3 + 0.01 * k, 0.7 - 0.01 * k]
    figure, ((ax,),) = new_figure(4, 2)
    paths.draw_step(ax, table, (0, 1))
    assert problems(figure, table) == []
    heights = sorted(number for _, numbers in drawn_numbers(ax) for number in numbers)
    assert heights == pytest.approx([0.3, 0.31, 0.32, 0.68, 0.69, 0.7])


def test_measured_memory_stands_over_the_counted_one():
    rows = []
    for panel, column in (("(a)", "kept"), ("(b)", "kept"), ("(c)", "peak_memory_mib")):
        factor = 10.5 if column == "kept" else 11.5
        rows += [{"panel": panel, "mode": mode, "x": x, column: factor * x} for mode in ("m", "p") for x in (1.25, 2.5)]
    table = pd.DataFrame(rows)
    figure = paths.draw_memory(table, ("m", "p"))
    assert problems(figure, table) == []
    assert problems(figure, table.drop(columns="peak_memory_mib"))
