"""One run as one job of Slurm; needs submitit.

Everything about a job lies in the folder ``slurm`` of its run until the run is done: submitit's files, what the job
says, its log.
"""

import hashlib
import os
import pickle
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError
from submitit.slurm.slurm import SlurmInfoWatcher

from nas_core.errors import UserError
from nas_core.files import remove
from nas_core.runs import heartbeat, states
from nas_core.runs.cluster import PATIENCE, Cluster
from nas_core.runs.compute import attempt
from nas_core.runs.lock import holder, lock
from nas_core.runs.replay import Build
from nas_core.runs.store import folder_of, location
from nas_core.trainers.settings import RunConfig

FOLDER, SAID, LOCK = "slurm", "said.txt", "lock"
WARNING = 60  # seconds before the end of its time that a job hears of it
ALIVE = "PENDING,CONFIGURING,RUNNING,SUSPENDED,REQUEUED"  # a job that is being cancelled is COMPLETING
GOES_ON = "the same command goes on from the last checkpoint, if there is one"
EVICTIONS = (signal.SIGTERM, signal.SIGUSR2)  # what Slurm sends before it kills; submitit would let TERM pass
SLOW = 10.0  # seconds that a shared file system may take to show what a node has written
FOREIGN = 5.0  # seconds in which a living run's heartbeat changes


class _Job(submitit.SlurmJob[str | None]):
    """Asks sacct about all jobs together, at least every half a minute."""

    watcher = SlurmInfoWatcher(delay_s=30)


class _Executor(submitit.SlurmExecutor):
    job_class = _Job


class Evicted(BaseException):
    """Slurm takes the node away in a moment; no Exception, so that it is not mistaken for a fault of the run's."""


class Job:
    """The job of a run, submitted by this process or an earlier one."""

    def __init__(self, config: RunConfig, job: submitit.Job[Any]) -> None:
        self.config = config
        self.job = job
        self.folder = job.paths.folder
        self.heard = 0  # bytes
        self.ended = 0.0  # when Slurm was first heard to say so, where the job itself said nothing

    def lines(self) -> Iterator[str]:
        """What the job has said since the last look, as far as whole lines."""
        try:
            new = (self.folder / SAID).read_bytes()[self.heard :]
        except OSError:
            return
        whole, end, _ = new.rpartition(b"\n")
        self.heard += len(whole + end)
        yield from whole.decode(errors="replace").splitlines()

    def done(self) -> bool:
        """Whether it has ended, however that was; a killed one only when what it may have left can be seen here."""
        if not self.job.done():
            return False
        now = time.monotonic()
        self.ended = self.ended or now
        return self.job.paths.result_pickle.exists() or now - self.ended > SLOW

    def outcome(self) -> str | None:
        """What went wrong, in a sentence, once it has ended; the job's files go when nothing did."""
        if not self.job.paths.result_pickle.exists():
            return self._ended_without_result()
        kind, result = pickle.loads(self.job.paths.result_pickle.read_bytes())
        if kind != "success":  # then it is a traceback
            return f"its job {self.job.job_id} failed ({last_line(result)}; log in {self.folder})"
        if result is None:
            remove(self.folder)
        return result

    def cancel(self) -> None:
        """End it, whether it waits or runs."""
        self.job.cancel(check=False)

    def _ended_without_result(self) -> str | None:
        state = self.job.state
        if state == "COMPLETED":
            _, found = states.explain([self.config])[-1]
            if found.kind == states.FOUND:  # another process heard of it first
                return None
            return (
                f"its job {self.job.job_id} has ended, but left nothing in {self.folder}: is that folder on a file "
                "system that the nodes share?"
            )
        return f"its job {self.job.job_id} was killed ({state}; log in {self.folder}); {GOES_ON}"


