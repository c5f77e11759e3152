from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import toy
from toy_tools import FILES, content, in_child, interrupted_at

from nas_core.errors import UserError
from nas_core.runs import RunsFailed, checkpoints, tree
from nas_core.runs.checkpoints import clear, intact, interval, save

CONFIG = toy.ToyConfig()


def states(folder: Path, say=pytest.fail, config: toy.ToyConfig = CONFIG) -> list[Any]:
    """The intact states in a folder, the newest first."""
    return [state for _, state in intact(folder, config, say)]


def test_the_last_two_are_kept_and_the_newest_comes_first(tmp_path: Path) -> None:
    assert states(tmp_path) == []
    for step in (1, 2, 10):
        save(tmp_path, CONFIG, step, {"n": step})
    assert sorted(p.stem for p in tmp_path.iterdir()) == ["step-000000002", "step-000000010"]
    assert states(tmp_path) == [{"n": 10}, {"n": 2}]
    clear(tmp_path)
    assert states(tmp_path) == []


def test_a_damaged_one_is_named_and_the_one_before_it_used(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, CONFIG, step, {"n": step})
    (tmp_path / "step-000000002.safetensors").write_bytes(b"damaged")
    said: list[str] = []
    assert states(tmp_path, said.append) == [{"n": 1}]
    assert len(said) == 1
    assert "step-000000002.safetensors" in said[0]


def test_they_are_written_by_time_and_at_the_end(obtain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CHECKPOINT_SECONDS", "15")
    now, saved = 100.0, []
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(checkpoints, "save", lambda folder, config, step, state: saved.append(step))
    real = toy.Toy.step

    def step(self: toy.Toy) -> float:
        nonlocal now
        now += 7.5 if self.done < 5 else 1.0
        return real(self)

    monkeypatch.setattr(toy.Toy, "step", step)
    (record,) = obtain(toy.ToyConfig())
    assert saved == [2, 4, 13, 15]
    assert record.provenance["wall_seconds"] == 47.5


def test_the_interval_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_CHECKPOINT_SECONDS", raising=False)
    assert interval() == 15
    monkeypatch.setenv("NAS_CHECKPOINT_SECONDS", "0.5")
    assert interval() == 0.5
    for bad in ("soon", "nan", "-1", ""):
        monkeypatch.setenv("NAS_CHECKPOINT_SECONDS", bad)
        with pytest.raises(UserError, match=f"NAS_CHECKPOINT_SECONDS must be a number of seconds, not '{bad}'"):
            interval()


def test_resumed_at_any_step_equals_uninterrupted(obtain, lines, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy.ToyConfig()
    whole = content(obtain(config)[0])
    for step in range(1, 15):
        (root / "records" / config.key()).rename(root.parent / f"whole-{step}")
        interrupted_at(step, config, obtain, monkeypatch)
        (record,) = obtain(config)
        assert lines[-1].endswith(f"no record; resuming at step {step} of 15")
        assert content(record) == whole
        assert record.provenance["resumes"] == 1
        assert {p.name for p in record.folder.iterdir()} == FILES


def test_a_damaged_checkpoint_is_named_and_the_result_the_same(obtain, lines, root, monkeypatch) -> None:
    config = toy.ToyConfig(seed=4)
    (record,) = obtain(config)
    whole = content(record)
    record.folder.rename(root.parent / "whole")
    interrupted_at(7, config, obtain, monkeypatch)
    path = root / "records" / config.key() / "step-000000007.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    lines.clear()
    (record,) = obtain(config)
    assert str(path) in lines[0]
    assert "resuming at step 6 of 15" in lines[1]
    assert content(record) == whole


def test_a_checkpoint_of_other_source_is_not_resumed(obtain, lines, source, monkeypatch) -> None:
    config = toy.ToyConfig(seed=5)
    source("old")
    interrupted_at(7, config, obtain, monkeypatch)
    source("new")
    (record,) = obtain(config)
    assert lines[-1].endswith("computing it anew, as its checkpoint comes from other source")
    assert record.provenance["resumes"] == 0


def test_a_checkpoint_of_another_run_is_not_resumed(obtain, lines, root, monkeypatch) -> None:
    mine, other = toy.ToyConfig(seed=0), toy.ToyConfig(seed=1)
    whole = content(obtain(mine)[0])
    (root / "records" / mine.key()).rename(root.parent / "whole")
    interrupted_at(7, other, obtain, monkeypatch)
    (root / "records" / other.key()).rename(root / "records" / mine.key())
    lines.clear()
    assert content(obtain(mine)[0]) == whole
    for line, step in zip(lines, (7, 6), strict=False):
        assert re.search(rf"damaged checkpoint: \S*/step-{step:09d}.safetensors belongs to another configuration", line)
    assert lines[2].endswith("no record; computing it")


PARTS = ("format", "config", "content", "trainer", "anchors", "spent", "origin", "w", "a tree")


@pytest.mark.parametrize("part", PARTS)
def test_a_well_formed_checkpoint_that_is_none_is_named_and_the_one_before_it_used(
    obtain, lines, root, monkeypatch, part
) -> None:
    config = toy.ToyConfig()
    whole = content(obtain(config)[0])
    (root / "records" / config.key()).rename(root.parent / "whole")
    interrupted_at(7, config, obtain, monkeypatch)
    path = root / "records" / config.key() / "step-000000007.safetensors"
    stored = tree.load(path)
    for holder in (stored, stored["content"], stored["content"]["trainer"]):
        holder.pop(part, None)
    tree.save(path, [1, 2] if part == "a tree" else stored)
    lines.clear()
    assert content(obtain(config)[0]) == whole
    if part == "origin":
        assert len(lines) == 1
        assert lines[0].endswith(": no record; computing it anew, as its checkpoint comes from other source")
    else:
        assert f"damaged checkpoint: {path} " in lines[0]
        assert lines[1].endswith("no record; resuming at step 6 of 15")


def steps_logged() -> list[str]:
    """The steps that toys have begun so far, in all processes."""
    log = Path(os.environ["TOY_LOG"])
    return [line.split()[1] for line in log.read_text().splitlines()] if log.exists() else []


def killed(child: int, goal: int, delay: float) -> bool:
    """Kill the process ``delay`` seconds after the log has ``goal`` steps; False if it was done before that."""
    while len(steps_logged()) < goal:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert status == 0
            return False
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_random_moments_it_goes_on_and_equals_the_uninterrupted(obtain, root, monkeypatch) -> None:
    config = toy.ToyConfig(epochs=6)
    whole = content(obtain(config)[0])
    (root / "records" / config.key()).rename(root.parent / "whole")
    monkeypatch.setenv("TOY_SLEEP", "0.002")
    moments = random.Random(0)
    kills = 0
    while killed(in_child(lambda: obtain(config)), len(steps_logged()) + moments.randint(1, 6), moments.random() / 50):
        kills += 1
    (record,) = obtain(config)
    assert kills >= 3
    assert content(record) == whole
    assert record.provenance["resumes"] >= 3
    assert not list(root.glob("records/**/.*"))


def test_a_failed_run_goes_on_from_its_checkpoint(obtain, lines, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy.ToyConfig(raise_at=9)
    with pytest.raises(RunsFailed, match="the toy is broken"):
        obtain(config)
    real = toy.Toy.step

    def repaired(self: toy.Toy) -> float:
        self.config = self.config.model_copy(update={"raise_at": -1})
        return real(self)

    monkeypatch.setattr(toy.Toy, "step", repaired)
    assert re.search("resuming at step 9 of 15", (obtain(config), lines[-1])[1])
