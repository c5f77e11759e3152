"""What every committed notebook must be like: each function lists what is wrong with one, in words."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from typing import Any

MACHINE_PATH = re.compile(r"(?<![\w.:/~])(/(home|root|tmp|work|Users|usr|opt|var|mnt|private)/\w|[A-Z]:\\\w)")
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
PROGRESS = re.compile(r"\d%\||\d ?(it|s)/(s|it)\b")
WARNING = re.compile(r"\b\w*Warning\b")
VERDICT = re.compile(r"\b(True|False)\b")
NOISE = {"a machine path": MACHINE_PATH, "an address": ADDRESS, "a progress bar": PROGRESS, "a warning": WARNING}
STYLES_OF_MATPLOTLIB = ("plt.subplots", "plt.figure", "plt.show")
LINES = 30
MEDIAN = 10  # lines of code in half of the cells at most
CHECKED = "nbval-check-output"  # the tag by which nbval compares what a cell prints


def problems(notebook: dict[str, Any]) -> list[str]:
    """Everything that is wrong with a notebook by itself."""
    checks = (kernel, metadata, parameters, execution, checked_cells, verdicts, outputs, size, pictures)
    return [problem for check in checks for problem in check(notebook)]


def kernel(notebook: dict[str, Any]) -> Iterator[str]:
    """The kernel that is there on every machine."""
    name = notebook["metadata"].get("kernelspec", {}).get("name")
    if name != "python3":
        yield f"its kernel is {name!r}, not 'python3'"


def metadata(notebook: dict[str, Any]) -> Iterator[str]:
    """No traces of when and where it was executed."""
    if extra := set(notebook["metadata"]) - {"kernelspec", "language_info"}:
        yield f"metadata {sorted(extra)}"
    if "version" in notebook["metadata"].get("language_info", {}):
        yield "the version of the executing Python"
    for index, cell in enumerate(notebook["cells"]):
        if extra := set(cell["metadata"]) - {"tags"}:
            yield f"cell {index}: metadata {sorted(extra)}"
        if "injected-parameters" in cell["metadata"].get("tags", ()):
            yield f"cell {index}: injected by papermill"
    ids = [cell.get("id") for cell in notebook["cells"]]
    if None in ids or len(set(ids)) < len(ids):
        yield "cells without ids of their own"


def parameters(notebook: dict[str, Any]) -> Iterator[str]:
    """One cell of literals, in which profile and seeds have the defaults that leave the choice to the session."""
    tagged = [source(cell) for cell in code(notebook) if "parameters" in cell["metadata"].get("tags", ())]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells tagged parameters"
        return
    values: dict[str, Any] = {}
    for line in ast.parse(tagged[0]).body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        try:
            values[target.id] = ast.literal_eval(line.value)  # type: ignore[union-attr, attr-defined]
        except (AttributeError, ValueError):
            yield f"in the parameters cell, {ast.unparse(line)!r} sets no literal"
    for name, default in {"profile": "", "seeds": []}.items():
        if values.get(name) != default:
            yield f"parameter {name} is not {default!r}"


def execution(notebook: dict[str, Any]) -> Iterator[str]:
    """Executed once from top to bottom, without an error."""
    counts = [cell["execution_count"] for cell in code(notebook) if source(cell).strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield "not executed from top to bottom"
    for index, cell in enumerate(notebook["cells"]):
        if any(output["output_type"] == "error" for output in cell.get("outputs", ())):
            yield f"cell {index}: a stored error"


def checked_cells(notebook: dict[str, Any]) -> Iterator[str]:
    """nbval passes a marked cell that was stored without outputs."""
    marked = [cell for cell in code(notebook) if is_checked(cell)]
    if not marked:
        yield f"no cell is tagged {CHECKED}"
    for cell in marked:
        texts = [t for kind, t in texts_of(cell) if kind in ("stdout", "text/plain") and not t.startswith("<Figure")]
        if cell["execution_count"] is None or not "".join(texts).strip():
            yield f"nothing to check under {first_line(cell)!r}"


def verdicts(notebook: dict[str, Any]) -> Iterator[str]:
    """A check fails where it is made: a stored True or False would pass wherever it is printed again."""
    for cell in code(notebook):
        if not is_checked(cell):
            continue
        printed = any(VERDICT.search(text) for _, text in texts_of(cell))
        if printed or any(map(is_verdict, printed_values(cell))):
            yield f"a verdict that is printed instead of asserted under {first_line(cell)!r}"


def printed_values(cell: dict[str, Any]) -> Iterator[ast.expr]:
    """Every expression that a cell prints, alone or inside of an f-string."""
    for call in calls(cell):
        if isinstance(call.func, ast.Name) and call.func.id == "print":
            for argument in call.args:
                yield argument
                yield from (part.value for part in ast.walk(argument) if isinstance(part, ast.FormattedValue))


def is_verdict(value: ast.expr) -> bool:
    """Whether an expression is a comparison or something else that is true or false."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id in ("all", "any", "bool", "isinstance")
    negated = isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    return negated or isinstance(value, ast.Compare | ast.BoolOp)


