"""The sign of life of a run under way: a small file in its folder, for a bar in this process or on another machine."""

import json
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from nas_core.files import remove

FILE = "heartbeat.json"
PERIOD = 0.5  # seconds between two beats, at least


class Beat(NamedTuple):
    """What a heartbeat says: steps done, in all, and done when the process came; seconds since 1970; by whom."""

    done: int
    total: int
    first: int
    time: float
    process: int
    host: str


class Heartbeat:
    """Writes the heartbeat of the run in ``folder`` and removes it in the end; a disk that is full stops nothing."""

    def __init__(self, folder: Path, total: int, first: int) -> None:
        self.path = folder / FILE
        self.aside = folder / f".{FILE}"
        self.total = total
        self.first = first
        self.due = -float("inf")

    def beat(self, done: int) -> bool:
        """Write how many steps are done, unless that was written a moment ago; returns whether it was."""
        now = time.monotonic()
        if now < self.due:
            return False
        self.due = now + PERIOD
        beat = Beat(done, self.total, self.first, time.time(), os.getpid(), platform.node())
        with suppress(OSError):
            self.aside.write_text(json.dumps(beat._asdict()))
            os.replace(self.aside, self.path)
        return True

    def __enter__(self) -> Self:
        self._clear()  # of a process that was killed
        return self

    def __exit__(self, *error: object) -> None:
        self._clear()

    def _clear(self) -> None:
        for path in (self.path, self.aside):
            with suppress(OSError):
                remove(path)


def read(folder: Path) -> Beat | None:
    """The last heartbeat of the run in ``folder``, if there is one."""
    try:
        beat = Beat(**json.loads((folder / FILE).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    numbers = (beat.done, beat.total, beat.first)
    whole = all(type(number) is int for number in numbers) and 0 <= beat.first <= beat.done <= beat.total
    return beat if whole and beat.total > 0 else None
