"""Runs: from configs to records that are computed once, survive being killed, and are trusted only when verified.

On disk, below ``$NAS_RUNS`` (by default ``.runs`` in the checkout)::

    records/<key>/record.json            config, provenance, genotypes, digests, replay anchors, sha256 of every file
    records/<key>/<table>.csv
    records/<key>/arrays.safetensors     weights.safetensors    anchors/{epoch,end}.safetensors
    checkpoints/<key>/step-*.safetensors the last two of a run that is not done
    failures/<key>.txt                   traceback of the last failure
    exca/                                claims: who computes what at the moment
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nas_core.errors import UserError
from nas_core.runs.compute import Order, examine
from nas_core.runs.files import make_folder
from nas_core.runs.pool import default_jobs, run_all
from nas_core.runs.progress import Progress
from nas_core.runs.store import Record, location
from nas_core.runs.tree import Damaged

if TYPE_CHECKING:
    from nas_core.config import RunConfig
    from nas_core.trainers import Search

__all__ = ["Damaged", "Record", "RunsFailed", "location", "obtain"]


class RunsFailed(UserError):
    """Some runs could not be computed: ``failures`` says why, by key; ``records`` holds those of the others, by key."""

    def __init__(self, failures: dict[str, str], records: dict[str, Record]) -> None:
        reasons = "; ".join(f"{key}: {why}" for key, why in failures.items())
        super().__init__(f"{len(failures)} of {len(failures) + len(records)} runs failed. {reasons}")
        self.failures, self.records = failures, records


def obtain(
    configs: Sequence[RunConfig],
    *,
    jobs: int | None = None,
    progress: bool = True,
    echo: Callable[[str], None] = print,
    build: Callable[[RunConfig], Search] | None = None,
) -> list[Record]:
    """The records of ``configs``, in their order: those in the store if valid, the others computed, each once.

    ``jobs``: how many runs at once (by default as many as there are cores, or ``$NAS_JOBS``), each in a worker; with
    one, or for a single run, in this process. ``echo`` gets a line about every run that is not simply found.
    ``build`` makes the trainer (by default :func:`nas_core.trainers.build`) and must be importable by workers.
    Raises :class:`RunsFailed` when everything that could be computed is.
    """
    if build is None:
        from nas_core.trainers import build as registry

        build = registry
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs must be a whole number from 1, not {jobs}.")
    root = location()
    orders = {config.key(): Order(config, root, build) for config in configs}
    records: dict[str, Record] = {}
    for key, order in orders.items():
        state, record = examine(order)
        if record is not None and state == "found":
            records[key] = record
    _tell_found(orders, records, echo)
    wanted = [order for key, order in orders.items() if key not in records]
    failures = _compute(wanted, jobs or default_jobs(), progress, echo) if wanted else {}
    for order in wanted:
        if order.key in failures:
            continue
        state, record = examine(order)
        if record is not None:
            records[order.key] = record
        else:
            failures[order.key] = f"{state}, although it was just computed"
    if failures:
        raise RunsFailed(failures, records)
    return [records[config.key()] for config in configs]


def _compute(wanted: list[Order], jobs: int, progress: bool, echo: Callable[[str], None]) -> dict[str, str]:
    make_folder(wanted[0].root / "records")
    bar = Progress(wanted, progress, echo)
    try:
        return run_all(wanted, jobs, bar)
    finally:
        bar.close()


def _tell_found(orders: dict[str, Order], records: dict[str, Record], echo: Callable[[str], None]) -> None:
    wanted = Counter(order.config.run for order in orders.values())
    found = Counter(orders[key].config.run for key in records)
    for run, count in found.items():
        echo(f"{run}: {count} of {wanted[run]} records found")
