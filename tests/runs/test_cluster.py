"""Runs as jobs of a cluster: settings without one, the rest on a Slurm of the tests' own."""

from __future__ import annotations

import os
import pickle
import platform
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import own_slurm
import pytest
import toy
from own_slurm import OwnSlurm
from toy_tools import FILES, content, in_child, locked

import nas_core.runs
from nas_core import __main__
from nas_core.driver import figures as driver
from nas_core.errors import UserError
from nas_core.runs import Cluster, Record, RunsFailed, cluster, heartbeat

SETTINGS = Cluster(minutes=5, memory_gb=1)
NO_SLURM = own_slurm.missing()
NO_SUBMITIT = "" if find_spec("submitit") else "submitit is not installed (extra cluster)"
WAIT = 60  # seconds for a job to begin


def write(folder: Path, text: str) -> Path:
    path = folder / "slurm.toml"
    path.write_text(text)
    return path


def test_the_settings_are_read(tmp_path: Path) -> None:
    names = 'partition = "gpu"\naccount = "lab"\n'
    path = write(tmp_path, f"{names}cpus = 2\ngpus = 1\nmemory_gb = 8\nminutes = 90\njobs = 7")
    wanted = Cluster(partition="gpu", account="lab", cpus=2, gpus=1, memory_gb=8, minutes=90, jobs=7)
    assert Cluster.read(path) == wanted
    assert Cluster.read(str(path)) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("minuts = 60", "Cluster has no field 'minuts'; did you mean 'minutes'? Allowed: partition, account, cpus, "),
        ("cpus = 0", "Cluster.cpus: Input should be greater than 0, not 0."),
        ("minutes = 4", "Cluster.minutes: Input should be greater than or equal to 5, not 4."),
        ('minutes = "1:00"', "Cluster.minutes: Input should be a valid integer, not '1:00'."),
        ("minutes =", "is no TOML file: Invalid value (at end of document)."),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_it(root: Path, tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}.*{re.escape(message)}"):
        nas_core.runs.obtain([toy.ToyConfig()], cluster=path, build=toy.build)  # type: ignore
    assert not root.exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the cluster's settings in .*none.toml \(No such file"):
        Cluster.read(tmp_path / "none.toml")


def test_the_command_line_takes_a_file(root: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def obtain(configs: object, **settings: object) -> None:
        raise UserError(f"so far with {settings['cluster']!r}.")

    monkeypatch.setattr(driver, "obtain", obtain)
    command = ["figures", "--profile=smoke", "--only=WI-F12", f"--out={tmp_path}"]
    path = write(tmp_path, "minutes = 90")
    assert __main__.main([*command, f"--cluster={path}"]) == 2
    assert f"so far with {Cluster(minutes=90)!r}." in capsys.readouterr().err
    write(tmp_path, "minuts = 90")
    assert __main__.main([*command, f"--cluster={path}"]) == 2
    assert "Cluster has no field 'minuts'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (toy.ToyConfig(threads=2), "has 2 threads, but the cluster's settings cpus=1."),
        (toy.ToyConfig(device="cuda:0"), "has the device cuda:0, but the cluster's settings gpus=0."),
    ],
)
def test_a_run_that_needs_more_than_it_gets_is_refused(root: Path, config: toy.ToyConfig, message: str) -> None:
    with pytest.raises(UserError, match=f"{config.key()} {re.escape(message)}"):
        nas_core.runs.obtain([config], cluster=SETTINGS, build=toy.build)  # type: ignore
    assert not root.exists()


@pytest.mark.skipif(bool(NO_SUBMITIT), reason=NO_SUBMITIT)
def test_a_machine_without_slurm_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"there is no Slurm on this machine: sbatch is not found\."):
        nas_core.runs.obtain([toy.ToyConfig()], cluster=SETTINGS, build=toy.build)  # type: ignore


def test_submitit_is_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package submitit: pip install 'nas-core\[cluster\]'"):
        nas_core.runs.obtain([toy.ToyConfig()], cluster=SETTINGS, build=toy.build)  # type: ignore


