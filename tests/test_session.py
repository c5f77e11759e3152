"""A notebook's session: parameters checked before computing, runs asked for by id, artefacts saved by their owner."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fake_project
import numpy as np
import pandas as pd
import pytest

from nas_core import choices, papers, report, session
from nas_core.choices import Choice
from nas_core.claims import CHECKS, Verdict
from nas_core.claims.check import Check
from nas_core.errors import UserError
from nas_core.experiments import RUN_IDS, TUNING_SEEDS, configs, reporting_seeds
from nas_core.runs import Record, RunsFailed, progress
from nas_core.session import Session
from nas_core.trainers.methods import Exact, SecondOrder
from nas_core.trainers.result import Result
from nas_core.trainers.settings import RunConfig


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of the caller's, and a store of the test's own."""
    for name in ("NAS_PROFILE", "NAS_OUT", "NAS_FORMULATION", "NAS_DRIVER", "NAS_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NAS_RUNS", str(tmp_path / "store"))


@pytest.fixture
def obtained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[list[str], bool]]:
    """What was asked of the store: the runs and whether with a progress bar; nothing is trained."""
    calls: list[tuple[list[str], bool]] = []

    def obtain(configs: Sequence[RunConfig], *, progress: bool, echo: Any) -> list[Record]:
        calls.append(([config.run for config in configs], progress))
        echo("said by the store")
        return [Record(config, tmp_path, {}, Result()) for config in configs]

    monkeypatch.setattr(session, "obtain", obtain)
    return calls


def test_profile_is_the_parameter_then_the_variable_then_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Session("06_wiring_evolution").profile == "laptop"
    monkeypatch.setenv("NAS_PROFILE", "smoke")
    assert Session("06_wiring_evolution").profile == "smoke"
    assert Session("06_wiring_evolution", profile="laptop").profile == "laptop"


