"""Whether what papermill put into a running notebook are parameters of that notebook, of the types that it gives them.

Papermill itself only logs a parameter that the notebook does not have, and the notebook runs on with its defaults. It
runs the values that it was given in a cell of their own, which begins with a comment, after the notebook's own
``parameters`` cell; IPython keeps the source of both.
"""

import ast
import sys
from collections.abc import Sequence
from typing import Any

from nas_core.errors import UserError, choose

INJECTED = "# Parameters"  # the first line of papermill's cell


def check_injected(cells: Sequence[str] | None = None) -> None:
    """Raise :class:`UserError` for a parameter that the notebook does not have, or whose value has another type.

    ``cells``: the sources executed so far, by default those of the running notebook, if there is one.
    """
    executed = _executed() if cells is None else cells
    own: dict[str, Any] = {}
    for source in executed:
        values = _literals(source)
        if not source.startswith(INJECTED):
            own.update(values)
            continue
        for name, value in values.items():
            choose("parameter of this notebook", name, own)
            _check_type(name, value, own[name])


def _executed() -> Sequence[str]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell.user_ns.get("In", ()) if shell is not None else ()


def _literals(source: str) -> dict[str, Any]:
    """The names that a cell gives a literal value at its top, with the values."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # IPython's own, such as %magic
        return {}
    found = {}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _literal(node.value)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = _literal(node.value)
    return found


def _literal(node: ast.expr) -> Any:
    """The value of a literal; of anything else, such as papermill's float('nan'), its source."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _check_type(name: str, value: Any, default: Any) -> None:
    allowed = type(default)
    if type(value) is allowed or (allowed is float and type(value) is int):
        return
    raise UserError(f"the parameter {name} must be of type {allowed.__name__}, like {default!r}, not {value!r}.")
