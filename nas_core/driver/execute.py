"""Executes notebooks beside each other, in worker processes, whatever happens to one of them."""

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from nas_core.driver import kernel
from nas_core.driver.plan import Plan
from nas_core.runs import location
from nas_core.session import shown
from nas_core.workers import Worker, spread


class Executed(NamedTuple):
    """How a notebook ended: ``path`` is the executed one, ``saved`` the folder with its artefacts."""

    name: str
    path: Path
    saved: Path
    seconds: float
    failure: str | None


def execute(plan: Plan, folder: Path, failed_runs: dict[str, str]) -> Generator[Executed]:
    """Execute the plan's notebooks, as many at once as it has jobs; yields each when it ends.

    They lie in ``folder``, out of sight, until they are done. ``failed_runs``: why, by key; a notebook that needs one
    fails unexecuted.
    """

    def one(worker: Worker, name: str) -> Executed:
        saved, path = folder / name, folder / f"{name}.ipynb"
        keys = [c.key() for c in plan.configs if c.run in plan.runs[name] and c.key() in failed_runs]
        if keys:
            why = f"{len(keys)} of its runs failed, the first one: {keys[0]}: {failed_runs[keys[0]]}"
            return Executed(name, plan.notebooks[name], saved, 0.0, why)
        done, failed = (plan.work / "notebooks" / f"{name}{end}" for end in (".ipynb", ".failed.ipynb"))
        begun = time.perf_counter()
        try:
            saved.mkdir()
            done.parent.mkdir(parents=True, exist_ok=True)
            order = str(plan.notebooks[name]), str(path), plan.profile, _variables(plan, name, saved)
            failure = worker.call(kernel.execute, *order, tell=print)
            if path.exists():
                os.replace(path, failed if failure else done)
            if not failure:
                failed.unlink(missing_ok=True)
        except OSError as error:  # a full disk, say
            failure = f"{(error.strerror or str(error)).lower()}: {error.filename or folder}"
        return Executed(name, failed if failure else done, saved, time.perf_counter() - begun, failure)

    return spread(plan.notebooks, plan.jobs, one)


def _variables(plan: Plan, name: str, saved: Path) -> dict[str, str]:
    """What the kernel's environment has besides ours."""
    return {
        "NAS_PROFILE": plan.profile,
        "NAS_OUT": str(saved),
        "NAS_DECLARED": " ".join(plan.runs[name]),
        "NAS_DRIVER": shown(plan.out),
        "NAS_RUNS": str(location()),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one of the person's
        "JUPYTER_RUNTIME_DIR": str(saved.parent / "runtime"),
        "TMPDIR": str(saved.parent),
        "IPYTHONDIR": str(saved.parent / "ipython"),  # no start-up files of the person's
    }
