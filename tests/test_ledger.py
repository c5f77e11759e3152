"""The ledger: every claim of the papers, with the verdicts of the artefacts that are there."""

from __future__ import annotations

import json
from pathlib import Path

import fake_project
import pandas as pd
import pytest
from fake_project import SAVE

from nas_core import __main__, papers
from nas_core.driver.ledger import counts, ledger, lines, unproven
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
    assert counts(table) == "2 not run, 1 fails"
    assert lines(table)[1].split() == ["C-Bx", "S", "fails", "0.25", ">", "0", "It", "is", "so."]


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
