"""Verdicts on claims that are tied to no artefact, from the runs that the store has."""

from itertools import chain
from pathlib import Path

from nas_core import papers
from nas_core.choices import Choice
from nas_core.claims import CHECKS, evaluate
from nas_core.driver.ledger import UNTIED
from nas_core.files import write_atomic
from nas_core.report.save import json_bytes, verdict_content
from nas_core.runs import explain, obtain
from nas_core.runs.states import FOUND


def judge_untied(choice: Choice, folder: Path) -> None:
    """Judge the claims without an artefact whose runs are all in the store, and write what was found to ``folder``."""
    table = papers.claims()
    verdicts = []
    for claim in table.index[table["artefact"] == ""]:
        needed = CHECKS[claim].needed if claim in CHECKS else ()
        configs = {run: choice.configs(run) for run in needed}
        states = explain(list(chain.from_iterable(configs.values())))
        if states and all(state.kind == FOUND for _, state in states):
            records = {run: obtain(of_run, progress=False, echo=_silent) for run, of_run in configs.items()}
            verdicts.append(verdict_content(evaluate(claim, records)))
    if verdicts:
        write_atomic(folder / UNTIED, json_bytes({"profile": choice.profile, "claims": verdicts}))


def _silent(line: str) -> None:
    """Say nothing."""

