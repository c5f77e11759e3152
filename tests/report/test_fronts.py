"""Pictures of searches for a front: what is drawn is in the table, and a drawn child is the child."""

import numpy as np
import pandas as pd
import pytest

from nas_core.report import Drawn, draw_children, draw_fronts, draw_generation, draw_pairs, new_figure, points_table
from nas_core.report.fronts import ALL, FRONT, read_children
from nas_core.report.standard import problems

BLOCKS = (((3, (3, 9)), (6, (5,))), ((6, (3, 5, 7, 9)), (3, (7,))))


def drawn(blocks):
    return [Drawn(f"child {i}", child, (12, 24), (7, 4)) for i, child in enumerate(blocks)]


@pytest.mark.claim("C-MF5")
def test_exact_a_drawing_says_what_the_child_is():
    ax = draw_children(drawn(BLOCKS))
    assert [tuple(child) for child in read_children(ax)] == list(BLOCKS)
    other = draw_children(drawn([((3, (3, 7)), (6, (5,)))]))
    assert read_children(other)[0] != read_children(ax)[0]


def test_reading_looks_at_what_is_written():
    ax = draw_children(drawn(BLOCKS))
    (text,) = [t for t in ax.texts if t.get_gid() == "kernel 0 1"]
    text.set_text("7×7")
    assert read_children(ax)[0][1] == (6, (7,))


def test_kernels_fill_their_lanes():
    """From above 3, 5, 7, 9; a lane that is not active is pale."""
    ax = draw_children(drawn([((3, (3, 9)),)]))
    filled = [patch.get_facecolor()[:3] != pytest.approx((0.965, 0.965, 0.965), abs=0.01) for patch in ax.patches[:4]]
    assert filled == [True, False, False, True]


def test_pictures_keep_the_standard():
    """All that is drawn is in the table; without a row of it saving would refuse."""
    evaluated = pd.DataFrame({"madds": [1.5e6, 2.25e6, 1.75e6], "acc": [0.31, 0.42, 0.2]})
    table = points_table({"NSGA-II": (evaluated, evaluated.head(2)), "random search": (evaluated, evaluated.tail(2))})
    assert table.groupby("role")["million"].count().to_dict() == {ALL: 6, FRONT: 4}
    figure = draw_fronts(table).figure
    assert problems(figure, table) == []
    assert problems(figure, table[table["million"] != 1.5])


def test_the_true_front_is_a_staircase_beside_both_roles():
    front = pd.DataFrame({"madds": [10, 20], "percent": [41.25, 53.5]})
    children = pd.DataFrame({"madds": [11, 22], "percent": [40.75, 50.25], "role": ["population", "offspring"]})
    figure, ((ax,),) = new_figure(3, 3)
    draw_generation(children, front, ax, "toy")
    assert problems(figure, pd.concat([front, children])) == []
    assert ax.lines[0].get_drawstyle() == "steps-post"
    assert [len(dots.get_offsets()) for dots in ax.collections] == [1, 1]


def test_pairs_have_a_line_a_seed_and_two_means():
    table = pd.DataFrame({"a": [1.25, 2.75], "b": [3.125, 4.125]})
    figure, ((ax,),) = new_figure(3, 3)
    draw_pairs(table, ax, left="a", right="b", ylabel="accuracy (%)")
    drawn_means = [float(line.get_ydata()[0]) for line in ax.lines if len(line.get_ydata()) == 1]
    assert np.allclose(drawn_means, [2.0, 3.625])
    assert problems(figure, table) != []
    assert problems(figure, pd.concat([table, table.mean().to_frame().T])) == []
