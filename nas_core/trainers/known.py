"""The kinds of runs that have been imported, by name: the settings of a run from the JSON that a record keeps of them.

It imports no kind, so that a kind whose runs need others does not depend on which other kinds there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nas_core.errors import choose
from nas_core.trainers.settings import RunConfig


def kinds() -> dict[str, type[RunConfig]]:
    """Every kind of run that has been imported, one's own included, by the default of its field ``kind``."""
    found: dict[str, type[RunConfig]] = {}
    for cls in _subclasses(RunConfig):
        tag = cls.model_fields.get("kind")
        if tag is not None and isinstance(tag.default, str):
            found.setdefault(tag.default, cls)
    return found


def read_settings(content: Mapping[str, Any]) -> RunConfig:
    """The settings that ``content`` has, of the kind that it names; an unknown kind is a :class:`UserError`."""
    every = kinds()
    cls = every[choose("kind of run", str(content.get("kind")), every)]
    given = {name: value for name, value in content.items() if name in cls.model_fields}
    return cls(**given)


def settings_if_json(value: Any) -> Any:
    """What a field that holds the settings of another run is validated with: JSON becomes settings, all else stays."""
    return read_settings(value) if isinstance(value, Mapping) else value


def _subclasses(cls: type[RunConfig]) -> Iterator[type[RunConfig]]:
    """Those defined first come first."""
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)
