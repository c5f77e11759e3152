"""The table of latencies: what it holds, what it sums to, and that it stays the same on disk."""

import pandas as pd
import pytest
import torch

from nas_core.cells.chain import FIRST, PROXYLESS, ZERO, Choice
from nas_core.cells.latency import (
    BLOCK,
    COLUMNS,
    HEAD,
    NETWORK,
    STEM,
    TARGETS,
    LatencyTable,
    code,
    codes,
    committed,
    decoded,
    own_file,
    read_table,
    table_of,
    target,
)
from nas_core.errors import UserError
from nas_core.probes.latency import draw_networks

SMALL = TARGETS["small"]


def fixed() -> LatencyTable:
    """Every block of the small chain takes ten times its kernel plus its expansion, stem 3 and head 4."""
    rows = [("small", STEM, -1, "", 3.0, 0.1), ("small", HEAD, -1, "", 4.0, 0.1)]
    for slot in range(len(SMALL.macro.slots)):
        for choice in SMALL.held(slot):
            if choice != ZERO:
                rows.append(("small", BLOCK, slot, code(choice), 10.0 * choice.kernels[0] + choice.expansion, 0.1))
    rows.append(("small", NETWORK, -1, codes(LARGEST), 500.0, 1.0))
    return LatencyTable({"processor": "none", "threads": "1", "torch": "0"}, pd.DataFrame(rows, columns=list(COLUMNS)))


LARGEST = (FIRST, *[Choice(6, (7,))] * 6)


def test_a_sum_over_blocks_is_that_of_stem_head_and_every_slots_choice() -> None:
    table = fixed()
    assert table.of_network("small", LARGEST) == 3 + 4 + 31 + 6 * 76
    assert table.networks("small")["sum_us"].tolist() == [494]


def test_the_gates_of_a_chain_times_its_latencies_are_the_same_sum() -> None:
    table, latency = fixed(), fixed().of_slots("small")
    for chain in draw_networks(SMALL, 5):
        gates = torch.zeros_like(latency)
        for slot, choice in enumerate(chain):
            gates[slot, SMALL.held(slot).index(choice)] = 1
        total = (gates * latency).sum().item() + table.constant("small")
        assert total == pytest.approx(table.of_network("small", chain), rel=1e-12)


def test_zero_takes_no_time_and_stands_only_where_there_is_a_shortcut() -> None:
    latency = fixed().of_slots("small")
    for index, slot in enumerate(SMALL.macro.slots):
        assert (ZERO in SMALL.held(index)) == (slot.residual and index > 0)
        if ZERO in SMALL.held(index):
            assert latency[index, SMALL.held(index).index(ZERO)] == 0


def test_a_table_is_the_same_after_writing_and_reading(tmp_path) -> None:
    table = fixed()
    path = tmp_path / "latency.json"
    path.write_text(table.to_json())
    assert read_table(path).digest == table.digest
    pd.testing.assert_frame_equal(read_table(path).rows, table.rows)


def test_another_number_is_another_digest() -> None:
    table, other = fixed(), fixed()
    other.rows.loc[0, "median_us"] += 0.01
    assert table.digest != other.digest


def test_blocks_are_written_and_read_as_the_released_networks_write_them() -> None:
    chain = (FIRST, Choice(3, (5,)), ZERO)
    assert codes(chain) == "k3e1 k5e3 zero"
    assert decoded(codes(chain)) == chain


def test_every_slot_reads_a_map_of_the_right_side() -> None:
    """The ImageNet space: 224 pixels, halved by the stem and by the first block of four stages."""
    assert [side for _, side in TARGETS["imagenet"].shapes()][:3] == [112, 112, 56]
    assert sorted(set(TARGETS["imagenet"].sides()), reverse=True) == [112, 56, 28, 14, 7]
    assert TARGETS["imagenet"].macro == PROXYLESS


def test_the_committed_table_has_every_block_of_every_space_and_whole_networks() -> None:
    table = committed()
    for name, chain in TARGETS.items():
        latency = table.of_slots(name)
        for slot in range(len(chain.macro.slots)):
            for k, choice in enumerate(chain.held(slot)):
                assert (latency[slot, k] > 0) == (choice != ZERO)
        assert len(table.networks(name)) >= 10
    assert (table.rows["spread_us"] >= 0).all()


def test_ones_own_table_is_found_by_its_digest(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NAS_RUNS", str(tmp_path))
    own_file().write_text(fixed().to_json())
    assert table_of(fixed().digest).rows.equals(fixed().rows)
    assert table_of(committed().digest).digest == committed().digest


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda path: read_table(path / "none.json"), "make latency"),
        (lambda path: table_of("0" * 12), "no table of latencies has the digest"),
        (lambda path: target("large"), "did you mean|allowed|Allowed"),
        (lambda path: fixed().of_slots("cifar"), "has no block of the chain 'cifar'"),
    ],
)
def test_what_is_not_there_is_one_sentence(wrong, sentence, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NAS_RUNS", str(tmp_path))
    with pytest.raises(UserError, match=sentence):
        wrong(tmp_path)


def test_a_damaged_table_is_one_sentence(tmp_path) -> None:
    path = tmp_path / "latency.json"
    path.write_text('{"machine": {}}')
    with pytest.raises(UserError, match="is no table of latencies"):
        read_table(path)