def test_seeds_are_the_parameter_or_those_the_profile_reports() -> None:
    assert Session("x", profile="smoke").seeds == (0, 1)
    assert Session("05_snas_search", profile="laptop").seeds == tuple(range(10))  # those of its run with most
    assert Session("x", profile="laptop", seeds=[7, 3]).seeds == (7, 3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"profile": "labtop"}, "unknown profile 'labtop'; did you mean 'laptop'?"),
        ({"profile": 3}, "unknown profile 3"),
        ({"seeds": "[0, 1]"}, "(papermill: -y 'seeds: [0, 1]'), without 100 to 109, which chose the"),
        ({"seeds": 3}, "chose the settings; not 3."),
        ({"seeds": [0, -1]}, "not -1."),
        ({"seeds": [True]}, "not True."),
        ({"seeds": [1.0]}, "not 1.0."),
        ({"seeds": [4, 4]}, "not 4."),
        ({"seeds": [0, TUNING_SEEDS[0]]}, f"not {TUNING_SEEDS[0]}."),
    ],
)
def test_a_bad_parameter_is_named_before_anything_is_computed(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Session("06_wiring_evolution", **bad)


def test_printing_says_what_where_and_with_which_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = str(Session("06_wiring_evolution", profile="smoke"))
    assert all(word in text for word in ("Fashion-MNIST 7x7", "smoke", "seeds 0, 1", "cpu", "output: smoke/"))
    assert "5 to 20 seeds a run" in str(Session("06_wiring_evolution", profile="laptop"))
    assert str(tmp_path) not in text
    assert "/work" not in text.replace("output: smoke/", "")
    monkeypatch.setenv("NAS_DRIVER", "figures/")
    assert "output: figures/" in str(Session("06_wiring_evolution"))
    assert "exact: no data set, no runs, the same at every profile · cpu" in str(Session("01_search_space"))


def test_paths_are_shown_relative_to_the_checkout() -> None:
    root = Path(__file__).resolve().parents[1]
    assert choices.shown(root / ".runs" / "out" / "smoke") == ".runs/out/smoke/"
    assert choices.shown(Path("/elsewhere/mine")) == "mine/"


def test_records_come_once_one_per_seed(obtained: list, capsys: pytest.CaptureFixture[str]) -> None:
    s = Session("06_wiring_evolution", profile="laptop", seeds=[5, 6])
    first, again = s.records("W-DSNAS8"), s.records("W-DSNAS8")
    assert [record.config.seed for record in first] == [5, 6]
    assert first == again
    assert obtained == [(["W-DSNAS8", "W-DSNAS8"], True)]
    assert "said by the store" in capsys.readouterr().out


def test_at_smoke_all_runs_of_a_notebook_come_with_the_first_one(obtained: list) -> None:
    s = Session("06_wiring_evolution", profile="smoke", seeds=[5, 6])
    (first, _), (other, _) = s.records("W-DSNAS8"), s.records("W-DARTS8")
    assert [record.config.run for record in (first, other)] == ["W-DSNAS8", "W-DARTS8"]
    ((asked, _),) = obtained
    assert sorted(asked) == sorted(2 * papers.runs_of("06_wiring_evolution"))


def test_of_a_run_that_fails_at_smoke_hears_who_asks_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def obtain(configs: Sequence[RunConfig], **_: Any) -> list[Record]:
        failures = {config.key(): "too bad" for config in configs if config.run == "W-DARTS8"}
        if failures:
            raise RunsFailed(failures, {})
        return [Record(config, tmp_path, {}, Result()) for config in configs]

    monkeypatch.setattr(session, "obtain", obtain)
    s = Session("06_wiring_evolution", profile="smoke")
    assert len(s.records("W-DSNAS8")) == 2
    with pytest.raises(RunsFailed, match="too bad"):
        s.records("W-DARTS8")


def test_under_the_driver_nobody_watches(
    obtained: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(Session("06_wiring_evolution", profile="smoke").progress(2, "live")) == [0, 1]
    assert "live" in capsys.readouterr().err
    monkeypatch.setenv("NAS_DRIVER", "figures/")
    s = Session("06_wiring_evolution", profile="smoke")
    s.records("W-DSNAS8")
    assert obtained[0][1] is False
    assert list(s.progress(2, "live")) == [0, 1]
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_an_unknown_run_is_named() -> None:
    with pytest.raises(UserError, match="unknown run 'W-DSNAS9'; did you mean 'W-DSNAS8'"):
        Session("06_wiring_evolution").records("W-DSNAS9")


def test_only_runs_that_the_matrix_gives_to_the_notebook(obtained: list) -> None:
    s = Session("05_snas_search", profile="smoke")
    s.records("S-DARTS1")
    listed = ", ".join(papers.runs_of("05_snas_search"))
    assert {"S-SNAS-mild", "S-DARTS1", "S-ENAS"} <= set(listed.split(", "))
    with pytest.raises(UserError, match=rf"'W-SNAS8' is not listed for 05_snas_search in .*; allowed: {listed}\."):
        s.records("W-SNAS8")
    assert len(obtained) == 1
    with pytest.raises(UserError, match=r"'W-DARTS8' is not listed .*artefacts\.csv; allowed: none"):
        Session("01_search_space").records("W-DARTS8")


def test_formulation_is_the_parameter_then_the_variable_then_each_runs_own(
    obtained: list, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def formulation(**parameters: str) -> str:
        return Session("06_wiring_evolution", profile="smoke", **parameters).records("W-DSNAS8")[0].config.formulation

    assert formulation() == "fused"
    monkeypatch.setenv("NAS_FORMULATION", "plain")
    assert formulation() == "plain"
    assert formulation(formulation="fused") == "fused"
    s = Session("06_wiring_evolution", profile="smoke")
    assert "formulation plain" in str(s)
    assert s.out == tmp_path / "store" / "out" / "smoke-plain"
    monkeypatch.setenv("NAS_FORMULATION", "fast")
    with pytest.raises(UserError, match="unknown formulation 'fast'"):
        Session("01_search_space")


def test_runs_that_no_other_formulation_can_compute_stay_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    (darts,) = configs("W-DARTS8r", "smoke", [0])
    exact = darts.but(method=SecondOrder(estimator=Exact()), formulation="plain")
    odd = darts.but(network=darts.network.but(order="crb"), formulation="plain")
    monkeypatch.setattr(choices, "configs", lambda run, profile, seeds: [{"exact": exact, "odd": odd}[run]])
    fused = Choice("smoke", formulation="fused")
    assert fused.configs("exact") == [exact]
    assert fused.configs("odd") == [odd]
    assert Choice("smoke").configs("odd") == [odd]


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch, obtained: list) -> list[dict[str, Any]]:
    """What reached ``report.save`` from a fake project, in which the claim of WI-A has a check on W-DSNAS8."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(papers, "artefacts", fake_project.artefacts)
    monkeypatch.setattr(papers, "claims", fake_project.claims)
    monkeypatch.setattr(session, "CHECKS", {"C-Ax": Check(float, ("W-DSNAS8",))})
    monkeypatch.setattr(
        session, "evaluate", lambda claim, records, measured: Verdict(claim, "holds", float(len(records["W-DSNAS8"])))
    )
    monkeypatch.setattr(report, "save", lambda artefact, *_, **rest: calls.append({"artefact": artefact, **rest}))
    return calls


def test_save_passes_records_and_verdicts_on(saved: list[dict[str, Any]], tmp_path: Path) -> None:
    s = Session("01_good", profile="smoke")
    verdicts = s.save("WI-A", None, pd.DataFrame(), title="T")
    assert [(v.id, v.verdict, v.value) for v in verdicts] == [("C-Ax", "holds", 2.0)]
    assert verdicts == s.verdicts("WI-A")
    (call,) = saved
    assert (call["artefact"], call["title"], call["verdicts"]) == ("WI-A", "T", verdicts)
    assert call["seeds"] == (0, 1)
    assert call["runs"] == [record.config.key() for record in s.records("W-DSNAS8")]
    assert call["formulation"] == "fused"
    assert (call["profile"], call["dataset"]) == ("smoke", "Fashion-MNIST 7x7, 64 images")
    assert call["out"] == tmp_path / "store" / "out" / "smoke"


def test_save_takes_what_was_measured_without_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAS_OUT", str(tmp_path))
    s, table = Session("01_search_space"), pd.DataFrame({"edges": [5]})
    told = {"title": "The minimal cell", "measured": {"C-W2": 0, "C-W2b": 1}, "data": "a cell"}
    verdicts = s.save("WI-F2", None, table, **told)
    assert [(v.id, v.verdict, v.value) for v in verdicts] == [("C-W2", "holds", 0.0), ("C-W2b", "fails", 1.0)]
    content = json.loads((tmp_path / "wiring" / "WI-F2.json").read_text())
    assert (content["dataset"], content["seeds"], content["runs"]) == ("a cell", [], [])
    assert "formulation" not in content
    assert s.exact() == "2 exact claims: C-W2b fails"
    s.save("WI-F2", None, table, **told | {"measured": {"C-W2": 0, "C-W2b": 0}})
    assert s.exact() == "2 exact claims: all hold"
    s.save("WI-F2", None, table, title="The minimal cell")
    assert s.exact() == "2 exact claims: C-W2 not run, C-W2b not run"


@pytest.mark.parametrize(
    ("notebook", "artefact", "claim"),
    [
        ("01_search_space", "WI-F2", "C-W5a"),  # of another artefact
        ("05_snas_search", "SN-T1", "C-SNT1r"),  # has a check
    ],
)
def test_only_claims_without_runs_can_be_measured_by_hand(notebook: str, artefact: str, claim: str) -> None:
    with pytest.raises(UserError, match=f"unknown claim of {artefact} that is measured without runs '{claim}'"):
        Session(notebook, profile="smoke").verdicts(artefact, measured={claim: 0.0})


def test_save_writes_where_it_is_told(
    saved: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_OUT", str(tmp_path / "there"))
    Session("01_good", profile="smoke").save("WI-A", None, pd.DataFrame(), title="T")
    assert saved[0]["out"] == tmp_path / "there"


@pytest.mark.parametrize(
    ("artefact", "message"),
    [
        ("WI-X", "unknown artefact 'WI-X'"),
        ("WI-B", "WI-B belongs to 02_other in artefacts.csv, so 01_good may not save it"),
        ("WI-C", "WI-C has no notebook yet in artefacts.csv"),
    ],
)
def test_save_refuses_what_the_matrix_does_not_give(saved: list[dict[str, Any]], artefact: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Session("01_good", profile="smoke").save(artefact, None, pd.DataFrame(), title="T")
    assert saved == []


def test_verdicts_show_as_a_table(saved: list[dict[str, Any]]) -> None:
    verdicts = Session("01_good", profile="smoke").verdicts("WI-A")
    assert type(verdicts).__name__ == "Verdicts"
    for text in (repr(verdicts), verdicts._repr_html_()):
        assert "C-Ax" in text
        assert "holds" in text


def test_the_matrix_lists_only_runs_that_there_are() -> None:
    table = papers.artefacts()
    assert {run for runs in table["runs"] for run in runs.split()} <= set(RUN_IDS)
    assert (table.loc[table["notebook"] == "", "runs"] == "").all()


@pytest.mark.parametrize("claim", CHECKS)
def test_a_check_takes_runs_of_its_artefact(claim: str) -> None:
    """And of its null's; a claim without artefact takes runs that some notebook asks for."""
    artefact = papers.claims()["artefact"][claim]
    listed = papers.artefacts()["runs"]
    allowed = listed[artefact] if artefact else " ".join(listed)
    assert set(CHECKS[claim].needed) <= set(allowed.split())


def test_a_user_error_shows_as_one_sentence_in_a_notebook() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shown: list[str] = []
    shell = InteractiveShell()
    shell._showtraceback = lambda kind, value, lines: shown.extend(lines)  # type: ignore[method-assign]
    shell.run_cell("from nas_core.session import Session; Session('x', profile='labtop')")
    assert shown == ["UserError: unknown profile 'labtop'; did you mean 'laptop'? Allowed: smoke, laptop, paper."]


def test_claims_without_an_artefact_are_judged_by_name(obtained: list[tuple[list[str], bool]]) -> None:
    """The records here are empty, but the runs that they need were asked for."""
    with pytest.raises(UserError, match="unknown array"):
        Session("06_wiring_evolution", profile="laptop").judge("C-WP2x")
    assert obtained[0][0] == ["W-DSNAS8m"] * len(reporting_seeds("W-DSNAS8m", "laptop"))


def test_progress_in_a_notebook_is_not_on_standard_error_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s = Session("06_wiring_evolution", profile="smoke")
    assert list(s.progress(2, "live")) == [0, 1]
    with s.busy("drawing WI-F1"):
        pass
    assert "drawing WI-F1 ..." in capsys.readouterr().err
    outputs: list[list[str]] = []

    class Output(list):
        def update(self, data: dict[str, str], raw: bool) -> None:
            self.append(data["text/plain"])

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Output:
        outputs.append(Output([data["text/plain"]]))
        return outputs[-1]  # type: ignore[return-value]

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    assert list(s.progress(2, "live")) == [0, 1]
    with s.busy("drawing WI-F1"):
        pass
    printed = capsys.readouterr()
    assert printed.err == printed.out == ""
    live, drawing = outputs
    assert live[0].startswith("live: ")
    assert drawing[0] == "drawing WI-F1 ..."
    assert live[-1] == drawing[-1] == ""


def test_the_device_is_the_variables(obtained: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DEVICE", "cuda")
    s = Session("06_wiring_evolution", profile="smoke")
    assert "cuda\n" in str(s)
    assert s.records("W-DSNAS8")[0].config.device == "cuda"
    assert s.out.name == "smoke-cuda"
    monkeypatch.setenv("NAS_DEVICE", "gpu")
    with pytest.raises(UserError, match="unknown device 'gpu'"):
        Session("06_wiring_evolution", profile="smoke")


def test_a_folder_that_cannot_be_written_to_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(UserError, match=r"store is not a folder\); name a writable folder in NAS_RUNS"):
        Session("06_wiring_evolution", profile="smoke")


def test_what_papermill_injects_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise UserError("asked first")

    monkeypatch.setattr(session, "check_injected", refuse)
    with pytest.raises(UserError, match="asked first"):
        Session("06_wiring_evolution", profile="labtop")


@pytest.mark.parametrize("stored", [True, False], ids=["record", "live result"])
def test_a_live_result_and_a_stored_record_are_read_alike(tmp_path: Path, stored: bool) -> None:
    result = Result({"losses": pd.DataFrame({"L": [1.0]})}, {"prob": np.ones(2)})
    (config,) = configs("W-DSNAS8", "smoke", [0])
    got = Record(config, tmp_path, {}, result) if stored else result
    copy = got.table("losses")
    copy.loc[0, "L"] = 9.0
    assert got.table("losses")["L"].tolist() == [1.0]
    assert got.array("prob").tolist() == [1.0, 1.0]
    assert got.genotypes == got.weights == {}
    with pytest.raises(UserError, match=r"unknown table 'loss'; did you mean 'losses'\?"):
        got.table("loss")
    with pytest.raises(UserError, match=r"unknown array 'p'. Allowed: prob\."):
        got.array("p")
