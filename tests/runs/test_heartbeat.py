from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import toy

from nas_core.runs import heartbeat
from nas_core.runs.heartbeat import Heartbeat


def test_it_is_written_now_and_then_and_removed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    (tmp_path / "heartbeat.json").write_text("of a killed process")
    (tmp_path / ".heartbeat.json").write_text("half-wri")
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Heartbeat(tmp_path, total=9, first=2) as heart:
        assert not list(tmp_path.iterdir())
        assert heart.beat(3)
        assert not heart.beat(4)
        beat = heartbeat.read(tmp_path)
        assert beat is not None
        assert (beat.done, beat.total, beat.first, beat.process) == (3, 9, 2, os.getpid())
        now += 0.5
        assert heart.beat(5)
        assert heartbeat.read(tmp_path) == (5, 9, 2, *heartbeat.read(tmp_path)[3:])  # type: ignore[index]
        assert [path.name for path in tmp_path.iterdir()] == ["heartbeat.json"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "3", "[]", "{}", '{"done": 1}', "folder", "half", "[" * 100_000], ids=len)
def test_what_is_no_heartbeat_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "heartbeat.json"
    if text == "folder":
        path.mkdir()
    elif text == "half":
        beat = {"done": 1, "total": 0, "first": 0, "time": 0.0, "process": 1, "host": "a"}
        path.write_text(json.dumps(beat))
    else:
        path.write_text(text)
    assert heartbeat.read(tmp_path) is None


def test_a_run_has_one_while_it_is_computed(obtain, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy.ToyConfig()
    seen = []
    real = toy.Toy.step

    def step(self: toy.Toy) -> float:
        seen.append(heartbeat.read(root / "records" / config.key()))
        return real(self)

    monkeypatch.setattr(heartbeat, "PERIOD", 0.0)
    monkeypatch.setattr(toy.Toy, "step", step)
    (record,) = obtain(config)
    assert [beat and beat.done for beat in seen] == [None, *range(1, 15)]
    assert not (record.folder / "heartbeat.json").exists()


def test_a_heartbeat_that_cannot_be_written_stops_nothing(obtain, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "heartbeat.json":
            raise OSError("no space")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert obtain(toy.ToyConfig())[0].provenance["steps"] == 15
