"""Heat maps with signs, drawings of costs, and the pictures of the theory: what they are given stands in them."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nas_core.cells.topology import minimal_cell, modified_cell, simplified_cell
from nas_core.papers import OPERATIONS
from nas_core.report import (
    WIRING_ORDER,
    draw_gradient_and_cost,
    draw_last_two,
    draw_small_cells,
    draw_two_paths,
    new_figure,
    signed,
    theory,
    thousandths,
)
from nas_core.report.heat import cost_map
from nas_core.report.standard import problems

EDGES = [f"edge {e}" for e in range(5)]
RANDOM = np.random.default_rng(0)


def written(figure: Figure) -> list[str]:
    """Everything that is written in the axes of a figure."""
    return [text.get_text() for ax in figure.axes for text in ax.texts]


@pytest.mark.parametrize(("value", "text"), [(0.0123, "+0.0123"), (-0.0123, "−0.0123"), (3e-17, "0"), (-3e-17, "0")])
def test_signed(value: float, text: str) -> None:
    """With a sign that is no hyphen, and zero where only round-off is left."""
    assert signed(value) == text
    assert thousandths(value) == {"+0.0123": "+12.3", "−0.0123": "−12.3", "0": "0"}[text]


def test_a_cost_map_is_read_without_colour() -> None:
    """Every entry is written with its sign, in thousandths; the colours are those of the costs."""
    costs = pd.DataFrame(RANDOM.normal(0, 0.01, (5, 8)), EDGES, WIRING_ORDER)
    costs.iloc[1, 2] = 0.0
    figure, ((ax,),) = new_figure(5.0, 3.0)
    cost_map(ax, costs, 0.02)
    assert written(figure) == [thousandths(cost) for cost in costs.to_numpy().ravel()]
    np.testing.assert_array_equal(ax.collections[0].get_array().ravel(), costs.to_numpy().ravel())
    assert ax.collections[0].get_clim() == (-0.02, 0.02)


def test_both_paths_of_the_poster_carry_their_parts() -> None:
    figure = draw_two_paths(
        minimal_cell(), {0: (0.028, -0.0195), 1: (-0.011, 0.0195), 2: (0.015,), 3: (0.03,), 4: (0.02,)}
    )
    words = written(figure)
    assert {"+28.0", "−19.5", "+15.0"} <= set(words)
    assert "edge 0:  (+28.0) + (−19.5) = +8.5" in words
    assert "edge 4:  +20.0" in words


def test_the_cost_stops_on_edge_4_and_the_gradient_does_not() -> None:
    gradients = {"path 4-2-0": {(4, 2): 0.01, (2, 0): 0.14}, "path 4-3-2-0": {(4, 3): 0.01, (3, 2): 0.02, (2, 0): 0.2}}
    costs = {(4, 2): 0.017, (4, 3): 0.066, (2, 0): 0.0085, (2, 1): 0.0084, (3, 0): 0.01, (3, 1): 0.03, (3, 2): 0.02}
    left, right = draw_gradient_and_cost(minimal_cell(), gradients, costs, [(3, 2)]).axes
    stops = [[str(p.get_gid()) for p in ax.patches if str(p.get_gid()).startswith("stop")] for ax in (left, right)]
    assert stops == [[], ["stop cost 3-2"]]
    assert {"+17.0", "+66.0", "+20.0"} <= {text.get_text() for text in right.texts}
    assert {"0.01", "0.14", "0.2"} <= {text.get_text() for text in left.texts}


def test_the_last_two_cells_say_what_they_sum_to() -> None:
    rows = []
    for cell, first in (("second-last", 0.001), ("last", 0.002)):
        for (i, j), op in zip(minimal_cell().edges, ["sep3", "avg", "skip", "max", "dil3"], strict=True):
            rows.append((cell, i, j, op, first))
        rows += [(cell, 2, 4, "", 0.007), (cell, 3, 4, "", -0.007)]
    table = pd.DataFrame(rows, columns=["cell", "source", "target", "operation", "cost"])
    figure = draw_last_two(minimal_cell(), table, OPERATIONS)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["second-last cell: edges +5.0, output 0", "last cell: edges +10.0, output 0"]
    assert written(figure).count("sep3\n+1.0") == 1


def test_edge_0_1_of_the_modified_cell_has_no_cost_path() -> None:
    cells = (simplified_cell(), modified_cell())
    rows = [(cell.name, i, j, 0.001 * (i + j)) for cell in cells for i, j in cell.edges]
    figure = draw_small_cells(
        cells,
        pd.DataFrame(rows, columns=["cell", "source", "target", "cost"]),
        dict.fromkeys(("simplified", "modified"), 0.5),
    )
    flows = [{str(patch.get_gid()) for patch in ax.patches} for ax in figure.axes]
    assert "flow cost 1-0" in flows[0]
    assert "flow cost 1-0" not in flows[1]
    assert "flow gradient 1-0" in flows[1]


def pictures() -> dict[str, tuple[Figure, pd.DataFrame]]:
    """Every picture of the theory with the table that it was drawn from."""
    names = ["first path, edge 0", "second path, edge 0", "second path, edge 1"]
    terms = theory.second_path_table(pd.DataFrame(RANDOM.normal(0, 0.03, (40, 3)), columns=names))
    by_eps = pd.DataFrame(itertools.product(WIRING_ORDER[1:], [1e-8, 1e-6, 1e-4]), columns=["operation", "eps"])
    by_eps["relative residual"] = by_eps.eps * RANDOM.uniform(1, 2, len(by_eps))
    split = pd.DataFrame(
        {"panel": "a", "what": ["output", "node 2", "edge 0"], "belongs to": ["output", "node 2", "node 2"]}
    )
    sums = pd.DataFrame({"panel": "b", "cell": [0, 1, 2, 3], "cost": [0.0, 0.0, 0.0, 0.123]})
    handed = pd.concat([split.assign(cost=[0.08, 0.02, 0.017]), sums])
    skips = pd.DataFrame({"panel": ["a"] * 4, "cell": range(4), "edges": RANDOM.normal(size=4)})
    skips["output + skip"] = skips.edges
    series = pd.DataFrame(RANDOM.normal(size=(9, 3)), columns=["edge costs", "L - H", "held-out C"]).rename_axis("step")
    return {
        "second paths": (theory.second_paths(terms), terms),
        "residuals": (theory.residuals(by_eps), by_eps),
        "handed out": (theory.handed_out(handed), handed),
        "with skips": (theory.with_skips(skips), skips),
        "training": (theory.training_costs(series.reset_index()), series.reset_index()),
        "readings": readings(),
        "sums": sums_of_paths(),
        "maps": maps(),
    }


def readings() -> tuple[Figure, pd.DataFrame]:
    frames = []
    for images, C in (("fitted", -0.5), ("held out", 1.2)):
        s = np.array([0.1, 0.55, 1.7, 3.1])
        frames.append(pd.DataFrame({"panel": "a", "images": images, "curve": "loss", "x": s, "y": C * s + 2.03}))
        frames.append(pd.DataFrame({"panel": "a", "images": images, "curve": "slope C", "x": s, "y": C * s + 2.1}))
        frames.append(
            pd.DataFrame({"panel": "a", "images": images, "curve": "as it is", "x": [1.0], "y": [2.2], "C": [C]})
        )
    for images in ("all", "correct", "wrong"):
        frames.append(
            pd.DataFrame({"panel": "b", "images": images, "curve": "cost", "x": [0.31, 0.72], "y": [0.13, -0.4]})
        )
    table = pd.concat(frames, ignore_index=True)
    return theory.readings(table, 25), table


def sums_of_paths() -> tuple[Figure, pd.DataFrame]:
    rows = []
    kinds = ("exact moments", "simulation", "trained supernet")
    for k, rho, features in itertools.product((1, 2, 3, 4), (0.0, 0.3, 1.0), kinds):
        rows.append(("a", k, rho, features, k * 1.001, k))
        law = k * (1 + (k - 1) * rho)
        rows.append(("b", k, rho, features, law * 1.002, law))
    table = pd.DataFrame(rows, columns=["panel", "k", "rho", "features", "value", "law"])
    return theory.law_of_sums(table), table


def maps() -> tuple[Figure, pd.DataFrame]:
    rows = [(panel, edge, op, RANDOM.normal(0, 0.01)) for panel in ("a", "b") for edge in EDGES for op in WIRING_ORDER]
    table = pd.DataFrame(rows, columns=["panel", "edge", "operation", "mean cost"])
    return theory.cost_maps(table, 0.02, WIRING_ORDER), table


def test_every_picture_meets_the_standard() -> None:
    """Width, letters, words, and every drawn number in the table."""
    for name, (figure, table) in pictures().items():
        assert problems(figure, table) == [], name


@pytest.mark.parametrize("panel", ["a", "b"])
def test_a_picture_without_its_numbers_does_not(panel: str) -> None:
    """What would be missing is found: the check above can fail."""
    figure, table = maps()
    assert problems(figure, table[table.panel != panel])
