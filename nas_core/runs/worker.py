"""The program a worker process runs: orders come in on standard input, lines of JSON go out on standard output.

A worker ends when its input does, at once and in the middle of a run if need be: no worker outlives who started it,
and the run goes on from its checkpoint another time.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import Any

from nas_core.runs.engine import attempt

TICK = 0.2  # seconds between two progress lines


def main() -> None:
    """Serve orders until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which then closes our input
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no message

    def send(**message: Any) -> None:
        lines.write(json.dumps(message) + "\n")

    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def receive() -> None:
        while True:
            try:
                orders.put(pickle.load(sys.stdin.buffer))
            except Exception:  # the end of the input, or half an order: nobody is there any more
                os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    while True:
        data = orders.get()
        try:
            order = replace(pickle.loads(data), say=lambda line: send(say=line), tick=_Ticker(send))
        except Exception as error:  # a config or a build function that only exists in the parent, say
            send(end=f"a worker cannot read the order ({type(error).__name__}: {error})")
            continue
        send(end=attempt(order))


class _Ticker:
    """Passes on a few of a run's ticks a second."""

    def __init__(self, send: Any) -> None:
        self.send, self.last = send, 0.0

    def __call__(self, done: int, total: int, first: int) -> None:
        if time.monotonic() - self.last > TICK or done == total:
            self.last = time.monotonic()
            self.send(tick=[done, total, first])
