"""Refreshes the committed notebooks from executed ones: the outputs come in, what changes from run to run stays out.

nbconvert takes out papermill's cells and the metadata of notebook and code cells, and joins streams. It has nothing
for the rest, which is done here: metadata of text cells, execution counts that begin with 1 again when papermill's
cell is gone, progress bars and machine paths inside of what was printed.
"""

import re
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearMetadataPreprocessor, CoalesceStreamsPreprocessor, TagRemovePreprocessor
from nbformat import NotebookNode

from nas_core.driver.plan import notebooks_folder, study_notebooks
from nas_core.errors import UserError
from nas_core.files import repository, write_atomic
from nas_core.runs import location

ADDED = {"injected-parameters", "papermill-error-cell-tag"}  # tags of cells that papermill puts in
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
AGAIN = "run `python -m nas_core figures` first"
PROGRESS = re.compile(r"^.*(\d%\|.*|\d(it|s)/(s|it)\]).*$\n?", re.MULTILINE)


def refresh() -> list[Path]:
    """Replace each notebook by its executed copy, cleaned; all are checked before the first one is replaced.

    A study's notebook stays as it is unless its study has been made from it as it is now. Returns what was replaced.
    """
    executed = location() / "out" / "laptop" / "notebooks"
    studies = study_notebooks()
    fresh = {}
    for path in sorted(notebooks_folder().glob("*.ipynb")):
        if path.stem not in studies or _is_of(path, executed / path.name):
            fresh[path] = _cleaned(path, executed / path.name)
    for path, notebook in fresh.items():
        write_atomic(path, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())
    return list(fresh)


def _is_of(path: Path, executed: Path) -> bool:
    """Whether ``executed`` is there and is the notebook ``path`` as it is now."""
    if not executed.is_file():
        return False
    new = nbformat.read(executed, as_version=4)
    clean(new)
    return _sources(new) == _sources(nbformat.read(path, as_version=4))


def _cleaned(path: Path, executed: Path) -> NotebookNode:
    if not executed.is_file():
        raise UserError(f"{path.name} has not been executed at laptop: {AGAIN}.")
    old = nbformat.read(path, as_version=4)
    new = nbformat.read(executed, as_version=4)
    clean(new)
    if _sources(old) != _sources(new):
        raise UserError(f"{path.name} has changed since it was executed: {AGAIN}.")
    for index, cell in enumerate(new.cells):
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr" or output.output_type == "error":
                said = output.get("text", output.get("ename", "")).strip()
                raise UserError(f"{path.name}, cell {index}: error or stderr: {said!r}; mend it, {AGAIN}.")
    return new


def _sources(notebook: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def clean(notebook: NotebookNode) -> None:
    """Take papermill's traces, times, versions, progress bars and machine paths out of an executed notebook."""
    TagRemovePreprocessor(remove_cell_tags=ADDED).preprocess(notebook, {})
    ClearMetadataPreprocessor(preserve_cell_metadata_mask={"tags"}).preprocess(notebook, {})
    CoalesceStreamsPreprocessor().preprocess(notebook, {})
    notebook.metadata.kernelspec = nbformat.from_dict(KERNEL)
    _clear_text_cells(notebook)
    _count_again(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(_without_noise, cell.outputs) if _says_something(output)]
    CoalesceStreamsPreprocessor().preprocess(notebook, {})  # what is gone stood between some


def _clear_text_cells(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type != "code":
            tags = cell.metadata.get("tags")
            cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})


def _count_again(notebook: NotebookNode) -> None:
    executed = [cell for cell in notebook.cells if cell.get("execution_count") is not None]
    for count, cell in enumerate(executed, start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def _without_noise(output: NotebookNode) -> NotebookNode:
    """An output without progress bars and machine paths."""
    if output.output_type == "stream":
        output.text = _without_paths(PROGRESS.sub("", output.text))
    for kind, text in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(text, str):
            output.data[kind] = _without_paths(text)
    return output


def _says_something(output: NotebookNode) -> bool:
    if output.output_type == "stream":
        return bool(output.text.strip())
    return output.get("data") != {"text/plain": ""}  # a progress bar's; see nas_core.runs.progress


def _without_paths(text: str) -> str:
    """Paths in the checkout become relative to it; those in the home folder begin with ~."""
    root = repository()
    if root is not None:
        text = text.replace(f"{root}/", "")
    return text.replace(f"{Path.home()}/", "~/")
