"""The ledger: every claim of the papers with the verdict that the artefacts of a folder carry."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from nas_core import papers
from nas_core.errors import UserError

COLUMNS = ["artefact", "paper", "grade", "verdict", "value", "threshold", "seeds", "low", "high", "profile", "sentence"]
NUMBERS = ("value", "low", "high")
NOT_RUN = {"verdict": "not run", "value": None, "threshold": "", "seeds": "", "low": None, "high": None, "profile": ""}


def ledger(folder: Path) -> pd.DataFrame:
    """All claims, indexed by id; those of artefacts that are not in ``folder`` (a claim's artefact may be) are not run.

    ``value`` is a mean over ``seeds``, ``low`` and ``high`` bound its 95 % interval, ``profile`` is the run's. Raises
    :class:`UserError` for a damaged artefact.
    """
    table = papers.claims()
    found: dict[str, dict[str, Any]] = {}
    for artefact in papers.artefacts().index:
        found.update(_found(folder, artefact))
    told = pd.DataFrame([found.get(claim, NOT_RUN) for claim in table.index], index=table.index)
    return table.drop(columns="profile").join(told)[COLUMNS].astype(dict.fromkeys(NUMBERS, float))


def check_artefacts(folder: Path, artefacts: Iterable[str]) -> None:
    """Raise :class:`UserError` if one of ``artefacts`` is damaged in ``folder``: it would spoil the ledger."""
    for artefact in artefacts:
        _found(folder, artefact)


def unproven(table: pd.DataFrame, folder: Path) -> list[str]:
    """The exact claims in ``table`` that do not hold, or were not evaluated, though their artefact is in ``folder``."""
    open_ = table[(table["grade"] == "X") & (table["verdict"] != "holds") & (table["artefact"] != "")]
    return [str(claim) for claim, artefact in open_["artefact"].items() if _path(folder, artefact).exists()]


def lines(table: pd.DataFrame) -> list[str]:
    """The ledger for a terminal: id, grade, verdict, value, what it must be, sentence."""
    shown = table["value"].map(lambda value: "" if pd.isna(value) else f"{value:.3g}")
    return [
        f"{key:9} {row.grade} {row.verdict:17} {row.shown:>9} {row.threshold:10} {row.sentence}"
        for key, row in table.assign(shown=shown).iterrows()
    ]


def counts(table: pd.DataFrame) -> str:
    """One line: how many claims of each verdict."""
    return ", ".join(f"{count} {verdict}" for verdict, count in table["verdict"].value_counts().items())


def _path(folder: Path, artefact: str) -> Path:
    paper = papers.artefacts()["paper"][artefact]
    return folder / paper / f"{artefact}.json"


def _found(folder: Path, artefact: str) -> dict[str, dict[str, Any]]:
    """What an artefact in ``folder``, if it is there, says about each of its claims."""
    path = _path(folder, artefact)
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text("utf8"))
        return {claim["id"]: _row(claim, content["profile"]) for claim in content["claims"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} is damaged ({why}); remove it or make it anew.") from error


def _row(claim: dict[str, Any], profile: str) -> dict[str, Any]:
    low, high = claim["interval"] or (None, None)
    return {
        "verdict": _text(claim["verdict"]),
        "value": _number(claim["value"]),
        "threshold": _text(claim["threshold"]),
        "seeds": " ".join(map(str, claim["seeds"])),
        "low": _number(low),
        "high": _number(high),
        "profile": _text(profile),
    }


def _number(value: Any) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise TypeError(f"{value!r} stands where a number should")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} stands where a text should")
    return value
