"""What the pictures of a known ground truth show: means, standard errors, and where the dots of seeds stand."""

import numpy as np
import pandas as pd
import pytest

from nas_core.report.ground_truth import STEP, found_table, worth_table


def test_exact_worth_is_a_mean_in_points_with_its_standard_error() -> None:
    """Three seeds of two chains; the one with a zero among its choices keeps two blocks of three."""
    chains = {0: "k3e1 k3e3 k7e6 k3e3 k3e3", 1: "k3e1 k3e3 zero k3e3 k3e3"}
    rows = []
    for member, tests in ((0, (0.7, 0.8, 0.9)), (1, (0.5, 0.5, 0.5))):
        rows += [{"member": member, "choices": chains[member], "madds": 9 - member, "test": test} for test in tests]
    table = worth_table(pd.DataFrame(rows))
    assert table["accuracy"].tolist() == pytest.approx([80, 50])
    error = 10 / np.sqrt(3)
    assert table["low"].tolist() == pytest.approx([80 - error, 50])
    assert table["high"].tolist() == pytest.approx([80 + error, 50])
    assert table["blocks"].tolist() == [3, 2]
    assert table["madds"].tolist() == [9, 8]


def test_exact_dots_of_seeds_stand_about_the_row_of_their_search() -> None:
    values = pd.DataFrame({
        "search": ["two paths"] * 3 + ["REINFORCE"] * 3,
        "seed": [0, 1, 2] * 2,
        "accuracy": [1.0, 2.0, 6.0, 4.0, 4.0, 4.0],
    })  # fmt: skip
    table = found_table(values)
    assert table["height"].tolist() == pytest.approx([-STEP, 0, STEP, 1 - STEP, 1, 1 + STEP])
    assert table["mean"].tolist() == [3.0] * 3 + [4.0] * 3
