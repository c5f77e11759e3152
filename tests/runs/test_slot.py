from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import toy

from nas_core.runs.slot import Slot

SCRIPT = """
import sys
sys.path[:0] = {path!r}
import toy
from nas_core.runs import obtain

print("the script runs", __name__, flush=True)
configs = [toy.ToyConfig(seed=seed) for seed in (0, 1)]
records = obtain(configs, jobs=2, progress=False, echo=lambda line: print(line, flush=True), build=toy.build)
print(len(records), "records", flush=True)
"""


@pytest.fixture
def slot() -> Iterator[Slot]:
    slot = Slot()
    yield slot
    slot.close()


def call(slot: Slot, function: Callable, *arguments: object) -> str | None:
    return slot.outcome(slot.submit(function, *arguments))


def about(say: Callable[[str], None]) -> str:
    say("one line")
    say("another")
    assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # that is for the parent
    return f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {sys.modules['__main__'].__name__}"


def end(code: int, text: str, say: Callable[[str], None]) -> None:
    say("going to end")
    print("first line", text, sep="\n", file=sys.stderr, flush=True)
    os._exit(code)


def nap(say: Callable[[str], None]) -> None:
    say(str(os.getpid()))
    time.sleep(600)


def test_a_worker_is_a_process_of_its_own_that_stays(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    main = sys.modules["__main__"]
    first, second = call(slot, about), call(slot, about)
    assert first == second
    pid, threads, name = str(first).split()
    assert int(pid) != os.getpid()
    assert (threads, name) == ("1", "__main__")
    assert list(slot.lines()) == ["one line", "another"] * 2
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert sys.modules["__main__"] is main


def test_how_a_worker_died_is_said_and_the_next_call_has_a_new_one(slot: Slot) -> None:
    future = slot.submit(end, 3, "out of memory")
    with pytest.raises(Exception, match="terminated abruptly"):
        future.result()
    assert list(slot.lines()) == ["going to end"]
    assert slot.outcome(future) == "its worker process died (exit code 3: out of memory)"
    pid = str(call(slot, about)).split()[0]
    os.kill(int(pid), signal.SIGKILL)  # while it has nothing to do
    time.sleep(0.5)
    assert str(call(slot, about)).split()[0] != pid


def test_what_only_exists_here_is_a_failure_that_costs_no_worker(slot: Slot, monkeypatch) -> None:
    pid = str(call(slot, about)).split()[0]
    monkeypatch.setattr(sys.modules[__name__], "new", type("new", (), {"__module__": __name__}), raising=False)
    assert re.match("its worker failed \\(AttributeError: .*new", str(call(slot, about, sys.modules[__name__].new())))
    assert "it cannot be sent to a worker" in str(call(slot, lambda say: None))
    assert str(call(slot, about)).split()[0] == pid


def test_a_worker_ends_when_its_slot_is_closed(slot: Slot) -> None:
    slot.submit(nap)
    pid = next(wait_for(slot))
    slot.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def wait_for(slot: Slot) -> Iterator[str]:
    while True:
        yield from slot.lines()
        time.sleep(0.01)


def started(tmp_path: Path) -> subprocess.Popen[str]:
    """A script that obtains two runs in workers, without a guard."""
    script = tmp_path / "study.py"
    script.write_text(SCRIPT.format(path=[str(Path(toy.__file__).parent), *sys.path]))
    return subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )


def test_a_script_without_a_guard_runs_once(root: Path, tmp_path: Path) -> None:
    out, err = started(tmp_path).communicate(timeout=100)
    assert err == ""
    assert out.splitlines()[0] == "the script runs __main__"
    assert out.splitlines()[-1] == "2 records"
    assert out.count("the script runs") == 1


def test_ctrl_c_ends_the_command_and_its_workers_who_say_nothing(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TOY_SLEEP", "1")
    process = started(tmp_path)
    log = Path(os.environ["TOY_LOG"])
    while not log.exists() or len({line.split()[2] for line in log.read_text().splitlines()}) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    for pid in {line.split()[2] for line in log.read_text().splitlines()}:
        os.kill(int(pid), signal.SIGINT)  # a terminal sends it to all of them
    _, err = process.communicate(timeout=20)
    assert err.count("Traceback") == 1
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    for pid in {line.split()[2] for line in log.read_text().splitlines()}:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
