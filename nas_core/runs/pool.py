"""Several runs over the cores of this machine: the longest first, each in a worker, whatever happens to the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from nas_core.errors import UserError
from nas_core.runs.claim import holder
from nas_core.runs.compute import attempt
from nas_core.runs.progress import Progress
from nas_core.runs.store import folder_of
from nas_core.workers import Worker, spread

if TYPE_CHECKING:
    from nas_core.config import RunConfig
    from nas_core.runs.compute import Build


def default_jobs() -> int:
    """How many runs at once: ``$NAS_JOBS``, or as many as there are cores for this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = os.environ.get("NAS_JOBS", str(cores))
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"NAS_JOBS must be a whole number from 1, not {text!r}.")
    return int(text)


def run_all(configs: Sequence[RunConfig], build: Build, jobs: int, progress: Progress) -> dict[str, str]:
    """Bring the records of all ``configs`` about; returns what went wrong, by key."""
    waiting = sorted(configs, key=lambda config: -config.cost())
    lock = threading.Lock()

    def next_one(worker: Worker | None) -> tuple[str, str | None]:
        with lock:  # the longest run that nobody else computes, or else the longest
            config = min(waiting, key=lambda config: holder(folder_of(config.key())) is not None)
            waiting.remove(config)
        tell = partial(progress.tell, config)
        message = worker.call(attempt, config, build, tell=tell) if worker else attempt(config, build, tell)
        progress.end(config, message)
        return config.key(), message

    if jobs == 1 or len(configs) == 1:
        ended = [next_one(None) for _ in configs]
    else:
        ended = list(spread(configs, jobs, lambda worker, _: next_one(worker)))
    return {key: message for key, message in ended if message is not None}
