"""The one module that touches exca: it lets every run be computed once, whoever asks for it.

``exca.MapInfra`` claims an item in a small database before it computes it, takes over the claim of a process that
died, and can send items to a cluster (``cluster="slurm"``). Three things it does not give. Trust: its key leaves out
defaults and its cache is not verified, so our key is the item's uid, our record is the truth, and what exca caches is a
receipt that is dropped before every call. Pools: its own stops at the first error; see ``pool.py``. Waiting that one
can follow: :func:`once` looks twice a second and says whom it waits for, and :func:`unlock` frees what is stuck.
"""
# No "from __future__ import annotations" here: exca wants to see the types of what it decorates.

import logging
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
        """Compute each order; what exca stores is only that this was done."""
        for order in orders:
            perform(order)
            yield {"key": order.key}


def once(order: Order) -> None:
    """Bring the order's record about, or wait for the process that already does."""
    make_folder(order.root / "exca")
    while holder := holders(order.root, [order.key]).get(order.key):
        order.say(f"{order.name}: {holder} computes it, waiting (stuck? `python -m nas_core runs unlock {order.key}`)")
        while order.key in holders(order.root, [order.key]):
            time.sleep(POLL)
    runs = _runs(order.root)
    cache = runs.infra.cache_dict
    try:
        if order.key in cache:
            with cache.write():
                del cache[order.key]
    except RuntimeError:  # exca cannot read its own files, as a writer was killed: they are only receipts
        for file in Path(str(cache.folder)).glob("*-info.jsonl"):
            file.unlink(missing_ok=True)
    list(runs.receipts([order]))


def attempt(order: Order) -> str | None:
    """Bring the order's record about; returns what went wrong, if anything did, in one sentence."""
    try:
        once(order)
    except UserError as error:
        return str(error)
    except Exception as error:
        why, path = f"{type(error).__name__}: {error}", order.root / "failures" / f"{order.key}.txt"
        with suppress(UserError):
            write_atomic(make_folder(path.parent) / path.name, traceback.format_exc().encode())
            why += f" (traceback in {path})"
        return why
    return None


def holders(root: Path, keys: Iterable[str] | None = None) -> dict[str, str]:
    """Which of the runs ``keys`` (all, if None) are being computed by a living process, and by which, in words.

    The claims of processes that are certainly gone are released.
    """
    claims = _claims(root, keys)
    living = {key: info for key, info in claims.items() if _alive(info)}
    _release(root, {key: info for key, info in claims.items() if key not in living})
    return {key: _describe(info) for key, info in living.items()}


def unlock(root: Path, keys: Iterable[str] | None = None) -> dict[str, str]:
    """Release the claims on ``keys`` (all, if None) whoever holds them; returns who did, in words."""
    claims = _claims(root, keys)
    _release(root, claims)
    return {key: _describe(info) for key, info in claims.items()}


def _runs(root: Path) -> Runs:
    logging.getLogger("exca").setLevel(logging.ERROR)  # what a reader needs to know is said in our own lines
    return Runs(infra={"folder": root / "exca"})


def _registry(root: Path, worker: WorkerInfo | None = None) -> InflightRegistry:
    return InflightRegistry(str(_runs(root).infra.uid_folder()), worker)


def _claims(root: Path, keys: Iterable[str] | None) -> dict[str, WorkerInfo]:
    if not root.exists():
        return {}
    with _registry(root) as registry:
        return registry.get(None if keys is None else list(keys))


def _release(root: Path, claims: dict[str, WorkerInfo]) -> None:
    for key, info in claims.items():
        with _registry(root, info) as registry:
            registry.release([key])


def _alive(info: WorkerInfo) -> bool:
    """Whether the claiming process runs: not a dead one that nobody has buried, nor a later one with its id."""
    who = info.liveness
    if not info.is_alive() or getattr(who, "host", None) != os.uname().nodename:
        return info.is_alive()
    with suppress(OSError, StopIteration):  # elsewhere than on Linux
        state, *numbers = Path(f"/proc/{who.pid}/stat").read_text().rpartition(")")[2].split()  # type: ignore[attr-defined]
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        started = int(boot.split()[1]) + int(numbers[18]) / os.sysconf("SC_CLK_TCK")
        return state != "Z" and started <= (info.claimed_at or started) + SLACK
    return True


def _describe(info: WorkerInfo) -> str:
    pid, host = getattr(info.liveness, "pid", None), getattr(info.liveness, "host", None)
    return f"process {pid} on {host}" if pid is not None else str(info.liveness)
