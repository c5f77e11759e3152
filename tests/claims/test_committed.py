"""The committed verdicts follow from what is committed with them: values, intervals, bounds, grades and profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas_core import papers
from nas_core.claims import CHECKS, VERDICTS, holds
from nas_core.claims.seeds import ENOUGH
from nas_core.driver.ledger import ledger
from nas_core.experiments import reporting_seeds

FIGURES = Path(__file__).resolve().parents[2] / "figures"
FILES = [*sorted(FIGURES.glob("*/*.json")), FIGURES / "claims.json"]
CONTENTS = {path.stem: json.loads(path.read_text("utf8")) for path in FILES if path.exists()}
CLAIMS = {claim["id"]: (content, claim) for content in CONTENTS.values() for claim in content["claims"]}


def expected(content: dict[str, Any], claim: dict[str, Any]) -> str:
    """The verdict by the grade, statistic, bound and smallest profile of claims.csv."""
    row = papers.claims().loc[claim["id"]]
    if row["grade"] == "R":
        return "reference"
    if claim["n"] is None:
        return "not run"
    if papers.PROFILES.index(content["profile"]) < papers.PROFILES.index(row["profile"]):
        return "not at this scale"
    if row["grade"] == "X" or row["statistic"] == "number":
        return "holds" if claim["met"] == claim["n"] else "fails"
    if claim["n"] < ENOUGH or claim["value"] is None or (claim["p_holds"] is None):
        return "inconclusive"
    sides = {holds(claim["id"], round(end, 12)) for end in claim["interval"] or [claim["value"]]}
    if len(sides) == 2:
        return "inconclusive"
    return "holds" if True in sides else "fails"


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_verdict_follows_from_interval_bound_and_grade(claim: str) -> None:
    content, written = CLAIMS[claim]
    row = papers.claims().loc[claim]
    assert written["verdict"] in VERDICTS
    assert written["verdict"] == expected(content, written)
    if written["n"] is None:
        assert (written["value"], written["threshold"], written["interval"]) == (None, "", None)
    else:
        assert written["threshold"] == f"{row['comparison']} {row['bound']:g}"
        assert 0 <= written["met"] <= written["n"]


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_interval_is_around_its_value(claim: str) -> None:
    _, written = CLAIMS[claim]
    if written["interval"] is not None:
        low, high = written["interval"]
        assert low <= written["value"] <= high
        assert 0 <= written["p_holds"] <= 1


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_null_that_is_told_apart_does_not_meet(claim: str) -> None:
    _, written = CLAIMS[claim]
    null, p_value = written["null"], written["p_value"]
    if null is not None:
        rejected = p_value is not None and p_value < 0.05
        assert null["meets"] == (null["reaches"] and not rejected)
        assert p_value is None or 0 < p_value <= 1


@pytest.mark.parametrize("claim", CLAIMS)
def test_seeds_of_a_verdict_are_those_that_its_runs_share(claim: str) -> None:
    """Of runs with different numbers of seeds, those of the one that has the fewest."""
    content, written = CLAIMS[claim]
    if claim in CHECKS and written["seeds"]:
        shared = [set(reporting_seeds(run, content["profile"])) for run in CHECKS[claim].runs]
        assert set(written["seeds"]) == set.intersection(*shared)
    else:
        assert written["seeds"] == []


def test_the_ledger_repeats_the_verdicts() -> None:
    """Every column, to the six digits that the ledger has."""
    stored = (FIGURES / "ledger.csv").read_text("utf8")
    fresh = ledger(FIGURES).to_csv(float_format="%.6g", lineterminator="\n")
    assert stored == fresh
    table = pd.read_csv(FIGURES / "ledger.csv", index_col="id", keep_default_na=False)
    assert table["verdict"].to_dict() == {key: _verdict(key) for key in table.index}


def _verdict(claim: str) -> str:
    return CLAIMS[claim][1]["verdict"] if claim in CLAIMS else "not run"
