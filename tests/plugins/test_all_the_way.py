"""One thing of every kind, registered from outside, from the settings to the figure; other code is another run."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from small import generator

from nas_core import plugins
from nas_core.cells.evaluation import EvaluationNetwork
from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.claims import evaluate
from nas_core.experiments import configs
from nas_core.report.style import new_axes, op_handles, op_style
from nas_core.runs import obtain
from nas_core.session import Session

SOME = Path(__file__).with_name("some_plugin.py")
RUNS = ("OWN-SEARCH", "OWN-GUESS")
OUTSIDE = {"relaxation tempered", "operation conv_1x1", "cell ladder", "data set stripes"}


def key(run: str = "OWN-SEARCH") -> str:
    return configs(run, "smoke", [0])[0].key()


def test_end_to_end_from_settings_to_a_saved_figure(store: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NAS_OUT", str(tmp_path / "out"))
    plugins.load(SOME)
    asked = [config for run in RUNS for config in configs(run, "smoke", [0, 1])]
    lines: list[str] = []
    found = obtain(asked, jobs=2, progress=False, echo=lines.append)
    assert len([line for line in lines if "computing it" in line]) == 4
    records = {run: [record for record in found if record.config.run == run] for run in RUNS}
    verdict = evaluate("OWN-C1", records)
    assert (verdict.verdict, verdict.note) == ("inconclusive", "fewer than 5 seeds")
    assert verdict.threshold == "> 0"
    assert set(records["OWN-SEARCH"][0].config.identity()["outside"]) == OUTSIDE

    session = Session("my_notebook", profile="smoke", seeds=[0, 1])
    record = session.records("OWN-SEARCH")[0]
    assert record.folder == found[0].folder
    table = record.table("accuracy")
    axes = new_axes()
    axes.plot(table.epoch, table.acc)
    axes.legend(handles=op_handles(record.config.network.candidates))  # type: ignore[attr-defined]
    session.save("OWN-F1", axes.figure, table, title="Accuracy")
    saved = tmp_path / "out" / "own" / "OWN-F1"
    content = json.loads(saved.with_suffix(".json").read_text())
    assert content["dataset"] == "Stripes 5x7, 70 images"
    assert content["caption"] == (
        "Relaxed (70 images, 4 epochs, 2 seeds); the most frequent label (70 images, 2 seeds) "
        "on Stripes, 5 × 7 pixels (a test of the path, not a result)."
    )
    assert content["claims"][0]["id"] == "OWN-C1"
    assert content["claims"][0]["value"] == pytest.approx(verdict.value)
    assert set(content["runs"]) == {config.key() for config in asked}
    assert saved.with_suffix(".png").stat().st_size
    assert len(pd.read_csv(saved.with_suffix(".csv"))) == len(table)


def test_an_operation_is_drawn_counted_and_part_of_evaluation_networks() -> None:
    plugins.load(SOME)
    assert op_style("conv_1x1").label == "c1"
    cell = CellGenotype(2, 1, ((0, 2, "conv_1x1"), (1, 2, "skip_connect")), (2,))
    network = EvaluationNetwork(
        Genotype(cell, cell), channels=4, layers=3, classes=3, in_channels=2, generator=generator()
    )
    logits, _ = network(torch.rand(2, 2, 5, 7))
    assert logits.shape == (2, 3)


@pytest.mark.parametrize(("old", "new"), [
    ("/ temperature, dim=-1)", "/ temperature**2, dim=-1)"),
    ("1, stride, bias=False)", "1, stride, bias=True)"),
    ("((0, 2), (1, 2), (2, 3)), (2, 3))", "((0, 2), (1, 2), (2, 3)), (3,))"),
    ("+= 100", "+= 99"),
    ("valid=20", "valid=21"),
])  # fmt: skip
def test_other_code_or_images_under_the_same_name_are_another_run(copy: Path, old: str, new: str) -> None:
    plugins.load(copy)
    before = key()
    text = copy.read_text()
    assert old in text
    copy.write_text(text.replace(old, new, 1))
    plugins.load(copy)
    assert key() != before
    copy.write_text(text)
    plugins.load(copy)
    assert key() == before


def test_comments_are_no_other_run_and_data_is_told_by_its_images(copy: Path) -> None:
    plugins.load(copy)
    search, guess = key(), key("OWN-GUESS")
    copy.write_text(f"# why\n{copy.read_text()}")
    plugins.load(copy)
    assert (key(), key("OWN-GUESS")) == (search, guess)
    copy.write_text(copy.read_text().replace("/ temperature, dim", "/ temperature**2, dim"))
    plugins.load(copy)
    assert key() != search
    assert key("OWN-GUESS") == guess, "the images are the same"


def test_a_trainer_that_changes_is_replayed(copy: Path) -> None:
    def lines() -> list[str]:
        plugins.load(copy)
        said: list[str] = []
        obtain(configs("OWN-GUESS", "smoke", [0, 1]), jobs=2, progress=False, echo=said.append)
        return said

    assert all("computing it" in line for line in lines())
    assert lines() == ["OWN-GUESS: 2 of 2 records found"]
    copy.write_text(copy.read_text().replace("SPEED = 1.0", "SPEED = 2.0"))
    said = lines()
    assert len(said) == 2
    assert all("a replay differs" in line for line in said)


def test_workers_notice_a_plugin_that_changed_meanwhile(copy: Path) -> None:
    plugins.load(copy)
    asked = configs("OWN-GUESS", "smoke", [0, 1])
    copy.write_text(copy.read_text().replace("SPEED = 1.0", "SPEED = 2.0"))
    with pytest.raises(ValueError, match=f"the plugin {copy} has changed since it was loaded: load it again"):
        obtain(asked, jobs=2, progress=False, echo=lambda line: None)
