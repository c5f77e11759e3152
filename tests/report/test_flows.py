"""Flows: bands lie on the steps of their paths, point their way, and keep beside edges and each other."""

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.patches import ConnectionPatch, Patch, Polygon

from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.report.flows import (
    UNIT_EDGES,
    connect,
    draw_flow,
    draw_unit,
    flow_handles,
    join_cells,
    unit_handles,
)
from nas_core.report.layout import at, curve, positions
from nas_core.report.style import new_figure

GRADIENT, COST = [(4, 3, 2, 0), (4, 3, 0), (4, 2, 0)], [(4, 3, 0), (4, 2, 0)]


def bands(ax: Axes) -> dict[str, Polygon]:
    return {str(p.get_gid()): p for p in ax.patches if isinstance(p, Polygon) and str(p.get_gid()).startswith("flow")}


def test_every_step_of_the_paths_has_one_band() -> None:
    drawn = bands(draw_flow(None, minimal_cell(), {"gradient": GRADIENT, "cost": COST}))
    steps = {"gradient": ["4-3", "3-2", "2-0", "3-0", "4-2"], "cost": ["4-3", "3-0", "4-2", "2-0"]}
    assert list(drawn) == [f"flow {flow} {step}" for flow in steps for step in steps[flow]]
    gradient, cost = flow_handles(["gradient", "cost"])
    assert drawn["flow gradient 3-2"].get_facecolor() == gradient.get_facecolor()
    assert drawn["flow cost 4-3"].get_facecolor() == cost.get_facecolor()
    assert flow_handles(["cost"])[0].get_facecolor() == cost.get_facecolor()  # alone, too


