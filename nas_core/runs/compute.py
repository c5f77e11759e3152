"""One run from config to record: found, still valid, resumed or started, by the process that holds its lock."""

import platform
import resource
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import torch

from nas_core.trainers.settings import RunConfig
from nas_core.errors import UserError
from nas_core.files import write_atomic
from nas_core.runs import store, tree
from nas_core.runs.lock import lock
from nas_core.runs.replay import anchors_of, fingerprint, replay, step
from nas_core.runs.tree import Damaged
from nas_core.trainers.search import Search

Build = Callable[[RunConfig], Search]  # makes the trainer
Tell = Callable[..., object]  # hears a line for the reader, or three numbers: steps done, in all, and found done


def examine(config: RunConfig) -> tuple[str, store.Record | None]:
    """``found`` with the record, ``changed`` with a record that other source computed, or why there is none."""
    folder = store.folder_of(config.key())
    if not (folder / store.FILE).exists():
        return "no record", None
    try:
        record = store.open_record(folder, config)
    except Damaged as error:
        return f"damaged record: {error}", None
    return ("found" if fingerprint() in record.provenance["fingerprints"] else "changed"), record


def attempt(config: RunConfig, build: Build, tell: Tell) -> str | None:
    """See to it that the record is there and valid, by this process or another; returns what went wrong, in a sentence.

    How it came about is told.
    """
    folder = store.folder_of(config.key())
    stuck = f"(stuck? `python -m nas_core runs unlock {config.key()}`)"
    try:
        with lock(folder, lambda who: tell(f"{who} computes it, waiting {stuck}")):
            perform(config, build, tell)
    except UserError as error:
        return str(error)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        with suppress(UserError):
            write_atomic(folder / "failure.txt", traceback.format_exc().encode())
            why += f" (traceback in {folder / 'failure.txt'})"
        return why
    return None


def perform(config: RunConfig, build: Build, tell: Tell) -> None:
    """Find, replay, resume or compute the record; needs its lock."""
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)  # the order of sums depends on it
    try:
        why, record = examine(config)
        if why == "found":
            tell("another process has just computed it")
        elif record is None:
            _train(config, build, why, tell)
        elif difference := replay(record, build):
            _train(config, build, f"the source has changed and a replay differs ({difference})", tell)
        else:
            content = store.read(record.folder)
            content["provenance"]["fingerprints"].append(fingerprint())
            tree.save(record.folder / store.FILE, content)
            tell("the source has changed, a replay gives the same bits: still valid")
    finally:
        torch.set_num_threads(threads)


def _train(config: RunConfig, build: Build, why: str, tell: Tell) -> None:
    folder, seconds = store.folder_of(config.key()), store.interval()
    search = build(config)
    anchors, spent, how = anchors_of(search), {"wall_seconds": 0.0, "peak_memory_mib": 0, "resumes": 0}, "computing it"
    kept = store.latest_checkpoint(folder, tell)
    if kept is not None and kept["source"] == fingerprint():
        search.load_state(kept["search"])
        anchors, spent = kept["anchors"], kept["spent"] | {"resumes": kept["spent"]["resumes"] + 1}
        how = f"resuming at step {search.done} of {search.total}"
    elif kept is not None:
        how = "computing it anew, as its checkpoint comes from other source"
        store.clear_checkpoints(folder)
    tell(f"{why}; {how}")
    first, mark = search.done, time.monotonic()
    while search.done < search.total:
        step(search, anchors)
        tell(search.done, search.total, first)
        if (now := time.monotonic()) - mark >= seconds or search.done == search.total:
            spent["wall_seconds"] += now - mark
            peak, mark = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, now
            spent["peak_memory_mib"] = max(spent["peak_memory_mib"], peak)
            kept = {"search": search.state(), "anchors": anchors, "spent": spent, "source": fingerprint()}
            store.save_checkpoint(folder, search.done, kept)
    provenance = {**_provenance(config), **spent, "steps": search.total}
    store.write_record(folder, config, search.result(), provenance, anchors)
    store.clear_checkpoints(folder)
    (folder / "failure.txt").unlink(missing_ok=True)  # of an earlier attempt


def _provenance(config: RunConfig) -> dict[str, Any]:
    return {
        **{name: getattr(config, name) for name in ("run", "profile", "seed", "formulation", "device", "threads")},
        "fingerprints": [fingerprint()],
        "versions": {"python": platform.python_version()} | {k: version(k) for k in ("nas-core", "torch", "numpy")},
        "platform": platform.platform(),
    }
