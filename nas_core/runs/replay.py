"""Is a record still valid although the source has changed? Replay three short stretches of its run and compare.

While a run is computed, its *anchors* are collected: for its first steps, the close of the first period and the last
steps, the state just before and a digest of the whole state after.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nas_core.runs import store, tree
from nas_core.runs.checkpoints import read_state
from nas_core.trainers import Trainer
from nas_core.trainers.result import Result
from nas_core.trainers.settings import RunConfig

Build = Callable[[RunConfig, Mapping[str, Result]], Trainer]  # from a config and the results that it needs, by key
FIRST, TAIL = 3, 2  # steps replayed from the start; steps replayed up to the close of a period and of the run


@dataclass
class Anchor:
    """A stretch of a run: ``state`` is the one after ``start`` steps, ``after`` the digest of that after ``stop``."""

    start: int
    stop: int
    state: dict[str, Any] | None = None
    after: str = ""


def stretches(total: int, period: int) -> dict[str, tuple[int, int]]:
    """The stretches of a run that are replayed, as (first step, step after the last)."""
    found = {"first": (0, min(FIRST, total))}
    if period < total:
        found["period"] = (max(0, period - TAIL), period)
    found["end"] = (max(0, total - TAIL), total)
    return found


def anchors_of(trainer: Trainer) -> dict[str, Anchor]:
    """The anchors of a run that has not begun, by stretch: nothing is in them yet."""
    parts = stretches(trainer.total, trainer.period)
    return {name: Anchor(start, stop) for name, (start, stop) in parts.items()}


def as_tree(anchors: Mapping[str, Anchor]) -> dict[str, dict[str, Any]]:
    """Anchors as they are stored."""
    return {name: vars(anchor) for name, anchor in anchors.items()}


def from_tree(stored: Mapping[str, dict[str, Any]]) -> dict[str, Anchor]:
    """Anchors from what :func:`as_tree` made of them."""
    return {name: Anchor(**values) for name, values in stored.items()}


def step(trainer: Trainer, anchors: Mapping[str, Anchor]) -> object:
    """One step of the run, remembered in the anchors that it belongs to; returns what the trainer's step does."""
    for anchor in anchors.values():
        if anchor.start == trainer.done > 0:
            anchor.state = copy.deepcopy(trainer.state())
    loss = trainer.step()
    for anchor in anchors.values():
        if anchor.stop == trainer.done:
            anchor.after = tree.digest(trainer.state())
    return loss


def replay(record: store.Record, needed: Mapping[str, Result], build: Build) -> str | None:
    """None when the present source gives the record's numbers bit for bit, otherwise the first difference, in words."""
    try:
        anchors = from_tree(read_state(record.folder / store.ANCHORS, record.config))
        for anchor in anchors.values():
            trainer = build(record.config, needed)
            if anchor.state is not None:
                trainer.load_state(anchor.state)
            while trainer.done < anchor.stop:
                trainer.step()
            if tree.digest(trainer.state()) != anchor.after:
                return f"the state after step {trainer.done} is another"
        now = store.digests(trainer.result())
    except Exception as error:  # changed source can fail in any way; recomputing then says how
        return f"it fails with {type(error).__name__}: {error}"
    then = store.digests(record.result)
    other = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    return f"another result: {', '.join(other)}" if other else None
