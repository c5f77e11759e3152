"""Modules in a row with the cost that flows back through them."""

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from nas_core.report import Box, Chain, draw_chains
from nas_core.report.diagrams import FACES

BOXES = (
    Box("ReLU", "max(x, 0)", "ReLU"),
    Box("convolution", "1×1 pointwise", "Conv"),
    Box("batch norm", "", "BatchNorm"),
)
STOPPED = Chain("stopped", BOXES, ("2", "3"), ("0", "0", "0", "+0.1"), 2)
THROUGH = Chain("through", BOXES[1:], ("in", "out"), ("+0.1", "+0.1", "+0.2"))


def patches(ax: Axes, start: str) -> dict[str, tuple[float, float]]:
    """Left and right end of every patch whose gid begins with ``start``, in inches."""
    found = {}
    for patch in ax.patches:
        if str(patch.get_gid()).startswith(start):
            box = patch.get_path().get_extents(patch.get_patch_transform())
            found[str(patch.get_gid())] = (box.x0, box.x1)
    return found


def texts(ax: Axes, gid: str) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_gid() == gid]


def test_a_cost_that_stops_does_not_pass_its_box() -> None:
    """Its band ends right of the box; one that does not stop reaches the input."""
    ax = draw_chains([STOPPED, THROUGH])
    band = patches(ax, "cost")
    box = patches(ax, "module")
    assert box["module 0 batch norm"][1] < band["cost 0"][0]
    assert band["cost 1"][0] < box["module 1 convolution"][0]
    assert list(patches(ax, "stop")) == ["stop 0"]


def test_costs_stand_below_every_arrow() -> None:
    ax = draw_chains([STOPPED, THROUGH])
    assert texts(ax, "cost 0") == list(STOPPED.costs)
    assert texts(ax, "cost 1") == list(THROUGH.costs)


def test_last_boxes_stand_in_one_column() -> None:
    box = patches(draw_chains([STOPPED, THROUGH]), "module")
    assert box["module 0 batch norm"] == pytest.approx(box["module 1 batch norm"])
    assert box["module 0 convolution"] == pytest.approx(box["module 1 convolution"])


def test_only_numbers_are_nodes() -> None:
    """An intermediate node is an orange circle, words are words."""
    ax = draw_chains([STOPPED, THROUGH])
    nodes = [patch for patch in ax.patches if str(patch.get_gid()).startswith("node")]
    assert [node.get_gid() for node in nodes] == ["node 0 2", "node 0 3"]
    assert {node.get_facecolor() for node in nodes} == {to_rgba(FACES["intermediate"])}


def test_a_cost_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 costs for 4 arrows"):
        draw_chains([Chain("short", BOXES, ("2", "3"), ("0", "0"))])
