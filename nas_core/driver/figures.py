"""From runs to figures, unattended: computes each run once, executes the notebooks, compares, replaces, and reports."""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from nas_core import papers, report
from nas_core.driver.execute import Executed, execute
from nas_core.driver.ledger import ledger
from nas_core.driver.plan import Plan, make_writable
from nas_core.driver.untied import judge_untied
from nas_core.errors import UserError
from nas_core.files import write_atomic
from nas_core.report.compare import MISSING
from nas_core.report.save import write_files
from nas_core.runs import RunsFailed, State, explain, obtain
from nas_core.runs.lock import lock
from nas_core.runs.pool import watched
from nas_core.runs.states import CHANGED, FOUND, NEEDS

Echo = Callable[[str], None]
FAILED = "failed"
LEDGER = "ledger.csv"
LEFTOVER = re.compile(r"\.[\w-]+\.(png|svg|csv|json)\.[0-9a-f]{8}")  # see nas_core.files.write_together
ALIVE = 60  # seconds: writing a file takes less


class Row(NamedTuple):
    """A line of the final summary; ``status`` is a kind of :func:`nas_core.report.compare`, or failed."""

    artefact: str
    status: str
    notebook: str
    seconds: float


def figures(plan: Plan, echo: Echo = tqdm.write) -> int:
    """Make the artefacts of ``plan``: 0 if all went well, 1 if something failed, which does not stop the rest.

    What is in the plan's output folder is replaced artefact by artefact, each in a moment.
    """
    make_writable(plan.out)
    echo(headline(plan))
    failed: dict[str, str] = {}
    try:
        obtain(plan.configs, jobs=plan.jobs, cluster=plan.cluster, echo=echo)
    except RunsFailed as error:
        failed = error.failures
    rows: list[Row] = []
    with _workplace(plan, echo) as place, closing(execute(plan, place, failed)) as executed:
        sweep(plan.out)
        for done in tqdm(executed, "notebooks", len(plan.notebooks), leave=False, disable=not watched()):
            rows += _report(plan, done, echo)
    rows += _write_ledger(plan, echo)
    return int(_summarise(rows, echo) > 0)


def explained(plan: Plan, echo: Echo = print) -> int:
    """Say what :func:`figures` would do about every run, and why, and which notebooks it would execute; returns 0."""
    echo(headline(plan))
    states = explain(plan.configs)
    for config, state in states:
        echo(f"  {config.key():44} {_todo(state)}: {state}")
    for name in plan.notebooks:
        made = [key for key, notebook in plan.artefacts.items() if notebook == name]
        echo(f"  {name}: executed, for {', '.join(made) or 'no artefact'}")
    found = sum(state.kind == FOUND for _, state in states)
    echo(f"{found} of {len(states)} runs are there; nothing was computed")
    return 0


def _todo(state: State) -> str:
    """What becomes of a run in this state."""
    if state.kind == FOUND:
        return "read"
    if state.kind == CHANGED:
        return "replay, and compute if that differs"
    if state.kind == NEEDS:
        return "decide later"
    return "compute"


def headline(plan: Plan) -> str:
    """One line: what is made from what, and where it goes."""
    choice = plan.choice
    parts = [f"profile {choice.profile}"]
    if plan.study:
        parts.append("studies")
    if choice.formulation:
        parts.append(f"formulation {choice.formulation}")
    if choice.device:
        parts.append(f"device {choice.device}")
    if choice.seeds:
        parts.append(f"seeds {', '.join(map(str, choice.seeds))}")
    return (
        f"{', '.join(parts)}: {len(plan.artefacts)} artefacts from {len(plan.notebooks)} "
        f"notebooks, which need {len(plan.configs)} runs; output: {plan.out}"
    )


def sweep(out: Path) -> None:
    """Remove what calls that were killed while publishing left in ``out``; files of the last minute may be alive."""
    folders = [out, *(out / paper for paper in (*papers.PAPERS, papers.STUDY))]
    for folder in folders:
        for path in folder.glob(".*"):
            if LEFTOVER.fullmatch(path.name) and path.stat().st_mtime < time.time() - ALIVE:
                path.unlink()


