"""One run from config to record: found, still valid, resumed or started, by the process that holds its claim."""

from __future__ import annotations

import platform
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nas_core.runs import store
from nas_core.runs.checkpoint import Checkpoints
from nas_core.runs.files import make_folder, sweep
from nas_core.runs.replay import Trace, fingerprint, replay
from nas_core.runs.tree import Damaged

if TYPE_CHECKING:
    from nas_core.config import RunConfig
    from nas_core.trainers import Search


def _nothing(*_: object) -> None:
    """What ``say`` and ``tick`` do when nobody listens."""


@dataclass(frozen=True)
class Order:
    """A run that is wanted: what, where to, who trains it, and whom to tell."""

    config: RunConfig
    root: Path  # of the store
    build: Callable[[RunConfig], Search]
    say: Callable[[str], None] = _nothing  # one line for the reader
    tick: Callable[[int, int, int], None] = _nothing  # steps done, in all, and done before this process came

    @property
    def key(self) -> str:
        """The run's own complete key."""
        return self.config.key()

    @property
    def folder(self) -> Path:
        """Where its record belongs."""
        return self.root / "records" / self.key

    @property
    def name(self) -> str:
        """The run for the reader."""
        return f"{self.config.run} seed {self.config.seed} ({self.config.profile})"


def examine(order: Order) -> tuple[str, store.Record | None]:
    """``found`` with the record, ``changed`` with a record that other source computed, or why there is none."""
    if not order.folder.exists():
        return "no record", None
    try:
        record = store.open_record(order.folder, order.config)
    except Damaged as error:
        return f"damaged record: {error}", None
    return ("found" if fingerprint() in record.provenance["fingerprints"] else "changed"), record


def perform(order: Order) -> None:
    """See to it that the order's record is there and valid, and say how that came about; needs the claim on its key."""
    with threads(order.config.threads):
        sweep(order.folder)
        why, record = examine(order)
        if why == "found":
            return order.say(f"{order.name}: another process has just computed it")
        if record is not None:
            difference = replay(record, order.build)
            if difference is None:
                _endorse(record)
                return order.say(f"{order.name}: the source has changed, a replay gives the same bits: still valid")
            why = f"the source has changed and a replay differs ({difference})"
        _train(order, why)


def _train(order: Order, why: str) -> None:
    points = Checkpoints(order.root / "checkpoints" / order.key)
    search, trace, past, how = _resume(order, points)
    order.say(f"{order.name}: {why}; {how}")
    begun, first = time.perf_counter(), search.done
    _reset_peak()

    def spent() -> dict[str, Any]:
        wall = past["wall_seconds"] + time.perf_counter() - begun
        peak = max(past["peak_memory_mib"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return {"wall_seconds": wall, "peak_memory_mib": peak, "resumes": past["resumes"]}

    while search.done < search.total:
        trace.before(search)
        trace.after(search, search.step())
        order.tick(search.done, search.total, first)
        if points.due() and search.done < search.total:
            kept = {"search": search.state(), "anchors": trace.anchors, "spent": spent(), "source": fingerprint()}
            points.save(search.done, kept)
    provenance = {**_provenance(order.config), **spent(), "steps": search.total}
    store.write_record(order.folder, order.config, search.result(), provenance, trace.collected(search.total))
    points.clear()


def _resume(order: Order, points: Checkpoints) -> tuple[Search, Trace, dict[str, Any], str]:
    """The run at its latest checkpoint, or at its start: search, trace, what it has cost so far, and which it is."""
    search = order.build(order.config)
    trace = Trace(points.folder, search)
    past = {"wall_seconds": 0.0, "peak_memory_mib": 0, "resumes": 0}
    how = "computing it"
    kept = points.latest(lambda line: order.say(f"{order.name}: {line}"))
    if kept is not None and kept["source"] != fingerprint():
        kept, how = None, "computing it anew, as its checkpoint comes from other source"
    if kept is not None:
        search.load_state(kept["search"])
        trace.anchors = kept["anchors"]
        try:
            trace.collected(search.done)
            past = kept["spent"] | {"resumes": kept["spent"]["resumes"] + 1}
            return search, trace, past, f"resuming at step {search.done} of {search.total}"
        except Damaged as error:
            how = f"computing it anew, as {error}"
            search = order.build(order.config)
            trace = Trace(points.folder, search)
    points.clear()
    make_folder(points.folder)
    return search, trace, past, how


def _endorse(record: store.Record) -> None:
    """Note in the record that the present source computes it too."""
    meta = store.read_meta(record.folder)
    meta["provenance"]["fingerprints"].append(fingerprint())
    store.write_meta(record.folder, meta)


def _provenance(config: RunConfig) -> dict[str, Any]:
    return {
        "run": config.run,
        "profile": config.profile,
        "seed": config.seed,
        "fingerprints": [fingerprint()],
        "versions": {
            "nas-core": version("nas-core"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "commit": _commit(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "device": config.device,
        "threads": config.threads,
    }


def _commit() -> str | None:
    if (repo := store.repository()) is None:
        return None
    command = ["git", "-C", str(repo), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    with suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None


def _cpu() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor()


def _reset_peak() -> None:
    """Let the kernel forget the process's earlier peak of memory, where it can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Torch on so many threads, as the order of its sums depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
