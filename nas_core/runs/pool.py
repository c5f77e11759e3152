"""Several runs over the cores of this machine: the longest first, each in a worker, whatever happens to the others."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from nas_core.errors import UserError
from nas_core.runs.compute import Order
from nas_core.runs.engine import attempt, holders
from nas_core.runs.progress import Progress

# Not multiprocessing: its workers import the caller's main script again, which starts it again where it is unguarded.
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from nas_core.runs.worker import main; main()"


def default_jobs() -> int:
    """How many runs at once: ``$NAS_JOBS``, or as many as there are cores for this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = os.environ.get("NAS_JOBS", str(cores))
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"NAS_JOBS must be a whole number from 1, not {text!r}.")
    return int(text)


def run_all(orders: Sequence[Order], jobs: int, progress: Progress) -> dict[str, str]:
    """Bring the records of all orders about; returns what went wrong, by key."""
    failures: dict[str, str] = {}
    waiting = sorted(orders, key=lambda order: -order.config.cost())
    lock = threading.Lock()

    def take() -> Order | None:
        """The longest run that nobody else computes, or else the longest."""
        with lock:
            if not waiting:
                return None
            held = holders(waiting[0].root, [order.key for order in waiting])
            order = next((order for order in waiting if order.key not in held), waiting[0])
            waiting.remove(order)
            return order

    def serve(compute: Callable[[Order], str | None]) -> None:
        while (order := take()) is not None:
            progress.start(order)
            message = compute(order)
            progress.end(order, message)
            if message is not None:
                failures[order.key] = message

    if jobs == 1 or len(orders) == 1:
        serve(lambda order: attempt(replace(order, say=progress.say, tick=progress.ticker(order))))
        return failures
    workers = [Worker(progress) for _ in range(min(jobs, len(orders)))]
    with ThreadPoolExecutor(len(workers)) as threads:
        try:
            for served in [threads.submit(serve, worker.compute) for worker in workers]:
                served.result()
        finally:
            waiting.clear()
            for worker in workers:
                worker.close()
    return failures


class Worker:
    """A worker process, started when first needed and again after it died."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.process: subprocess.Popen[bytes] | None = None
        self.closed = False

    def compute(self, order: Order) -> str | None:
        """Have it bring the order's record about; returns what went wrong, if anything did."""
        try:
            data = pickle.dumps(order)
        except Exception as error:
            return f"the run cannot be sent to a worker ({type(error).__name__}: {error})"
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        tick = self.progress.ticker(order)
        try:
            pickle.dump(data, process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            return self._died()
        for line in process.stdout:
            message = json.loads(line)
            if "end" in message:
                return message["end"]
            if "say" in message:
                self.progress.say(message["say"])
            else:
                tick(*message["tick"])
        return self._died()

    def close(self) -> None:
        """End the process now; if it is at a run, :meth:`compute` raises in its thread."""
        self.closed = True
        if (process := self.process) is not None:
            process.kill()
            process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self.closed:
            raise RuntimeError("closed")
        if self.process is None:
            self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process ends
            threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env={**os.environ, **threads},
            )
        return self.process

    def _died(self) -> str:
        assert self.process is not None
        code = self.process.wait()
        self.process = None
        if self.closed:
            raise RuntimeError("closed")
        with self.errors as errors:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its worker process died ({how}{': ' + last if last else ''})"
