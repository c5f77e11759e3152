"""Diagrams: what is drawn is the genotype, edges miss nodes, labels miss each other."""

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from nas_core.cells.genotype import CellGenotype, LabelledCell
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.report.diagrams import cell_edges, draw_cell, edge_handles
from nas_core.report.layout import RADIUS, at, curve, output_node, positions
from nas_core.report.snapshots import topology_snapshots
from nas_core.report.style import WIRING_ORDER, new_figure, op_style

OPS = ("skip_connect", "max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3", "dil_conv_3x3", "dil_conv_5x5", "sep_conv_5x5")
TOPOLOGIES = [darts_cell(4), darts_cell(5), darts_cell(3), minimal_cell(), simplified_cell(), modified_cell()]
NAMES = [f"{t.name}{t.nodes}" for t in TOPOLOGIES]


def genotype(topology: Topology, *edges: tuple[int, int, str]) -> CellGenotype:
    return CellGenotype(topology.inputs, topology.nodes, edges, topology.output)


def labelled(topology: Topology, *edges: tuple[int, int, str]) -> LabelledCell:
    return LabelledCell(topology.inputs, topology.nodes, edges, topology.output)


def full(topology: Topology) -> CellGenotype:
    return genotype(topology, *((i, j, OPS[k % 7]) for k, (i, j) in enumerate(topology.edges)))


def drawn(ax: Axes, kind: str) -> list[str]:
    return [str(p.get_gid()) for p in ax.patches if str(p.get_gid()).split()[0] == kind]


NASNET = genotype(darts_cell(5), (0, 3, OPS[6]), (0, 3, OPS[3]), (0, 5, OPS[2]), (0, 5, OPS[2]), (1, 6, OPS[0]))
SOME = genotype(darts_cell(4), (0, 2, "sep_conv_3x3"), (1, 3, "skip_connect"), (2, 5, "max_pool_3x3"))


def test_drawn_edges_are_those_of_the_genotype() -> None:
    ax = draw_cell(None, darts_cell(4), SOME)
    assert sorted(drawn(ax, "kept")) == ["kept 0-2 sep3", "kept 1-3 skip", "kept 2-5 max"]
    assert len(drawn(ax, "dropped")) == 11
    assert len(drawn(ax, "output")) == 4
    colours = {p.get_gid(): p.get_edgecolor() for p in ax.patches if str(p.get_gid()).startswith("kept")}
    assert colours["kept 0-2 sep3"] == to_rgba(op_style("sep3").colour)


def test_nodes_without_kept_input_are_hollow() -> None:
    ax = draw_cell(None, darts_cell(4), SOME)
    assert [gid for gid in drawn(ax, "node") if gid.endswith("hollow")] == ["node 4 hollow"]
    assert len(drawn(ax, "node")) == 7
    numbers = {t.get_text() for t in ax.texts}
    assert {"0", "1", "2", "3", "4", "5", "6", "$c_{k-2}$", "$c_{k-1}$", "$c_k$"} <= numbers


def test_without_genotype_every_candidate_has_its_number() -> None:
    ax = draw_cell(None, minimal_cell())
    assert drawn(ax, "candidate") == [f"candidate {e}" for e in ("0-2 0", "1-2 1", "0-3 2", "1-3 3", "2-3 4")]
    assert [h.get_label() for h in edge_handles(minimal_cell())] == [
        "input edges (4)",
        "intermediate edges (1)",
        "output edges (2)",
    ]
    one = [h.get_label() for h in edge_handles(modified_cell())]
    assert one == ["input edges (2)", "intermediate edges (1)", "output edges (1)"]
    colours = [e.colour for e in cell_edges(minimal_cell()) if e.kind == "candidate"]
    assert len(set(colours[:4])) == 1
    assert colours[4] != colours[0]


def test_the_modified_cell_lacks_output_edge_1_3() -> None:
    assert drawn(draw_cell(None, simplified_cell()), "output") == ["output 1-3", "output 2-3"]
    assert drawn(draw_cell(None, modified_cell()), "output") == ["output 2-3"]


