"""Pictures of shadow batch norms: tables hold what is drawn, and every curve stands where it belongs."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nas_core.report import curve_table, new_figure, shadow
from nas_core.report.standard import problems

RANDOM = np.random.default_rng(0)
NAMES = ["3", "5", "3+5"]


def parameters(norms: int, channels: int = 5) -> dict[str, np.ndarray]:
    """Of each parameter (norms, channels), the last channel missing."""
    found = {}
    for name in shadow.SIGNS:
        values = RANDOM.normal(size=(norms, channels))
        values[:, -1] = np.nan
        found[name] = values
    return found


def parameter_picture() -> tuple[Figure, pd.DataFrame]:
    table = shadow.parameter_table({"m = 3": parameters(3), "m = 4": parameters(4)})
    return shadow.parameter_panels(table), table


def slope_picture() -> tuple[Figure, pd.DataFrame]:
    n = np.arange(1, 5)
    slopes = {"mean μ": n + RANDOM.normal(size=(6, 4)), "variance σ²": n**1.5 + RANDOM.normal(size=(6, 4))}
    table = shadow.slope_table(slopes, {"variance σ²": n**1.4 + 0.01 * RANDOM.normal(size=(6, 4))})
    return shadow.slope_panels(table), table


def layer_picture() -> tuple[Figure, pd.DataFrame]:
    table = curve_table({"trained": RANDOM.normal(size=(5, 12))}, x=np.arange(1, 13))
    table = table.rename(columns={"epoch": "layer"})
    figure, ((ax,),) = new_figure()
    shadow.by_layer(table, ax, ylabel="ρ")
    return figure, table


def plane_picture() -> tuple[Figure, pd.DataFrame]:
    planes = {when: RANDOM.normal(size=(3, 8, 2)) for when in ("before", "after")}
    table = shadow.plane_table(planes, NAMES, [1, 1, 2])
    return shadow.planes(table), table


def dot_picture() -> tuple[Figure, pd.DataFrame]:
    values = {who: {str(n): RANDOM.normal(size=5) for n in (1, 2)} for who in ("shadow", "one")}
    table = pd.concat([shadow.dot_table(values).assign(panel=panel) for panel in ("left", "right")])
    return shadow.dot_panels(table)[0], table


PICTURES = {
    "parameters": parameter_picture,
    "slopes": slope_picture,
    "layers": layer_picture,
    "planes": plane_picture,
    "dots": dot_picture,
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_meets_the_standard(name: str) -> None:
    """Width, letters, words, and every drawn number in the table, which has no other place for them."""
    figure, table = PICTURES[name]()
    assert problems(figure, table) == []
    numbers = table.select_dtypes("number").columns
    assert problems(figure, table.assign(**dict.fromkeys(numbers, 0.0)))


def test_each_shadow_norm_has_a_curve_in_the_panel_of_its_parameter() -> None:
    values = parameters(3)
    table = shadow.parameter_table({"m = 3": values, "m = 4": parameters(4)})
    figure = shadow.parameter_panels(table)
    axes = np.reshape(figure.axes, (2, 4))
    for ax, name in zip(axes[0], shadow.SIGNS, strict=True):
        drawn = [line for line in ax.lines if line.get_gid() != "guide"]
        assert [line.get_label() for line in drawn] == [shadow.norm_label(n) for n in (1, 2, 3)]
        for line, expected in zip(drawn, values[name], strict=True):
            np.testing.assert_array_equal(line.get_ydata(), expected[:-1])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [shadow.norm_label(n) for n in (1, 2, 3, 4)]


def test_the_lemma_stands_beside_the_law() -> None:
    _, table = slope_picture()
    of_variance = table[table["panel"] == "variance σ²"].set_index(["curve", "paths"])["mean"]
    assert of_variance[shadow.LEMMA].tolist() == [1, 4, 9, 16]
    assert of_variance[shadow.APART].tolist() == [1, 2, 3, 4]
    assert set(table[table["panel"] == "mean μ"]["curve"]) == {"measured"}


def test_every_combination_has_a_colour_and_every_number_of_paths_a_marker() -> None:
    figure, _ = plane_picture()
    for ax in figure.axes:
        assert len(ax.collections) == 3
        assert len({tuple(points.get_facecolor()[0]) for points in ax.collections}) == 3
        first, second, both = [points.get_paths()[0].vertices.shape for points in ax.collections]
        assert first == second != both
    assert [handle.get_label() for handle in figure.legends[0].legend_handles] == NAMES


def test_dots_of_a_group_stand_beside_each_other() -> None:
    figure, table = dot_picture()
    places = table[table["panel"] == "left"].set_index(["curve", "group"])["place"]
    assert [ax.get_title() for ax in figure.axes] == ["left", "right"]
    assert places["shadow", "1"] < places["one", "1"] < places["shadow", "2"] < places["one", "2"]
    assert places.groupby("group").mean().tolist() == pytest.approx([0, 1])
