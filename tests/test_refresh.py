"""Refreshing committed notebooks: outputs come in, everything that changes from run to run stays out."""

from __future__ import annotations

import json
from pathlib import Path

import fake_project
import nbformat
import notebook_guards as guards
import papermill
import pytest
from nbformat import v4

from nas_core.driver.refresh import refresh
from nas_core.errors import UserError
from nas_core.files import repository

NOISY = """
import sys
print("a = 1")
print(f"saved in {__file__ if '__file__' in globals() else ROOT}/figures/x.png", flush=True)
_ = sys.stderr.write("  0%|   | 0/9\\r 50%|## | 4/9 [00:01<00:02, 3.1it/s]\\n")
"""
CHECKED = "print(profile)"


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A folder with one notebook, and a folder with that notebook as papermill executed it."""
    cells = (f"ROOT = {str(repository())!r}", NOISY, CHECKED, "6 * 7")
    source = fake_project.write(tmp_path / "notebooks", "01_x", *cells)
    notebook = nbformat.read(source, 4)
    notebook.cells[3].metadata["tags"] = [guards.CHECKED]
    nbformat.write(notebook, source)
    monkeypatch.setattr("nas_core.driver.refresh.notebooks_folder", lambda: source.parent)
    monkeypatch.setenv("NAS_RUNS", str(tmp_path))
    folder = tmp_path / "out" / "laptop" / "notebooks"
    folder.mkdir(parents=True)
    papermill.execute_notebook(source, folder / source.name, {"profile": "laptop"}, progress_bar=False)
    return source.parent, folder


def test_outputs_come_in_without_traces(executed: tuple[Path, Path]) -> None:
    (path,) = refresh()
    notebook = json.loads(path.read_text())
    nbformat.validate(notebook)
    assert guards.problems(notebook) == []
    assert [cell["id"] for cell in notebook["cells"]] == [f"id-{i}" for i in range(5)]
    texts = [[text for _, text in guards.texts_of(cell)] for cell in notebook["cells"]]
    assert texts == [[], [], ["a = 1\nsaved in figures/x.png\n"], ["laptop\n"], ["42"]]
    assert path.read_text().endswith("}\n")


def test_text_cells_and_the_kernels_name_come_in_without_traces_too(executed: tuple[Path, Path]) -> None:
    folder, done = executed
    for place, traces in ((folder, {}), (done, {"papermill": {"status": "completed"}, "tags": ["kept"]})):
        notebook = nbformat.read(place / "01_x.ipynb", 4)
        notebook.cells.append(v4.new_markdown_cell("Text.", id="text", metadata=traces))
        notebook.metadata.kernelspec.display_name = ".venv (Python 3.12)"
        nbformat.write(notebook, place / "01_x.ipynb")
    notebook = json.loads(refresh()[0].read_text())
    assert notebook["cells"][-1]["metadata"] == {"tags": ["kept"]}
    assert notebook["metadata"]["kernelspec"]["display_name"] == "Python 3 (ipykernel)"


def test_streams_that_noise_stood_between_are_joined(executed: tuple[Path, Path]) -> None:
    _, done = executed
    notebook = nbformat.read(done / "01_x.ipynb", 4)
    pieces = (("stdout", "a\n"), ("stderr", "  5%|  | 1/9"), ("stdout", "b\n"))
    notebook.cells[-1].outputs = [v4.new_output("stream", name=name, text=text) for name, text in pieces]
    nbformat.write(notebook, done / "01_x.ipynb")
    assert [list(guards.texts_of(cell)) for cell in json.loads(refresh()[0].read_text())["cells"]][-1] == [
        ("stdout", "a\nb\n")
    ]


def test_refreshing_twice_changes_nothing(executed: tuple[Path, Path]) -> None:
    folder, done = executed
    first = refresh()[0].read_text()
    papermill.execute_notebook(folder / "01_x.ipynb", done / "01_x.ipynb", {"profile": "laptop"}, progress_bar=False)
    assert refresh()[0].read_text() == first


def test_a_notebook_that_was_not_executed_is_named(executed: tuple[Path, Path]) -> None:
    folder, _ = executed
    before = (folder / "01_x.ipynb").read_text()
    fake_project.write(folder, "02_y")
    with pytest.raises(UserError, match=r"02_y.ipynb has not been executed at laptop: run `python -m nas_core figures"):
        refresh()
    assert (folder / "01_x.ipynb").read_text() == before, "all are checked before one is replaced"


def test_a_notebook_that_changed_since_is_named(executed: tuple[Path, Path]) -> None:
    folder, _ = executed
    notebook = nbformat.read(folder / "01_x.ipynb", 4)
    notebook.cells.append(v4.new_code_cell("1 + 1"))
    nbformat.write(notebook, folder / "01_x.ipynb")
    with pytest.raises(UserError, match=r"01_x.ipynb has changed since it was executed"):
        refresh()


def test_a_study_is_refreshed_only_where_it_was_made_as_it_is(
    executed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = executed
    monkeypatch.setattr("nas_core.driver.refresh.study_notebooks", lambda: {"01_x", "02_y"})
    fake_project.write(folder, "02_y")
    assert refresh() == [folder / "01_x.ipynb"]
    notebook = nbformat.read(folder / "01_x.ipynb", 4)
    notebook.cells.append(v4.new_code_cell("1 + 1"))
    nbformat.write(notebook, folder / "01_x.ipynb")
    before = (folder / "01_x.ipynb").read_text()
    assert refresh() == []
    assert (folder / "01_x.ipynb").read_text() == before
    assert (done / "01_x.ipynb").is_file()


def test_a_failed_or_noisy_execution_is_refused(executed: tuple[Path, Path]) -> None:
    _, done = executed
    notebook = nbformat.read(done / "01_x.ipynb", 4)
    notebook.cells[-1].outputs = [v4.new_output("stream", name="stderr", text="x.py:1: UserWarning: y\n")]
    nbformat.write(notebook, done / "01_x.ipynb")
    with pytest.raises(UserError, match=r"01_x.ipynb, cell 4: error or stderr: 'x.py:1: UserWarning: y'"):
        refresh()


def test_what_a_progress_bar_left_stays_out(executed: tuple[Path, Path]) -> None:
    _, done = executed
    notebook = nbformat.read(done / "01_x.ipynb", 4)
    left, kept = (v4.new_output("display_data", data={"text/plain": text}) for text in ("", "a"))
    notebook.cells[-1].outputs = [left, kept]
    nbformat.write(notebook, done / "01_x.ipynb")
    (output,) = json.loads(refresh()[0].read_text())["cells"][-1]["outputs"]
    assert output["data"] == {"text/plain": ["a"]}
