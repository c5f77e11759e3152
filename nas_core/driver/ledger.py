"""The ledger: every claim of the papers with the verdict that the artefacts of a folder carry.

Claims that are tied to no artefact have their verdicts in ``claims.json`` beside the ledger.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas_core import papers
from nas_core.errors import UserError
from nas_core.report.verdicts import ANSWERS, URGENCY

COLUMNS = [
    "artefact", "paper", "grade", "family", "same_as", "verdict", "value", "unit", "threshold", "low", "high",
    "met", "n", "p_holds", "null", "null_value", "null_meets", "p_value", "p_holm", "seeds", "profile", "sentence",
]  # fmt: skip
NUMBERS = ("value", "low", "high", "p_holds", "null_value", "p_value")
COUNTS = ("met", "n")
TEXTS = ("threshold", "null", "null_meets", "seeds", "profile")
NOT_RUN = {"verdict": "not run"} | dict.fromkeys(TEXTS, "") | dict.fromkeys([*NUMBERS, *COUNTS])
UNTIED = "claims.json"  # verdicts on claims without an artefact
TOLD_APART = 0.05


def ledger(folder: Path) -> pd.DataFrame:
    """All claims, indexed by id; those of artefacts that are not in ``folder`` (a claim's artefact may be) are not run.

    ``value`` is an estimate over seeds, ``low`` and ``high`` bound its 95 % interval, ``met`` of ``n`` seeds meet the
    bound, ``p_holm`` is the p-value of the null corrected for all claims of a family, ``profile`` is the run's. Raises
    :class:`UserError` for a damaged artefact.
    """
    table = papers.claims()
    found = _untied(folder)
    for artefact in papers.artefacts().index:
        found.update(_found(folder, artefact))
    told = pd.DataFrame([found.get(claim, NOT_RUN) for claim in table.index], index=table.index)
    types = dict.fromkeys(NUMBERS, "float") | dict.fromkeys(COUNTS, "Int64")
    whole = table.drop(columns="profile").join(told).astype(types)
    return whole.assign(p_holm=_by_family(whole))[COLUMNS]


def check_artefacts(folder: Path, artefacts: Iterable[str]) -> None:
    """Raise :class:`UserError` if one of ``artefacts`` is damaged in ``folder``: it would spoil the ledger."""
    for artefact in artefacts:
        _found(folder, artefact)


def unproven(table: pd.DataFrame, folder: Path) -> list[str]:
    """The exact claims in ``table`` that do not hold, or were not evaluated, though their artefact is in ``folder``."""
    open_ = table[(table["grade"] == "X") & (table["verdict"] != "holds") & (table["artefact"] != "")]
    return [str(claim) for claim, artefact in open_["artefact"].items() if _path(folder, artefact).exists()]


def lines(table: pd.DataFrame) -> list[str]:
    """The ledger for a terminal, by grade, failing claims first: verdict, value, what it must be, sentence, id."""
    urgency = table["verdict"].map(URGENCY.index)
    shown = []
    for grade, title in papers.GRADES.items():
        rows = table[table["grade"] == grade]
        if rows.empty:
            continue
        shown += ["", _heading(rows, title)]
        for key in urgency[rows.index].sort_values(kind="stable").index:
            shown.append(_line(str(key), rows.loc[key]))
    return shown[1:]


def _heading(rows: pd.DataFrame, title: str) -> str:
    """Above the claims of a grade; ``10 of 10 exact claims hold`` says it all in most cases."""
    if title != "exact":
        return f"{title} claims"
    judged = rows["verdict"].isin(ANSWERS).sum()
    return f"{(rows['verdict'] == 'holds').sum()} of {judged} exact claims hold, {len(rows) - judged} not run"


def _line(key: str, row: pd.Series) -> str:
    value = "" if pd.isna(row["value"]) else f"{row['value']:.3g}"
    met = "" if pd.isna(row["met"]) or row["n"] < 2 else f"{row['met']}/{row['n']}"
    answer = f"{row['verdict']}, no evidence" if no_evidence(row) else row["verdict"]
    return f"{answer:18} {value:>9} {row['threshold']:10} {met:>5}  {row['sentence']} [{key}, {row['grade']}]"


def counts(table: pd.DataFrame) -> str:
    """How many distinct measurements have which verdict: a number under two ids counts once."""
    first = table[(table["same_as"] == "") | ~table["same_as"].isin(table.index)]
    parts = []
    for grade, title in papers.GRADES.items():
        rows = first[first["grade"] == grade]
        found = rows["verdict"].value_counts()
        told = [f"{found[verdict]} {verdict}" for verdict in URGENCY if verdict in found]
        weak = sum(no_evidence(row) for _, row in rows.iterrows())
        if weak:
            told.append(f"of those that hold {weak} are no evidence, since their null does as well")
        if len(rows):
            parts.append(f"{len(rows)} {title}: {', '.join(told)}")
    return "\n".join(["distinct measurements", *parts])


def no_evidence(row: pd.Series) -> bool:
    """Whether a claim holds and yet says nothing: its null meets the bound, or is not told apart within its family."""
    if row["verdict"] != "holds":
        return False
    return row["null_meets"] == "yes" or row["p_holm"] >= TOLD_APART


def holm(p_values: pd.Series) -> pd.Series:
    """Holm's correction (1979) of the p-values of one family."""
    ordered = p_values.sort_values()
    factors = np.arange(len(ordered), 0, -1)
    return (factors * ordered).cummax().clip(upper=1.0).reindex(p_values.index)


def _by_family(table: pd.DataFrame) -> pd.Series:
    """Holm's p-values of distinct measurements within their families; a number under another id has that one's."""
    first = table[(table["same_as"] == "") & (table["family"] != "") & table["p_value"].notna()]
    corrected = pd.Series(np.nan, index=table.index)
    for _, family in first.groupby("family"):
        corrected[family.index] = holm(family["p_value"])
    twins = table.index[(table["same_as"] != "") & table["p_value"].notna()]
    corrected[twins] = corrected.reindex(table.loc[twins, "same_as"]).to_numpy()
    return corrected


def _path(folder: Path, artefact: str) -> Path:
    paper = papers.artefacts()["paper"][artefact]
    return folder / paper / f"{artefact}.json"


def _untied(folder: Path) -> dict[str, dict[str, Any]]:
    """What ``folder`` says about claims without an artefact."""
    return _claims(folder / UNTIED)


def _found(folder: Path, artefact: str) -> dict[str, dict[str, Any]]:
    """What an artefact in ``folder``, if it is there, says about each of its claims."""
    return _claims(_path(folder, artefact))


def _claims(path: Path) -> dict[str, dict[str, Any]]:
    """What a file, if it is there, says about each claim in it."""
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
    null = claim.get("null") or {"words": "", "value": None, "meets": None}
    return {
        "verdict": _text(claim["verdict"]),
        "value": _number(claim["value"]),
        "threshold": _text(claim["threshold"]),
        "seeds": " ".join(map(str, claim["seeds"])),
        "low": _number(low),
        "high": _number(high),
        "met": _number(claim.get("met")),
        "n": _number(claim.get("n")),
        "p_holds": _number(claim.get("p_holds")),
        "null": _text(null["words"]),
        "null_value": _number(null["value"]),
        "null_meets": {True: "yes", False: "no", None: ""}[null["meets"]],
        "p_value": _number(claim.get("p_value")),
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
