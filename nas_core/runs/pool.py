"""Several runs over the cores of this machine: the longest first, each in a worker, whatever happens to the others."""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from nas_core.errors import UserError
from nas_core.runs.compute import Order
from nas_core.runs.engine import attempt, holders
from nas_core.runs.progress import Progress

# Not multiprocessing's own: those import the caller's main script again, which starts it again where it is unguarded.
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from nas_core.runs.pool import work; work()"
SERIAL = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


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
            held = holders(orders[0].root, [order.key for order in waiting])
            order = next((order for order in waiting if order.key not in held), waiting[0] if waiting else None)
            if order is not None:
                waiting.remove(order)
            return order

    def serve(compute: Callable[[Order, Progress], str | None]) -> None:
        while (order := take()) is not None:
            message = compute(order, progress)
            progress.end(order, message)
            if message is not None:
                failures[order.key] = message

    if jobs == 1 or len(orders) == 1:
        serve(lambda order, progress: attempt(replace(order, say=progress.say, tick=progress.ticker(order))))
        return failures
    workers = [Worker() for _ in range(min(jobs, len(orders)))]
    with ThreadPoolExecutor(len(workers)) as threads:
        try:
            for served in [threads.submit(serve, worker.compute) for worker in workers]:
                served.result()
        finally:  # also after Ctrl-C: no worker goes on
            waiting.clear()
            for worker in workers:
                worker.close()
    return failures


class Worker:
    """A worker process, started when first needed and again after it died."""

    process: subprocess.Popen[bytes] | None = None
    closed = False

    def compute(self, order: Order, progress: Progress) -> str | None:
        """Have it bring the order's record about; returns what went wrong, if anything did."""
        tell: dict[str, Callable[..., None]] = {"say": progress.say, "tick": progress.ticker(order)}
        try:
            data = pickle.dumps(order)
        except Exception as error:
            return f"the run cannot be sent to a worker ({type(error).__name__}: {error})"
        process = self.process or self._start()
        try:
            self.pipe.send_bytes(data)
            while (message := self.pipe.recv())[0] != "end":
                tell[message[0]](*message[1:])
            return message[1]
        except (EOFError, OSError):
            return self._died(process.wait())

    def close(self) -> None:
        """End the process now; if it is at a run, :meth:`compute` raises in its thread."""
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
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            env={**os.environ, **SERIAL},
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
    """The program of a worker: it computes the orders that come through the pipe, and tells the other end.

    It ends when the other end is gone, at once and in the middle of a run if need be: no worker outlives who started
    it, and the run goes on from its checkpoint another time.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which then ends us
    pipe: Connection = Connection(int(sys.argv[2]))
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def receive() -> None:
        try:
            while True:
                orders.put(pipe.recv_bytes())
        finally:
            os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    while True:
        try:
            order: Order = pickle.loads(orders.get())
        except Exception as error:  # a config or a build function that only exists in the parent, say
            pipe.send(("end", f"a worker cannot read the order ({type(error).__name__}: {error})"))
            continue
        say, tick = (lambda line: pipe.send(("say", line))), (lambda *steps: pipe.send(("tick", *steps)))
        pipe.send(("end", attempt(replace(order, say=say, tick=tick))))
