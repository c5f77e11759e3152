"""What several tests of runs need."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import toy

from nas_core.runs import Record, tree
from nas_core.runs.lock import holder, lock
from nas_core.runs.store import ANCHORS, digests, read

# All that a run leaves in its folder.
FILES = {"record.json", "epochs.csv", "arrays.safetensors", "weights.safetensors", "anchors.safetensors", "lock"}


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
    stored, files = read(record.folder)
    anchors = tree.digest(tree.load(record.folder / ANCHORS))
    return {"result": digests(record.result), "files": files, "anchors": anchors, "config": stored["config"]}


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


@contextmanager
def locked(folder: Path, holder: str = "process 1 on it") -> Iterator[None]:
    """A lock on a run's folder in the name of another process."""
    with lock(folder, pytest.fail) as file:
        file.truncate(0)
        file.write(holder)
        file.flush()
        yield


def holders(root: Path) -> set[str]:
    """The keys of the runs that are being computed."""
    return {folder.name for folder in root.glob("records/*") if holder(folder)}
