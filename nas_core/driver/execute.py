"""Executes notebooks beside each other, each in a process of its own, whatever happens to one of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from nas_core.driver.plan import Plan
from nas_core.runs import location


@dataclass(frozen=True)
class Executed:
    """How a notebook ended: ``path`` is the executed one, ``saved`` the folder with its artefacts."""

    name: str
    path: Path
    saved: Path
    seconds: float
    failure: str | None


@dataclass
class Executor:
    """Executes notebooks of ``plan`` in ``folder``, out of sight until they are done; ``tick``: a cell was executed."""

    plan: Plan
    folder: Path
    tick: Callable[[], object]
    closed: bool = False
    starting: threading.Lock = field(default_factory=threading.Lock)  # one kernel starts after the other
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def execute(self, names: Iterable[str]) -> Generator[Executed]:
        """Execute the notebooks ``names``, as many at once as the plan has jobs; yields each when it ends."""
        with ThreadPoolExecutor(self.plan.jobs) as threads:
            try:
                for future in as_completed([threads.submit(self._one, name) for name in names]):
                    yield future.result()
            finally:
                self.closed = True
                for process in self.processes:
                    process.kill()  # and its kernel ends with it

    def _one(self, name: str) -> Executed:
        saved, path = self.folder / name, self.folder / f"{name}.ipynb"
        done, failed = (self.plan.work / "notebooks" / f"{name}{end}" for end in (".ipynb", ".failed.ipynb"))
        begun = time.perf_counter()
        try:
            saved.mkdir()
            done.parent.mkdir(parents=True, exist_ok=True)
            failure, begun = self._run(name, path, saved)
            if path.exists():
                os.replace(path, failed if failure else done)
            if not failure:
                failed.unlink(missing_ok=True)
        except OSError as error:  # a full disk, say
            failure = f"{(error.strerror or str(error)).lower()}: {error.filename or self.folder}"
        return Executed(name, failed if failure else done, saved, time.perf_counter() - begun, failure)

    def _run(self, name: str, path: Path, saved: Path) -> tuple[str | None, float]:
        """Execute one notebook; returns what went wrong, and when it began."""
        source = self.plan.notebooks[name]
        order = {"source": str(source), "target": str(path), "parameters": {"profile": self.plan.profile}}
        with tempfile.TemporaryFile("w+") as errors:
            with self.starting:
                begun = time.perf_counter()
                if self.closed:
                    return "it was not executed, as the driver was stopped", begun
                process = self._start(order, self._environment(name, saved), errors)
                message = _next(process)
            while message is not None and "end" not in message:
                if "cell" in message:
                    self.tick()
                message = _next(process)
            process.wait()
            failure = message["end"] if message is not None else _last_words(process.returncode, errors)
            return failure, begun

    def _start(self, order: dict[str, Any], environment: dict[str, str], errors: IO[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nas_core.driver.kernel", json.dumps(order)],
            stdin=subprocess.PIPE,  # ends with the driver, however that ends
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the driver
        )
        self.processes.append(process)
        return process

    def _environment(self, name: str, saved: Path) -> dict[str, str]:
        declared = self.folder / f"{name}.runs.json"
        declared.write_text(json.dumps(self.plan.runs[name]))
        ours = {
            "NAS_PROFILE": self.plan.profile,
            "NAS_OUT": str(saved),
            "NAS_DECLARED": str(declared),
            "NAS_DRIVER": self.plan.place,
            "NAS_RUNS": str(location()),
            "OMP_NUM_THREADS": "1",  # notebooks side by side do not fight over the cores
            "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one of the person's
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "TMPDIR": str(self.folder),
            "IPYTHONDIR": str(self.folder / "ipython"),  # no start-up files of the person's
        }
        return {**os.environ, **ours}


def _next(process: subprocess.Popen[str]) -> dict[str, Any] | None:
    """The next message of an executing process; None when it died."""
    assert process.stdout is not None
    line = process.stdout.readline()
    return json.loads(line) if line else None


def _last_words(code: int, errors: IO[str]) -> str:
    errors.seek(0)
    last = errors.read().strip().rpartition("\n")[2]
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"its process died ({how}{': ' + last if last else ''})"
