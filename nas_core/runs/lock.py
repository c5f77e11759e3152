"""Who computes a run: a lock on a file in the run's folder, which the system releases when its holder ends."""

import fcntl
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from nas_core.files import make_folder, remove, writing

POLL = 0.5  # seconds between two looks at somebody else's lock


def lock(folder: Path, wait: Callable[[str], object]) -> IO[str]:
    """Take the lock on ``folder``, which lasts until the file returned is closed; ``wait`` hears whom we wait for."""
    path = make_folder(folder) / "lock"
    if path.is_dir():
        remove(path)
    while True:
        if (who := holder(folder)) is not None:
            wait(who)
            while holder(folder) is not None:
                time.sleep(POLL)
        with writing(path):
            file = open(path, "a+")  # noqa: SIM115 - open for as long as the lock lasts
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):  # not unlocked meanwhile
                    file.truncate(0)
                    file.write(f"process {os.getpid()} on {platform.node()}")
                    file.flush()
                    return file
            file.close()


def holder(folder: Path) -> str | None:
    """The living process that holds the lock on ``folder``, in words, if there is one."""
    with suppress(OSError), open(folder / "lock", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()
    return None


def unlock(folder: Path) -> None:
    """Let others lock ``folder``, whoever holds the lock now."""
    remove(folder / "lock")
