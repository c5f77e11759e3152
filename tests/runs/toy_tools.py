"""What several tests of runs need."""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy
from exca.cachedict.inflight import Pid, WorkerInfo

from nas_core.runs import Record, engine
from nas_core.runs.store import read_meta


def in_child(action: Callable[[], Any]) -> int:
    """Run ``action`` in a forked process; returns its id."""
    if (pid := os.fork()) == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return pid


def content(record: Record) -> dict[str, Any]:
    """What must be equal bit for bit between two records of one config."""
    meta = read_meta(record.folder)
    return {k: meta[k] for k in ("files", "contents", "genotypes", "tables", "config")}


class Stop(BaseException):
    """An interruption between two steps."""


def interrupted_at(step: int, config: toy.ToyConfig, obtain, monkeypatch) -> None:
    real = toy.Toy.step

    def stopping(self: toy.Toy) -> float:
        if self.done == step:
            raise Stop
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(toy.Toy, "step", stopping)
        with pytest.raises(Stop):
            obtain(config)


def claim(root: Path, key: str, pid: int, age: float = 0.0) -> None:
    """Claim a run in the name of another process, ``age`` seconds ago."""
    root.mkdir(exist_ok=True)
    worker = WorkerInfo("token", Pid(host=os.uname().nodename, pid=pid))
    with engine._registry(root, worker) as registry:
        assert registry.claim([key]) == [key]
    with sqlite3.connect(registry.db_path) as db:
        db.execute("UPDATE inflight SET claimed_at = claimed_at - ?", [age])
