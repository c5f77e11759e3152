"""The ledger: every claim of the papers, with the verdicts of the artefacts that are there."""

from __future__ import annotations

import json
from pathlib import Path

import fake_project
import pandas as pd
import pytest
from fake_project import SAVE

from nas_core import __main__, papers
from nas_core.choices import Choice
from nas_core.claims import CHECKS
from nas_core.driver.ledger import counts, holm, ledger, lines, unproven
from nas_core.driver.untied import judge_untied
from nas_core.errors import UserError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of the fake project's artefacts."""
    monkeypatch.setattr(papers, "artefacts", fake_project.artefacts)
    monkeypatch.setattr(papers, "claims", fake_project.claims)
    monkeypatch.setenv("NAS_OUT", str(tmp_path))
    exec(f"{SAVE}save('WI-B', 0.25, 'fails')", {})
    return tmp_path


def test_claims_have_the_verdicts_of_their_artefacts(folder: Path) -> None:
    table = ledger(folder)
    assert table["verdict"].to_dict() == {"C-Ax": "not run", "C-Bx": "fails", "C-Cx": "not run"}
    assert table.loc["C-Bx", ["value", "threshold", "seeds", "profile"]].tolist() == [0.25, "> 0", "0", "smoke"]
    assert pd.isna(table["value"]["C-Ax"])
    assert counts(table) == "distinct measurements\n3 statistical: 1 fails, 2 not run"
    assert lines(table)[1].split() == ["fails", "0.25", ">", "0", "It", "is", "so.", "[C-Bx,", "S]"]


def test_a_damaged_artefact_is_named(folder: Path) -> None:
    (folder / "wiring" / "WI-B.json").write_text('{"claims": [')
    with pytest.raises(UserError, match=r"WI-B.json is damaged \(JSONDecodeError"):
        ledger(folder)


def test_all_claims_are_in_the_real_ledger(tmp_path: Path) -> None:
    table = ledger(tmp_path)
    assert list(table.index) == list(papers.claims().index)
    assert set(table["verdict"]) == {"not run"}


def test_claims_are_printed_by_grade_and_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["claims", "--grade", "X", "--paper", "mixpath"]) == 0
    printed = capsys.readouterr().out
    table = papers.claims().query("grade == 'X' and paper == 'mixpath'")
    assert all(claim in printed for claim in table.index)
    assert "C-W12" not in printed, "an exact claim of another paper"


