"""One run from config to record: found, still valid, resumed or started, by the process that holds its claim."""

from __future__ import annotations

import platform
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nas_core.runs import store
from nas_core.runs.checkpoint import Checkpoints
from nas_core.runs.replay import anchors_of, fingerprint, replay, step
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
    threads = torch.get_num_threads()
    torch.set_num_threads(order.config.threads)  # the order of sums depends on it
    try:
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
    finally:
        torch.set_num_threads(threads)


def _endorse(record: store.Record) -> None:
    """Note in the record that the present source computes it too."""
    meta = store.read_meta(record.folder)
    meta["provenance"]["fingerprints"].append(fingerprint())
    store.write_meta(record.folder, meta)


def _train(order: Order, why: str) -> None:
    points = Checkpoints(order.root / "checkpoints" / order.key)
    search = order.build(order.config)
    anchors, spent, how = anchors_of(search), {"wall_seconds": 0.0, "peak_memory_mib": 0, "resumes": 0}, "computing it"
    kept = points.latest(lambda line: order.say(f"{order.name}: {line}"))
    if kept is not None and kept["source"] == fingerprint():
        search.load_state(kept["search"])
        anchors, spent = kept["anchors"], kept["spent"] | {"resumes": kept["spent"]["resumes"] + 1}
        how = f"resuming at step {search.done} of {search.total}"
    elif kept is not None:
        how = "computing it anew, as its checkpoint comes from other source"
        points.clear()
    order.say(f"{order.name}: {why}; {how}")
    first, mark = search.done, time.perf_counter()
    while search.done < search.total:
        step(search, anchors)
        order.tick(search.done, search.total, first)
        if points.due() or search.done == search.total:
            now, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            spent["wall_seconds"] += now - mark
            spent["peak_memory_mib"], mark = max(spent["peak_memory_mib"], peak), now
            kept = {"search": search.state(), "anchors": anchors, "spent": spent, "source": fingerprint()}
            points.save(search.done, kept)
    provenance = {**_provenance(order.config), **spent, "steps": search.total}
    store.write_record(order.folder, order.config, search.result(), provenance, anchors)
    points.clear()


def _provenance(config: RunConfig) -> dict[str, Any]:
    return {
        **{name: getattr(config, name) for name in ("run", "profile", "seed", "device", "threads")},
        "fingerprints": [fingerprint()],
        "versions": {"python": platform.python_version()} | {k: version(k) for k in ("nas-core", "torch", "numpy")},
        "commit": _commit(),
        "platform": platform.platform(),
    }


def _commit() -> str | None:
    """The commit of the checkout, with ``-dirty`` when files differ from it."""
    if (repo := store.repository()) is None:
        return None
    command = ["git", "-C", str(repo), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
