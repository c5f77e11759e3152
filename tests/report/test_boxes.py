"""Strips of cells and matrices: what is drawn is what was given, and nothing overlaps."""

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import BboxBase

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
    shapes = [box.get_window_extent() for box in boxes(ax)]
    beside, within = [], []
    for text in ax.texts:
        if text.get_text():
            place = beside if str(text.get_gid()).startswith("text") else within
            place.append(text.get_window_extent())
    for a, b in itertools.combinations([*shapes, *beside], 2):
        assert not a.overlaps(b)
    for text in within:
        assert any(contains(shape, text) for shape in shapes)
    for extent in [*shapes, *beside]:
        assert contains(ax.figure.bbox, extent)


def contains(outer: BboxBase, inner: BboxBase) -> bool:
    """Whether a box lies in another one."""
    return bool((inner.min >= outer.min).all() and (inner.max <= outer.max).all())


@pytest.mark.parametrize(("cells", "reductions"), NETWORKS)
def test_networks_have_all_cells_with_both_inputs(cells: int, reductions: tuple[int, ...]) -> None:
    texts: dict[int | str, str] = {"stem": "48", "linear": "10"}
    texts |= dict.fromkeys(range(cells), "144\n32")
    ax = draw_network(None, kinds(cells, reductions), texts)
    inner = [f"{kind} {k}" for k, kind in enumerate(kinds(cells, reductions))]
    assert [box.get_gid() for box in boxes(ax)] == ["stem stem", *inner, "pool pool", "linear linear"]
    straight = [f"k-1 {place}" for place in [*range(cells), "pool", "linear"]]
    arcs = [f"k-2 {cell}" for cell in range(cells)]
    assert sorted(arrows(ax)) == sorted(straight + arcs)
    written = {text.get_gid(): text.get_text() for text in ax.texts if text.get_gid() and text.get_text()}
    assert written == {f"text {place}": text for place, text in texts.items()}
    assert_apart_and_inside(ax)


def test_arcs_join_each_cell_to_the_one_before_the_last() -> None:
    ax = draw_network(None, kinds(8, (2, 5)))
    centres = {}
    for box in boxes(ax):
        name = str(box.get_gid()).split()[-1]
        centres[name] = box.get_x() + box.get_width() / 2
    order = ["stem", "stem", *map(str, range(8))]
    arcs = [patch for patch in ax.patches if str(patch.get_gid()).startswith("k-2")]
    assert len(arcs) == 8
    for arc in arcs:
        k = int(str(arc.get_gid()).split()[-1])
        (left, _), (right, _) = arc._posA_posB  # type: ignore[attr-defined]
        assert abs(left - centres[order[k]]) < 0.1
        assert abs(right - centres[str(k)]) < 0.1


def test_reductions_are_marked_and_make_the_following_boxes_lower() -> None:
    drawn = boxes(draw_network(None, kinds(8, (2, 5))))
    heights = [box.get_height() for box in drawn]
    assert len(set(heights)) == 3
    assert heights[0] == heights[2] > heights[3] == heights[5] > heights[6] == heights[-1]
    handles = network_handles()
    assert [handle.get_label() for handle in handles] == ["normal cell", "reduction cell"]
    colours = {box.get_gid(): box.get_facecolor() for box in drawn}
    assert colours["normal 1"] == handles[0].get_facecolor() != colours["reduction 2"]


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
    written = {text.get_gid(): text.get_text() for text in ax.texts}
    assert len(written) == z.size
    for i, j in np.ndindex(z.shape):
        colour = to_rgb(op_style(ops[j]).colour) if z[i, j] else (1, 1, 1)
        assert shown[i, j] == pytest.approx(colour)
        assert written[f"entry {i} {j}"] == str(int(z[i, j]))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["sep3", "skip", "none"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["(0,1)", "(0,2)", "(1,2)", "(1,3)"]


def test_numbers_of_a_matrix_stay_inside_their_entries() -> None:
    z = np.random.default_rng(0).dirichlet(np.ones(4), 6)
    ax = draw_matrix(None, z, [str(i) for i in range(6)], ["sep3", "avg", "skip", "none"])
    ax.figure.draw_without_rendering()
    width, height = np.abs(ax.transData.transform((1, 1)) - ax.transData.transform((0, 0)))
    for text in ax.texts:
        extent = text.get_window_extent()
        assert extent.width < width
        assert extent.height < height


def test_numbers_of_a_matrix_have_the_asked_for_digits_and_true_signs() -> None:
    ax = draw_matrix(None, [[-0.5, 0.125], [-0.001, 1.0]], ["a", "b"], ["O1", "O2"], form=".2f")
    assert [text.get_text() for text in ax.texts] == ["−0.50", "0.12", "0.00", "1.00"]


def test_a_matrix_of_another_shape_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\) does not fit 2 rows and 3 columns"):
        draw_matrix(None, np.eye(2), ["a", "b"], ["none", "skip", "max"])
