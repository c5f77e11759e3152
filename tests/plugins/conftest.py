from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas_core import plugins

SOME = Path(__file__).with_name("some_plugin.py")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty store, and no plugin before or after."""
    monkeypatch.setenv("NAS_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    yield tmp_path / "runs"
    for path in plugins.loaded():
        plugins.unload(path)
    os.environ.pop(plugins.VARIABLE, None)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The plugin in a file of its own, to be changed."""
    path = tmp_path / "copied_plugin.py"
    path.write_text(SOME.read_text())
    return path
