"""The ledger: every claim of the papers with the verdict that the artefacts of a folder carry."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from nas_core import papers
from nas_core.errors import UserError

COLUMNS = ["artefact", "paper", "grade", "verdict", "value", "threshold", "seeds", "low", "high", "profile", "sentence"]
NOT_RUN = {"verdict": "not run", "value": None, "threshold": "", "seeds": "", "low": None, "high": None, "profile": ""}


def ledger(folder: Path) -> pd.DataFrame:
    """All claims, indexed by id; those of artefacts that are not in ``folder`` (a claim's artefact may be) are not run.

    ``value`` is a mean over ``seeds``, ``low`` and ``high`` bound its 95 % interval, ``profile`` is the run's.
    """
    table, found = papers.claims(), _found(folder)
    rows = [{**row, **found.get(str(key), NOT_RUN)} for key, row in table.to_dict("index").items()]
    return pd.DataFrame(rows, index=table.index)[COLUMNS].astype({"value": float, "low": float, "high": float})


def unproven(table: pd.DataFrame, folder: Path) -> list[str]:
    """The exact claims in ``table`` that do not hold, or were not evaluated, though their artefact is in ``folder``."""
    paper = papers.artefacts()["paper"]
    open_ = table[(table["grade"] == "X") & (table["verdict"] != "holds") & (table["artefact"] != "")]
    return [str(key) for key, of in open_["artefact"].items() if (folder / paper[of] / f"{of}.json").exists()]


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


def _found(folder: Path) -> dict[str, dict[str, Any]]:
    """What the artefacts in ``folder`` say about each claim."""
    found: dict[str, dict[str, Any]] = {}
    for artefact, paper in papers.artefacts()["paper"].items():
        path = folder / paper / f"{artefact}.json"
        if not path.exists():
            continue
        try:
            content = json.loads(path.read_text("utf8"))
            found |= {claim["id"]: _row(claim, content["profile"]) for claim in content["claims"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise UserError(f"{path} is damaged ({why}); remove it or make it anew.") from error
    return found


def _row(claim: dict[str, Any], profile: str) -> dict[str, Any]:
    low, high = claim["interval"] or (None, None)
    told = {name: claim[name] for name in ("verdict", "value", "threshold")}
    return {**told, "seeds": " ".join(map(str, claim["seeds"])), "low": low, "high": high, "profile": profile}