def test_parallel_edges_bend_apart() -> None:
    ax = draw_cell(None, darts_cell(5), NASNET)
    assert len(drawn(ax, "kept")) == 5
    edges = [e for e in cell_edges(darts_cell(5), NASNET) if (e.kind, e.target) == ("kept", 5)]
    a, b = (curve(darts_cell(5), e.source, e.target, e.bend) for e in edges)
    assert np.hypot(*(at(a, 0.5) - at(b, 0.5))) > RADIUS / 2


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=NAMES)
def test_no_edge_runs_through_a_node(topology: Topology) -> None:
    places = positions(topology)
    for i, j in [*topology.edges, *((n, output_node(topology)) for n in topology.output)]:
        path = at(curve(topology, i, j), np.linspace(0, 1, 200))
        for place in places.values():
            assert np.hypot(*(path - place).T).min() >= RADIUS


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=NAMES)
@pytest.mark.parametrize("with_genotype", [True, False], ids=["labels", "numbers"])
def test_labels_overlap_neither_each_other_nor_nodes(topology: Topology, with_genotype: bool) -> None:
    ax = draw_cell(None, topology, full(topology) if with_genotype else None)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    labels = [t for t in ax.texts if str(t.get_gid()).startswith("label")]
    boxes = [t.get_bbox_patch().get_window_extent() for t in labels]  # type: ignore[union-attr]
    nodes = [p.get_window_extent() for p in ax.patches if str(p.get_gid()).startswith("node")]
    assert len(boxes) == len(topology.edges)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(a.overlaps(b) for a in boxes for b in nodes)
    assert min(t.get_fontsize() for t in ax.texts) >= 7


def test_labels_keep_off_other_edges() -> None:
    topology = darts_cell(4)
    ax = draw_cell(new_figure(5, 3)[1][0, 0], topology, full(topology))
    ax.figure.draw_without_rendering()
    labels = {str(t.get_gid()).split()[1]: t for t in ax.texts if str(t.get_gid()).startswith("label")}
    for (i, j), (k, m) in itertools.permutations(topology.edges, 2):
        box = labels[f"{i}-{j}"].get_bbox_patch().get_window_extent()  # type: ignore[union-attr]
        path = ax.transData.transform(at(curve(topology, k, m), np.linspace(0, 1, 200)))
        assert not any(box.contains(x, y) for x, y in path), f"the label of {i}-{j} covers {k}-{m}"


def test_labels_can_be_left_out() -> None:
    ax = draw_cell(None, darts_cell(4), SOME, labels=False)
    assert not [t for t in ax.texts if str(t.get_gid()).startswith("label")]


def test_highlighted_edges_have_a_band_in_their_colour() -> None:
    ax = draw_cell(None, simplified_cell(), highlight={(0, 1): "#00FF00", (1, 3): "#FF0000"})
    assert drawn(ax, "highlight") == ["highlight 0-1", "highlight 1-3"]
    assert ax.patches[-2].get_edgecolor()[:3] == (0, 1, 0)
    with pytest.raises(ValueError, match=r"cannot highlight edge \(1, 3\)"):
        draw_cell(None, modified_cell(), highlight=[(1, 3)])


def test_a_genotype_of_another_cell_is_rejected() -> None:
    with pytest.raises(ValueError, match="does not fit topology 'minimal', which has 2 and 2"):
        draw_cell(None, minimal_cell(), SOME)


def test_snapshots_name_epochs_and_counts_with_one_legend() -> None:
    cells = [full(darts_cell(4)), SOME, genotype(darts_cell(4))]
    figure = topology_snapshots(cells, [0, 5, 9], darts_cell(4), columns=2)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == [
        "epoch 0: 14 of 14 kept\n8/8 input, 6/6 intermediate",
        "epoch 5: 3 of 14 kept\n2/8 input, 1/6 intermediate",
        "epoch 9: 0 of 14 kept\n0/8 input, 0/6 intermediate",
    ]
    assert [len(drawn(ax, "kept")) for ax in figure.axes[:3]] == [14, 3, 0]
    assert [len(ax.lines) for ax in figure.axes[:3]] == [14, 3, 0]  # one marker per kept edge
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [*WIRING_ORDER[1:], "dropped"]


