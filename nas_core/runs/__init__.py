"""Runs: from configs to records that are computed once, survive being killed, and are trusted only when verified.

On disk, below ``$NAS_RUNS`` (by default ``.runs`` in the checkout)::

    records/<key>/record.safetensors   tables, arrays, genotypes; config, provenance and structure as JSON
    records/<key>/anchors.safetensors  what a replay needs
    records/<key>/step-*.safetensors   the last two checkpoints of a run that is not done
    records/<key>/failure.txt          traceback of the last failure
    records/<key>/lock                 locked by who computes it at the moment
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing

from nas_core.trainers.settings import RunConfig
from nas_core.errors import UserError
from nas_core.files import make_folder
from nas_core.runs.compute import Build, examine
from nas_core.runs.pool import Progress, default_jobs, run_all
from nas_core.runs.store import Record, folder_of, location, open_record
from nas_core.runs.tree import Damaged
from nas_core.trainers import build as registry

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
    build: Build = registry,
) -> list[Record]:
    """The records of ``configs``, in their order: those in the store if valid, the others computed, each once.

    ``jobs``: how many runs at once (by default as many as there are cores, or ``$NAS_JOBS``), each in a worker; with
    one, or for a single run, in this process. ``echo`` gets a line about every run that is not simply found.
    ``build`` makes the trainer (by default :func:`nas_core.trainers.build`) and must be importable by workers.
    Raises :class:`RunsFailed` when everything that could be computed is.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs must be a whole number from 1, not {jobs}.")
    wanted = {config.key(): config for config in configs}
    seen = {key: examine(config) for key, config in wanted.items()}
    records = {key: record for key, (state, record) in seen.items() if record is not None and state == "found"}
    asked = Counter(config.run for config in wanted.values())
    for run, count in Counter(wanted[key].run for key in records).items():
        echo(f"{run}: {count} of {asked[run]} records found")
    if missing := [config for key, config in wanted.items() if key not in records]:
        make_folder(location() / "records")
        with closing(Progress(missing, progress, echo)) as bar:
            failures = run_all(missing, build, jobs or default_jobs(), bar)
        done = [config for config in missing if config.key() not in failures]
        records |= {config.key(): open_record(folder_of(config.key()), config) for config in done}
        if failures:
            raise RunsFailed(failures, records)
    return [records[config.key()] for config in configs]
