from __future__ import annotations

import pytest
import toy
from toy_tools import content

from nas_core.runs.replay import FIRST, TAIL, stretches
from nas_core.runs.store import read
from nas_core.trainers.result import Result


def test_stretches_lie_at_the_start_the_first_epochs_close_and_the_end() -> None:
    assert (FIRST, TAIL) == (3, 2)
    assert stretches(15, 5) == {"first": (0, 3), "period": (3, 5), "end": (13, 15)}
    assert stretches(5, 5) == {"first": (0, 3), "end": (3, 5)}
    assert stretches(3, 1) == {"first": (0, 3), "period": (0, 1), "end": (1, 3)}
    assert stretches(1, 1) == {"first": (0, 1), "end": (0, 1)}


@pytest.mark.parametrize(("epochs", "steps_per_epoch"), [(3, 5), (1, 1), (1, 4), (3, 1), (2, 2)])
def test_changed_source_with_the_same_numbers_leaves_the_record_valid(
    obtain, lines, source, monkeypatch, tmp_path, epochs, steps_per_epoch
) -> None:
    config = toy.ToyConfig(epochs=epochs, steps_per_epoch=steps_per_epoch)
    source("old")
    (record,) = obtain(config)
    whole = content(record)
    log = tmp_path / "replayed.log"
    monkeypatch.setenv("TOY_LOG", str(log))
    source("new")
    (again,) = obtain(config)
    assert lines[-1] == "T-TOY seed 0 (smoke): the source has changed, a replay gives the same bits: still valid"
    assert content(again) == whole
    assert again.provenance["fingerprints"] == ["old", "new"]
    assert {**again.provenance, "fingerprints": ["old"]} == record.provenance
    total = epochs * steps_per_epoch
    replayed = sum(stop - start for start, stop in stretches(total, steps_per_epoch).values())
    assert len(log.read_text().splitlines()) == replayed
    for known in ("new", "old"):
        source(known)
        obtain(config)
        assert lines[-1] == "T-TOY: 1 of 1 records found"


@pytest.mark.parametrize(
    ("name", "value", "difference"),
    [
        ("FACTOR", 1.0000001, "the state after step 3 is another"),
        ("LATE", 1.0000001, "the state after step 5 is another"),
    ],
)
def test_changed_numbers_mean_a_recompute(obtain, lines, source, monkeypatch, name, value, difference) -> None:
    config = toy.ToyConfig()
    source("old")
    (record,) = obtain(config)
    whole = content(record)
    source("new")
    monkeypatch.setattr(toy, name, value)
    (again,) = obtain(config)
    assert f"the source has changed and a replay differs ({difference}" in lines[-1]
    assert lines[-1].endswith("; computing it")
    assert content(again) != whole
    assert again.provenance["fingerprints"] == ["new"]
    monkeypatch.setattr(toy, name, 1.0)
    source("newer")
    assert content(obtain(config)[0]) == whole


def test_a_difference_that_only_the_result_shows_is_seen(obtain, lines, source, monkeypatch) -> None:
    source("old")
    obtain(toy.ToyConfig())
    source("new")
    real = toy.Toy.result

    def result(self: toy.Toy) -> Result:
        out = real(self)
        out.arrays["prob_normal"] = out.arrays["prob_normal"] * (1 + 1e-15)
        del out.genotypes["derived"]
        return out

    monkeypatch.setattr(toy.Toy, "result", result)
    obtain(toy.ToyConfig())
    assert "a replay differs (another result: array prob_normal, genotypes derived)" in lines[-1]


def test_source_that_no_longer_fits_the_anchors_means_a_recompute(obtain, lines, source, monkeypatch) -> None:
    source("old")
    obtain(toy.ToyConfig())
    source("new")

    def load_state(self: toy.Toy, state: dict) -> None:
        raise KeyError("weights")

    monkeypatch.setattr(toy.Toy, "load_state", load_state)
    obtain(toy.ToyConfig())
    assert "a replay differs (it fails with KeyError: 'weights')" in lines[-1]


def test_damaged_anchors_are_named_and_mean_a_recompute(obtain, lines, source) -> None:
    source("old")
    (record,) = obtain(toy.ToyConfig())
    whole, path = content(record), record.folder / "anchors.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    source("new")
    assert content(obtain(toy.ToyConfig())[0]) == whole
    assert f"a replay differs (it fails with Damaged: {path} " in lines[-1]


def test_anchors_of_another_run_are_named_and_mean_a_recompute(obtain, lines, source) -> None:
    source("old")
    mine, other = obtain(toy.ToyConfig(seed=0), toy.ToyConfig(seed=1))
    whole, path = content(mine), mine.folder / "anchors.safetensors"
    path.write_bytes((other.folder / "anchors.safetensors").read_bytes())
    source("new")
    assert content(obtain(toy.ToyConfig(seed=0))[0]) == whole
    assert f"a replay differs (it fails with Damaged: {path} belongs to another configuration)" in lines[-1]


def test_the_old_record_stays_until_the_new_one_is_complete(obtain, source, root, monkeypatch) -> None:
    config = toy.ToyConfig()
    source("old")
    whole = content(obtain(config)[0])
    source("new")
    monkeypatch.setattr(toy, "FACTOR", 2.0)
    real = toy.Toy.step

    def step(self: toy.Toy) -> float:
        assert read(root / "records" / config.key())[0]["provenance"]["fingerprints"] == ["old"]
        if self.done == 10:
            raise KeyboardInterrupt
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(toy.Toy, "step", step)
        with pytest.raises(KeyboardInterrupt):
            obtain(config)
    source("old")
    assert content(obtain(config)[0]) == whole
