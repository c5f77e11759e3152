"""The program that executes one notebook: ``python -m nas_core.driver.kernel ORDER``, with ORDER in JSON.

It writes lines of JSON to its output: ``{"started": true}`` once the kernel answers, ``{"cell": i}`` after each code
cell, and at last ``{"end": null}`` or what went wrong. It ends when its input does, and its kernel with it: nothing
outlives the driver.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

Send = Callable[[dict[str, Any]], None]


def main() -> None:
    """Execute the notebook that the first argument describes."""
    order = json.loads(sys.argv[1])
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no message
    threading.Thread(target=_end_with_input, daemon=True).start()

    def send(message: dict[str, Any]) -> None:
        lines.write(json.dumps(message) + "\n")

    send({"end": execute(order["source"], order["target"], order["parameters"], send)})


def execute(source: str, target: str, parameters: dict[str, Any], send: Send) -> str | None:
    """Execute ``source`` with ``parameters`` and write it to ``target``; returns what went wrong, in a sentence.

    A kernel that does not start is tried once more, since two that start at once may be given the same ports.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    started = False

    def begun(**_: object) -> None:
        nonlocal started
        started = True
        send({"started": True})

    for last_try in (False, True):
        try:
            done = papermill.execute_notebook(
                *(path.replace("{", "{{").replace("}", "}}") for path in (source, target)),
                parameters=parameters,
                progress_bar=False,
                cwd=os.path.dirname(source),
                start_timeout=120,
                iopub_timeout=60,
                on_notebook_start=begun,
                on_cell_executed=lambda cell_index, **_: send({"cell": cell_index}),
            )
            return _unfinished(done)
        except PapermillExecutionError as error:
            return f"{_begins(error.source)}: {error.ename}: {' '.join(error.evalue.split())}"
        except Exception as error:  # the kernel did not start, or died
            if started or last_try:
                return f"{type(error).__name__}: {' '.join(str(error).split())}"
    raise AssertionError("unreachable")


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


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)  # the kernel notices within a second


if __name__ == "__main__":
    main()
