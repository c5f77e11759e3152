from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import toy

import nas_core.runs
from nas_core.runs import Record, sources


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No flushing: no test cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, where every step is followed by a checkpoint, and a log of all steps of all toys."""
    monkeypatch.setenv("NAS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("NAS_CHECKPOINT_SECONDS", "0")
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "steps.log"))
    return tmp_path / "runs"


@pytest.fixture
def lines() -> list[str]:
    """The lines that :func:`obtain` has printed."""
    return []


@pytest.fixture
def obtain(root: Path, lines: list[str]) -> Callable[..., list[Record]]:
    """``nas_core.runs.obtain`` of toys, in this process."""

    def call(*configs: toy.ToyConfig, jobs: int = 1) -> list[Record]:
        return nas_core.runs.obtain(configs, jobs=jobs, progress=False, echo=lines.append, build=toy.build)  # type: ignore

    return call


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that pretends that the source is another."""

    def become(text: str) -> None:
        monkeypatch.setattr(sources, "fingerprint", lambda config: text)

    return become
