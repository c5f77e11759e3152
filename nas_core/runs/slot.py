"""A worker process beside this one that runs are given to, one after the other; it never outlives this one.

It is a pool of one process of :mod:`concurrent.futures`, so that whatever kills it costs the run that it had. What
the pools lack is added here: the parent's main script is not run again, a worker ends with its parent however that
ends, and how a worker died is said.
"""

import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.queues import SimpleQueue
from types import ModuleType
from typing import Any

from nas_core import plugins
from nas_core.errors import UserError

Work = Callable[..., str | None]  # called with arguments and a function that hears lines; returns what went wrong
_said: SimpleQueue  # in a worker: the lines for the parent


class Slot:
    """A place for one call at a time; the process is started when first needed, and again after it died."""

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None

    def submit(self, function: Work, *arguments: Any) -> Future[str | None]:
        """Begin ``function(*arguments, say)`` in the worker; :meth:`outcome` says how it ended."""
        try:
            data = pickle.dumps((function, arguments))
        except Exception as error:
            refused: Future[str | None] = Future()
            refused.set_result(f"it cannot be sent to a worker ({type(error).__name__}: {error})")
            return refused
        try:
            return self._submit(data)
        except BrokenProcessPool:  # it died while it had nothing to do
            self.close()
            return self._submit(data)

    def outcome(self, future: Future[str | None]) -> str | None:
        """What the function returned, or why it did not, in a sentence."""
        try:
            return future.result()
        except BrokenProcessPool:
            return self._died()
        except Exception as error:  # something that only exists in the parent, say
            return f"its worker failed ({type(error).__name__}: {error})"

    def lines(self) -> Iterator[str]:
        """What the function has said since the last look."""
        while self.pool is not None and not self.said.empty():
            yield self.said.get()

    def close(self) -> None:
        """End the process now, whatever it does."""
        if self.pool is None:
            return
        self.context.process.kill()
        self.pool.shutdown(cancel_futures=True)
        self.pool = None
        self.output.close()

    def _submit(self, data: bytes) -> Future[str | None]:
        if self.pool is None:
            self.context = _Context()
            self.said = self.context.SimpleQueue()
            self.output = tempfile.NamedTemporaryFile()  # noqa: SIM115 - lives as long as the process
            self.pool = ProcessPoolExecutor(
                1, mp_context=self.context, initializer=_begin, initargs=(self.said, self.output.name)
            )
        with _surroundings():
            return self.pool.submit(_work, plugins.loaded(), data)

    def _died(self) -> str:
        process = self.context.process
        process.join()
        code = process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        text = self.output.read().decode(errors="replace").strip()
        last = text.rpartition("\n")[2]
        self.close()
        return f"its worker process died ({how}{': ' + last if last else ''})"


class _Context(SpawnContext):
    """Starts processes afresh, with nothing of the parent's state, and remembers the one that it started."""

    process: SpawnProcess

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        self.process = SpawnProcess(*args, **kwargs)
        return self.process


_starting = threading.Lock()


@contextmanager
def _surroundings() -> Iterator[None]:
    """What a process that is started now finds.

    No main script: a fresh process imports that of its parent, which runs it again where it is unguarded. One thread
    for OpenMP: workers side by side do not fight over the cores. No Ctrl-C: that is for who started it.
    """
    with _starting:
        main = sys.modules["__main__"]
        threads = os.environ.get("OMP_NUM_THREADS")
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ["OMP_NUM_THREADS"] = "1"
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            os.environ.pop("OMP_NUM_THREADS")
            if threads is not None:
                os.environ["OMP_NUM_THREADS"] = threads
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin(said: SimpleQueue, output: str) -> None:
    """The beginning of a worker: it writes to ``output``, and ends when who started it is gone."""
    global _said
    _said = said
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with open(output, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(0)


def _work(wanted: dict[str, str], data: bytes) -> str | None:
    """Call what was sent, with the plugins that ``wanted`` names."""
    try:
        plugins.match(wanted)
    except UserError as error:
        return str(error)
    function, arguments = pickle.loads(data)
    return function(*arguments, _said.put)
