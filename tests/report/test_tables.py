"""Tables: printed and measured never share a column; verdicts are printed whatever they are."""

import numpy as np
import pandas as pd
import pytest

from nas_core.errors import UserError
from nas_core.report.tables import beside_printed, number

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
