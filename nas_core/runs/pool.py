"""Several runs over the cores of this machine: the longest first, each in a worker, whatever happens to the others.

One bar over all of them shows the time left and who is at which step.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tqdm import tqdm

from nas_core.trainers.settings import RunConfig
from nas_core.errors import UserError
from nas_core.runs.lock import holder
from nas_core.runs.compute import Build, attempt
from nas_core.runs.store import folder_of
from nas_core.workers import Worker, spread

FORMAT = "{percentage:3.0f}%|{bar:20}| {elapsed}, {remaining} left{postfix}"


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


def watched() -> bool:
    """Whether a person sees standard error: in a terminal or a notebook; a log gets no bar."""
    ipython = sys.modules.get("IPython")
    return sys.stderr.isatty() or (ipython is not None and ipython.get_ipython() is not None)


class Progress:
    """Every run counts with its cost; ``echo`` prints a line, above the bar if there is one."""

    def __init__(self, configs: Sequence[RunConfig], show: bool, echo: Callable[[str], None]) -> None:
        self.echo, self.lock = echo, threading.Lock()
        self.share: dict[str, float] = {}  # of a run that is done, by key
        self.steps: dict[str, str] = {}
        total, hidden = sum(config.cost() for config in configs), not (show and watched())
        self.bar = tqdm(total=total, disable=hidden, leave=False, bar_format=FORMAT, smoothing=0, miniters=0)
        self.close = self.bar.close

    def tell(self, config: RunConfig, *news: Any) -> None:
        """A line about a run, or its steps done, steps in all, and steps done before this process came."""
        with self.lock:
            if isinstance(news[0], str):
                with tqdm.external_write_mode():
                    self.echo(f"{config.run} seed {config.seed} ({config.profile}): {news[0]}")
            elif not self.bar.disable:
                done, total, first = news
                self.steps[config.key()] = f"{config.run} s{config.seed} {done}/{total}"
                self._advance(config, done / total, first / total)

    def end(self, config: RunConfig, failure: str | None) -> None:
        """A run is done, or has failed."""
        with self.lock:
            self.steps.pop(config.key(), None)
            if not self.bar.disable:
                self._advance(config, 1.0, 1.0)
        if failure is not None:
            self.tell(config, f"failed: {failure}")

    def _advance(self, config: RunConfig, share: float, found: float) -> None:
        """A run is done to this share, of which the share ``found`` when it came up is not counted in the speed."""
        if config.key() not in self.share:
            self.bar.initial += config.cost() * found
        self.bar.set_postfix_str(", ".join(self.steps.values()), refresh=False)
        self.bar.update(config.cost() * (share - self.share.get(config.key(), 0.0)))
        self.share[config.key()] = share
