"""How nbval checks the notebooks: what it may not compare, and kernels that start one after the other."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbval.plugin import IPyNbFile

# Progress and notices differ from run to run; of tables, the text form is compared; images are never compared.
NOT_COMPARED = ("stderr", "text/html", "text/markdown", "image/svg+xml")


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Leave these outputs of a checked cell out of the comparison."""
    if isinstance(collector, IPyNbFile):
        collector.skip_compare += NOT_COMPARED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Two kernels that start at once may be given the same ports, and nbval does not try again."""
    with open(Path(tempfile.gettempdir()) / "nas-core-kernels.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)
