"""Printed tables and released cells: identities between the numbers, and counts derived from the cells alone."""

from collections import Counter

import pytest

from nas_core import papers
from nas_core.errors import UserError

SHAPES = {
    "snas_table1": (2, 5),
    "snas_table2": (14, 7),
    "snas_table3": (13, 9),
    "snas_text_numbers": (18, 2),
    "wiring_fig10b": (6, 3),
    "wiring_text_numbers": (9, 2),
    "mixpath_table1": (7, 5),
    "mixpath_table2": (3, 4),
    "mixpath_table3": (5, 10),
    "mixpath_text_numbers": (17, 2),
    "notes_text_numbers": (3, 2),
    "proxyless_released": (7, 8),
    "proxyless_nets": (3, 8),
    "counts": (8, 6),
}
# Sums over columns, added up from the tables of the papers, so that a mistyped number shows.
SUMS = {
    "snas_table2": {"test_error_pct": 43.59, "params_M": 79.2, "search_cost_gpu_days": 8632.7, "err_pm": 0.86},
    "snas_table3": {"top1_err_pct": 347.6, "top5_err_pct": 117.4, "params_M": 67.4, "madds_M": 8127},
    "mixpath_table3": {"madds_M": 1633, "params_M": 24.5, "AP": 153.9, "AP50": 252.3, "AP75": 160.6, "AP_L": 207.5},
    "mixpath_table2": {"top1_acc_pct": 267.93, "acc_pm": 0.29, "search_cost_gpu_hours": 12},
}


@pytest.mark.parametrize("name", papers.PRINTED)
def test_exact_tables_have_their_rows(name: str) -> None:
    table = papers.printed(name)
    assert table.shape == SHAPES[name]
    for column, total in SUMS.get(name, {}).items():
        assert table[column].sum() == pytest.approx(total, abs=1e-9)


def test_exact_printed_gaps_of_search_and_child_accuracy() -> None:
    table = papers.printed("snas_table1")
    gaps = table["search_valid_acc_pct"] - table["child_net_valid_acc_pct"]
    assert gaps.round(2).tolist() == [33.01, -2.13]


def test_exact_printed_costs_are_loss_minus_entropy() -> None:
    table = papers.printed("wiring_fig10b").set_index("quantity")
    assert table.loc["L_wrong"].tolist() == [1.70, 2.92]
    for group in ("correct", "wrong"):
        residual = table.loc[f"C_{group}"] - (table.loc[f"L_{group}"] - table.loc[f"H_{group}"])
        assert residual.abs().max() < 1e-12


def test_exact_detection_ranks() -> None:
    table = papers.printed("mixpath_table3").set_index("backbone")
    best = table[["AP", "AP75", "AP_S", "AP_M", "AP50", "AP_L", "imagenet_acc_pct"]].idxmax()
    assert best.tolist() == ["MixPath-A"] * 4 + ["MixNet-M"] * 3
    assert table.loc["MixPath-A", ["AP", "AP75", "AP_S", "AP_M"]].tolist() == [31.5, 33.2, 17.4, 35.3]


def test_exact_what_is_not_printed_stays_empty() -> None:
    table = papers.printed("snas_table2").set_index("architecture")
    assert table["err_pm"].isna().sum() == 4
    assert table.loc["DenseNet-BC", "pipeline"] == ""


def test_exact_sizes_of_the_mixpath_spaces() -> None:
    table = papers.printed("mixpath_table1")
    assert table["size"].tolist() == ["8^12", "36^12", "92^12", "162^12", "10^18", "256^18", "255"]
    assert table["m"].tolist() == [1, 2, 3, 4, 2, 1, 4]


