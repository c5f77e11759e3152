"""One run from config to record: found, still valid, resumed or started, by the process that holds its lock."""

import math
import platform
import resource
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nas_core.errors import UserError
from nas_core.files import remove, write_atomic
from nas_core.runs import checkpoints, sources, states, store
from nas_core.runs.heartbeat import Heartbeat
from nas_core.runs.lock import lock
from nas_core.runs.replay import Anchor, Build, anchors_of, as_tree, from_tree, replay, step
from nas_core.trainers import Trainer
from nas_core.trainers.result import Result
from nas_core.trainers.settings import RunConfig

Say = Callable[[str], object]  # hears a line for the reader
Look = Callable[[], object]  # is called after every heartbeat


def attempt(config: RunConfig, build: Build, say: Say, look: Look) -> str | None:
    """See to it that the record is there and valid, by this process or another; returns what went wrong, in a sentence.

    The records that it needs must be there. How it came about is said.
    """
    folder = store.folder_of(config.key())
    stuck = f"(stuck? `python -m nas_core runs unlock {config.key()}`)"
    try:
        if folder.is_file():
            say(f"{folder} is a file where the run's folder should be; removing it")
            remove(folder)
        with lock(folder, lambda who: say(f"{who} computes it, waiting {stuck}")):
            _perform(config, build, say, look)
    except UserError as error:
        return str(error)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        with suppress(UserError):
            write_atomic(folder / "failure.txt", traceback.format_exc().encode())
            why += f" (traceback in {folder / 'failure.txt'})"
        return why
    return None


def _perform(config: RunConfig, build: Build, say: Say, look: Look) -> None:
    """Find, replay, resume or compute the record; needs its lock."""
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)  # the order of sums depends on it
    try:
        needed = {need.key(): store.open_record(store.folder_of(need.key()), need) for need in config.needs()}
        results = {key: record.result for key, record in needed.items()}
        state = states.judge(config, needed)
        if state.kind == states.FOUND:
            say("found: what it needs has the same numbers" if needed else "another process has just computed it")
            return
        why = "no record" if state.kind == states.INTERRUPTED else str(state)
        if state.kind == states.CHANGED and state.record is not None:
            difference = replay(state.record, results, build)
            if difference is None:
                state.record.provenance["fingerprints"].append(sources.fingerprint(config))
                store.rewrite_provenance(state.record)
                say("the source has changed, a replay gives the same bits: still valid")
                return
            why = f"the source has changed and a replay differs ({difference})"
        _train(Run(config, results, states.digests(needed), build), why, say, look)
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Run:
    """A run to be computed: ``needed`` are the results that it needs, ``digests`` tell them from others, by key."""

    config: RunConfig
    needed: Mapping[str, Result]
    digests: dict[str, str]
    build: Build

    @property
    def folder(self) -> Path:
        """Where everything about it lies."""
        return store.folder_of(self.config.key())

    def origin(self) -> dict[str, Any]:
        """What its numbers come from besides its config; a checkpoint with another origin is not resumed."""
        return {"source": sources.fingerprint(self.config), "needs": self.digests}


@dataclass
class Spent:
    """What a run has cost so far, over all processes that worked on it."""

    wall_seconds: float = 0.0
    peak_memory_mib: int = 0
    resumes: int = 0

    def add(self, seconds: float) -> None:
        """Some more seconds, and the memory that this process has used at most."""
        self.wall_seconds += seconds
        self.peak_memory_mib = max(self.peak_memory_mib, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


@dataclass
class Progress:
    """A run under way."""

    trainer: Trainer
    anchors: dict[str, Anchor]
    spent: Spent


def _train(run: Run, why: str, say: Say, look: Look) -> None:
    seconds = checkpoints.interval()
    progress, how = _begin(run, say)
    say(f"{why}; {how}")
    trainer = progress.trainer
    mark = time.monotonic()
    with Heartbeat(run.folder, trainer.total, trainer.done) as heart:
        while trainer.done < trainer.total:
            _check_loss(step(trainer, progress.anchors), trainer)
            if heart.beat(trainer.done):
                look()
            now = time.monotonic()
            if now - mark >= seconds or trainer.done == trainer.total:
                progress.spent.add(now - mark)
                mark = now
                _save(run, progress)
        _finish(run, progress)


def _check_loss(loss: object, trainer: Trainer) -> None:
    """A loss that is not finite spoils all later numbers: say so at once."""
    if isinstance(loss, float) and not math.isfinite(loss):
        raise UserError(
            f"the loss of step {trainer.done} of {trainer.total} is {loss}; most likely a learning "
            "rate is too high, or a temperature too low."
        )


def _begin(run: Run, say: Say) -> tuple[Progress, str]:
    """The run at its newest checkpoint, or at its start, and how it begins, in words."""
    how = "computing it"
    for path, kept in checkpoints.intact(run.folder, run.config, say):
        differing = _differing(kept.get("origin"), run.origin())
        if differing is not None:
            how = f"computing it anew, as its checkpoint comes from other {differing}"
            checkpoints.clear(run.folder)
            break
        try:
            progress = _resumed(run, kept)
        except Exception as error:  # whole, but not what this trainer writes
            checkpoints.discard(path, f"{path} does not fit ({type(error).__name__}: {error})", say)
        else:
            return progress, f"resuming at step {progress.trainer.done} of {progress.trainer.total}"
    trainer = run.build(run.config, run.needed)
    return Progress(trainer, anchors_of(trainer), Spent()), how


def _differing(then: Any, now: dict[str, Any]) -> str | None:
    """What a checkpoint's origin differs in, in words, if it does."""
    if then == now:
        return None
    same_source = isinstance(then, dict) and then.get("source") == now["source"]
    return "numbers of what it needs" if same_source else "source"


def _resumed(run: Run, kept: dict[str, Any]) -> Progress:
    trainer = run.build(run.config, run.needed)
    trainer.load_state(kept["trainer"])
    spent = Spent(**kept["spent"])
    spent.resumes += 1
    return Progress(trainer, from_tree(kept["anchors"]), spent)


def _save(run: Run, progress: Progress) -> None:
    content = {
        "origin": run.origin(),
        "trainer": progress.trainer.state(),
        "anchors": as_tree(progress.anchors),
        "spent": vars(progress.spent),
    }
    checkpoints.save(run.folder, run.config, progress.trainer.done, content)


def _finish(run: Run, progress: Progress) -> None:
    provenance = _provenance(run, progress)
    store.write_record(run.folder, run.config, progress.trainer.result(), provenance, as_tree(progress.anchors))
    checkpoints.clear(run.folder)
    remove(run.folder / "failure.txt")  # of an earlier attempt


def _provenance(run: Run, progress: Progress) -> dict[str, Any]:
    config = run.config
    packages = {name: version(name) for name in ("nas-core", "torch", "numpy")}
    return {
        "run": config.run,
        "profile": config.profile,
        "seed": config.seed,
        "device": config.device,
        "threads": config.threads,
        "trainer": config.trainer,
        "steps": progress.trainer.total,
        **vars(progress.spent),
        "fingerprints": [sources.fingerprint(config)],
        "needs": run.digests,
        "versions": {"python": platform.python_version(), **packages},
        "platform": platform.platform(),
    }
