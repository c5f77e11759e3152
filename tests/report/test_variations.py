"""Charts of varied settings: what is filled, where the intervals end, and that all of it is in the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nas_core.claims.seeds import interval
from nas_core.report.standard import problems
from nas_core.report.variations import dot_chart, dot_row

VALUES = {"few": [0.1, 0.3, 0.2, 0.35, 0.25], "most": [0.9, 0.7, 0.95, 0.85, 0.65]}


@pytest.fixture
def table() -> pd.DataFrame:
    """Two panels and two rows, in sections of their own."""
    rows = []
    for panel, shows in {"P1": (2, 3), "P2": (0, 5)}.items():
        for (row, values), count in zip(VALUES.items(), shows, strict=True):
            rows.append(dot_row(panel, row, values, section=row, shows=count))
    return pd.DataFrame(rows).assign(end=0.5)


def drawn(table: pd.DataFrame) -> Figure:
    """The chart."""
    return dot_chart(table, xlabels={"P1": "share", "P2": "share"}, bounds={"P1": 0.8})


def test_a_row_has_mean_and_interval_of_its_seeds() -> None:
    row = dot_row("P1", "few", VALUES["few"], shows=2)
    assert row["mean"] == pytest.approx(0.24)
    assert (row["low"], row["high"]) == interval(np.array(VALUES["few"]), "mean")
    assert row["seeds"] == 5
    alike = dot_row("P1", "alike", [0.5] * 5)
    assert (alike["low"], alike["mean"], alike["high"]) == (0.5, 0.5, 0.5)


def test_the_chart_can_be_saved_beside_its_table_and_beside_no_other(table: pd.DataFrame) -> None:
    assert problems(drawn(table), table) == []
    wrong = problems(drawn(table), table.assign(high=0.0))
    assert any("is not in its table" in problem for problem in wrong)


def test_a_dot_is_filled_where_the_pattern_shows_in_most_seeds(table: pd.DataFrame) -> None:
    figure = drawn(table)
    for ax, filled in zip(figure.axes, ([False, True], [False, True]), strict=True):
        dots = max(ax.collections, key=lambda artist: artist.get_zorder())
        white = [np.allclose(face[:3], 1) for face in dots.get_facecolor()]
        assert [not one for one in white] == filled
    counts = [[text.get_text() for text in ax.texts if "/" in text.get_text()] for ax in figure.axes]
    assert counts == [["2/5", "3/5"], ["0/5", "5/5"]]


def test_bounds_and_sections_are_guides(table: pd.DataFrame) -> None:
    first, second = drawn(table).axes
    assert [line.get_xdata()[0] for line in first.lines if line.get_linestyle() == ":"] == [0.8]
    assert [line.get_linestyle() for line in second.lines] == ["-"], "no bound, one change of section"
