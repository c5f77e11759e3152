from __future__ import annotations

import errno
import os
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
import toy
from toy_tools import FILES, content, holders, in_child, locked
from tqdm import tqdm

import nas_core.runs
from nas_core.errors import UserError
from nas_core.runs import RunsFailed, compute, heartbeat, lock
from nas_core.runs.heartbeat import Heartbeat
from nas_core.runs.pool import Progress, default_jobs


def steps() -> Counter[tuple[str, str]]:
    """How often every step of every run was computed, over all processes."""
    log = Path(os.environ["TOY_LOG"])
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter((line.split()[0], line.split()[1]) for line in lines)


def test_a_run_is_computed_once_then_found(obtain, lines, root: Path) -> None:
    config = toy.ToyConfig()
    (first,) = obtain(config)
    assert lines == ["T-TOY seed 0 (smoke): no record; computing it"]
    (again,) = obtain(config)
    assert lines[1:] == ["T-TOY: 1 of 1 records found"]
    assert content(first) == content(again)
    assert first.folder == root / "records" / config.key()
    assert set(steps().values()) == {1}
    assert {p.name for p in root.iterdir()} == {"records"}
    assert {p.name for p in first.folder.iterdir()} == FILES
    assert not list(root.rglob("*.pkl"))


def test_records_come_in_the_order_asked_for_and_found_ones_are_summed_up(obtain, lines) -> None:
    configs = [toy.ToyConfig(seed=s, run=r) for r in ("T-B", "T-A") for s in (2, 0, 1)]
    obtain(*configs[:4])
    lines.clear()
    records = obtain(*configs, configs[0])
    assert [r.config for r in records] == [*configs, configs[0]]
    assert [r.provenance["seed"] for r in records] == [2, 0, 1, 2, 0, 1, 2]
    assert lines[:2] == ["T-B: 3 of 3 records found", "T-A: 1 of 3 records found"]
    assert len(lines) == 4
    assert set(steps().values()) == {1}


def test_the_longest_run_comes_first(obtain, lines) -> None:
    obtain(*(toy.ToyConfig(epochs=n, run=f"T-{n}") for n in (2, 4, 1, 3)))
    assert [line.split()[0] for line in lines] == ["T-4", "T-3", "T-2", "T-1"]


def test_threads_are_the_configs_and_restored(root: Path) -> None:
    seen = []
    torch.set_num_threads(2)
    try:
        real = toy.Toy.step

        class Watched(toy.Toy):
            def step(self) -> float:
                seen.append(torch.get_num_threads())
                return real(self)

        assert compute.attempt(toy.ToyConfig(), Watched, print, int) is None  # type: ignore[arg-type]
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_workers_give_the_same_bits_and_one_failure_stops_nothing(root, lines, tmp_path, monkeypatch) -> None:
    good = [toy.ToyConfig(seed=seed) for seed in range(3)]
    raising, dying = toy.ToyConfig(seed=3, raise_at=6), toy.ToyConfig(seed=4, die_at=6)
    wanted = [dying, raising, *good]
    with pytest.raises(RunsFailed) as failed:
        nas_core.runs.obtain(wanted, jobs=2, progress=False, echo=lines.append, build=toy.build)  # type: ignore
    assert set(failed.value.failures) == {raising.key(), dying.key()}
    assert set(failed.value.records) == {config.key() for config in good}
    assert "its worker process died (SIGKILL)" in failed.value.failures[dying.key()]
    message = failed.value.failures[raising.key()]
    assert message.startswith("RuntimeError: the toy is broken (traceback in ")
    assert "in step" in (root / "records" / raising.key() / "failure.txt").read_text()
    assert "2 of 5 runs failed" in str(failed.value)
    assert sum("failed: " in line for line in lines) == 2
    pids = {line.split()[2] for line in Path(os.environ["TOY_LOG"]).read_text().splitlines()}
    assert str(os.getpid()) not in pids
    assert set(steps().values()) == {1}

    workers = {key: content(record) for key, record in failed.value.records.items()}
    monkeypatch.setenv("NAS_RUNS", str(tmp_path / "elsewhere"))
    for record in nas_core.runs.obtain(good, jobs=1, progress=False, echo=lines.append, build=toy.build):  # type: ignore
        assert content(record) == workers[record.config.key()]


def test_what_cannot_be_sent_to_a_worker_is_a_failure(root, lines) -> None:
    with pytest.raises(RunsFailed, match="it cannot be sent to a worker"):
        nas_core.runs.obtain(
            [toy.ToyConfig(seed=s) for s in (0, 1)],  # type: ignore[misc]
            jobs=2,
            progress=False,
            echo=lines.append,
            build=lambda config, needed: toy.Toy(config, needed),  # type: ignore
        )


