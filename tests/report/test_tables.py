"""Tables: printed and measured never share a column; verdicts are printed whatever they are."""

import numpy as np
import pandas as pd
import pytest

from nas_core.errors import UserError
from nas_core.report.tables import beside_printed, number, table_figure

PRINTED = pd.DataFrame({"net": ["DARTS", "SNAS"], "acc": [87.67, 88.54], "child": [54.66, 90.67]})
MEASURED = pd.DataFrame(
    {
        "net": ["SNAS", "SNAS", "random", "random"],
        "seed": [0, 1, 0, 1],
        "acc": [80.0, 82.0, 70.0, 70.0],
        "child": [1.0, 3.0, 5.0, 5.0],
    }
)


def test_headings_say_what_is_printed_and_what_is_measured() -> None:
    table = beside_printed(PRINTED, MEASURED, key="net", columns={"acc": "accuracy (%)"})
    assert list(table.columns) == ["printed", "ours, mean of 2 seeds", "spread (standard deviation)"]
    assert list(table.index) == ["DARTS", "SNAS", "random"]
    np.testing.assert_allclose(table.loc["SNAS"], [88.54, 81.0, np.sqrt(2)])
    assert table.loc["DARTS"].isna().tolist() == [False, True, True]
    assert table.loc["random"].isna().tolist() == [True, False, False]


def test_several_quantities_keep_their_names() -> None:
    table = beside_printed(PRINTED, MEASURED, key="net", columns={"acc": "accuracy", "child": "child"})
    ends = ("printed", "ours, mean of 2 seeds", "spread (standard deviation)")
    assert list(table.columns) == [f"{name}: {end}" for name in ("accuracy", "child") for end in ends]
    assert table.loc["SNAS", "child: ours, mean of 2 seeds"] == 2.0


def test_one_seed_and_exact_numbers_have_no_spread() -> None:
    one = beside_printed(PRINTED, MEASURED[MEASURED.seed == 0], key="net", columns={"acc": "a"})
    assert list(one.columns) == ["printed", "ours, 1 seed"]
    exact = beside_printed(PRINTED, MEASURED[MEASURED.seed == 0].drop(columns="seed"), key="net", columns={"acc": "a"})
    assert list(exact.columns) == ["printed", "ours, exact"]


def test_words_that_are_printed_stay_words() -> None:
    printed = pd.DataFrame({"net": ["v1"], "params": ["~5"]})
    table = beside_printed(printed, pd.DataFrame({"net": ["v1"], "params": [5.2]}), key="net", columns={"params": "M"})
    assert table.loc["v1"].tolist() == ["~5", 5.2]


def test_bad_tables_are_named() -> None:
    with pytest.raises(UserError, match="the measured table has no column child"):
        beside_printed(PRINTED, MEASURED.drop(columns="child"), key="net", columns={"child": "c"})
    with pytest.raises(UserError, match="more than one row for DARTS"):
        beside_printed(pd.concat([PRINTED, PRINTED[:1]]), MEASURED, key="net", columns={"acc": "a"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (3.0, "3"),
        (1930618, "1930618"),
        (1930618.0, "1930618"),
        (1e-13, "1e-13"),
        (float("inf"), "inf"),
        (float("nan"), ""),
        (None, ""),
        (True, "yes"),
        ("~5", "~5"),
    ],
)
def test_numbers_read_well(value: object, text: str) -> None:
    assert number(value) == text


def test_a_table_as_a_picture_shows_every_cell_inside_it() -> None:
    table = pd.DataFrame({"acc": [3.0, 2.85, np.nan], "what": ["a", "long words " * 20, "$x$"]}, index=["x", "y", "z"])
    figure = table_figure(table.rename_axis("net"), "A title")
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert not any(t.get_parse_math() for t in figure.axes[0].texts if t.get_text() == "$x$")
    assert {"A title", "net", "acc", "what", "x", "3.00", "2.85", "a", "$x$"} <= set(texts)
    assert max(len(line) for text in texts for line in text.splitlines()) <= 38
    boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
    assert all(figure.bbox.x0 <= b.x0 and b.x1 <= figure.bbox.x1 for b in boxes)
    assert all(figure.bbox.y0 <= b.y0 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.9195, 23.26083, 5.35351], ["0.92", "23.26", "5.35"]),
        ([3.0, 2.85, 3.1], ["3.00", "2.85", "3.10"]),
        ([0.0312, 45.2], ["0.0312", "45.2"]),  # of different sizes: each for itself
        ([1e-13, 0.0], ["1e-13", "0"]),
        ([1800.0, 0.5], ["1800", "0.5"]),
        ([0.0, 0.0], ["0", "0"]),
    ],
)
def test_floats_of_one_size_have_equally_many_decimals(values: list[float], texts: list[str]) -> None:
    shown = [t.get_text() for t in table_figure(pd.DataFrame({"v": values})).axes[0].texts]
    assert shown[-len(texts) :] == texts


def test_a_plain_index_is_not_shown() -> None:
    texts = [t.get_text() for t in table_figure(pd.DataFrame({"acc": [3]})).axes[0].texts]
    assert [t for t in texts if t] == ["acc", "3"]
