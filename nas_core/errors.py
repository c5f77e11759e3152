"""Errors meant for the person at the keyboard: one sentence that names what is wrong and what is allowed."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A bad input; the command line prints its one sentence without a traceback and exits with code 2."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def choose(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Return ``name`` if allowed; otherwise raise :class:`UserError` naming it, the nearest and the allowed ones."""
    options = list(allowed)
    if name in options:
        return name
    if not options:
        raise UserError(f"unknown {kind} {name!r}: there is none at all.")
    near = difflib.get_close_matches(str(name), options, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UserError(f"unknown {kind} {name!r}{hint} Allowed: {', '.join(map(str, options))}.")
