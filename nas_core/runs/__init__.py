"""Runs: from configs to records that are computed once, survive being killed, and are trusted only when verified.

On disk, below ``$NAS_RUNS`` (by default ``.runs`` in the checkout)::

    records/<key>/record.json          config, provenance, genotypes, types of the tables' columns, checksums
    records/<key>/<table>.csv          a table each
    records/<key>/arrays.safetensors   all arrays
    records/<key>/weights.safetensors  the weights, where a later run needs them
    records/<key>/anchors.safetensors  what a replay needs
    records/<key>/step-*.safetensors   the last two checkpoints of a run that is not done
    records/<key>/heartbeat.json       how far a run under way is
    records/<key>/failure.txt          traceback of the last failure
    records/<key>/lock                 locked by who computes it at the moment
    records/<key>/slurm/               what there is about its job on a cluster, until it is done
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from nas_core.errors import UserError
from nas_core.files import make_folder
from nas_core.runs import cluster as clusters
from nas_core.runs.cluster import Cluster
from nas_core.runs.pool import Progress, default_jobs, run_all
from nas_core.runs.replay import Build
from nas_core.runs.states import FOUND, State, explain
from nas_core.runs.store import Record, folder_of, location, open_record
from nas_core.runs.tree import Damaged
from nas_core.trainers import build as registry
from nas_core.trainers.settings import RunConfig

__all__ = ["Cluster", "Damaged", "Record", "RunsFailed", "State", "explain", "location", "obtain"]


class RunsFailed(UserError):
    """Some runs could not be computed: ``failures`` says why, by key; ``records`` holds those of the others, by key."""

    def __init__(self, failures: dict[str, str], records: dict[str, Record]) -> None:
        reasons = "; ".join(f"{key}: {why}" for key, why in failures.items())
        super().__init__(f"{len(failures)} of {len(failures) + len(records)} runs failed. {reasons}")
        self.failures = failures
        self.records = records


def obtain(
    configs: Sequence[RunConfig],
    *,
    jobs: int | None = None,
    cluster: Cluster | str | Path | None = None,
    progress: bool = True,
    echo: Callable[[str], None] = print,
    build: Build = registry,
) -> list[Record]:
    """The records of ``configs``, in their order: those in the store if valid, the others computed, each once.

    The runs that they need come first. ``jobs``: how many runs at once (by default as many as there are cores, or
    ``$NAS_JOBS``), each in a worker; with one, or for a single run, in this process. ``cluster``: settings, or a TOML
    file of them, with which missing runs become jobs of Slurm instead (:class:`Cluster`). ``echo`` gets a line about
    every run that is not simply found. ``build`` makes the trainer from a config and the results that it needs, by key
    (by default :func:`nas_core.trainers.build`), and must be importable by workers.
    Raises :class:`RunsFailed` when everything that could be computed is.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs must be a whole number from 1, not {jobs}.")
    if isinstance(cluster, str | Path):
        cluster = Cluster.read(cluster)
    explained = explain(configs)
    records = {config.key(): state.record for config, state in explained if state.kind == FOUND and state.record}
    asked = Counter(config.run for config, _ in explained)
    found = Counter(record.config.run for record in records.values())
    for run, count in found.items():
        echo(f"{run}: {count} of {asked[run]} records found")
    missing = [config for config, state in explained if state.kind != FOUND]
    if missing:
        if cluster is not None:
            cluster.check(missing)
        make_folder(location() / "records")
        with closing(Progress(missing, progress, echo)) as bar:
            if cluster is None:
                failures = run_all(missing, build, jobs or default_jobs(), bar)
            else:
                failures = clusters.run_all(missing, build, cluster, bar)
        for config in missing:
            if config.key() not in failures:
                records[config.key()] = open_record(folder_of(config.key()), config)
        if failures:
            raise RunsFailed(failures, records)
    return [records[config.key()] for config in configs]
