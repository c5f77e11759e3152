"""Dots: every number is in the table, rows stand in their order from the top, and series do not lie on each other."""

import numpy as np
import pandas as pd
import pytest

from nas_core.report import dots, new_figure
from nas_core.report.standard import problems

ROWS = [("b", "one", 0.2, 0.11, 0.31), ("b", "two", 0.4, 0.33, 0.52), ("a", "one", 0.6, 0.47, 0.71)]


def drawn():
    table = pd.DataFrame(ROWS, columns=["thing", "curve", "mean", "low", "high"])
    figure, axes = new_figure(4, 2)
    return table, figure, dots(table, axes[0, 0], rows="thing", series="curve")


def test_dots_are_drawn_from_their_table() -> None:
    table, figure, ax = drawn()
    assert problems(figure, table) == []
    assert problems(figure, table.drop(columns="low")) != []
    assert [text.get_text() for text in ax.get_yticklabels()] == ["b", "a"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first row is the uppermost"


def test_series_have_rows_of_their_own() -> None:
    _, _, ax = drawn()
    one, two = (np.asarray(line.get_ydata()).tolist() for line in ax.lines)
    assert not set(one) & set(two)
    spans = [path.vertices[:, 0].tolist() for path in ax.collections[0].get_paths()]
    assert np.array(spans) == pytest.approx(np.array([[0.11, 0.31], [0.47, 0.71]]))
