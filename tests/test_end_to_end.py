"""The main job on real input: the command, real searches at smoke, a real notebook, real figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from nas_core import papers

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and an output folder of this test's own."""
    return tmp_path_factory.mktemp("end-to-end")


def figures(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the command at smoke, in another working directory."""
    command = [sys.executable, "-m", "nas_core", "figures", "--profile", "smoke", "--out", str(place / "out")]
    environment = {**os.environ, "NAS_RUNS": str(place / "store"), "NAS_PROFILE": "laptop"}
    return subprocess.run([*command, *arguments], env=environment, cwd=place, capture_output=True, text=True)


def test_end_to_end_figures(place: Path) -> None:
    first = figures(place, "--only", "WI-F12")
    assert first.returncode == 0, first.stdout + first.stderr
    made = place / "out" / "wiring" / "WI-F12"
    assert made.with_suffix(".png").read_bytes().startswith(PNG)
    assert len(pd.read_csv(made.with_suffix(".csv")))
    content = json.loads(made.with_suffix(".json").read_text())
    assert content["profile"] == "smoke"
    assert {key.partition("-smoke-")[0] for key in content["runs"]} == {"W-DSNAS8"}
    known = papers.claims()
    assert {claim["id"] for claim in content["claims"]} == set(known.index[known["artefact"] == "WI-F12"])
    ledger = pd.read_csv(place / "out" / "ledger.csv", index_col="id", keep_default_na=False)
    assert list(ledger.index) == list(known.index)
    assert ledger["verdict"]["C-W12"] == "holds", "an exact claim"
    assert ledger["verdict"]["C-W12a"] == "not at this scale"


def test_end_to_end_figures_again_are_identical(place: Path) -> None:
    again = figures(place, "--only", "WI-F12")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "WI-F12: identical" in again.stdout
    assert "computing" not in again.stdout
