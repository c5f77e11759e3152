"""Pictures of searched chains show the numbers that they are given."""

import pandas as pd
import pytest

from nas_core.report import searched_chains as pictures
from nas_core.report.standard import problems


def accuracies() -> pd.DataFrame:
    rows = []
    for name, start in (("two paths", 79.1), ("drawn at random", 77.3)):
        rows += [{"search": name, "seed": seed, "value": start + 0.37 * seed**2} for seed in range(3)]
    return pd.DataFrame(rows)


def test_a_row_of_dots_stands_around_its_place_and_has_its_mean() -> None:
    table = pictures.dot_table(accuracies())
    first = table[table["search"] == "two paths"]
    assert first["height"].tolist() == pytest.approx([-pictures.STEP, 0, pictures.STEP])
    assert first["mean"].tolist() == pytest.approx([79.1 + 0.37 * 5 / 3] * 3)
    assert problems(pictures.draw_dots(table, "accuracy (%)"), table) == []


def test_a_dot_that_is_not_in_the_table_is_found() -> None:
    table = pictures.dot_table(accuracies())
    figure = pictures.draw_dots(table, "accuracy (%)")
    assert problems(figure, table.drop(columns="mean"))


def test_fits_show_all_blocks_and_all_networks() -> None:
    blocks = pd.DataFrame(
        {"held_out": [True, False, False], "measured": [0.21, 0.4, 1.3], "predicted": [0.2, 0.44, 1.2]}
    )
    networks = pd.DataFrame({"sum": [11.2, 12.9], "measured": [13.1, 14.7]})
    table = pd.concat([blocks.assign(panel="blocks"), networks.assign(panel="networks")])
    assert problems(pictures.draw_fits(blocks, networks), table) == []
    assert problems(pictures.draw_fits(blocks, networks), table.drop(columns="sum"))


def points() -> pd.DataFrame:
    rows = []
    for form in ("additive", "multiplicative"):
        for rank, weight in enumerate((0.0, 0.1)):
            for seed in range(3):
                latency, accuracy = 2.03 - 0.51 * rank + 0.11 * seed, 79.07 - 0.63 * rank + 0.21 * seed
                key = {"form": form, "weight": weight, "rank": rank, "seed": seed}
                rows.append({**key, "latency": latency, "accuracy": accuracy})
    return pd.DataFrame(rows)


def test_the_front_has_means_errors_and_every_seed() -> None:
    drawn = pd.DataFrame({"latency": [1.91, 2.23], "accuracy": [77.9, 78.3]})
    means = pictures.over_seeds_by_weight(points())
    assert means["latency"].tolist() == pytest.approx([2.14, 1.63] * 2)
    table = pictures.front_table(means, points(), drawn)
    assert problems(pictures.draw_front(means, points(), drawn, "ms"), table) == []
    assert set(table["panel"]) == {"means over seeds", "every seed", "drawn at random"}


def test_blocks_are_named_by_kernel_and_expansion() -> None:
    rows = pictures.chain_rows({"one": "k3e1 zero k7e6"}, kinds=("Conv", "Pool"))
    assert rows == {"one": [("3 × 3", "times 1", "Conv"), ("Zero", "shortcut", "Pool"), ("7 × 7", "times 6", "Conv")]}
