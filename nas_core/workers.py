"""Worker processes: they call functions for this process, and none of them outlives it, however it ends."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

R = TypeVar("R")
# Not multiprocessing's own: those import the caller's main script again, which starts it again where it is unguarded.
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from nas_core.workers import work; work()"


def spread(tasks: Iterable[Any], jobs: int, do: Callable[[Worker, Any], R]) -> Generator[R]:
    """``do(worker, task)`` for each task, begun in their order, ``jobs`` at once; yields what they return as they end.

    ``do`` is called in a thread, which has a worker of its own. When this ends early, by Ctrl-C say, no worker goes on.
    """
    workers: list[Worker] = []
    own = threading.local()

    def hire() -> None:
        own.worker = Worker()
        workers.append(own.worker)

    with ThreadPoolExecutor(jobs, initializer=hire) as threads:
        try:
            for future in as_completed([threads.submit(lambda task: do(own.worker, task), task) for task in tasks]):
                yield future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.close()


class Worker:
    """A process that calls functions for this one; it is started when first needed and again after it died."""

    process: subprocess.Popen[bytes] | None = None
    closed = False

    def call(self, function: Callable[..., str | None], *arguments: Any, tell: Callable[..., object]) -> str | None:
        """What ``function(*arguments, tell)`` returns there, or why that failed; ``tell`` is called here meanwhile."""
        try:
            data = pickle.dumps((function, arguments))
        except Exception as error:
            return f"it cannot be sent to a worker ({type(error).__name__}: {error})"
        process = self.process or self._start()
        try:
            self.pipe.send_bytes(data)
            while (message := self.pipe.recv())[0] == "tell":
                tell(*message[1:])
            return message[1]
        except (EOFError, OSError):
            return self._died(process.wait())

    def close(self) -> None:
        """End the process now; if it is at work, :meth:`call` raises in its thread."""
        self.closed = True
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self.pipe, theirs = Pipe()
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, json.dumps(sys.path), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE,  # ends with us, however we end
            stdout=self.output,
            stderr=self.output,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # workers side by side do not fight over the cores
        )
        theirs.close()
        if self.closed:  # meanwhile
            self.process.kill()
        return self.process

    def _died(self, code: int) -> str:
        if self.closed:
            raise RuntimeError("closed")
        self.process = None
        self.output.seek(0)
        last = self.output.read().decode(errors="replace").strip().rpartition("\n")[2]
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its worker process died ({how}{': ' + last if last else ''})"


def work() -> None:
    """The program of a worker. It ends at once, and in the middle of a call if need be, when who started it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us, who then ends us
    threading.Thread(target=_end_with_input, daemon=True).start()
    pipe: Connection = Connection(int(sys.argv[2]))
    while True:
        data = pipe.recv_bytes()
        try:
            function, arguments = pickle.loads(data)
            failure = function(*arguments, lambda *message: pipe.send(("tell", *message)))
        except Exception as error:  # something that only exists in the parent, say
            failure = f"its worker failed ({type(error).__name__}: {error})"
        pipe.send(("end", failure))


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)