def submit(config: RunConfig, build: Build, cluster: Cluster, say: Callable[[RunConfig, str], object]) -> Job | str:
    """The job of a run: one that is in the queue already, or a new one; a sentence where Slurm refuses it."""
    folder = folder_of(config.key()) / FOLDER
    try:
        data = pickle.dumps((config, build))
    except Exception as error:
        return f"it cannot be sent to a node ({type(error).__name__}: {error})"
    try:
        with lock(folder, lambda who: say(config, f"{who} submits it, waiting")):
            for number in queued(config):
                earlier = _Job(folder, number)
                if not earlier.paths.result_pickle.exists():  # otherwise it is about to leave the queue
                    say(config, f"waiting for job {number}, which was submitted before")
                    return Job(config, earlier)
            for path in folder.iterdir():
                if path.name != LOCK:
                    remove(path)
            job = executor(config, cluster, folder).submit(compute, str(location()), data)
    except FailedJobError as error:  # what sbatch said
        return last_line(str(error)) or "sbatch refused it without a word"
    except (UserError, OSError) as error:
        return f"it cannot be submitted: {error}"
    say(config, f"job {job.job_id} submitted")
    return Job(config, job)


def queued(config: RunConfig) -> list[str]:
    """The numbers of the run's jobs that wait or run, whichever of the user's processes submitted them."""
    command = ["squeue", "--me", "--noheader", f"--name={name(config)}", f"--states={ALIVE}", "--format=%i"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        raise UserError(f"squeue does not say which jobs there are ({error}).") from error
    return found.stdout.split()


def name(config: RunConfig) -> str:
    """What its job is called: the run's key, and what tells this store from others."""
    return f"{config.key()}.{hashlib.sha256(str(location()).encode()).hexdigest()[:8]}"


def executor(config: RunConfig, cluster: Cluster, folder: Path) -> submitit.SlurmExecutor:
    """What submits a job for the run."""
    made = _Executor(folder)
    made.update_parameters(
        job_name=name(config),
        time=cluster.minutes,
        mem=f"{cluster.memory_gb}GB",
        cpus_per_task=cluster.cpus,
        gpus_per_node=cluster.gpus or None,
        partition=cluster.partition or None,
        account=cluster.account or None,
        signal_delay_s=WARNING,
        stderr_to_stdout=True,
        additional_parameters={"export": "ALL"},
        # As in a worker beside this process: its modules, and one thread unless the run says more.
        setup=[
            f"export PYTHONPATH={shlex.quote(_python_path())}",
            "export OMP_NUM_THREADS=1",
        ],
    )
    return made


def _python_path() -> str:
    return os.pathsep.join(folder or os.getcwd() for folder in sys.path)


def compute(store: str, data: bytes) -> str | None:
    """The job, on its node: see to it that the record is there; returns what went wrong, in a sentence."""
    os.environ["NAS_RUNS"] = store
    config, build = pickle.loads(data)
    folder = folder_of(config.key())

    def say(line: str) -> None:
        with open(folder / FOLDER / SAID, "a") as file:
            file.write(f"{line}\n")

    for number in EVICTIONS:
        signal.signal(number, _evict)
    try:
        return foreign(folder) or attempt(config, build, say, lambda: None)
    except Evicted:
        return f"Slurm ended its job (cancelled, preempted or out of time); {GOES_ON}"


def foreign(folder: Path) -> str | None:
    """A sentence if another machine computes the run although its lock is free here; may take a few seconds.

    Clocks of two machines need not agree, so a heartbeat is not told by its age, but by whether it changes.
    """
    before = heartbeat.read(folder)
    if before is None or before.host == platform.node() or holder(folder) is not None:
        return None
    time.sleep(FOREIGN)
    now = heartbeat.read(folder)
    if now is None or now == before or holder(folder) is not None:
        return None
    return (
        f"{now.host} computes it, and {platform.node()} does not see its lock: the file system of {folder} needs locks "
        "that hold between machines"
    )


def last_line(text: str) -> str:
    """What a traceback, or a program that failed, ends with."""
    return text.strip().rpartition("\n")[2]


def _evict(*_: object) -> None:
    for number in EVICTIONS:  # once is enough
        signal.signal(number, signal.SIG_IGN)
    raise Evicted
