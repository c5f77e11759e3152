"""Cells of S4 and their features: what is drawn is what was given, and planes and maps are those of the vectors."""

import numpy as np
import pandas as pd
import pytest

from nas_core.claims.mixpath_cells import cosines
from nas_core.report.mixpath_cells import (
    cell_name,
    fan_table,
    groups_of,
    in_order,
    plane,
    similarity_and_fans,
    similarity_table,
    worth_and_picks,
)
from nas_core.report.standard import problems

OPERATIONS = ["maxpool3x3", "conv1x1", "conv3x3", "conv1x1 conv3x3", "conv1x1", "conv3x3 conv3x3 maxpool3x3"]
FEATURES = pd.DataFrame({"operations": OPERATIONS, "paths": [1, 1, 1, 2, 1, 3]})


def vectors(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(FEATURES), 20))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("conv3x3", "3×3"),
        ("conv1x1 conv3x3 conv3x3", "1×1 + 2·3×3"),
        ("conv1x1 maxpool3x3 maxpool3x3 maxpool3x3", "1×1 + 3·pool"),
    ],
)
def test_cells_have_short_names(text: str, name: str) -> None:
    assert cell_name(text) == name


def test_maps_have_single_paths_by_operation_and_then_sums() -> None:
    assert FEATURES["operations"].iloc[in_order(FEATURES)].tolist() == [
        "conv1x1",
        "conv1x1",
        "conv3x3",
        "maxpool3x3",
        "conv1x1 conv3x3",
        "conv3x3 conv3x3 maxpool3x3",
    ]
    assert groups_of(FEATURES) == {"1×1": 2, "3×3": 1, "pool": 1, "2 paths": 1, "3 paths": 1}


def test_a_map_holds_the_cosine_of_each_pair() -> None:
    gram = vectors() @ vectors().T
    table = similarity_table(gram, FEATURES)
    order = in_order(FEATURES)
    found = table.set_index(["row", "column"])["cosine"]
    assert found[0, 4] == pytest.approx(cosines(gram)[order[0], order[4]])
    assert found[3, 3] == pytest.approx(1)
    assert len(found) == len(FEATURES) ** 2


def test_the_plane_is_that_of_the_singular_vectors_and_has_fixed_signs() -> None:
    given = vectors()
    found = plane(given @ given.T)
    u, s, _ = np.linalg.svd(given, full_matrices=False)
    assert np.abs(found) == pytest.approx(np.abs(u[:, :2] * s[:2]))
    largest = np.abs(found).argmax(0)
    assert (found[largest, [0, 1]] > 0).all()


def test_arrows_of_vectors_in_a_plane_keep_their_lengths() -> None:
    flat = np.random.default_rng(1).normal(size=(len(FEATURES), 2)) @ np.random.default_rng(2).normal(size=(2, 20))
    table = fan_table(flat @ flat.T, FEATURES)
    assert np.hypot(table["x"].to_numpy(), table["y"].to_numpy()) == pytest.approx(np.linalg.norm(flat, axis=1))
    assert table["paths"].tolist() == FEATURES["paths"].tolist()


def test_a_picture_of_features_can_be_saved_with_its_table_and_not_with_another() -> None:
    gram = vectors() @ vectors().T
    maps = {"one": similarity_table(gram, FEATURES), "two": similarity_table(gram / 2, FEATURES)}
    fans = {"before": fan_table(gram, FEATURES), "after": fan_table(gram / 4, FEATURES)}
    figure = similarity_and_fans(maps, fans, groups_of(FEATURES))
    table = pd.concat([part.assign(panel=name) for name, part in (maps | fans).items()])
    assert problems(figure, table) == []
    assert problems(figure, table[table["panel"] != "after"])
    moved = table.assign(cosine=table["cosine"] / 2)
    assert problems(figure, moved)


def test_rows_are_cells_and_circles_say_how_many_seeds_pick_them() -> None:
    cells = ["conv3x3", "conv1x1"]
    rows = []
    for cell, mean in zip(cells, (77.25, 70.125), strict=True):
        rows += [{"cell": cell, "kind": "network", "acc": mean + shift} for shift in (-0.3, 0.3)]
        rows.append({"cell": cell, "kind": "mean", "acc": mean})
    table = pd.DataFrame(rows)
    counts = pd.DataFrame({"DARTS": [0, 3], "MixPath": [5, 0]}, index=cells)
    figure = worth_and_picks(table, counts)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["3×3", "1×1"]
    assert left.get_ylim() == (1.5, -0.5)  # the first cell on top
    assert [(text.get_position(), text.get_text()) for text in right.texts] == [((0, 1), "3"), ((1, 0), "5")]
    assert problems(figure, table.assign(panel="alone")) == []
    figure.draw_without_rendering()
    labels = [label.get_window_extent() for label in left.get_yticklabels()]
    assert min(label.x0 for label in labels) > 0
