"""Scenes with boxes: every box stands where it is, its text within the image, and its look says what it is."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from nas_core.report import box_handles, draw_scene, new_figure
from nas_core.report.scenes import BOXES

SIDE = 64


def drawn(rows):
    figure, axes = new_figure(1.4, 1.4)
    table = pd.DataFrame(rows, columns=["left", "top", "width", "height", "kind", "text"])
    draw_scene(axes[0, 0], np.random.default_rng(0).random((SIDE, SIDE)), table)
    figure.draw_without_rendering()
    return figure, axes[0, 0]


def test_boxes_are_drawn_where_they_are_in_the_look_of_their_kind():
    rows = [(5 + 9 * k, 20, 10, 15 + k, kind, kind) for k, kind in enumerate(BOXES)]
    _, ax = drawn(rows)
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_width() < SIDE]
    for box, row in zip(boxes, rows, strict=True):
        assert (*box.get_xy(), box.get_width(), box.get_height()) == row[:4]
        assert to_hex(box.get_edgecolor()).upper() == BOXES[row[4]][0]
    looks = {(handle.get_color(), handle.get_linestyle()) for handle in box_handles()}
    assert len(looks) == len(BOXES)
    assert [handle.get_label() for handle in box_handles()] == list(BOXES)


@pytest.mark.parametrize("corner", [(0, 0), (50, 0), (0, 50), (50, 50), (25, 30), (36, 2)])
def test_texts_stay_within_the_image(corner):
    figure, ax = drawn([(*corner, 12, 12, "annotated", "ankle boot")])
    (text,) = ax.texts
    inside, image = text.get_window_extent(), ax.get_window_extent()
    slack = 0.03 * image.width
    assert inside.x0 >= image.x0 - slack
    assert inside.x1 <= image.x1 + slack
    assert inside.y1 <= image.y1 + slack
    assert figure.get_size_inches()[0] == pytest.approx(1.4)


def test_an_image_without_boxes_is_drawn():
    _, ax = drawn([])
    assert len(ax.images) == 1
    assert not ax.texts
