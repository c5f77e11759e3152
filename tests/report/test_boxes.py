"""Strips of cells and matrices: what is drawn is what was given, and nothing overlaps."""

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from nas_core.report.boxes import draw_matrix, draw_network, network_handles
from nas_core.report.style import op_style

NETWORKS = [(8, (2, 5)), (14, (4, 9)), (20, (6, 13))]


def boxes(ax: Axes) -> list[FancyBboxPatch]:
    return [p for p in ax.patches if isinstance(p, FancyBboxPatch)]


def arrows(ax: Axes) -> list[str]:
    return [str(p.get_gid()) for p in ax.patches if isinstance(p, FancyArrowPatch)]


def kinds(cells: int, reductions: tuple[int, ...]) -> list[str]:
    return ["reduction" if k in reductions else "normal" for k in range(cells)]


def assert_apart_and_inside(ax: Axes) -> None:
    """Boxes and texts beside them keep apart, and a text inside a box stays inside it; all is in the figure."""
    ax.figure.draw_without_rendering()
    shapes = [b.get_window_extent() for b in boxes(ax)]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(shapes, 2))
    beside = [t.get_window_extent() for t in ax.texts if str(t.get_gid()).startswith("text") and t.get_text()]
    assert not any(a.overlaps(b) for a in beside for b in shapes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(beside, 2))
    within = [t.get_window_extent() for t in ax.texts if not str(t.get_gid()).startswith("text") and t.get_text()]
    frames = [b.get_points() for b in shapes]
    assert all(any((lo <= w.min).all() and (w.max <= hi).all() for lo, hi in frames) for w in within)
    whole = ax.figure.bbox
    assert all((e.min >= whole.min).all() and (e.max <= whole.max).all() for e in [*shapes, *beside])


@pytest.mark.parametrize(("cells", "reductions"), NETWORKS)
def test_networks_have_all_cells_with_both_inputs(cells: int, reductions: tuple[int, ...]) -> None:
    texts: dict[int | str, str] = {"stem": "48", "linear": "10"}
    texts |= dict.fromkeys(range(cells), "144\n32")
    ax = draw_network(None, kinds(cells, reductions), texts)
    inner = [f"{kind} {k}" for k, kind in enumerate(kinds(cells, reductions))]
    assert [b.get_gid() for b in boxes(ax)] == ["stem stem", *inner, "pool pool", "linear linear"]
    assert sorted(arrows(ax)) == sorted(
        [f"k-1 {k}" for k in [*range(cells), "pool", "linear"]] + [f"k-2 {k}" for k in range(cells)]
    )
    assert {t.get_gid(): t.get_text() for t in ax.texts if t.get_gid() and t.get_text()} == {
        f"text {k}": v for k, v in texts.items()
    }
    assert_apart_and_inside(ax)


def test_arcs_join_each_cell_to_the_one_before_the_last() -> None:
    ax = draw_network(None, kinds(8, (2, 5)))
    centres = {b.get_gid().split()[-1]: b.get_x() + b.get_width() / 2 for b in boxes(ax)}  # type: ignore[union-attr]
    order = ["stem", "stem", *map(str, range(8))]
    for arc in (p for p in ax.patches if isinstance(p, FancyArrowPatch) and str(p.get_gid()).startswith("k-2")):
        k = int(str(arc.get_gid()).split()[-1])
        (left, _), (right, _) = arc._posA_posB  # type: ignore[attr-defined]
        assert abs(left - centres[order[k]]) < 0.1
        assert abs(right - centres[str(k)]) < 0.1


def test_reductions_are_marked_and_make_the_following_boxes_lower() -> None:
    heights = [b.get_height() for b in boxes(draw_network(None, kinds(8, (2, 5))))]
    assert len(set(heights)) == 3
    assert heights[0] == heights[2] > heights[3] == heights[5] > heights[6] == heights[-1]
    assert [h.get_label() for h in network_handles()] == ["normal cell", "reduction cell"]
    colours = {b.get_gid(): b.get_facecolor() for b in boxes(draw_network(None, kinds(8, (2, 5))))}
    assert colours["normal 1"] == network_handles()[0].get_facecolor() != colours["reduction 2"]


def test_unknown_cells_are_rejected() -> None:
    with pytest.raises(ValueError, match="a cell is normal or reduction, not 'odd'"):
        draw_network(None, ["normal", "odd"])
    with pytest.raises(ValueError, match="no place 2 to write on: there are stem, 0 to 1, pool and linear"):
        draw_network(None, ["normal", "normal"], {2: "32×32"})


def test_a_one_hot_matrix_has_the_colour_of_its_operations() -> None:
    ops, z = ("sep_conv_3x3", "skip_connect", "none"), np.eye(3)[[1, 0, 2, 2]]
    ax = draw_matrix(None, z, ["(0,1)", "(0,2)", "(1,2)", "(1,3)"], ops)
    (image,) = ax.images
    shown = np.asarray(image.get_array())
    for i, j in np.ndindex(z.shape):
        colour = tuple(int(op_style(ops[j]).colour[k : k + 2], 16) / 255 for k in (1, 3, 5)) if z[i, j] else (1, 1, 1)
        assert shown[i, j] == pytest.approx(colour)
    assert {t.get_gid(): t.get_text() for t in ax.texts} == {
        f"entry {i} {j}": str(int(z[i, j])) for i, j in np.ndindex(z.shape)
    }
    assert [t.get_text() for t in ax.get_xticklabels()] == ["sep3", "skip", "none"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["(0,1)", "(0,2)", "(1,2)", "(1,3)"]


def test_numbers_of_a_matrix_stay_inside_their_entries() -> None:
    z = np.random.default_rng(0).dirichlet(np.ones(4), 6)
    ax = draw_matrix(None, z, [str(i) for i in range(6)], ["sep3", "avg", "skip", "none"])
    ax.figure.draw_without_rendering()
    width, height = np.abs(ax.transData.transform((1, 1)) - ax.transData.transform((0, 0)))
    assert all(t.get_window_extent().width < width and t.get_window_extent().height < height for t in ax.texts)


def test_numbers_of_a_matrix_have_the_asked_for_digits_and_true_signs() -> None:
    ax = draw_matrix(None, [[-0.5, 0.125], [-0.001, 1.0]], ["a", "b"], ["O1", "O2"], form=".2f")
    assert [text.get_text() for text in ax.texts] == ["−0.50", "0.12", "0.00", "1.00"]


def test_a_matrix_of_another_shape_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\) does not fit 2 rows and 3 columns"):
        draw_matrix(None, np.eye(2), ["a", "b"], ["none", "skip", "max"])
