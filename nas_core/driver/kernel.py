"""Executes one notebook, in a worker process: nothing here is needed elsewhere, and torch is not needed here."""

import os
from typing import Any


def execute(source: str, target: str, profile: str, variables: dict[str, str], _tell: object) -> str | None:
    """Execute ``source`` at ``profile`` and write it to ``target``; returns what went wrong, in a sentence.

    ``variables``: what the kernel finds in its environment; ``_tell``, a worker's way to say more, is not needed.
    A kernel that does not start is tried once more, since two that start at once may be given the same ports.
    """
    os.environ |= variables
    import papermill
    from papermill.exceptions import PapermillExecutionError

    started: list[bool] = []
    while True:
        try:
            done = papermill.execute_notebook(
                *(path.replace("{", "{{").replace("}", "}}") for path in (source, target)),
                parameters={"profile": profile},
                progress_bar=False,
                cwd=os.path.dirname(source),
                start_timeout=120,
                iopub_timeout=60,
                on_notebook_start=lambda **_: started.append(True),
            )
            return _unfinished(done)
        except PapermillExecutionError as error:
            return f"{_begins(error.source)}: {error.ename}: {' '.join(error.evalue.split())}"
        except Exception as error:  # the kernel did not start, or died
            if started:
                return f"{type(error).__name__}: {' '.join(str(error).split())}"
            started.append(False)  # the second try is the last


def _unfinished(notebook: Any) -> str | None:
    """papermill takes ``sys.exit(0)`` in a cell for success: name the cell that ended the notebook early."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                return f"{_begins(cell.source)}: {output.ename} ended the notebook early"
    return None


def _begins(source: str) -> str:
    """How a person finds a cell: by its first line of code."""
    line = next((line for line in source.splitlines() if line.strip() and not line.startswith("#")), "")
    return f"in the cell that begins {line!r}"