def outputs(notebook: dict[str, Any]) -> Iterator[str]:
    """Nothing that differs from machine to machine or from run to run."""
    for index, cell in enumerate(notebook["cells"]):
        for kind, text in texts_of(cell):
            if kind == "stderr":
                yield f"cell {index}: text on stderr: {text.strip()[:60]!r}"
            for what, pattern in NOISE.items():
                if match := pattern.search(text):
                    yield f"cell {index}: {what}: {match[0]!r}"


def size(notebook: dict[str, Any]) -> Iterator[str]:
    """Cells that one can take in, and most of them at a glance."""
    lengths = []
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        lines = len(source(cell).splitlines())
        lengths.append(lines)
        if lines > LINES:
            yield f"cell {index}: {lines} lines of code"
    if lengths and statistics.median(lengths) > MEDIAN:
        yield f"half of its code cells have {statistics.median(lengths):g} lines or more"


def pictures(notebook: dict[str, Any]) -> Iterator[str]:
    """Every picture has words for whoever cannot see it."""
    for index, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}) and not output["metadata"].get("image/png", {}).get("alt"):
                yield f"cell {index}: a picture without alternative text"
        for name in STYLES_OF_MATPLOTLIB:
            if name in source(cell) and cell["cell_type"] == "code":
                yield f"cell {index}: {name} draws in matplotlib's own style; use report.new_figure"


def saved(notebook: dict[str, Any]) -> list[str]:
    """The artefact of every call of ``save`` but those of its parts; one whose id is computed counts as ``?``."""
    found = []
    for cell in code(notebook):
        for call in calls(cell):
            named = {keyword.arg for keyword in call.keywords}
            if isinstance(call.func, ast.Attribute) and call.func.attr == "save" and "part" not in named:
                first = call.args[0] if call.args else None
                found.append(str(first.value) if isinstance(first, ast.Constant) else "?")
    return found


def calls(cell: dict[str, Any]) -> Iterator[ast.Call]:
    """Every call in a cell's source, of which IPython's own lines are left out."""
    lines = ["pass" if re.match(r"\s*[%!]", line) else line for line in source(cell).splitlines()]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Call):
            yield node


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The code cells."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    """A cell's source as one string."""
    return "".join(cell["source"])


def first_line(cell: dict[str, Any]) -> str:
    """What a person finds a cell by: its first line of code."""
    return next((line for line in source(cell).splitlines() if not line.startswith("#")), "")


def is_checked(cell: dict[str, Any]) -> bool:
    """Whether nbval compares the outputs of a cell."""
    return CHECKED in cell["metadata"].get("tags", ())


def texts_of(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text among a cell's outputs with its kind: a stream's name or a MIME type."""
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            yield output["name"], "".join(output["text"])
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield kind, "".join(content)