@pytest.mark.parametrize("path", [(4, 3, 2, 0), (0, 2, 3, 4)])
def test_bands_point_along_the_path(path: tuple[int, ...]) -> None:
    topology = minimal_cell()
    for name, band in bands(draw_flow(None, topology, {"gradient": [path]})).items():
        start, end = (positions(topology)[int(n)] for n in name.split()[-1].split("-"))
        corners = np.asarray(band.get_xy())
        tip = corners[(len(corners) - 1) // 2]  # an outline is the left rim, three corners of the head, the right rim
        assert np.hypot(*(tip - end)) < np.hypot(*(tip - start))
        assert np.hypot(*(tip - end)) == np.hypot(*(corners - end).T).min()


@pytest.mark.parametrize("topology", [minimal_cell(), simplified_cell(), darts_cell(4)], ids=lambda t: t.name)
def test_flows_on_one_edge_lie_side_by_side(topology: Topology) -> None:
    steps = [(j, i) for i, j in topology.edges]
    drawn = bands(draw_flow(None, topology, {"gradient": steps, "cost": steps, "third": steps, "fourth": steps}))
    for i, j in topology.edges:
        beside = [np.asarray(drawn[f"flow {f} {j}-{i}"].get_xy()) for f in ("third", "gradient", "cost", "fourth")]
        edge = at(curve(topology, i, j), np.linspace(0.3, 0.7, 41))
        normal = np.gradient(edge, axis=0)[20] @ [[0, 1], [-1, 0]] / np.hypot(*np.gradient(edge, axis=0)[20])
        across = []
        for corners in beside:  # where the band crosses the normal in the middle of the edge
            away = corners - edge[20]
            near = np.abs(away @ [normal[1], -normal[0]]) < 0.03
            across.append(away[near] @ normal)
        across = [a[np.abs(a) < 0.5] for a in across]
        assert all(len(a) for a in across)
        assert all(a.min() > b.max() for a, b in itertools.pairwise(across))
        assert across[1].min() > 0 > across[2].max()  # the edge itself stays free


def test_numbers_stand_beside_their_bands() -> None:
    texts = {"cost": {(3, 2): "0", (4, 3): "1.2e-1"}, "gradient": {(3, 2): "0.31"}}
    cost = [*COST, (3, 2)]
    ax = draw_flow(None, minimal_cell(), {"gradient": GRADIENT, "cost": cost}, texts=texts)
    ax.figure.draw_without_rendering()
    written = {str(t.get_gid()): t for t in ax.texts if str(t.get_gid()).startswith(("text", "label"))}
    assert {g: t.get_text() for g, t in written.items() if g.startswith("text")} == {
        "text gradient 3-2": "0.31",
        "text cost 3-2": "0",
        "text cost 4-3": "1.2e-1",
    }
    boxes = [t.get_bbox_patch().get_window_extent() for t in written.values()]  # type: ignore[union-attr]
    nodes = [p.get_window_extent() for p in ax.patches if str(p.get_gid()).startswith("node")]
    assert len(boxes) == 5 + 3
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(a.overlaps(b) for a in boxes for b in nodes)
    assert written["text gradient 3-2"].get_position()[1] > 0 > written["text cost 3-2"].get_position()[1]
    drawn = bands(ax)
    for flow, step in (("gradient", "3-2"), ("cost", "3-2"), ("cost", "4-3")):  # along straight edges
        number = written[f"text {flow} {step}"].get_window_extent()
        band = drawn[f"flow {flow} {step}"].get_window_extent()
        assert not number.y0 < (band.y0 + band.y1) / 2 < number.y1


def test_other_flows_have_colours_of_their_own() -> None:
    names = ["gradient", "cost", *"abcdef"]
    assert len({h.get_facecolor() for h in flow_handles(names)}) == len(names)
    ax = draw_flow(None, modified_cell(), {"a": [(3, 2)]}, colours={"a": "#123456"})
    assert bands(ax)["flow a 3-2"].get_facecolor() == to_rgba("#123456")


def test_steps_that_the_cell_lacks_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"flow 'cost' cannot go from 3 to 1: the cell has no edge \(1, 3\)"):
        draw_flow(None, modified_cell(), {"cost": [(3, 1, 0)]})
    with pytest.raises(ValueError, match=r"cannot write on step \(2, 3\): flow 'cost' does not take it"):
        draw_flow(None, modified_cell(), {"cost": [(3, 2, 0)]}, texts={"cost": {(2, 3): "1"}})
    with pytest.raises(ValueError, match="cannot write on flow 'costs': there is no such flow"):
        draw_flow(None, modified_cell(), {"cost": [(3, 2, 0)]}, texts={"costs": {(3, 2): "1"}})


def test_a_flow_that_stops_ends_half_way_at_a_bar() -> None:
    """Its tip lies between the nodes, the bar just behind the tip; the other bands reach their nodes."""
    cell = minimal_cell()
    ax = draw_flow(None, cell, {"cost": [(4, 3, 2)]}, stops={"cost": [(3, 2)]})
    left, right = positions(cell)[2][0], positions(cell)[3][0]
    middle = (left + right) / 2
    tip = bands(ax)["flow cost 3-2"].get_xy()[:, 0].min()
    bars = {str(p.get_gid()): p.get_xy() for p in ax.patches if str(p.get_gid()).startswith("stop")}
    assert list(bars) == ["stop cost 3-2"]
    assert middle - 0.3 < bars["stop cost 3-2"][:, 0].max() <= tip < middle + 0.3
    with pytest.raises(ValueError, match=r"cannot stop on step \(2, 0\): flow 'cost' does not take it"):
        draw_flow(None, cell, {"cost": [(4, 3, 2)]}, stops={"cost": [(2, 0)]})


def test_cells_are_joined_from_output_to_last_input() -> None:
    figure, ((left, right),) = new_figure(9, 3.3, 1, 2)
    for ax in (left, right):
        draw_flow(ax, minimal_cell(), {})
    assert join_cells(left, right, "C = 0") is right
    figure.draw_without_rendering()
    line, text = (t for t in right.texts if str(t.get_gid()).startswith("join"))
    assert text.get_text() == "C = 0"
    path = line.arrow_patch.get_path().vertices[:3]  # type: ignore[attr-defined]
    start, end = (ax.transData.transform(positions(minimal_cell())[n]) for ax, n in ((left, 4), (right, 1)))
    assert start[0] < path[0, 0] < path[-1, 0] < end[0]
    assert text.get_window_extent().y1 < end[1]


