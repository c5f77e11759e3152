"""The kinds of runs by name, and the settings of a run from the JSON that a record keeps of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nas_core.errors import UserError, choose
from nas_core.trainers import enas, random_search, search  # noqa: F401 - defines the package's own kinds
from nas_core.trainers.settings import RunConfig


def kinds() -> dict[str, type[RunConfig]]:
    """Every kind of run that has been imported, one's own included, by the default of its field ``kind``."""
    found: dict[str, type[RunConfig]] = {}
    for cls in _subclasses(RunConfig):
        tag = cls.model_fields.get("kind")
        if tag is not None and isinstance(tag.default, str):
            found.setdefault(tag.default, cls)
    return found


def settings_from(content: Mapping[str, Any]) -> RunConfig:
    """The settings whose :meth:`RunConfig.identity` is ``content``.

    Raises :class:`UserError` for a kind that is unknown here and for settings that another version wrote.
    """
    every = kinds()
    cls = every[choose("kind of run", str(content.get("kind")), every)]
    given = {name: value for name, value in content.items() if name in cls.model_fields}
    config = cls(**given)
    if json.loads(json.dumps(config.identity())) != content:
        raise UserError(f"the settings of {config.run} seed {config.seed} mean another run in this version.")
    return config


def _subclasses(cls: type[RunConfig]) -> Iterator[type[RunConfig]]:
    """Those defined first come first."""
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)
