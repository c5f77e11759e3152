"""The one module that touches exca: it lets every run be computed once, whoever asks for it.

What exca gives: ``MapInfra`` claims an item in a small database before it computes it, lets other processes wait for
it, takes over the claim of a process that died, and can send items to a cluster through submitit (``cluster="slurm"``).

What it does not give, and where that is instead:

* Trust. Its key leaves out fields equal to their default and knows nothing of the source, and its cache is not
  verified. Our key is the item's uid, our record is the truth (``store.py``); what exca caches is a receipt, which is
  dropped before every call, so a run whose record is missing or damaged is computed again.
* Pools. Its process pool forks, takes one core less than there are, shuffles, hands out chunks, claims all items of
  a call at once, and stops at the first error; ``pool.py`` runs the longest first and lets nothing stop the rest.
* Waiting that one can follow. Its waiters sleep up to 30 seconds and log; :func:`once` looks twice a second and says
  whom it waits for. A process id that was given to another process since is noticed (on Linux); for a claim that is
  stuck all the same, there is :func:`unlock`.
"""
# No "from __future__ import annotations" here: exca wants to see the types of what it decorates.

import hashlib
import logging
import math
import os
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import exca
import pydantic
from exca.cachedict.inflight import InflightRegistry, WorkerInfo

from nas_core.errors import UserError
from nas_core.runs.compute import Order, perform
from nas_core.runs.files import make_folder, write_atomic

POLL = 0.5  # seconds between two looks at somebody else's claim
SLACK = 5.0  # seconds that two clocks of one machine may differ


class Runs(pydantic.BaseModel):
    """The carrier of exca's infrastructure; any field of ``exca.MapInfra`` may be given as ``infra={...}``."""

    infra: exca.MapInfra = exca.MapInfra(version="1", keep_in_ram=False)

    @infra.apply(item_uid=lambda order: order.key)
    def receipts(self, orders: Sequence[Order]) -> Iterator[dict[str, str]]:
        """Compute each order; what exca stores is only which record that gave."""
        for order in orders:
            perform(order)
            yield {"key": order.key, "sha256": hashlib.sha256((order.folder / "record.json").read_bytes()).hexdigest()}


def once(order: Order) -> None:
    """Bring the order's record about, or wait for the process that already does."""
    make_folder(order.root / "exca")
    runs = _runs(order.root)
    while holder := holders(order.root, [order.key]).get(order.key):
        order.say(f"{order.name}: {holder} computes it, waiting (stuck? `python -m nas_core runs unlock {order.key}`)")
        while order.key in holders(order.root, [order.key]):
            time.sleep(POLL)
    _drop_receipt(runs, order.key)
    list(runs.receipts([order]))


def attempt(order: Order) -> str | None:
    """Bring the order's record about; returns what went wrong, if anything did, in one sentence."""
    try:
        once(order)
    except UserError as error:
        return str(error)
    except Exception as error:
        path = order.root / "failures" / f"{order.key}.txt"
        try:
            make_folder(path.parent)
            write_atomic(path, traceback.format_exc().encode())
        except UserError:
            return f"{type(error).__name__}: {error}"
        return f"{type(error).__name__}: {error} (traceback in {path})"
    return None


def holders(root: Path, keys: Iterable[str] | None = None) -> dict[str, str]:
    """Which of the runs ``keys`` (all, if None) are being computed by a living process, and by which, in words."""
    return {key: _describe(info) for key, info in _claims(root, keys).items() if _alive(info)}


def unlock(root: Path, keys: Iterable[str] | None = None) -> dict[str, str]:
    """Release the claims on ``keys`` (all, if None) whoever holds them; returns who did, in words."""
    claims = _claims(root, keys)
    for key, info in claims.items():
        _release(root, key, info)
    return {key: _describe(info) for key, info in claims.items()}


def _runs(root: Path) -> Runs:
    logging.getLogger("exca").setLevel(logging.ERROR)  # what a reader needs to know is said in our own lines
    return Runs(infra={"folder": root / "exca"})


def _registry(root: Path, worker: WorkerInfo | None = None) -> InflightRegistry:
    folder = _runs(root).infra.uid_folder()
    assert folder is not None
    return InflightRegistry(folder, worker)


def _claims(root: Path, keys: Iterable[str] | None) -> dict[str, WorkerInfo]:
    """The claims as exca has them, without those of processes that are certainly gone, which are released."""
    if not root.exists():
        return {}
    with _registry(root) as registry:
        claims = registry.get(None if keys is None else list(keys))
    gone = {key: info for key, info in claims.items() if not _alive(info)}
    for key, info in gone.items():
        _release(root, key, info)
    return {key: info for key, info in claims.items() if key not in gone}


def _release(root: Path, key: str, info: WorkerInfo) -> None:
    with _registry(root, info) as registry:
        registry.release([key])


def _alive(info: WorkerInfo) -> bool:
    """Whether the claiming process runs; one that started after the claim was made only has inherited its id."""
    if not info.is_alive():
        return False
    here = getattr(info.liveness, "host", None) == os.uname().nodename
    started = _started(info.liveness.pid) if here else None  # type: ignore[attr-defined]
    return started is None or info.claimed_at is None or started <= info.claimed_at + SLACK


def _started(pid: int) -> float | None:
    """When a process of this machine started, in Unix time; None where the system does not tell (not Linux).

    Never, for one that is dead and only not yet buried by its parent.
    """
    with suppress(OSError, StopIteration):
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if state == "Z":
            return math.inf
        ticks = int(numbers[18])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    return None


def _describe(info: WorkerInfo) -> str:
    liveness = info.liveness
    pid, host = getattr(liveness, "pid", None), getattr(liveness, "host", None)
    return f"process {pid} on {host}" if pid is not None else str(liveness)


def _drop_receipt(runs: Runs, key: str) -> None:
    """Forget exca's entry of a run; if exca cannot read its own files (a writer was killed), forget them all."""
    cache = runs.infra.cache_dict
    try:
        if key in cache:
            with cache.write():
                del cache[key]
    except RuntimeError:
        for file in Path(str(cache.folder)).glob("*-info.jsonl"):
            file.unlink(missing_ok=True)
