"""Executes notebooks beside each other, each by papermill in a process of its own, whatever happens to one of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from nas_core.driver import child
from nas_core.driver.kernels import environment, prepare
from nas_core.driver.plan import Plan
from nas_core.files import reason

# Not by the module's name, for which Python would look in the current folder first.
PAPERMILL = (sys.executable, "-P", child.__file__)
BROKEN = 1  # papermill's exit code for all but a kernel that died


class Executed(NamedTuple):
    """How a notebook ended: ``path`` is the executed one, ``saved`` the folder with its artefacts."""

    name: str
    path: Path
    saved: Path
    seconds: float
    failure: str | None


def execute(plan: Plan, folder: Path, failed_runs: Mapping[str, str]) -> Generator[Executed]:
    """Execute the plan's notebooks, as many at once as it has jobs; yields each when it ends.

    They lie in ``folder``, out of sight, until they are done. ``failed_runs``: why, by key; a notebook that needs one
    fails unexecuted. When this ends early, by Ctrl-C say, no notebook goes on.
    """
    prepare(folder)
    listening, held = os.pipe()  # see nas_core.driver.child
    threads = ThreadPoolExecutor(plan.jobs)
    try:
        futures = [threads.submit(_one, plan, folder, name, failed_runs, listening) for name in plan.notebooks]
        for future in as_completed(futures):
            yield future.result()
    finally:
        os.close(held)
        threads.shutdown(cancel_futures=True)
        os.close(listening)


def _one(plan: Plan, folder: Path, name: str, failed_runs: Mapping[str, str], listening: int) -> Executed:
    saved = folder / name
    missing = [config.key() for config in plan.configs_of(name) if config.key() in failed_runs]
    if missing:
        why = f"{len(missing)} of its runs failed, the first one: {missing[0]}: {failed_runs[missing[0]]}"
        return Executed(name, plan.notebooks[name], saved, 0.0, why)
    done = plan.work / "notebooks" / f"{name}.ipynb"
    failed = done.with_suffix(".failed.ipynb")
    executed = folder / done.name
    begun = time.perf_counter()
    try:
        saved.mkdir()
        done.parent.mkdir(parents=True, exist_ok=True)
        failure = _execute(plan, name, executed, listening)
        if executed.exists():
            os.replace(executed, failed if failure else done)
        if not failure:
            failed.unlink(missing_ok=True)
    except OSError as error:  # a full disk, say
        failure = f"{reason(error)}: {error.filename or folder}"
    return Executed(name, failed if failure else done, saved, time.perf_counter() - begun, failure)


def _execute(plan: Plan, name: str, executed: Path, listening: int) -> str | None:
    """Execute a notebook and write it to ``executed``; returns what went wrong, in a sentence.

    Where no cell is to blame and the kernel did not die, it is tried once more: two kernels that start at once may be
    given the same ports.
    """
    source = plan.notebooks[name]
    log = executed.with_suffix(".log")
    command = [
        *PAPERMILL, _literal(source), _literal(executed),
        "--parameters_raw", "profile", plan.choice.profile,
        "--cwd", str(source.parent),
        "--start-timeout", "120",
        "--no-progress-bar",
    ]  # fmt: skip
    if plan.choice.seeds:
        command += ["--parameters_yaml", f"seeds: {list(plan.choice.seeds)}"]
    variables = environment(plan, executed.with_suffix(""))
    code = BROKEN
    for _ in range(2):
        with log.open("wb") as output:
            code = subprocess.run(
                command,
                env=variables,
                stdin=listening,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the driver alone
            ).returncode
        blame = _blamed(executed) if code >= 0 else None  # killed, it may have left half a file
        if blame or code != BROKEN:
            break
    if blame or code == 0:
        return blame
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"papermill ended with {how}: {_last_line(log)}"


def _literal(path: Path) -> str:
    """A path as papermill is given it, which would put parameters in place of what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _blamed(executed: Path) -> str | None:
    """The cell that ended an executed notebook, and how: papermill takes ``sys.exit(0)`` in one for success."""
    if not executed.exists():
        return None
    for cell in nbformat.read(executed, as_version=4).cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                return f"{_begins(cell)}: {_said(output)}"
    return None


def _begins(cell: NotebookNode) -> str:
    """How a person finds a cell: by its first line of code."""
    lines = [line for line in cell.source.splitlines() if line.strip() and not line.startswith("#")]
    return f"in the cell that begins {lines[0] if lines else ''!r}"


def _said(error: NotebookNode) -> str:
    if error.ename == "SystemExit":
        return "SystemExit ended the notebook early"
    return f"{error.ename}: {' '.join(error.evalue.split())}"


def _last_line(log: Path) -> str:
    lines = log.read_text("utf8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