def test_exact_numbers_of_the_text() -> None:
    found = {}
    for paper in ("snas", "wiring", "mixpath"):
        found |= dict(papers.printed(f"{paper}_text_numbers").itertuples(index=False))
    assert found["search_val_acc_snas_pct_approx"] == 88
    assert found["search_val_acc_enas_pct_approx"] == 70
    assert found["bn_eps"] == 1e-5
    assert found["theta_training_epochs"] == 150
    assert found["mixpath_b_flops_M"] == 377
    assert (found["coco_lr_first_drop_epoch"], found["coco_lr_second_drop_epoch"]) == (8, 11)


def test_exact_printed_sizes_agree_with_the_counts_where_they_should() -> None:
    counts = papers.printed("counts").set_index("arch")["cifar_params"] / 1e6
    rounded = counts.round(1)
    assert rounded[["DARTS_V2", "SNAS_moderate", "SNAS_aggressive"]].tolist() == [3.3, 2.8, 2.3]
    printed = papers.printed("snas_table2").set_index("architecture")["params_M"]
    assert printed["SNAS (single-level) + mild constraint + cutout"] == 2.9 != rounded["SNAS_mild"]
    assert printed["DARTS (1st order bi-level) + cutout"] == 3.3 != rounded["DARTS_V1"]


def test_exact_released_cells_lead_forward() -> None:
    archs = list(papers.released_genotypes()["arch"].unique())
    assert len(archs) == 8
    for arch in archs:
        cells = papers.released_cells(arch)
        assert list(cells) == ["normal", "reduce"]
        for cell in cells.values():
            assert all(0 <= i < j < cell.nodes + 2 and op in papers.OPERATIONS.values() for i, j, op in cell.edges)
            assert set(cell.output) <= set(range(2, cell.nodes + 2))
    with pytest.raises(UserError, match=r"unknown released architecture 'DARTS_V3'; did you mean"):
        papers.released_cells("DARTS_V3")


def test_exact_the_aggressive_reduction_cell_keeps_two_edges() -> None:
    cell = papers.released_cells("SNAS_aggressive")["reduce"]
    assert cell == (((0, 2, "sep_conv_5x5"), (0, 3, "sep_conv_5x5")), (2, 3, 4, 5))
    assert cell.nodes == 4


def test_exact_kept_intermediate_edges_of_the_released_cells() -> None:
    kept = {
        arch: [sum(i >= 2 for i, _, _ in cell.edges) for cell in papers.released_cells(arch).values()]
        for arch in ("DARTS_V1", "DARTS_V2", "SNAS_mild", "SNAS_moderate", "SNAS_aggressive")
    }
    assert kept == {
        "DARTS_V1": [1, 3],
        "DARTS_V2": [1, 3],
        "SNAS_mild": [0, 3],
        "SNAS_moderate": [0, 0],
        "SNAS_aggressive": [0, 0],
    }
    for arch, common in {"SNAS_mild": (5, 11), "SNAS_moderate": (8, 8)}.items():
        normal, reduce = ({e[:2] for e in cell.edges} for cell in papers.released_cells(arch).values())
        assert (len(normal & reduce), len(normal | reduce)) == common