WEIGHTS = np.array([[0.1, 0.3, 0.6], [0.0, 0.5, 0.5], [0.2, 0.2, 0.6]])


def of_unit(ax: Axes, kind: str) -> dict[str, Patch]:
    """Patches of a drawn unit whose gid begins with ``kind``."""
    return {str(p.get_gid()): p for p in ax.patches if str(p.get_gid()).startswith(kind)}


def test_a_unit_has_three_operations_on_every_edge_as_broad_as_their_weights() -> None:
    ax = draw_unit(None, WEIGHTS, {})
    lines = of_unit(ax, "operation")
    assert len(lines) == len(of_unit(ax, "parameter")) == 9
    for (start, end), row in zip(UNIT_EDGES, WEIGHTS, strict=True):
        widths = [lines[f"operation {start}-{end} {k}"].get_linewidth() for k in range(3)]
        assert np.allclose(np.diff(widths), 2.6 * np.diff(row))
    back = ("j-i", "l-j", "m-j", "L-l", "L-m")
    assert set(of_unit(ax, "compound")) == {f"compound {step}" for step in back}
    assert set(of_unit(ax, "search")) == {"search i-j", "search j-l", "search j-m"}


def test_the_gradients_of_a_unit_run_against_its_edges() -> None:
    """Also those of parameters, from the end of the edge to its middle."""
    ax = draw_unit(None, WEIGHTS, {})
    for gid, arrow in (of_unit(ax, "compound") | of_unit(ax, "parameter") | of_unit(ax, "search")).items():
        path = arrow.get_path().vertices  # in the plane of the drawing once it has been drawn
        assert path[-1][0] < path[0][0], gid


def test_only_stochastic_nodes_of_a_unit_are_dashed_and_parallel_ones_are_parallel() -> None:
    ax = draw_unit(None, WEIGHTS, {"l": 1.25}, stochastic="jlmL")
    nodes = of_unit(ax, "node")
    assert {gid: node.get_linestyle() == "-" for gid, node in nodes.items()} == {
        "node i": True,
        "node j": False,
        "node l": False,
        "node m": False,
        "node L": False,
    }
    assert all(gate.get_linestyle() != "-" for gate in of_unit(ax, "gate").values())
    assert all(gate.get_linestyle() == "-" for gate in of_unit(draw_unit(None, WEIGHTS, {}), "gate").values())
    upper, lower = nodes["node l"].center, nodes["node m"].center
    assert upper[0] == lower[0]
    assert upper[1] == -lower[1]
    assert "1.25" in [text.get_text() for text in ax.texts]


def test_a_unit_refuses_other_weights_and_explains_its_lines() -> None:
    with pytest.raises(ValueError, match=r"three edges of three operations.*\(2, 3\)"):
        draw_unit(None, WEIGHTS[:2], {})
    ax = draw_unit(None, WEIGHTS, {})
    drawn = {to_hex(patch.get_edgecolor()) for patch in ax.patches}
    for handle in unit_handles():
        assert to_hex(handle.get_color()) in drawn


def test_an_arrow_connects_two_axes() -> None:
    figure, ((left, right),) = new_figure(4, 2, 1, 2)
    connect(left, right, height=0.25, before=12)
    (arrow,) = [artist for artist in figure.artists if artist.get_gid() == "connect"]
    assert isinstance(arrow, ConnectionPatch)
    assert (arrow.xy1, arrow.coords1) == ((1, 0.5), left.transAxes)
    assert (arrow.xy2, arrow.coords2) == ((0, 0.25), right.transAxes)
    assert arrow.shrinkB == 12
