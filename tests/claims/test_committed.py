"""The committed verdicts follow from the committed numbers, and the ledger repeats both."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas_core import papers
from nas_core.claims import VERDICTS, holds

FIGURES = Path(__file__).resolve().parents[2] / "figures"
CONTENTS = {path.stem: json.loads(path.read_text("utf8")) for path in sorted(FIGURES.glob("*/*.json"))}
CLAIMS = {claim["id"]: (content, claim) for content in CONTENTS.values() for claim in content["claims"]}
# Claims whose mean meets the bound although a majority of seeds does not: what a mean cannot tell.
ONLY_THE_MAJORITY_FAILS: set[str] = set()


def expected(content: dict[str, Any], claim: dict[str, Any]) -> str:
    """The verdict by the grade, bound and smallest profile of claims.csv, from the value alone."""
    row = papers.claims().loc[claim["id"]]
    if row["grade"] == "R":
        return "reference"
    if claim["value"] is None:
        return "not run"
    if papers.PROFILES.index(content["profile"]) < papers.PROFILES.index(row["profile"]):
        return "not at this scale"
    if not holds(claim["id"], claim["value"]) or claim["id"] in ONLY_THE_MAJORITY_FAILS:
        return "fails"
    return "holds"


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_verdict_follows_from_value_bound_and_grade(claim: str) -> None:
    content, written = CLAIMS[claim]
    row = papers.claims().loc[claim]
    assert written["verdict"] in VERDICTS
    assert written["verdict"] == expected(content, written)
    if written["value"] is None:
        assert written["threshold"] == ""
        assert written["interval"] is None
    else:
        assert written["threshold"] == f"{row['comparison']} {row['bound']:g}"


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_interval_is_around_its_value(claim: str) -> None:
    """Student's interval is symmetric."""
    _, written = CLAIMS[claim]
    if written["interval"] is not None:
        low, high = written["interval"]
        assert low < written["value"] < high
        assert (low + high) / 2 == pytest.approx(written["value"], rel=1e-9)


@pytest.mark.parametrize("artefact", CONTENTS)
def test_seeds_of_a_verdict_are_those_of_its_artefact(artefact: str) -> None:
    content = CONTENTS[artefact]
    for claim in content["claims"]:
        assert claim["seeds"] in ([], content["seeds"])


def test_the_ledger_repeats_the_verdicts() -> None:
    """Every column, to the six digits that the ledger has."""
    stored = pd.read_csv(FIGURES / "ledger.csv", index_col="id", keep_default_na=False)
    table = papers.claims()
    assert list(stored.index) == list(table.index)
    for column in ("artefact", "paper", "grade", "sentence"):
        assert stored[column].to_dict() == table[column].to_dict()
    for key, row in stored.iterrows():
        if key not in CLAIMS:
            assert row["verdict"] == "not run"
            continue
        content, claim = CLAIMS[str(key)]
        low, high = claim["interval"] or (None, None)
        assert row["verdict"] == claim["verdict"]
        assert row["threshold"] == claim["threshold"]
        assert row["seeds"] == " ".join(map(str, claim["seeds"]))
        assert row["profile"] == content["profile"]
        numbers = {"value": claim["value"], "low": low, "high": high}
        for column, number in numbers.items():
            assert row[column] == ("" if number is None else f"{number:.6g}"), (key, column)
