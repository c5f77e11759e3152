"""How nbval checks the notebooks: what it may not compare, and kernels that start one after the other."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from nbval.plugin import IPyNbFile

from nas_core.driver.kernels import neutral

# Progress and notices differ from run to run; of tables, the text form is compared; images are never compared.
NOT_COMPARED = ("stderr", "text/html", "text/markdown", "image/svg+xml")


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Leave these outputs of a checked cell out of the comparison."""
    if isinstance(collector, IPyNbFile):
        collector.skip_compare += NOT_COMPARED


def kernels_lock() -> Path:
    """A file of this person's own: one that belongs to another person of the machine cannot be opened."""
    return Path(tempfile.gettempdir()) / f"nas-core-kernels-{os.getuid()}.lock"


def variables() -> dict[str, str]:
    """What a kernel finds: nothing of a person's settings.

    Where tests run beside each other, which keeps the cores busy, a notebook computes its runs itself: at smoke a run
    takes half a second and the start of a worker five.
    """
    found = neutral()
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
        found["NAS_JOBS"] = "1"
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Kernels start one by one: two that start at once may be given the same ports, and nbval does not try again."""
    with open(kernels_lock(), "w") as lock, patch.dict(os.environ, variables(), clear=True):
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)