def test_two_processes_that_want_one_run_compute_it_once(obtain, lines, monkeypatch) -> None:
    config = toy.ToyConfig()
    monkeypatch.setenv("TOY_SLEEP", "0.02")
    children = [in_child(lambda: obtain(config)) for _ in range(3)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert set(steps().values()) == {1}
    assert len(steps()) == 15
    obtain(config)
    assert lines == ["T-TOY: 1 of 1 records found"]


def test_who_waits_says_for_whom_and_takes_over_when_that_process_is_killed(obtain, lines, root, monkeypatch) -> None:
    monkeypatch.setattr(lock, "POLL", 0.01)
    with monkeypatch.context() as patch:
        patch.setenv("TOY_SLEEP", "0.2")
        child = in_child(lambda: obtain(toy.ToyConfig()))
        while not holders(root):
            time.sleep(0.005)

    def kill() -> None:
        while not lines or len(steps()) < 3:
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    killer = threading.Thread(target=kill)
    killer.start()
    (record,) = obtain(toy.ToyConfig())
    killer.join()
    assert re.search(rf"process {child} on \S+ computes it, waiting \(stuck\? `python -m nas_core runs un", lines[0])
    assert "resuming at step" in lines[1]
    assert record.provenance["resumes"] == 1


def test_other_runs_are_computed_before_waiting_for_one(obtain, lines, root, monkeypatch) -> None:
    monkeypatch.setattr(lock, "POLL", 0.01)
    long, short = toy.ToyConfig(epochs=5), toy.ToyConfig(epochs=1)
    with monkeypatch.context() as patch:
        patch.setenv("TOY_SLEEP", "0.05")
        child = in_child(lambda: obtain(long))
        while not holders(root):
            time.sleep(0.005)
    obtain(long, short)
    assert os.waitpid(child, 0)[1] == 0
    assert [re.sub(r".*: ", "", line)[:9] for line in lines] == ["no record", "process " + str(child)[:1], "another p"]


def test_a_lock_can_be_released_by_hand(obtain, lines, root: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "POLL", 0.01)
    config = toy.ToyConfig()
    folder = root / "records" / config.key()

    def unlock() -> None:
        while not lines:
            time.sleep(0.005)
        lock.unlock(folder)

    with locked(folder):
        assert holders(root) == {config.key()}
        unlocker = threading.Thread(target=unlock)
        unlocker.start()
        obtain(config)
        unlocker.join()
    assert [line.partition(" (stuck")[0] for line in lines] == [
        "T-TOY seed 0 (smoke): process 1 on it computes it, waiting",
        "T-TOY seed 0 (smoke): no record; computing it",
    ]


def test_what_an_ended_process_left_in_a_lock_is_no_lock(obtain, lines, root: Path) -> None:
    config = toy.ToyConfig()
    folder = root / "records" / config.key()
    folder.mkdir(parents=True)
    (folder / "lock").write_text(f"process {os.getpid()} on {os.uname().nodename}")
    assert holders(root) == set()
    obtain(config)
    assert lines == ["T-TOY seed 0 (smoke): no record; computing it"]


def test_a_dead_process_that_nobody_has_buried_holds_no_lock(root: Path) -> None:
    child = in_child(lambda: lock.lock(root / "records" / "a", pytest.fail))
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert (root / "records" / "a" / "lock").read_text().startswith(f"process {child} on ")
    assert holders(root) == set()
    os.waitpid(child, 0)


def test_of_many_that_want_a_lock_one_at_a_time_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "POLL", 0.001)
    inside, most = 0, []

    def want() -> None:
        nonlocal inside
        for _ in range(20):
            with lock.lock(tmp_path / "a", lambda who: None):
                inside += 1
                most.append(inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80


def test_jobs_are_a_whole_number(obtain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_JOBS", "3")
    assert default_jobs() == 3
    monkeypatch.delenv("NAS_JOBS")
    assert default_jobs() >= 1
    for bad in ("0", "two", "-1", "1.5", "²"):
        monkeypatch.setenv("NAS_JOBS", bad)
        with pytest.raises(UserError, match=f"NAS_JOBS must be a whole number from 1, not '{bad}'"):
            default_jobs()
    with pytest.raises(UserError, match="jobs must be a whole number from 1, not 0"):
        obtain(toy.ToyConfig(), jobs=0)


def test_the_bar_counts_every_run_with_its_cost(root: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    assert Progress([], True, print).bar.disable  # nobody watches a test
    monkeypatch.setattr("nas_core.runs.progress.watched", lambda: True)
    short, long = (toy.ToyConfig(epochs=n) for n in (1, 3))
    folder = root / "records" / long.key()
    folder.mkdir(parents=True)
    said: list[str] = []
    bar = Progress([short, long], True, said.append)  # type: ignore[list-item]
    bar.begin(long)
    bar.begin(short)
    bar.look()
    assert (bar.bar.n, bar.bar.initial) == (0, 0)  # there is no heartbeat yet
    for done in (5, 10):  # on another machine, say
        Heartbeat(folder, total=15, first=5).beat(done)
        bar.look()
        assert (bar.bar.total, bar.bar.n, bar.bar.initial) == (20, done, 5)
    bar.bar.refresh()
    bar.end(long, None)
    bar.end(short, "too bad")
    bar.close()
    assert (bar.bar.n, bar.bar.initial) == (20, 10)  # the second run was not computed
    assert said == ["T-TOY seed 0 (smoke): failed: too bad"]
    shown = capsys.readouterr().err
    assert " 50%|" in shown
    assert "left, T-TOY s0 10/15" in shown


def test_the_bar_follows_runs_in_this_process_and_in_workers(root: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    monkeypatch.setattr("nas_core.runs.progress.watched", lambda: True)
    monkeypatch.setattr(heartbeat, "PERIOD", 0.0)
    monkeypatch.setenv("TOY_SLEEP", "0.1")
    for jobs in (1, 2):
        configs = [toy.ToyConfig(seed=seed, run=f"T-JOBS{jobs}") for seed in (0, 1)]
        nas_core.runs.obtain(configs, jobs=jobs, progress=True, echo=print, build=toy.build)  # type: ignore[arg-type]
        shown = capsys.readouterr().err
        for seed in (0, 1):
            assert re.search(rf"left, .*T-JOBS{jobs} s{seed} \d+/15", shown)


def test_a_bar_in_a_notebook_is_drawn_rarely(root: Path, monkeypatch) -> None:
    """What executes a notebook may keep no more than a thousand messages of a cell."""
    drawn: list[str] = []

    class Output:
        def update(self, data: dict[str, str], raw: bool) -> None:
            drawn.append(data["text/plain"])

    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    monkeypatch.setattr("nas_core.runs.progress.in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Output())
    config = toy.ToyConfig()
    bar = Progress([config], True, print)  # type: ignore[list-item]
    bar.begin(config)
    for _ in range(20):
        bar.look()
    assert drawn == []
    bar.close()


def test_kill_9_of_the_whole_command_ends_its_workers_and_the_same_command_goes_on(obtain, root, monkeypatch) -> None:
    configs = [toy.ToyConfig(seed=s) for s in (0, 1)]
    with monkeypatch.context() as patch:
        patch.setenv("TOY_SLEEP", "1")
        command = in_child(lambda: obtain(*configs, jobs=2))
    while not {(config.key(), "1") for config in configs} <= set(steps()):
        assert os.waitpid(command, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    assert holders(root) == {config.key() for config in configs}
    os.kill(command, signal.SIGKILL)
    os.waitpid(command, 0)
    end = time.monotonic() + 10
    while holders(root):
        assert time.monotonic() < end, "the workers live on"
        time.sleep(0.01)
    records = obtain(*configs)
    assert [r.provenance["resumes"] for r in records] == [1, 1]
    monkeypatch.setenv("NAS_RUNS", str(root.parent / "elsewhere"))
    assert [content(r) for r in obtain(*configs)] == [content(r) for r in records]


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(obtain, monkeypatch) -> None:
    real = toy.Toy.step

    def diverging(self: toy.Toy) -> float:
        loss = real(self)
        return float("nan") if self.done == 7 else loss

    monkeypatch.setattr(toy.Toy, "step", diverging)
    with pytest.raises(RunsFailed, match=r"the loss of step 7 of 15 is nan; most likely a learning rate is too high"):
        obtain(toy.ToyConfig())


def test_a_device_that_is_not_here_is_refused_before_anything_is_computed(obtain, root) -> None:
    away = toy.ToyConfig(seed=1, device="cuda:99")
    with pytest.raises(UserError, match=r"^there is no device 'cuda:99'"):
        obtain(toy.ToyConfig(), away)
    assert not list(root.glob("records/*"))


def test_a_file_system_without_locks_is_named_with_the_remedy(obtain, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.raises(RunsFailed, match=r"/lock \(no locks available\); its file system has no locks"):
        obtain(toy.ToyConfig())