def test_an_exact_claim_of_an_existing_artefact_must_hold(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = fake_project.claims().assign(grade="X")
    monkeypatch.setattr(papers, "claims", lambda: exact)
    assert unproven(ledger(folder), folder) == ["C-Bx"]  # the artefacts of the other two are not there
    monkeypatch.setattr(__main__, "__file__", str(folder / "nas_core" / "__main__.py"))
    (folder / "figures").symlink_to(folder)
    assert __main__.main(["claims"]) == 1
    assert "existing artefacts that do not hold: C-Bx" in capsys.readouterr().err
    exec(f"{SAVE}save('WI-B', 0.25, 'not run')", {})
    assert __main__.main(["claims", "--grade", "X"]) == 1
    exec(f"{SAVE}save('WI-B', 0.25, 'holds')", {})
    assert __main__.main(["claims"]) == 0
    monkeypatch.setattr(papers, "claims", fake_project.claims)
    exec(f"{SAVE}save('WI-B', 0.25, 'fails')", {})
    assert __main__.main(["claims"]) == 0  # a statistical claim may fail


@pytest.mark.parametrize(
    ("option", "message"),
    [(["--grade", "Z"], "unknown grade 'Z'. Allowed: X, S, R."), (["--paper", "wirin"], "did you mean 'wiring'?")],
)
def test_an_unknown_grade_or_paper_is_named(
    option: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["claims", *option]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", "2"), ("value", True), ("verdict", 3), ("interval", ["a", "b"]), ("interval", [1]), ("seeds", 3)],
)
def test_a_field_of_another_type_is_damage(folder: Path, field: str, value: object) -> None:
    path = folder / "wiring" / "WI-B.json"
    content = json.loads(path.read_text())
    content["claims"][0][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"WI-B.json is damaged \((Type|Value)Error"):
        ledger(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"claims": ["x"], "profile": "p"}'])
def test_json_of_another_shape_is_damage(folder: Path, text: str) -> None:
    (folder / "wiring" / "WI-B.json").write_text(text)
    with pytest.raises(UserError, match=r"WI-B.json is damaged"):
        ledger(folder)


def judged(folder: Path, claim: str, **told: object) -> None:
    """Write a verdict as an artefact's file has it."""
    usual = {"verdict": "holds", "value": 1.0, "threshold": "> 0", "seeds": [0, 1], "interval": [0.5, 1.5]}
    content = json.loads((folder / "wiring" / "WI-B.json").read_text())
    content["claims"] = [{"id": claim, **usual, **told}]
    (folder / "wiring" / "WI-B.json").write_text(json.dumps(content))


def test_null_seeds_and_probabilities_are_told(folder: Path) -> None:
    null = {"words": "shuffled", "value": 0.2, "meets": True, "reaches": True}
    judged(folder, "C-Bx", met=2, n=2, p_holds=0.98, p_value=0.3, null=null)
    table = ledger(folder)
    assert table.loc["C-Bx", ["low", "high", "met", "n", "p_holds"]].tolist() == [0.5, 1.5, 2, 2, 0.98]
    assert table.loc["C-Bx", ["null", "null_value", "null_meets", "p_value"]].tolist() == ["shuffled", 0.2, "yes", 0.3]
    assert lines(table)[1].startswith("holds, no evidence         1 > 0          2/2  It is so.")
    assert "1 holds, 2 not run, of those that hold 1 are no evidence" in counts(table)


def test_holm_by_hand() -> None:
    """Three p-values: the smallest times 3, the next times 2 but not below it, the largest."""
    found = holm(pd.Series({"a": 0.04, "b": 0.01, "c": 0.03}))
    assert found.to_dict() == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert holm(pd.Series({"a": 0.9, "b": 0.8})).max() == 1


def test_a_family_is_corrected_and_a_number_under_two_ids_counts_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = fake_project.claims().assign(family="P1", same_as=["", "", "C-Bx"])
    monkeypatch.setattr(papers, "claims", lambda: claims)
    null = {"words": "shuffled", "value": 0.0, "meets": False, "reaches": False}
    for key, p_value in {"A": 0.04, "B": 0.03, "C": 0.03}.items():
        judged(folder, f"C-{key}x", met=2, n=2, p_value=p_value, null=null)
        (folder / "wiring" / f"WI-{key}.json").write_bytes((folder / "wiring" / "WI-B.json").read_bytes())
    judged(folder, "C-Bx", met=2, n=2, p_value=0.03, null=null)
    table = ledger(folder)
    assert table["p_holm"].tolist() == pytest.approx([0.06, 0.06, 0.06])  # two measurements, not three
    assert counts(table).splitlines()[1].startswith("2 statistical: 2 holds, of those that hold 2 are no evidence")


def test_claims_without_an_artefact_are_judged_where_their_runs_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_RUNS", str(tmp_path / "store"))
    judge_untied(Choice("smoke"), tmp_path)
    assert not (tmp_path / "claims.json").exists(), "no runs, no verdict"
    told = {"id": "C-WP2x", "verdict": "holds", "value": 0.5, "threshold": "> 0", "seeds": [0], "interval": None}
    (tmp_path / "claims.json").write_text(json.dumps({"profile": "laptop", "claims": [told]}))
    assert ledger(tmp_path).loc["C-WP2x", ["verdict", "value"]].tolist() == ["holds", 0.5]
    assert CHECKS["C-WP2x"].needed == ("W-DSNAS8m",)
