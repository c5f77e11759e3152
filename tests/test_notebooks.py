"""The committed notebooks and figures are what they should be, and the guards notice when they are not."""

from __future__ import annotations

import ast
import copy
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import notebook_guards as guards
import pandas as pd
import pytest
from jupyter_server.services.contents.filemanager import AsyncFileContentsManager
from nbformat import v4

from nas_core import papers
from nas_core.claims import CHECKS
from nas_core.driver import lab
from nas_core.driver.ledger import ledger, unproven
from nas_core.experiments import configs

REPO = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))
FIGURES = sorted((REPO / "figures").glob("*/*.json"))


def read(path: Path) -> dict[str, Any]:
    """A notebook as plain data."""
    return json.loads(path.read_text("utf8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_sound(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert guards.problems(notebook) == []


def test_the_readme_lists_every_notebook_once_and_in_order() -> None:
    readme = (REPO / "README.md").read_text("utf8")
    rows = re.findall(r"^\| \[(\w+)\]\(notebooks/(\w+)\.ipynb\) \|", readme, re.MULTILINE)
    assert [link for _, link in rows] == [name for name, _ in rows] == [path.stem for path in NOTEBOOKS]


def test_notebooks_save_what_the_matrix_gives_them() -> None:
    table = papers.artefacts()["notebook"]
    listed = {name: sorted(table.index[table == name]) for name in set(table) - {""}}
    made = {path.stem: sorted(guards.saved(read(path))) for path in NOTEBOOKS}
    assert {name: ids for name, ids in made.items() if ids} == listed


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figure_belongs_to_the_matrix(path: Path) -> None:
    content = json.loads(path.read_text())
    artefact, part = papers.artefact_and_part(path.stem)
    row = papers.artefacts().loc[artefact]
    table = papers.claims()
    assert path.parent.name == row["paper"]
    assert row["notebook"], "no notebook makes it"
    assert content["profile"] == "laptop"
    assert {key.partition("-laptop-")[0] for key in content["runs"]} <= set(row["runs"].split())
    claims = set() if part else set(table.index[table["artefact"] == artefact])
    assert {claim["id"] for claim in content["claims"]} == claims
    assert all((path.with_suffix(end)).is_file() for end in (".png", ".csv"))


def test_every_run_of_an_artefact_is_drawn_by_it_or_by_its_parts() -> None:
    """Or it has trained the networks of a run that is drawn, or a claim of the artefact compares with it."""
    drawn: dict[str, set[str]] = {}
    for path in FIGURES:
        runs = {key.partition("-laptop-")[0] for key in json.loads(path.read_text())["runs"]}
        drawn.setdefault(papers.artefact_and_part(path.stem)[0], set()).update(runs)
    listed, judged = papers.artefacts()["runs"], papers.claims()["artefact"]
    for artefact, runs in drawn.items():
        checks = [CHECKS[claim] for claim in judged.index[judged == artefact] if claim in CHECKS]
        used = runs.union(*(check.needed for check in checks))
        needed = {need.run for run in used for need in configs(run, "laptop", [0])[0].needs()}
        assert runs <= set(listed[artefact].split()) <= used | needed, artefact


def test_every_artefact_that_a_notebook_makes_is_committed() -> None:
    table = papers.artefacts()["notebook"]
    made = [path.stem for path in FIGURES]
    assert set(table.index[table != ""]) <= set(made)
    assert {papers.artefact_and_part(name)[0] for name in made} <= set(made)


def test_ledger_agrees_with_the_figures() -> None:
    stored = pd.read_csv(REPO / "figures" / "ledger.csv", index_col="id", keep_default_na=False)
    fresh = ledger(REPO / "figures")
    assert stored["verdict"].to_dict() == fresh["verdict"].to_dict()


def test_every_exact_claim_of_a_committed_figure_holds() -> None:
    assert unproven(ledger(REPO / "figures"), REPO / "figures") == []


@pytest.fixture
def good() -> dict[str, Any]:
    """The smallest sound notebook."""
    printed = v4.new_output("stream", name="stdout", text="1\n")
    cells = [
        v4.new_markdown_cell("# Title"),
        v4.new_code_cell('profile: str = ""  # size\nseeds: list = []', execution_count=1),
        v4.new_code_cell("print(1)", execution_count=2, outputs=[printed]),
        v4.new_code_cell("%matplotlib inline\ns.save('WI-F1', title='t')", execution_count=3),
    ]
    cells[1].metadata["tags"] = ["parameters"]
    cells[2].metadata["tags"] = [guards.CHECKED]
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    return json.loads(nbformat.writes(notebook))


def test_guards_let_a_sound_notebook_pass(good: dict[str, Any]) -> None:
    assert guards.problems(good) == []
    assert guards.saved(good) == ["WI-F1"]


PICTURE = {"output_type": "display_data", "data": {"image/png": ""}, "metadata": {}}
BROKEN: dict[str, tuple[list[Any], Any]] = {
    "kernel is 'mine'": (["metadata", "kernelspec", "name"], "mine"),
    "metadata ['papermill']": (["metadata", "papermill"], {}),
    "version of the executing Python": (["metadata", "language_info"], {"name": "python", "version": "3"}),
    "cell 2: metadata ['execution']": (["cells", 2, "metadata"], {"execution": {"iopub.execute_input": "2020"}}),
    "injected by papermill": (["cells", 2, "metadata"], {"tags": ["injected-parameters"]}),
    "cells without ids": (["cells", 3, "id"], None),
    "0 cells tagged parameters": (["cells", 1, "metadata"], {}),
    "sets no literal": (["cells", 1, "source"], 'profile = ""\nseeds = []\nn = 2 * len(seeds)'),
    "parameter profile is not": (["cells", 1, "source"], 'profile = "laptop"\nseeds = []'),
    "parameter seeds is not": (["cells", 1, "source"], 'profile = ""'),
    "not executed from top to bottom": (["cells", 3, "execution_count"], 7),
    "a stored error": (["cells", 3, "outputs"], [{"output_type": "error"}]),
    "no cell is tagged": (["cells", 2, "metadata"], {}),
    "nothing to check under": (["cells", 2, "outputs"], []),
    "printed instead of asserted under 'print(1)'": (["cells", 2, "outputs", 0, "text"], "equal: False"),
    "printed instead of asserted under 'print(1 < 2)'": (["cells", 2, "source"], "print(1 < 2)"),
    "asserted under 'print(not a)'": (["cells", 2, "source"], "print(not a)"),
    "asserted under 'print(a and b)'": (["cells", 2, "source"], "print(a and b)"),
    "asserted under 'print(f\"{bool(a)}\")'": (["cells", 2, "source"], 'print(f"{bool(a)}")'),
    "text on stderr": (["cells", 3, "outputs"], [{"output_type": "stream", "name": "stderr", "text": "hm"}]),
    "a machine path: '/home/m": (["cells", 2, "outputs", 0, "text"], "see /home/me/x"),
    "an address": (["cells", 2, "outputs", 0, "text"], "<object at 0x7f00aa11>"),
    "a progress bar": (["cells", 2, "outputs", 0, "text"], " 10%|# | 1/9"),
    "a warning": (["cells", 2, "outputs", 0, "text"], "x.py:3: UserWarning: y"),
    "31 lines of code": (["cells", 3, "source"], "x = 1\n" * 31),
    "a picture without alternative text": (["cells", 3, "outputs"], [PICTURE]),
    "plt.subplots draws in matplotlib's own style": (["cells", 3, "source"], "plt.subplots()"),
}


@pytest.mark.parametrize(("message", "where", "value"), [(m, *change) for m, change in BROKEN.items()], ids=BROKEN)
def test_guards_notice(good: dict[str, Any], message: str, where: list[Any], value: Any) -> None:
    broken = copy.deepcopy(good)
    place: Any = broken
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    assert any(message in problem for problem in guards.problems(broken)), guards.problems(broken)


def test_guards_notice_cells_that_are_long_by_habit(good: dict[str, Any]) -> None:
    for cell in good["cells"][2:]:
        cell["source"] = "x = 1\n" * 11
    assert "half of its code cells have 11 lines or more" in guards.problems(good)


def test_guards_count_a_part_to_its_artefact(good: dict[str, Any]) -> None:
    good["cells"][3]["source"] = "s.save('WI-F1', title='t')\ns.save('WI-F1', part='b', title='t')"
    assert guards.saved(good) == ["WI-F1"]


def test_guards_let_a_checked_cell_print_what_is_no_verdict(good: dict[str, Any]) -> None:
    cell = good["cells"][2]
    cell["source"] = "assert a < b\nprint(f'{1 if a < b else 2}', sum(x > 0 for x in y), 'ok')"
    assert guards.problems(good) == []


def test_guards_notice_a_save_whose_id_is_computed(good: dict[str, Any]) -> None:
    good["cells"][3]["source"] = "for key in keys:\n    s.save(key, title='t')"
    assert guards.saved(good) == ["?"]


def test_nbval_compares_what_is_printed_and_nothing_else(tmp_path: Path) -> None:
    shutil.copy(REPO / "notebooks" / "conftest.py", tmp_path)
    code = "import sys\nprint(1, flush=True)\n_ = sys.stderr.write('2')\n"
    code += "from IPython.display import HTML\nHTML('<b>3</b>')"
    shown = {"text/plain": "<IPython.core.display.HTML object>", "text/html": "<i>other</i>"}
    for name, printed in {"same": "1\n", "other": "7\n"}.items():
        outputs = [
            v4.new_output("stream", name="stdout", text=printed),
            v4.new_output("stream", name="stderr", text="other"),
            v4.new_output("execute_result", data=shown, execution_count=1),
        ]
        kernel = {"name": "python3", "display_name": "Python 3"}
        marked = {"tags": [guards.CHECKED]}
        cells = [v4.new_code_cell(code, execution_count=1, outputs=outputs, metadata=marked)]
        nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True)
    assert "1 failed, 1 passed" in done.stdout
    assert "FAILED other.ipynb::Cell 0" in done.stdout


def test_two_persons_of_a_machine_do_not_share_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the folder for temporary files belongs to who makes it, and cannot be opened by others."""
    found = runpy.run_path(str(REPO / "notebooks" / "conftest.py"))
    mine = found["kernels_lock"]()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert found["kernels_lock"]() != mine
    assert found["kernels_lock"]().parent == mine.parent


@pytest.mark.parametrize(("workers", "jobs"), [("2", "1"), ("1", None)])
def test_notebooks_compute_for_themselves_where_tests_run_beside_each_other(
    monkeypatch: pytest.MonkeyPatch, workers: str, jobs: str | None
) -> None:
    monkeypatch.delenv("NAS_JOBS", raising=False)
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
    found = runpy.run_path(str(REPO / "notebooks" / "conftest.py"))
    assert found["variables"]().get("NAS_JOBS") == jobs


PERSONAL = {"MPLBACKEND": "Agg", "MATPLOTLIBRC": "/mine", "PYTHONOPTIMIZE": "1", "PYTHONWARNINGS": "error"}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, str]]:
    """The command and the variables with which `make lab` starts JupyterLab, asked by a person with settings."""
    calls: list[tuple[list[str], dict[str, str]]] = []
    for name, value in {**PERSONAL, "JUPYTER_PATH": "/mine"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "execve", lambda path, command, variables: calls.append((command, variables)))
    lab.lab(["--no-browser"])
    return calls[0]


def test_kernels_of_jupyterlab_hear_nothing_of_the_persons_settings(started: tuple) -> None:
    command, variables = started
    assert command[-1] == "--no-browser"
    assert not {"JUPYTER_PATH", "PYTHONOPTIMIZE", "PYTHONWARNINGS"} & set(variables)
    assert variables["MPLBACKEND"].endswith("backend_inline")
    assert Path(variables["MATPLOTLIBRC"]).is_file()
    assert variables["JUPYTER_PREFER_ENV_PATH"] == "1"


def test_the_file_browser_shows_notebooks_alone(started: tuple) -> None:
    (said,) = [part for part in started[0] if part.startswith("--ContentsManager.hide_globs=")]
    hidden = ast.literal_eval(said.partition("=")[2])
    manager = AsyncFileContentsManager(root_dir=str(REPO / "notebooks"), hide_globs=hidden)
    shown = {path.suffix for path in (REPO / "notebooks").iterdir() if manager.should_list(path.name)}
    assert shown == {".ipynb"}


CELL = "import os; assert 'inline' in os.environ['MPLBACKEND'] and 'PYTHONSTARTUP' not in os.environ"


def test_kernels_of_the_tests_hear_nothing_of_the_persons_settings(tmp_path: Path) -> None:
    shutil.copy(REPO / "notebooks" / "conftest.py", tmp_path)
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(CELL)]), tmp_path / "any.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "any.ipynb"]
    variables = {**os.environ, "MPLBACKEND": "Agg", "PYTHONSTARTUP": "/mine", "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