def _report(plan: Plan, done: Executed, echo: Echo) -> list[Row]:
    """Publish what a notebook made, say how it went, and return the summary's lines about it."""
    own = [key for key, name in plan.artefacts.items() if name == done.name]
    if done.failure:
        echo(f"{done.name}: failed: {done.failure} (see {done.path})")
        return [Row(key, FAILED, done.name, done.seconds) for key in own or ["(notebook)"]]
    echo(f"{done.name}: executed in {done.seconds:.0f} s")
    rows = []
    for artefact in own:
        status, text = _publish(artefact, done.saved, plan.out)
        echo(f"  {artefact}: {text}")
        rows.append(Row(artefact, status, done.name, done.seconds))
    return rows


def _publish(artefact: str, saved: Path, out: Path) -> tuple[str, str]:
    """Bring ``artefact`` and its parts from ``saved`` to ``out``, whole; returns its status, and that with details."""
    paper = str(papers.artefacts()["paper"][artefact])
    new, old = saved / paper, out / paper
    difference = report.compare(old / artefact, new / artefact)
    if difference.kind == MISSING:
        return FAILED, f"{FAILED}: its notebook ended without saving it"
    details = [str(difference)]
    for path in report.parts(new / artefact):
        details.append(f"{path.name} {report.compare(old / path.name, path)}")
    files = sorted(_files(new / artefact), key=lambda path: path.suffix == ".json")  # that one last
    try:
        write_files(artefact, {old / path.name: path.read_bytes() for path in files})
        _remove_parts(old / artefact, report.parts(new / artefact))
    except (OSError, UserError) as error:
        return FAILED, f"{FAILED}: {error}"
    return difference.kind, "; ".join(details)


def _files(place: Path) -> list[Path]:
    """All files of an artefact and of its parts."""
    files: list[Path] = []
    for path in (place, *report.parts(place)):
        files += path.parent.glob(f"{path.name}.*")
    return files


def _remove_parts(place: Path, made: Sequence[Path]) -> None:
    """Remove the parts of an artefact that its notebook no longer makes."""
    kept = {path.name for path in made}
    for path in report.parts(place):
        if path.name not in kept:
            for file in path.parent.glob(f"{path.name}.*"):
                file.unlink()


def _write_ledger(plan: Plan, echo: Echo) -> list[Row]:
    """Write the ledger of the output folder; returns the summary's line about it, if it failed."""
    try:
        judge_untied(plan.choice, plan.out)
        text = ledger(plan.out).to_csv(float_format="%.6g", lineterminator="\n")
        write_atomic(plan.out / LEDGER, text.encode())
    except UserError as error:
        echo(f"{LEDGER}: failed: {error}")
        return [Row(LEDGER, FAILED, "", 0.0)]
    return []


def _summarise(rows: list[Row], echo: Echo) -> int:
    """The closing table; returns how many lines of it say failed."""
    echo("")
    echo(f"{'artefact':10} {'status':16} {'notebook':24} {'seconds':>7}")
    for row in sorted(rows, key=lambda row: (row.status == FAILED, row.notebook)):
        echo(f"{row.artefact:10} {row.status:16} {row.notebook:24} {row.seconds:7.1f}")
    bad = sum(row.status == FAILED for row in rows)
    if bad:
        echo(f"{bad} of {len(rows)} failed")
    else:
        echo(f"all {len(rows)} made")
    return bad


@contextmanager
def _workplace(plan: Plan, echo: Echo) -> Iterator[Path]:
    """A folder for all that is unfinished, for one call at a time; what a killed call left there is removed."""
    place = plan.work / "unfinished" / "notebooks"
    with lock(place.parent, lambda who: echo(f"{who} executes notebooks for {plan.work}, waiting for it")):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
