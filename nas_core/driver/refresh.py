"""Refreshes the committed notebooks from executed ones: the outputs come in, what changes from run to run stays out."""

import re
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from nas_core.driver.plan import notebooks_folder
from nas_core.errors import UserError
from nas_core.files import write_atomic
from nas_core.runs import location
from nas_core.runs.store import repository

ADDED = ("injected-parameters", "papermill-error-cell-tag")  # tags of cells that papermill puts in
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
AGAIN = "run `python -m nas_core figures` first"
PROGRESS = re.compile(r"^.*(\d%\|.*|\d(it|s)/(s|it)\]).*$\n?", re.MULTILINE)


def refresh() -> list[Path]:
    """Replace each notebook by its executed copy, cleaned; all are checked before the first one is replaced."""
    executed = location() / "out" / "laptop" / "notebooks"
    fresh = {path: _cleaned(path, executed / path.name) for path in sorted(notebooks_folder().glob("*.ipynb"))}
    for path, notebook in fresh.items():
        write_atomic(path, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())
    return list(fresh)


def _cleaned(path: Path, executed: Path) -> Any:
    if not executed.is_file():
        raise UserError(f"{path.name} has not been executed at laptop: {AGAIN}.")
    old, new = (nbformat.read(each, as_version=4) for each in (path, executed))
    new.cells = [cell for cell in new.cells if not set(ADDED) & set(cell.metadata.get("tags", ()))]
    if [(c.cell_type, c.source) for c in old.cells] != [(c.cell_type, c.source) for c in new.cells]:
        raise UserError(f"{path.name} has changed since it was executed: {AGAIN}.")
    clean(new)
    for index, cell in enumerate(new.cells):
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr" or output.output_type == "error":
                said = output.get("text", output.get("ename", "")).strip()
                raise UserError(f"{path.name}, cell {index}: error or stderr: {said!r}; mend it, {AGAIN}.")
    return new


def clean(notebook: Any) -> None:
    """Take papermill's traces, times, versions, progress bars and machine paths out of an executed notebook."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    CoalesceStreamsPreprocessor().preprocess(notebook, {})
    executed = [cell for cell in notebook.cells if cell.get("execution_count") is not None]
    for count, cell in enumerate(executed, start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if output.output_type == "stream":
                output.text = _without_paths(PROGRESS.sub("", output.text))
            for kind, text in output.get("data", {}).items():
                if kind.startswith("text/") and isinstance(text, str):
                    output.data[kind] = _without_paths(text)
        cell.outputs = [output for output in cell.outputs if output.get("text", "something").strip()]
    CoalesceStreamsPreprocessor().preprocess(notebook, {})  # what is gone stood between some


def _without_paths(text: str) -> str:
    """Paths in the checkout become relative to it; those in the home folder begin with ~."""
    root = repository()
    for place, short in ((root, ""), (Path.home(), "~/")):
        if place is not None:
            text = text.replace(f"{place}/", short)
    return text