def test_a_cluster_is_not_asked_for_what_is_there(obtain, lines, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy.ToyConfig()
    obtain(config)
    monkeypatch.setenv("PATH", "")
    assert nas_core.runs.obtain([config], cluster=SETTINGS, build=toy.build)[0].config == config  # type: ignore


@pytest.mark.skipif(bool(NO_SUBMITIT), reason=NO_SUBMITIT)
@pytest.mark.parametrize(
    ("host", "moves", "held", "refused"),
    [
        ("other", True, "never", True),
        ("other", False, "never", False),  # it was killed
        ("other", True, "before", False),  # its lock is seen
        ("other", True, "meanwhile", False),
        (platform.node(), True, "never", False),
    ],
)
def test_a_run_whose_lock_is_not_seen_is_not_computed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, moves: bool, held: str, refused: bool
) -> None:
    from nas_core.runs import slurm

    def beat(done: int) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(platform, "node", lambda: host)
            heartbeat.Heartbeat(tmp_path, total=9, first=0).beat(done)

    def wait(seconds: float) -> None:
        if held == "meanwhile":
            locks.enter_context(locked(tmp_path))
        if moves:
            beat(2)

    beat(1)
    monkeypatch.setattr(time, "sleep", wait)
    with ExitStack() as locks:
        if held == "before":
            locks.enter_context(locked(tmp_path))
        said = slurm.foreign(tmp_path)
    if refused:
        assert said is not None
        assert said.startswith(f"other computes it, and {platform.node()} does not see its lock: ")
    else:
        assert said is None