def test_exact_parallel_edges_survive() -> None:
    cell = papers.released_cells("NASNet")["normal"]
    assert Counter(cell.edges)[(0, 5, "avg_pool_3x3")] == 2
    for arch in ("NASNet", "AmoebaNet", "ENAS_micro"):
        assert [len(cell.edges) for cell in papers.released_cells(arch).values()] == [10, 10]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ("2<-1sep3", "cannot read '2<-1sep3'"),
        ("2<-0:sep9", "unknown operation 'sep9'"),
        ("2<-3:skip", "edge 3 -> 2 must lead forward"),
        ("1<-0:skip", "edge 0 -> 1 must lead forward"),
    ],
)
def test_exact_bad_cells_are_refused(edges: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        papers.parse_cell(edges, "2")
    with pytest.raises(UserError, match="concatenated nodes"):
        papers.parse_cell("2<-0:skip", "2,3")


class Tally:
    """Parameters (convolutions, affine batch norms) and multiply-adds, by closed form."""

    def __init__(self) -> None:
        self.params, self.madds, self.pools = 0, 0, 0  # pools: what affine batch norms after pooling would add

    def conv(self, weights: int, pixels: int, bn: int) -> None:
        self.params += weights + 2 * bn
        self.madds += weights * pixels

    def edge(self, op: str, c: int, side: int, stride: int) -> None:
        out = (side // stride) ** 2
        if op.startswith(("sep", "dil")):
            for _ in range(2 if op.startswith("sep") else 1):
                self.conv(int(op[-1]) ** 2 * c + c * c, out, c)
        elif op == "conv_7x1_1x7":
            self.conv(7 * c * c, side * side // stride, 0)
            self.conv(7 * c * c, out, c)
        elif op == "skip_connect" and stride == 2:
            self.conv(c * c, out, c)
        elif "pool" in op:
            self.pools += 2 * c


def evaluation_network(arch: str, c: int, layers: int, imagenet: bool) -> Tally:
    """Count the evaluation network of DARTS (without auxiliary tower) for the released cells of ``arch``."""
    t = Tally()
    if imagenet:
        for weights, side, bn in ((27 * c // 2, 112, c // 2), (9 * c * c // 2, 56, c), (9 * c * c, 28, c)):
            t.conv(weights, side * side, bn)
        before, last, side, classes = c, c, 28, 1000
    else:
        t.conv(27 * 3 * c, 32 * 32, 3 * c)
        before, last, side, classes = 3 * c, 3 * c, 32, 10
    for k in range(layers):
        stride = 2 if k in (layers // 3, 2 * layers // 3) else 1
        c *= stride
        t.conv(before * c, side * side, c)
        t.conv(last * c, side * side, c)
        cell = papers.released_cells(arch)["reduce" if stride == 2 else "normal"]
        for i, _, op in cell.edges:
            t.edge(op, c, side if i < 2 else side // stride, stride if i < 2 else 1)
        before, last, side = last, len(cell.output) * c, side // stride
    t.conv(last * classes, 1, 0)
    t.params += classes
    return t


@pytest.mark.parametrize("arch", papers.released_genotypes()["arch"].unique())
def test_exact_counts_follow_from_the_released_cells(arch: str) -> None:
    row = papers.printed("counts").set_index("arch").loc[arch]
    cifar, imagenet = evaluation_network(arch, 36, 20, False), evaluation_network(arch, 48, 14, True)
    ours = [cifar.params, cifar.madds, cifar.params + cifar.pools, imagenet.params, imagenet.madds]
    assert ours == row.tolist()


@pytest.mark.parametrize("net", ["mobile", "gpu", "cpu"])
def test_exact_counts_follow_from_the_released_chains(net: str) -> None:
    row = papers.printed("proxyless_nets").set_index("net").loc[net]
    stem, first, *stages, head = map(int, row["widths"].split("-"))
    t, side, width = Tally(), 112, first
    t.conv(27 * stem, side * side, stem)
    t.conv(9 * stem, side * side, stem)
    t.conv(stem * first, side * side, first)
    for stage, (out, stride) in enumerate(zip(stages, (2, 2, 2, 1, 2, 1), strict=True)):
        for n, block in enumerate(row[f"s{stage + 2}"].split()):
            kernel, expansion = int(block[1]), int(block[3])
            t.conv(width * width * expansion, side * side, width * expansion)
            side //= stride if n == 0 else 1
            t.conv(kernel**2 * width * expansion, side * side, width * expansion)
            t.conv(width * expansion * out, side * side, out)
            width = out
    t.conv(width * head, side * side, head)
    t.conv(head * 1000, 1, 0)
    printed = papers.printed("proxyless_released").set_index("model").loc[f"proxyless_{net}"]
    assert [t.params + 1000, t.madds] == [printed["params_exact_calc"], printed["madds_exact_calc"]]
    assert [round(t.params / 1e6, 2), round(t.madds / 1e6, 1)] == [printed["params_M_log"], printed["flops_M_log"]]
