"""Measuring latencies: everything once, in the rows that the table needs; no number is tested, as none is the same."""

import torch

from nas_core.cells.chain import Choice
from nas_core.cells.latency import COLUMNS, TARGETS, LatencyTable
from nas_core.probes import latency


def test_a_measured_table_has_all_blocks_of_a_chain_and_its_whole_networks(monkeypatch) -> None:
    monkeypatch.setattr(latency, "ROUNDS", 2)
    monkeypatch.setattr(latency, "SECONDS", 1e-4)
    said = []
    table = latency.measure(said.append, ("small",))
    assert list(table.rows.columns) == list(COLUMNS)
    assert len(said) == 2
    found = table.of_slots("small")
    for slot in range(len(TARGETS["small"].macro.slots)):
        for k, choice in enumerate(TARGETS["small"].held(slot)):
            assert (found[slot, k] > 0) == (choice.expansion > 0)
    assert len(table.networks("small")) == latency.NETWORKS
    assert LatencyTable.from_json(table.to_json()).digest == table.digest
    assert torch.get_num_threads() >= 1


def test_blocks_of_equal_shape_are_timed_once() -> None:
    """The ImageNet space: 11 kinds of blocks with six choices, the fixed one, and the whole networks."""
    timed, rows = latency._timers(("imagenet",))
    blocks = [key for key in timed if isinstance(key[-1], Choice)]
    assert len(blocks) == 11 * 6 + 1
    assert len(rows) == 1 + 21 * 6 + 2 + latency.NETWORKS + len(latency.RELEASED)


def test_the_drawn_networks_are_always_the_same_members_of_the_space() -> None:
    target = TARGETS["small"]
    drawn = latency.draw_networks(target, 5)
    assert drawn == latency.draw_networks(target, 5)
    assert len(set(drawn)) == 5
    for chain in drawn:
        assert all(choice in target.held(slot) for slot, choice in enumerate(chain))
