"""From runs to figures, unattended: computes each run once, executes the notebooks, compares, replaces, and reports."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import nbformat
from tqdm import tqdm

from nas_core import papers, report
from nas_core.driver import plan as planning
from nas_core.driver.execute import Executed, execute
from nas_core.driver.ledger import ledger
from nas_core.driver.plan import Plan
from nas_core.errors import UserError
from nas_core.report.compare import MISSING
from nas_core.report.save import write_files
from nas_core.runs import RunsFailed, obtain
from nas_core.runs.files import write_atomic
from nas_core.runs.progress import FORMAT

Echo = Callable[[str], None]
FAILED = "failed"


class Row(NamedTuple):
    """A line of the final summary; ``status`` is a kind of :func:`nas_core.report.compare`, or failed."""

    artefact: str
    status: str
    notebook: str
    seconds: float
    where: Path


def figures(
    profile: str = "laptop",
    *,
    only: Sequence[str] = (),
    jobs: int | None = None,
    out: Path | None = None,
    folder: Path | None = None,
    echo: Echo = tqdm.write,
) -> int:
    """Make the artefacts ``only`` (all that have a notebook, if none): 0 if all went well, 1 if something failed.

    ``folder`` holds the notebooks. Anything wrong with the call is a UserError before anything is computed; one
    failure later on does not stop the rest. What is in ``out`` is replaced artefact by artefact, each in a moment.
    """
    plan = planning.make(profile, only=only, jobs=jobs, out=out, folder=folder)
    echo(
        f"profile {profile}: {len(plan.artefacts)} artefacts from {len(plan.notebooks)} notebooks, which need "
        f"{len(plan.configs)} runs; output: {_near(plan.out)}"
    )
    failed = _obtain(plan, echo)
    rows: list[Row] = []
    with _workplace(plan) as place:
        lost = {name: why for name in plan.notebooks if (why := _failed_runs(plan, name, failed))}
        for name, why in lost.items():
            rows += _report(plan, Executed(name, plan.notebooks[name], place, 0.0, why), echo)
        with closing(_execute(plan, place, [name for name in plan.notebooks if name not in lost])) as executed:
            for done in executed:
                rows += _report(plan, done, echo)
    if any(row.artefact in plan.artefacts and row.status != FAILED for row in rows):
        text = ledger(plan.out).to_csv(float_format="%.6g", lineterminator="\n")
        write_atomic(plan.out / "ledger.csv", text.encode())
    return int(_summarise(rows, echo) > 0)


def _obtain(plan: Plan, echo: Echo) -> dict[str, str]:
    """Compute every run once; returns what went wrong, by key."""
    try:
        obtain(plan.configs, jobs=plan.jobs, echo=echo)
    except RunsFailed as error:
        return error.failures
    return {}


def _failed_runs(plan: Plan, name: str, failed: dict[str, str]) -> str | None:
    keys = [config.key() for config in plan.configs if config.run in plan.runs[name] and config.key() in failed]
    return f"{len(keys)} of its runs failed, the first one: {keys[0]}: {failed[keys[0]]}" if keys else None


def _execute(plan: Plan, place: Path, names: list[str]) -> Generator[Executed]:
    """Execute the notebooks ``names``, the longest first, with a progress bar where a person is watching."""
    cells = {name: _code_cells(plan.notebooks[name]) for name in names}
    watched, form = sys.stderr.isatty(), "{desc} " + FORMAT
    with tqdm(total=sum(cells.values()), desc="notebooks", disable=not watched, leave=False, bar_format=form) as bar:
        yield from execute(plan, sorted(names, key=lambda name: -cells[name]), place, bar.update)


def _code_cells(path: Path) -> int:
    return sum(cell.cell_type == "code" for cell in nbformat.read(path, as_version=4).cells)


def _report(plan: Plan, done: Executed, echo: Echo) -> list[Row]:
    """Publish what a notebook made, say how it went, and return the summary's lines about it."""
    own = [key for key, name in plan.artefacts.items() if name == done.name]
    if done.failure:
        echo(f"{done.name}: failed: {done.failure}")
        return [Row(key, FAILED, done.name, done.seconds, done.path) for key in own or ["(notebook)"]]
    echo(f"{done.name}: executed in {done.seconds:.0f} s")
    rows = []
    for artefact in own:
        status, text = _publish(artefact, done.saved, plan.out)
        echo(f"  {artefact}: {text}")
        rows.append(Row(artefact, status, done.name, done.seconds, done.path if status == FAILED else plan.out))
    return rows


def _publish(artefact: str, saved: Path, out: Path) -> tuple[str, str]:
    """Bring ``artefact`` from ``saved`` to ``out``, whole; returns its status, and the same with the details."""
    new, old = (folder / str(papers.artefacts()["paper"][artefact]) for folder in (saved, out))
    difference = report.compare(old / artefact, new / artefact)
    if difference.kind == MISSING:
        return FAILED, f"{FAILED}: its notebook ended without saving it"
    files = sorted(new.glob(f"{artefact}.*"), key=lambda path: path.suffix == ".json")  # that one last
    try:
        write_files(artefact, {old / path.name: path.read_bytes() for path in files})
    except (OSError, UserError) as error:
        return FAILED, f"{FAILED}: {error}"
    return difference.kind, str(difference)


def _summarise(rows: list[Row], echo: Echo) -> int:
    """The closing table; returns how many lines of it say failed."""
    echo("")
    echo(f"{'artefact':10} {'status':16} {'notebook':24} {'seconds':>7}  where")
    for row in sorted(rows, key=lambda row: (row.status == FAILED, row.notebook)):
        echo(f"{row.artefact:10} {row.status:16} {row.notebook:24} {row.seconds:7.1f}  {_near(row.where)}")
    bad = sum(row.status == FAILED for row in rows)
    echo(f"{bad} of {len(rows)} failed" if bad else f"all {len(rows)} made")
    return bad


def _near(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return f"{path.relative_to(here)}" if path.is_relative_to(here) else str(path)


@contextmanager
def _workplace(plan: Plan) -> Iterator[Path]:
    """A folder of this call's own for all that is unfinished; what killed calls left of theirs is removed."""
    root = plan.work / "unfinished" / platform.node()
    for old in root.glob("*-*"):
        if not _alive(int(old.name.partition("-")[0])):
            shutil.rmtree(old, ignore_errors=True)
    mine = root / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    mine.mkdir(parents=True)
    try:
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _alive(process: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
