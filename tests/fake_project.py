"""A project of two artefacts in two tiny notebooks, for the driver's tests: no torch, no training."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pandas as pd
from nbformat import v4

SAVE = """
import csv, json, os, pathlib
folder = pathlib.Path(os.environ["NAS_OUT"]) / "wiring"
folder.mkdir(parents=True, exist_ok=True)
def save(key, value, verdict="holds"):
    told = {"verdict": verdict, "value": value, "threshold": "> 0", "seeds": [0], "interval": None}
    content = {"id": key, "title": "t", "profile": "smoke", "dataset": "d", "seeds": [0], "runs": [], "versions": {}}
    (folder / f"{key}.png").write_bytes(b"png")
    (folder / f"{key}.csv").write_text(f"epoch,x\\n0,{value}\\n")
    (folder / f"{key}.json").write_text(json.dumps({**content, "claims": [{"id": f"C-{key[3:]}x", **told}]}))
"""
PARAMETERS = 'profile: str = ""\nseeds: list = []'


def artefacts() -> pd.DataFrame:
    """Two artefacts with notebooks, one without."""
    rows = {
        "WI-A": {"notebook": "01_good", "runs": "W-DSNAS8"},
        "WI-B": {"notebook": "02_other", "runs": "W-SNAS8 W-DSNAS8"},
        "WI-C": {"notebook": "", "runs": ""},
    }
    table = pd.DataFrame(rows).T.assign(paper="wiring", kind="figure", shows="s", timed=False)
    return table.rename_axis("id")


def claims() -> pd.DataFrame:
    """A claim for each of them."""
    ids = {f"C-{key[3:]}x": key for key in artefacts().index}
    table = pd.DataFrame({"artefact": ids}).assign(paper="wiring", grade="S", sentence="It is so.", profile="laptop")
    return table.assign(short="So it is", unit="share", family="", same_as="").rename_axis("id")


def write(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A notebook of code cells, not executed."""
    made = [v4.new_code_cell(text, id=f"id-{i}") for i, text in enumerate([parameters, *cells])]
    made[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / f"{name}.ipynb"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), path)
    return path


def value(out: Path, key: str) -> float:
    """The value of the artefact's claim."""
    return json.loads((out / "wiring" / f"{key}.json").read_text())["claims"][0]["value"]
