"""Sweeps: every combination is a run of its own, checked before anything is computed, and rows say what was swept."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import METHODS, config

from nas_core import __main__
from nas_core.driver.sweep import parsed
from nas_core.errors import UserError
from nas_core.runs.find import load
from nas_core.runs.sweep import changed, combinations, sweep

BASE = config("one-hot", probes=("losses",), epochs=1)


def test_end_to_end_rows_say_what_was_swept(root: Path) -> None:
    values = {"alpha.lr": [0.01, 0.03], "method.cost_clamp": [5.0, None]}
    done = sweep(BASE, values, seeds=np.arange(2), jobs=1, echo=lambda line: None)
    runs = done.runs()
    assert list(runs) == ["alpha.lr", "method.cost_clamp", "seed", "key"]
    assert runs["alpha.lr"].tolist() == [0.01] * 4 + [0.03] * 4
    assert runs["seed"].tolist() == [0, 1] * 4
    assert runs["key"].nunique() == 8
    assert load(runs["key"][7]).config.method.cost_clamp is None
    losses = done.table("losses")
    assert list(losses)[:3] == ["alpha.lr", "method.cost_clamp", "seed"]
    assert len(losses) == sum(len(record.table("losses")) for record in done.records)
    last = losses[(losses["alpha.lr"] == 0.03) & (losses["seed"] == 1) & losses["method.cost_clamp"].isna()]
    assert last["L"].tolist() == done.records[-1].table("losses")["L"].tolist()
    with pytest.raises(UserError, match="unknown table 'loss'; did you mean 'losses'"):
        done.table("loss")


def test_settings_that_depend_on_each_other_change_together() -> None:
    both = {"method": METHODS["softmax bi-level"], "data.search": 20, "data.train": 40, "method.drop_path": 0.1}
    new = changed(BASE, both)
    assert (new.data.search, new.data.train, new.method.drop_path) == (20, 40, 0.1)
    assert new.data.valid == BASE.data.valid


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpa.lr": [0.1]}, "SearchConfig has no field 'alpa'; did you mean 'alpha'?"),
        ({"alpha.rl": [0.1]}, "Alpha has no field 'rl'"),
        ({"method.temperature": [(1.0, 1.0)]}, "DSNAS has no field 'temperature'"),
        ({"alpha.lr": [0.1, -1.0]}, "Alpha.lr: "),
        ({"alpha.lr.x": [0.1]}, "Alpha.lr is 0.05, which has no setting 'x'."),
        ({"alpha.lr": []}, "alpha.lr must be given a list of values"),
        ({"network.order": "rcb"}, "network.order must be given a list of values"),
        ({"seed": [1, 2]}, "seeds are not one of the swept settings"),
    ],
)
def test_bad_values_are_named_before_anything_is_computed(values: dict, message: str) -> None:
    with pytest.raises(UserError) as told:
        list(combinations(BASE, values, [0]))
    assert str(told.value).startswith(message)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["alpha.lr=0.01,0.03"], {"alpha.lr": [0.01, 0.03]}),
        (["method.cost_clamp=1,null"], {"method.cost_clamp": [1, None]}),
        (["method.temperature=[1,0.03],[0.3,0.03]"], {"method.temperature": [[1, 0.03], [0.3, 0.03]]}),
        (["network.order=rcb,crb", "batch=20"], {"network.order": ["rcb", "crb"], "batch": [20]}),
    ],
)
def test_words_become_values(words: list[str], values: dict) -> None:
    assert parsed(words) == values


@pytest.mark.parametrize("words", [["alpha.lr"], ["=1"], ["alpha.lr="], ["batch=1", "batch=2"]])
def test_words_that_are_none_are_refused(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"^(--set takes a setting and its values|batch is set twice)"):
        parsed(words)


def test_the_command_prints_a_table_and_nothing_else(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", "W-DSNAS8", "--profile", "smoke", "--set", "alpha.lr=0.01,0.03", "--seeds", "5,101"]
    assert __main__.main([*command, "--jobs", "1"]) == 0
    printed = capsys.readouterr()
    table = pd.read_csv(io.StringIO(printed.out))
    assert table["seed"].tolist() == [5, 101, 5, 101]
    assert "no record; computing it" in printed.err
    assert __main__.main([*command, "--table", "losses", "--out", str(root / "t.csv")]) == 0
    rows = pd.read_csv(root / "t.csv")
    assert {"alpha.lr", "seed", "L"} <= set(rows)
    assert json.loads((root / "records" / table["key"][3] / "record.json").read_text())["config"]["alpha"]["lr"] == 0.03
    assert __main__.main(["sweep", "W-DSNAS9"]) == 2
    assert "did you mean 'W-DSNAS8'" in capsys.readouterr().err
