"""Searches by a table of latencies of one's own: which runs it changes, and that they find it wherever they run.

The table is made up, so nothing is timed: that of the committed one, with the times of all large kernels a tenth.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from nas_core.cells.latency import COLUMNS, LatencyTable, committed, own_file
from nas_core.choices import Choice
from nas_core.errors import UserError
from nas_core.experiments import configs
from nas_core.experiments.proxyless_chains import ADDITIVE, EXPERIMENTS, MULTIPLICATIVE
from nas_core.relaxations.latency import expected_latency
from nas_core.runs import RunsFailed, obtain
from nas_core.session import Session
from nas_core.trainers.chain_search import ChainSearch

LOOKING = {*ADDITIVE, *MULTIPLICATIVE, "N-PROX-alone", "N-LAT"}


def made_up(share: float = 0.1) -> LatencyTable:
    """Kernels of 7 take ``share`` of their time."""
    table = committed()
    large = table.rows["choices"].str.startswith("k7") & (table.rows["part"] == "block")
    times = table.rows["median_us"].where(~large, share * table.rows["median_us"])
    return LatencyTable({**table.machine, "processor": "made up"}, table.rows.assign(median_us=times))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LatencyTable:
    """A store with a made-up table in it."""
    monkeypatch.setenv("NAS_RUNS", str(tmp_path))
    own_file().write_text(made_up().to_json())
    return made_up()


def computed(choice: Choice, run: str, jobs: int = 2) -> list:
    return obtain(choice.configs(run), jobs=jobs, progress=False, echo=lambda line: None)


@pytest.mark.parametrize("run", EXPERIMENTS)
def test_runs_that_look_at_latency_are_others_by_ones_own_table(run: str, own: LatencyTable) -> None:
    usual, ours = Choice("smoke").configs(run), Choice("smoke", table="own").configs(run)
    assert usual == configs(run, "smoke"), "the file alone changes nothing"
    assert [a.key() != b.key() for a, b in zip(usual, ours, strict=True)] == [run in LOOKING] * len(usual)
    if run in LOOKING:
        assert {config.table for config in ours} == {own.digest}


def test_chains_are_trained_of_the_very_searches_that_are_asked_for(own: LatencyTable) -> None:
    choice = Choice("smoke", table="own")
    for training in choice.configs("N-PROX-alone"):
        for search in training.of:
            assert search in choice.configs(search.run)


def test_end_to_end_workers_search_by_ones_own_table_and_resume(own: LatencyTable) -> None:
    choice = Choice("smoke", table="own")
    records = computed(choice, "N-PROX-l3")
    assert len(records) == 2
    for record in records:
        start = torch.from_numpy(record.array("prob")[0, 0]).double().log()
        by_hand = expected_latency(start, own.of_slots("small"), own.constant("small")).item()
        assert record.table("chain")["expected_us"].iloc[0] == pytest.approx(by_hand, rel=1e-5)
    config = records[0].config
    first, second = ChainSearch(config), ChainSearch(config)
    for _ in range(first.total // 2):
        first.step()
    second.load_state(first.state())
    while second.done < second.total:
        second.step()
    assert second.result().table("chain").equals(records[0].table("chain"))


def test_a_heavy_weight_finds_what_is_fast_by_ones_own_table(own: LatencyTable) -> None:
    """Kernels of 7 become more probable than by the committed table, seed by seed."""
    shares = {}
    for table in ("", "own"):
        config = Choice("smoke", table=table).configs("N-PROX-l3")[0]
        search = ChainSearch(config.but(epochs=8, latency=config.latency.but(weight=100.0)))
        while search.done < search.total:
            search.step()
        shares[table] = search.masked_logits().softmax(-1)[0, 1:, 4:6].sum(-1).mean().item()
    assert shares["own"] > shares[""] + 0.1


def test_a_table_measured_anew_makes_other_runs_and_the_old_ones_say_so(own: LatencyTable) -> None:
    before = Choice("smoke", table="own")
    found = before.configs("N-PROX-l1")
    computed(before, "N-PROX-l1", jobs=1)
    own_file().write_text(made_up(0.5).to_json())
    with pytest.raises(RunsFailed, match=f"digest {own.digest}.*measured anew"):
        computed(before, "N-PROX-l2")
    records = obtain(found, jobs=1, progress=False, echo=lambda line: None)
    assert len(records) == len(found), "what is there is read without the table"
    after = Choice("smoke", table="own").configs("N-PROX-l1")
    assert not {config.key() for config in after} & {config.key() for config in found}


def altered(where: int, column: str, value: object) -> str:
    """The text of a table with one other entry."""
    content = json.loads(made_up().to_json())
    content["rows"][where][COLUMNS.index(column)] = value
    return json.dumps(content)


def twice() -> str:
    """The text of a table that has its first row again, with another time."""
    rows = made_up().rows
    return LatencyTable({}, pd.concat([rows, rows[:1].assign(median_us=1.0)])).to_json()


def without(part: str, choices: str) -> str:
    """The text of a table that lacks the rows of the small chain with these choices."""
    rows = made_up().rows
    lacking = (rows["chain"] == "small") & (rows["part"] == part) & (rows["choices"] == choices)
    assert lacking.any()
    return LatencyTable({}, rows[~lacking]).to_json()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (lambda: None, "there is no table of latencies at .*latency.json; `make latency` measures one"),
        (lambda: without("block", "k5e3"), "latency.json: .* has no k5e3 for block 1 of the chain 'small'.*make lat"),
        (lambda: without("stem", ""), "latency.json: .* has no stem of the chain 'small'"),
        (lambda: made_up(-1.0).to_json(), "latency.json: .* time that is no number above 0"),
        (lambda: made_up(math.inf).to_json(), "latency.json: .* time that is no number above 0"),
        (lambda: altered(0, "median_us", "fast"), r"is no table of latencies \(.*'fast'"),
        (lambda: altered(0, "slot", "first"), r"is no table of latencies \(.*'first'"),
        (lambda: made_up().to_json().replace("median_us", "mean_us"), r"is no table of latencies \(.*median_us"),
        (lambda: made_up().to_json().replace('"processor"', '"cpu"'), "does not say on which machine"),
        (lambda: twice(), "latency.json: .* has two times of the same block"),
        (lambda: "{}", "is no table of latencies"),
    ],
)
def test_a_table_that_will_not_do_is_one_sentence_before_anything_is_computed(
    text, sentence: str, own: LatencyTable
) -> None:
    own_file().unlink()
    if text() is not None:
        own_file().write_text(text())
    with pytest.raises(UserError, match=sentence):
        Session("18_proxyless_chains", profile="smoke", table="own")
    assert str(Session("18_proxyless_chains", profile="smoke"))


def test_what_is_drawn_by_ones_own_table_has_a_folder_of_its_own(own: LatencyTable, tmp_path: Path) -> None:
    session = Session("18_proxyless_chains", profile="smoke", table="own")
    assert "latencies of this machine" in str(session)
    assert session.out == tmp_path / "out" / "smoke-own-latencies"
    assert not Choice("laptop", table="own").reported
    assert Choice("laptop").reported
    with pytest.raises(UserError, match=r"unknown table of latencies 'ours'.*Allowed: own"):
        Session("18_proxyless_chains", profile="smoke", table="ours")


def test_ones_own_table_need_not_be_there_to_search_by_the_committed_one(own: LatencyTable) -> None:
    own_file().unlink()
    config = Choice("smoke").configs("N-PROX-l1")[0]
    assert torch.equal(ChainSearch(config).latency, committed().of_slots("small"))
