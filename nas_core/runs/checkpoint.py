"""Checkpoints of a run: written every few seconds, at any step, so that a killed run goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas_core.errors import UserError
from nas_core.runs import tree
from nas_core.runs.tree import Damaged


def interval() -> float:
    """Seconds between two checkpoints: ``$NAS_CHECKPOINT_SECONDS``, by default 15."""
    text = os.environ.get("NAS_CHECKPOINT_SECONDS", "15")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"NAS_CHECKPOINT_SECONDS must be a number of seconds, not {text!r}.") from None


def save(folder: Path, step: int, state: Any) -> None:
    """Write the state after ``step`` steps; of those before, only the newest stays, in case this one is damaged."""
    tree.save(folder / f"step-{step:09d}.safetensors", state)
    clear(folder, keep=2)


def latest(folder: Path, say: Callable[[str], object]) -> Any | None:
    """The newest intact state, or None; a damaged one is named through ``say`` and removed."""
    for path in reversed(files(folder)):
        try:
            return tree.load(path)
        except Damaged as error:
            say(f"damaged checkpoint: {error}; using the one before it, if any")
            path.unlink(missing_ok=True)
    return None


def clear(folder: Path, keep: int = 0) -> None:
    """Remove all but the newest ``keep`` of them, and what a killed process left half-written."""
    paths = files(folder)
    for path in [*paths[: len(paths) - keep], *folder.glob(".*")]:
        path.unlink(missing_ok=True)


def files(folder: Path) -> list[Path]:
    """All of them, the newest last."""
    return sorted(folder.glob("step-*.safetensors"))
