"""Several runs over the cores of this machine: needed ones first, the longest first, whatever happens to the others."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial

from nas_core.errors import UserError
from nas_core.runs.compute import attempt
from nas_core.runs.lock import holder
from nas_core.runs.progress import Progress, watched
from nas_core.runs.replay import Build
from nas_core.runs.slot import Slot
from nas_core.runs.store import folder_of
from nas_core.trainers.devices import check_present
from nas_core.trainers.settings import RunConfig

__all__ = ["Progress", "default_jobs", "run_all", "watched"]
LOOK = 0.2  # seconds between two looks at what workers say


def default_jobs() -> int:
    """How many runs at once: ``$NAS_JOBS``, or as many as there are cores for this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = os.environ.get("NAS_JOBS", str(cores))
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"NAS_JOBS must be a whole number from 1, not {text!r}.")
    return int(text)


def run_all(configs: Sequence[RunConfig], build: Build, jobs: int, progress: Progress) -> dict[str, str]:
    """Bring the records of all ``configs`` about; returns what went wrong, by key.

    ``configs``: needed ones first; what they need and is not among them has a valid record. A device that is not here
    is a :class:`UserError` before anything is computed.
    """
    for device in {config.device for config in configs}:
        check_present(device)
    schedule = Schedule(configs, progress)
    if jobs == 1 or len(configs) == 1:
        _one_by_one(schedule, build)
    else:
        _side_by_side(schedule, build, min(jobs, len(configs)))
    return schedule.failures


class Schedule:
    """Which run comes next, and which cannot come any more."""

    def __init__(self, configs: Sequence[RunConfig], progress: Progress) -> None:
        self.progress = progress
        self.failures: dict[str, str] = {}
        self.waiting = {config.key(): config for config in configs}
        self.unfinished = set(self.waiting)
        self.length = chain_lengths(configs)

    def next(self) -> RunConfig | None:
        """The run that begins now, if any can: one that nobody else computes, then the longest."""
        ready = [config for config in self.waiting.values() if self._ready(config)]
        if not ready:
            return None
        config = min(ready, key=self._order)
        del self.waiting[config.key()]
        self.progress.begin(config)
        return config

    def end(self, config: RunConfig, failure: str | None) -> None:
        """A run is done, or has failed, and with it those that need it."""
        self.unfinished.discard(config.key())
        self.progress.end(config, failure)
        if failure is None:
            return
        self.failures[config.key()] = failure
        for other in list(self.waiting.values()):
            needs = {need.key() for need in other.needs()}
            if config.key() in needs and other.key() in self.waiting:
                del self.waiting[other.key()]
                self.end(other, f"it needs {config.key()}, which failed")

    def _ready(self, config: RunConfig) -> bool:
        return not any(need.key() in self.unfinished for need in config.needs())

    def _order(self, config: RunConfig) -> tuple[bool, float]:
        computed_elsewhere = holder(folder_of(config.key())) is not None
        return computed_elsewhere, -self.length[config.key()]


def chain_lengths(configs: Sequence[RunConfig]) -> dict[str, float]:
    """By key, the cost of a run and of the longest chain of runs that wait for it; ``configs``: needed ones first."""
    after = {config.key(): 0.0 for config in configs}
    lengths = {}
    for config in reversed(configs):
        key = config.key()
        lengths[key] = config.cost() + after[key]
        for need in config.needs():
            after[need.key()] = max(after.get(need.key(), 0.0), lengths[key])
    return lengths


def _one_by_one(schedule: Schedule, build: Build) -> None:
    """All runs in this process."""
    progress = schedule.progress
    while (config := schedule.next()) is not None:
        failure = attempt(config, build, partial(progress.say, config), progress.look)
        schedule.end(config, failure)


def _side_by_side(schedule: Schedule, build: Build, jobs: int) -> None:
    """Every run in one of ``jobs`` workers; when this ends early, by Ctrl-C say, no worker goes on."""
    progress = schedule.progress
    idle = [Slot() for _ in range(jobs)]
    busy: dict[Future[str | None], tuple[Slot, RunConfig]] = {}
    slots = list(idle)
    try:
        while True:
            while idle and (config := schedule.next()) is not None:
                slot = idle.pop()
                busy[slot.submit(_attempt, config, build)] = slot, config
            if not busy:
                return
            done, _ = wait(busy, timeout=LOOK, return_when=FIRST_COMPLETED)
            for slot, config in busy.values():
                for line in slot.lines():
                    progress.say(config, line)
            for future in done:
                slot, config = busy.pop(future)
                schedule.end(config, slot.outcome(future))
                idle.append(slot)
            progress.look()
    finally:
        for slot in slots:
            slot.close()


def _attempt(config: RunConfig, build: Build, say: Callable[[str], object]) -> str | None:
    """:func:`nas_core.runs.compute.attempt` in a worker, whose heartbeats the parent reads."""
    return attempt(config, build, say, lambda: None)
