"""Runs on the nodes of a Slurm cluster, through submitit: what they may use, from a TOML file, and how they get there.

The store must lie on a file system that the nodes share with this machine, with locks that hold between them (``flock``
on NFS 4, Lustre mounted with ``flock``, GPFS, BeeGFS with its locks on); nothing else passes between them.
"""

import shutil
import subprocess
import time
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from pydantic import Field

from nas_core.errors import UserError
from nas_core.runs.pool import Schedule
from nas_core.runs.progress import Progress
from nas_core.runs.replay import Build
from nas_core.trainers.settings import RunConfig, Settings

PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "sacct")
LOOK = 2.0  # seconds between two looks at the jobs' files
PATIENCE = 60  # seconds that Slurm's programs are given to answer


class Cluster(Settings):
    """What each run gets, as one job on one node, and how many are in Slurm's queue at once."""

    partition: str = Field("", description="of the cluster; none: its default")
    account: str = Field("", description="that the time is charged to; none: the user's default")
    cpus: int = Field(1, gt=0, description="cores; at least as many as a run has threads")
    gpus: int = Field(0, ge=0, description="for runs whose device is cuda")
    memory_gb: int = Field(4, gt=0, description="main memory, GB")
    minutes: int = Field(60, ge=5, description="after which Slurm ends a job; the same command then goes on")
    jobs: int = Field(100, gt=0, description="jobs in the queue at once")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The settings in a TOML file; anything wrong with it is a :class:`UserError` that names it."""
        try:
            values = tomllib.loads(Path(path).read_text("utf8"))
        except OSError as error:
            raise UserError(f"cannot read the cluster's settings in {path} ({error.strerror}).") from error
        except ValueError as error:  # no TOML, no UTF-8
            raise UserError(f"{path} is no TOML file: {error}.") from error
        try:
            return cls(**values)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def check(self, configs: Sequence[RunConfig]) -> None:
        """Raise :class:`UserError` where a run cannot be computed with this, or there is no Slurm that can be used."""
        for config in configs:
            key, threads, device = config.key(), config.threads, config.device
            if threads > self.cpus:
                raise UserError(f"{key} has {threads} threads, but the cluster's settings cpus={self.cpus}.")
            if device.startswith("cuda") and not self.gpus:
                raise UserError(f"{key} has the device {device}, but the cluster's settings gpus=0.")
        if find_spec("submitit") is None:
            raise UserError("a cluster needs the package submitit: pip install 'nas-core[cluster]'.")
        for program in PROGRAMS:
            if shutil.which(program) is None:
                raise UserError(f"there is no Slurm on this machine: {program} is not found.")
        check_accounting()


def check_accounting() -> None:
    """Raise :class:`UserError` unless ``sacct`` answers: without it nobody hears of a job that was killed."""
    try:
        asked = subprocess.run(["sacct", "--allocations"], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        why = f"no answer in {PATIENCE} s"
    else:
        if asked.returncode == 0:
            return
        why = asked.stderr.strip().rpartition("\n")[2]
    raise UserError(
        f"sacct does not work here ({why}), so that nobody would hear of a job that was killed; "
        "use a cluster with Slurm's accounting, or run without one."
    )


def run_all(configs: Sequence[RunConfig], build: Build, cluster: Cluster, progress: Progress) -> dict[str, str]:
    """Bring the records of all ``configs`` about, each in a job; returns what went wrong, by key.

    ``configs``: as for :func:`nas_core.runs.pool.run_all`. A run is submitted when those that it needs are done. When
    this ends early, by Ctrl-C say, its jobs are cancelled; when this process is killed they go on, and the next call
    waits for them.
    """
    from nas_core.runs.slurm import Job, submit

    schedule = Schedule(configs, progress)
    busy: list[Job] = []
    try:
        while True:
            while len(busy) < cluster.jobs and (config := schedule.next()) is not None:
                job = submit(config, build, cluster, progress.say)
                if isinstance(job, str):
                    schedule.end(config, job)
                else:
                    busy.append(job)
            if not busy:
                return schedule.failures
            time.sleep(LOOK)
            for job in list(busy):
                done = job.done()
                for line in job.lines():
                    progress.say(job.config, line)
                if done:
                    busy.remove(job)
                    schedule.end(job.config, job.outcome())
            progress.look()
    finally:
        for job in busy:
            job.cancel()