def test_snapshots_need_one_epoch_each() -> None:
    with pytest.raises(ValueError, match="1 genotypes and 2 epochs"):
        topology_snapshots([SOME], [0, 1], darts_cell(4))


def test_numbers_stand_below_labels_and_on_output_edges() -> None:
    texts = {(0, 2): "0.13", (2, 3): "-1e-17", (3, 4): "0.3"}
    ax = draw_cell(None, minimal_cell(), texts=texts)
    labels = {t.get_gid(): t.get_text() for t in ax.texts if str(t.get_gid()).startswith("label")}
    assert labels["label 0-2 0"] == "0\n0.13"
    assert labels["label 2-3 4"] == "4\n-1e-17"
    assert labels["label 3-4"] == "0.3"
    assert len(labels) == 6  # five candidates and one output edge
    bare = [t.get_text() for t in draw_cell(None, minimal_cell(), labels=False, texts=texts).texts]
    assert {"0.13", "-1e-17", "0.3"} <= set(bare)
    assert "0\n0.13" not in bare
    with pytest.raises(ValueError, match=r"cannot write on edge \(3, 2\): the cell has no such edge"):
        draw_cell(None, minimal_cell(), texts={(3, 2): "0"})


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=NAMES)
def test_numbers_on_every_edge_overlap_neither_each_other_nor_nodes(topology: Topology) -> None:
    output = [(n, output_node(topology)) for n in topology.output]
    texts = {edge: f"{0.01 * k:+.2f}" for k, edge in enumerate([*topology.edges, *output])}
    ax = draw_cell(new_figure(5, 3)[1][0, 0], topology, full(topology), texts=texts)
    ax.figure.draw_without_rendering()
    boxes = [t.get_bbox_patch().get_window_extent() for t in ax.texts if str(t.get_gid()).startswith("label")]  # type: ignore[union-attr]
    nodes = [p.get_window_extent() for p in ax.patches if str(p.get_gid()).startswith("node")]
    assert len(boxes) == len(texts)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(a.overlaps(b) for a in boxes for b in nodes)


def test_a_number_on_parallel_edges_stands_once() -> None:
    ax = draw_cell(None, darts_cell(5), NASNET, texts={(0, 5): "0.7"})
    assert sorted(t.get_text() for t in ax.texts if str(t.get_gid()).startswith("label 0-5")) == ["avg", "avg\n0.7"]


def test_inputs_and_output_can_have_other_names() -> None:
    ax = draw_cell(None, minimal_cell(), names={0: "a", 4: "b"})
    assert [t.get_text() for t in ax.texts if str(t.get_gid()).startswith("name")] == ["a", "$c_{k-1}$", "b"]


def test_four_candidates_on_every_edge_run_side_by_side() -> None:
    edges = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    parent, ops = Topology("parent", 1, 3, edges, (3,)), ("sep_conv_3x3", "avg_pool_3x3", "skip_connect", "none")
    drawn_edges = cell_edges(parent, labelled(parent, *((i, j, op) for i, j in edges for op in ops)))
    for pair in edges:
        beside = [curve(parent, *pair, e.bend) for e in drawn_edges if (e.source, e.target) == pair]
        gaps = [np.hypot(*(at(a, 0.5) - at(b, 0.5))) for a, b in itertools.pairwise(beside)]
        assert len(gaps) == 3
        assert min(gaps) > 0.1
    ax = draw_cell(None, parent, labelled(parent, (0, 1, "none"), (0, 2, "skip_connect")), labels=False)
    lines = {p.get_gid(): p.get_linestyle() for p in ax.patches if str(p.get_gid()).startswith("kept")}
    assert lines["kept 0-1 none"] != "-"
    assert lines["kept 0-2 skip"] in ("-", "solid")