@pytest.mark.skipif(bool(NO_SUBMITIT), reason=NO_SUBMITIT)
def test_slurm_is_told_what_a_run_gets(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas_core.runs import slurm

    def told(settings: Cluster) -> list[str]:
        text = slurm.executor(toy.ToyConfig(), settings, tmp_path)._make_submission_file_text("", "")
        return [line.removeprefix("#SBATCH --") for line in text.splitlines()]

    (tmp_path / "srun").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    options = told(Cluster(partition="gpu", account="lab", cpus=2, gpus=1, memory_gb=8, minutes=90))
    for wanted in ("partition=gpu", "account=lab", "cpus-per-task=2", "gpus-per-node=1", "mem=8GB", "time=90"):
        assert wanted in options
    assert not [option for option in told(SETTINGS) if option.startswith(("partition", "account", "gpus"))]


@pytest.mark.skipif(bool(NO_SUBMITIT), reason=NO_SUBMITIT)
def test_what_a_job_leaves_says_how_it_went(obtain, root: Path, tmp_path: Path) -> None:
    from nas_core.runs import slurm

    paths = SimpleNamespace(result_pickle=tmp_path / "result.pkl", folder=tmp_path)
    job = SimpleNamespace(job_id="7", state="COMPLETED", paths=paths)
    waited_for = slurm.Job(toy.ToyConfig(), job)  # type: ignore
    assert "its job 7 has ended, but left nothing in" in str(waited_for.outcome())
    trace = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'mine'\n"
    paths.result_pickle.write_bytes(pickle.dumps(("error", trace)))
    assert "its job 7 failed (ModuleNotFoundError: No module named 'mine'; log in " in str(waited_for.outcome())
    paths.result_pickle.unlink()
    obtain(toy.ToyConfig())
    assert waited_for.outcome() is None  # another process has heard of it, and cleared up


@pytest.fixture(scope="module")
def own() -> Iterator[OwnSlurm]:
    """A Slurm of our own, with two nodes."""
    if why := NO_SLURM or NO_SUBMITIT:
        pytest.skip(why)
    slurm = OwnSlurm()
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


@pytest.fixture
def on_slurm(own: OwnSlurm, root: Path, lines: list[str], monkeypatch) -> Callable[..., list[Record]]:
    """``nas_core.runs.obtain`` of toys, on the nodes."""
    from nas_core.runs import slurm

    monkeypatch.setenv("PATH", own.path())
    monkeypatch.setattr(cluster, "LOOK", 0.1)
    monkeypatch.setattr(slurm, "SLOW", 1.0)
    until(lambda: not jobs(own))  # those of the test before may be about to end

    def call(*configs: toy.ToyConfig, settings: Cluster = SETTINGS) -> list[Record]:
        return nas_core.runs.obtain(
            configs,  # type: ignore
            cluster=settings,
            progress=False,
            echo=lines.append,
            build=toy.build,  # type: ignore
        )

    return call


def steps() -> list[list[str]]:
    """The key, the step and the process of every step so far."""
    log = Path(os.environ["TOY_LOG"])
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def meanwhile(action: Callable[[], object], done: int) -> threading.Thread:
    """Do it in a thread as soon as so many steps are done."""

    def act() -> None:
        until(lambda: len(steps()) >= done)
        action()

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def jobs(own: OwnSlurm) -> list[str]:
    """The numbers of the jobs that wait or run."""
    return own.call("squeue", "--noheader", "--format=%i", "--states=PENDING,RUNNING").split()


def here(config: toy.ToyConfig, obtain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the record of a run is when this process computes it at one go."""
    with monkeypatch.context() as patch:
        patch.setenv("NAS_RUNS", str(tmp_path / "here"))
        patch.setenv("TOY_SLEEP", "0")
        (record,) = obtain(config)
        return content(record)


def test_nodes_give_the_same_bits_and_failures_come_back(on_slurm, obtain, lines, root, tmp_path, monkeypatch) -> None:
    needed = toy.ToyConfig(seed=1)
    config = toy.ToyConfig(needed=(needed,))
    broken = toy.ToyConfig(seed=2, raise_at=6)
    after = toy.ToyConfig(seed=3, needed=(broken,))
    with pytest.raises(RunsFailed) as failed:
        on_slurm(config, broken, after)
    assert set(failed.value.failures) == {broken.key(), after.key()}
    assert failed.value.failures[broken.key()].startswith("RuntimeError: the toy is broken (traceback in ")
    assert failed.value.failures[after.key()] == f"it needs {broken.key()}, which failed"
    record = failed.value.records[config.key()]
    assert {path.name for path in record.folder.iterdir()} == FILES
    assert content(record) == here(config, obtain, tmp_path, monkeypatch)
    away = [pid for key, _, pid in steps() if pid != str(os.getpid())]
    assert len(away) == 15 + 15 + 6
    assert len(set(away)) == 3
    own_lines = [line.partition(": ")[2] for line in lines if line.startswith("T-TOY seed 0")]
    assert re.fullmatch(r"job \d+ submitted", own_lines[0])
    assert own_lines[1] == "no record; computing it"
    submitted = [line.split()[2] for line in lines if line.endswith("submitted")]
    assert submitted.index("0") > submitted.index("1")  # the one that needs the other


def test_a_job_that_is_ended_is_resumed_by_the_same_command(
    on_slurm, obtain, lines, own, root, tmp_path, monkeypatch
) -> None:
    config = toy.ToyConfig(epochs=20)
    endings = {  # how, and what is said then
        lambda: own.call("scancel", "--signal=USR2", *jobs(own)): "Slurm ended its job .cancelled, preempted or out of",
        lambda: own.call("scancel", *jobs(own)): r"(Slurm ended its job .cancelled|its job \d+ was killed .CANCELLED)",
        lambda: os.kill(int(steps()[-1][2]), signal.SIGKILL): r"its job \d+ was killed .FAILED; log in ",
    }
    monkeypatch.setenv("TOY_SLEEP", "0.2")
    for end, said in endings.items():
        thread = meanwhile(end, len(steps()) + 4)
        with pytest.raises(RunsFailed, match=f"{said}.*; the same command goes on from the last checkpoint"):
            on_slurm(config)
        thread.join()
    assert sum("resuming at step" in line for line in lines) == 2
    monkeypatch.setenv("TOY_SLEEP", "0")
    (record,) = on_slurm(config)
    assert record.provenance["resumes"] == 3
    assert content(record) == here(config, obtain, tmp_path, monkeypatch)


def test_a_job_outlives_a_killed_process_and_is_waited_for(on_slurm, lines, own, monkeypatch) -> None:
    config = toy.ToyConfig()
    monkeypatch.setenv("TOY_SLEEP", "0.3")
    child = in_child(lambda: on_slurm(config))
    until(lambda: jobs(own))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (number,) = jobs(own)
    (record,) = on_slurm(config)
    assert lines[0] == f"T-TOY seed 0 (smoke): waiting for job {number}, which was submitted before"
    assert lines[1:] == ["T-TOY seed 0 (smoke): no record; computing it"]
    assert record.provenance["resumes"] == 0
    assert len({pid for _, _, pid in steps()}) == 1


def test_an_interrupt_cancels_the_jobs(on_slurm, lines, own) -> None:
    def interrupt() -> None:
        until(lambda: lines)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        on_slurm(toy.ToyConfig(epochs=10000))
    thread.join()
    until(lambda: not jobs(own))


def test_what_cannot_be_sent_to_a_node_is_a_failure(root: Path, on_slurm, own, monkeypatch) -> None:
    monkeypatch.setattr(toy, "build", lambda config, needed: toy.Toy(config, needed))
    with pytest.raises(RunsFailed, match="it cannot be sent to a node"):
        on_slurm(toy.ToyConfig())
    assert jobs(own) == []


def test_what_slurm_refuses_comes_back(on_slurm, own) -> None:
    with pytest.raises(RunsFailed, match="Invalid partition name specified"):
        on_slurm(toy.ToyConfig(), settings=SETTINGS.but(partition="none"))
    assert jobs(own) == []


def test_a_cluster_without_accounting_is_refused(on_slurm, own, root, tmp_path, monkeypatch) -> None:
    real = tmp_path / "sacct"
    real.write_text(f'#!/bin/sh\nSLURM_CONF={own.conf} exec /usr/bin/sacct "$@"\n')
    real.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{own.path()}")
    with pytest.raises(UserError, match=r"sacct does not work here \(Slurm accounting storage is disabled\)"):
        on_slurm(toy.ToyConfig())
    assert not root.exists()
    assert jobs(own) == []
