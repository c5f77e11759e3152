from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import toy
from toy_tools import content, interrupted_at

import nas_core.runs
from nas_core.runs import RunsFailed, explain, states
from nas_core.runs.pool import chain_lengths
from nas_core.runs.states import with_needed

NET = toy.ToyConfig(run="T-NET", epochs=1)
CHILD = toy.ToyConfig(run="T-CHILD", epochs=2, needed=(NET,))
TWIN = toy.ToyConfig(run="T-TWIN", epochs=1, needed=(NET,))
GRANDCHILD = toy.ToyConfig(run="T-GRAND", epochs=1, needed=(CHILD, NET))
FAMILY = (GRANDCHILD, TWIN, CHILD)


def begun(line: str) -> str:
    """Which run a line is about."""
    return line.split()[0].rstrip(":")


def steps() -> Counter[str]:
    """How many steps were computed, by key."""
    return Counter(line.split()[0] for line in Path(os.environ["TOY_LOG"]).read_text().splitlines())


@pytest.mark.parametrize("jobs", [1, 2])
def test_needed_runs_come_first_and_once_and_hand_on_their_results(obtain, lines, jobs: int) -> None:
    records = obtain(*FAMILY, jobs=jobs)
    assert [record.config for record in records] == list(FAMILY)
    assert steps() == {config.key(): config.cost() for config in (NET, *FAMILY)}
    order = [begun(line) for line in lines]
    assert order[:2] == ["T-NET", "T-CHILD"]  # the longest chain first
    assert set(order[2:]) == {"T-TWIN", "T-GRAND"}
    (net,) = obtain(NET)
    grand, twin, child = records
    assert child.provenance["needs"] == twin.provenance["needs"] == {NET.key(): net.digest}
    assert grand.provenance["needs"] == {NET.key(): net.digest, CHILD.key(): child.digest}
    assert net.provenance["needs"] == {}
    alone = toy.ToyConfig(run="T-CHILD", epochs=2)
    assert not records[2].weights["w"].equal(obtain(alone)[0].weights["w"])
    lines.clear()
    obtain(*FAMILY)
    assert sorted(lines) == [f"{run}: 1 of 1 records found" for run in ("T-CHILD", "T-GRAND", "T-NET", "T-TWIN")]


def test_the_order_of_runs_and_the_lengths_of_chains() -> None:
    assert with_needed([GRANDCHILD, CHILD, GRANDCHILD]) == [NET, CHILD, GRANDCHILD]
    lengths = chain_lengths(with_needed(FAMILY))
    assert [lengths[config.key()] for config in (NET, CHILD, TWIN, GRANDCHILD)] == [20, 15, 5, 5]
    assert chain_lengths([CHILD]) == {CHILD.key(): 10}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failed_run_fails_those_that_need_it_and_no_others(obtain, lines, jobs: int) -> None:
    broken = toy.ToyConfig(run="T-BROKEN", raise_at=1)
    child = toy.ToyConfig(run="T-A", needed=(broken, NET))
    grandchild = toy.ToyConfig(run="T-B", needed=(child,))
    with pytest.raises(RunsFailed) as failed:
        obtain(grandchild, TWIN, jobs=jobs)
    assert set(failed.value.records) == {NET.key(), TWIN.key()}
    assert "the toy is broken" in failed.value.failures.pop(broken.key())
    assert failed.value.failures == {
        child.key(): f"it needs {broken.key()}, which failed",
        grandchild.key(): f"it needs {child.key()}, which failed",
    }
    assert f"T-A seed 0 (smoke): failed: it needs {broken.key()}, which failed" in lines


def test_other_numbers_of_a_needed_run_mean_a_recompute(obtain, lines, source, monkeypatch) -> None:
    source("old")
    before = obtain(CHILD)[0].weights["w"]
    source("new")
    monkeypatch.setattr(toy, "FACTOR", 2.0)
    obtain(NET)
    monkeypatch.setattr(toy, "FACTOR", 1.0)
    lines.clear()
    (after,) = obtain(CHILD)
    assert lines == [
        "T-NET: 1 of 1 records found",
        f"T-CHILD seed 0 (smoke): {NET.key()}, which it needs, has other numbers now; computing it",
    ]
    assert not after.weights["w"].equal(before)
    lines.clear()
    obtain(CHILD)
    assert lines == ["T-NET: 1 of 1 records found", "T-CHILD: 1 of 1 records found"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_needed_run_that_gives_the_same_numbers_again_changes_nothing(obtain, lines, jobs: int) -> None:
    (child,) = obtain(CHILD)
    whole = content(child)
    (net,) = obtain(NET)
    (net.folder / "record.json").unlink()
    lines.clear()
    assert content(obtain(CHILD, jobs=jobs)[0]) == whole
    assert lines == [
        "T-NET seed 0 (smoke): no record; computing it",
        "T-CHILD seed 0 (smoke): found: what it needs has the same numbers",
    ]


def test_a_run_that_needs_others_is_resumed_and_replayed_as_any_other(obtain, lines, root, source, monkeypatch) -> None:
    source("old")
    whole = content(obtain(CHILD)[0])
    (root / "records" / CHILD.key()).rename(root.parent / "whole")
    interrupted_at(7, CHILD, obtain, monkeypatch)
    (again,) = obtain(CHILD)
    assert lines[-1].endswith("no record; resuming at step 7 of 10")
    assert content(again) == whole
    source("new")
    obtain(CHILD)
    assert [line.partition(": ")[2] for line in lines[-2:]] == [
        "the source has changed, a replay gives the same bits: still valid"
    ] * 2


def test_a_checkpoint_with_other_numbers_of_a_needed_run_is_not_resumed(obtain, lines, source, monkeypatch) -> None:
    obtain(NET)
    interrupted_at(7, CHILD, obtain, monkeypatch)
    real = nas_core.runs.Record.digest
    monkeypatch.setattr(nas_core.runs.Record, "digest", property(lambda record: "other"))
    obtain(CHILD)
    assert lines[-1].endswith("computing it anew, as its checkpoint comes from other numbers of what it needs")
    monkeypatch.setattr(nas_core.runs.Record, "digest", real)


def kinds(*configs: toy.ToyConfig) -> list[tuple[str, str, str]]:
    return [(config.run, state.kind, str(state)) for config, state in explain(configs)]  # type: ignore[arg-type]


def test_explain_says_what_there_is_and_changes_nothing(obtain, root: Path, source, monkeypatch) -> None:
    assert kinds(CHILD) == [("T-NET", "missing", "no record"), ("T-CHILD", "needs", f"needs {NET.key()}: no record")]
    assert not root.exists()
    source("old")
    interrupted_at(3, NET, obtain, monkeypatch)
    assert kinds(NET) == [("T-NET", "interrupted", "interrupted at step 3")]
    obtain(CHILD)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert kinds(CHILD) == [("T-NET", "found", "found"), ("T-CHILD", "found", "found")]
    source("new")
    changed = "the source has changed: to be replayed"
    assert kinds(CHILD) == [("T-NET", "changed", changed), ("T-CHILD", "needs", f"needs {NET.key()}: {changed}")]
    source("old")
    digests = states.digests
    monkeypatch.setattr(states, "digests", lambda needed: dict.fromkeys(needed, "other"))
    assert kinds(CHILD)[1][1:] == ("outdated", f"{NET.key()}, which it needs, has other numbers now")
    monkeypatch.setattr(states, "digests", digests)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    path = root / "records" / NET.key() / "epochs.csv"
    path.write_text("")
    ((_, kind, why), _) = kinds(CHILD)
    assert kind == "damaged"
    assert str(path) in why
