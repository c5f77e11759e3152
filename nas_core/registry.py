"""Registries: things by their names, those of the package and those that plugins register."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from nas_core.errors import UserError

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CELL = "cell_"  # how the files of cells begin


@dataclass(frozen=True)
class Plugin:
    """A file of Python; ``digest`` is that of its source, what it imports from its folder and the data it names."""

    path: Path
    digest: str

    @property
    def owner(self) -> str:
        """Whose names it may replace: its own, and as a cell of a notebook those of all other cells."""
        if self.path.stem.startswith(CELL):
            return f"a cell of a notebook ({self.path.parent})"
        return str(self.path)


class Registry(dict[str, T], Generic[T]):
    """Things of one ``kind`` by their names: those of the package, and what plugins register.

    ``check(name, thing)`` raises :class:`UserError` for a thing that cannot be registered. ``content``, where a thing
    is data, tells it from others; otherwise the source of its plugin does.
    """

    def __init__(
        self,
        kind: str,
        own: Mapping[str, T],
        *,
        check: Callable[[str, T], object] | None = None,
        content: Callable[[T], str] | None = None,
    ) -> None:
        super().__init__(own)
        self.kind = kind
        self.own = frozenset(own)
        self.origin: dict[str, Plugin] = {}
        self._check = check
        self._content = content
        REGISTRIES.append(self)

    def register(self, name: str, thing: T) -> None:
        """Add ``thing``; only a plugin that is being loaded may, and only under a name that nobody else has.

        Anything else is a :class:`UserError`.
        """
        if not LOADING:
            raise UserError(
                f"the {self.kind} {name!r} must be registered by a plugin, so that workers know it and changes are "
                "seen: put it into a file for nas_core.plugins.load, or into a cell that begins with %%plugin."
            )
        plugin = LOADING[-1]
        self._check_name(name, plugin)
        if self._check is not None:
            self._check(name, thing)
        self[name] = thing
        self.origin[name] = plugin

    def digest(self, name: str) -> str | None:
        """What tells ``name`` from another thing of that name: nothing if it is the package's own, or nobody's.

        Raises :class:`UserError` if nobody can tell, because no plugin has registered it.
        """
        if name in self.own or name not in self:
            return None
        if self._content is not None:
            return self._content(self[name])
        if name not in self.origin:
            raise UserError(
                f"the {self.kind} {name!r} was not registered by a plugin, so that its changes would go unseen: call "
                "register() in a file that nas_core.plugins.load loads."
            )
        return self.origin[name].digest

    def _check_name(self, name: str, plugin: Plugin) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UserError(
                f"{name!r} cannot name a {self.kind}: allowed are 1 to 64 letters, digits, points, hyphens and "
                "underscores, the first a letter or a digit."
            )
        if name not in self:
            return
        before = self.origin.get(name)
        if before is None:
            raise UserError(f"there is a {self.kind} {name!r} already, which is the package's; choose another name.")
        if before is plugin:
            raise UserError(f"the {self.kind} {name!r} is registered twice.")
        if before.owner != plugin.owner:
            raise UserError(f"there is a {self.kind} {name!r} already, of {before.owner}; choose another name.")


REGISTRIES: list[Registry[Any]] = []
LOADING: list[Plugin] = []  # one, or more where a plugin loads another
