"""Checkpoints of a run: written every few seconds, at any step, so that a killed run goes on where it was."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas_core.errors import UserError
from nas_core.runs import tree
from nas_core.runs.files import make_folder
from nas_core.runs.tree import Damaged


def interval() -> float:
    """Seconds between two checkpoints: ``$NAS_CHECKPOINT_SECONDS``, by default 15."""
    text = os.environ.get("NAS_CHECKPOINT_SECONDS", "15")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"NAS_CHECKPOINT_SECONDS must be a number of seconds, not {text!r}.") from None


class Checkpoints:
    """The checkpoints of one run, in a folder of their own."""

    def __init__(self, folder: Path, seconds: float | None = None) -> None:
        self.folder = folder
        self.seconds = interval() if seconds is None else seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, step: int, state: Any) -> None:
        """Write the state after ``step`` steps; of those before, only the newest stays, in case this one is damaged."""
        tree.save(make_folder(self.folder) / f"step-{step:09d}.safetensors", state)
        for old in self._files()[:-2]:
            old.unlink(missing_ok=True)
        self._last = time.monotonic()

    def latest(self, say: Callable[[str], None]) -> Any | None:
        """The newest intact state, or None; a damaged one is named through ``say`` and removed."""
        for half_written in self.folder.glob(".*"):
            half_written.unlink(missing_ok=True)
        for path in reversed(self._files()):
            try:
                return tree.load(path)
            except Damaged as error:
                say(f"damaged checkpoint: {error}; using the one before it, if any")
                path.unlink(missing_ok=True)
        return None

    def clear(self) -> None:
        """Remove them all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.safetensors"))
