"""What is kept of a run that is not done: its state, every few seconds, at any step, so that it goes on when killed.

A file that is not whole, or that belongs to another run, is :class:`Damaged`: named, and never used.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nas_core.errors import UserError
from nas_core.files import remove
from nas_core.runs import tree
from nas_core.runs.tree import Damaged
from nas_core.trainers.settings import RunConfig

FORMAT = 4
HALF_WRITTEN = f".*.{'[0-9a-f]' * 8}"  # what a killed process may leave of nas_core.files.write_together


def write_state(path: Path, config: RunConfig, content: Any) -> None:
    """Write a tree that belongs to the run of ``config``; see :func:`nas_core.runs.tree.save`."""
    if path.is_dir():
        remove(path)
    tree.save(path, {"format": FORMAT, "config": _identity(config), "content": content})


def read_state(path: Path, config: RunConfig) -> Any:
    """What :func:`write_state` wrote for this very run; raises :class:`Damaged`."""
    stored = tree.load(path)
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise Damaged(f"{path} does not have the format {FORMAT}")
    if stored.get("config") != _identity(config):
        raise Damaged(f"{path} belongs to another configuration")
    if "content" not in stored:
        raise Damaged(f"{path} lacks its content")
    return stored["content"]


def _identity(config: RunConfig) -> Any:
    """The config's identity as JSON has it, where tuples are lists."""
    return json.loads(json.dumps(config.identity()))


def interval() -> float:
    """Seconds between two checkpoints: ``$NAS_CHECKPOINT_SECONDS``, by default 15."""
    text = os.environ.get("NAS_CHECKPOINT_SECONDS", "15")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:  # nan is not
        raise UserError(f"NAS_CHECKPOINT_SECONDS must be a number of seconds, not {text!r}.")
    return seconds


def save(folder: Path, config: RunConfig, step: int, content: dict[str, Any]) -> None:
    """Write the state after ``step`` steps; of those before, only the newest stays, in case this one is damaged."""
    write_state(folder / f"step-{step:09d}.safetensors", config, content)
    clear(folder, keep=2)


def intact(folder: Path, config: RunConfig, say: Callable[[str], object]) -> Iterator[tuple[Path, Any]]:
    """The intact checkpoints, the newest first; a damaged one is named through ``say`` and removed."""
    for path in reversed(paths(folder)):
        try:
            yield path, read_state(path, config)
        except Damaged as error:
            discard(path, str(error), say)


def discard(path: Path, why: str, say: Callable[[str], object]) -> None:
    """Remove a checkpoint that is of no use, and say so."""
    say(f"damaged checkpoint: {why}; using the one before it, if any")
    remove(path)


def clear(folder: Path, keep: int = 0) -> None:
    """Remove all but the newest ``keep`` checkpoints, and what a killed process left half-written."""
    every = paths(folder)
    for path in [*every[: len(every) - keep], *folder.glob(HALF_WRITTEN)]:
        remove(path)


def paths(folder: Path) -> list[Path]:
    """All checkpoints of a run, the newest last."""
    return sorted(folder.glob("step-*.safetensors"))


def newest_step(folder: Path) -> int | None:
    """After how many steps the newest checkpoint was written, if there is one."""
    steps = [path.stem.removeprefix("step-") for path in paths(folder)]
    numbers = [int(step) for step in steps if step.isdigit()]
    return max(numbers, default=None)
