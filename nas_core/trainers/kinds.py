"""The settings of a run from the JSON that a record keeps of them, whatever kind of run it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nas_core.errors import UserError
from nas_core.trainers import (  # noqa: F401 - defines the package's own kinds
    cell_scores,
    cells_alone,
    chain_child_settings,
    chain_ranks,
    chain_settings,
    cost_probe,
    detection_settings,
    enas,
    front_settings,
    multipath_settings,
    parallel_search,
    random_search,
    retraining,
    search,
    shadow_norms,
)
from nas_core.trainers.known import kinds, read_settings
from nas_core.trainers.settings import RunConfig

__all__ = ["kinds", "settings_from"]


def settings_from(content: Mapping[str, Any]) -> RunConfig:
    """The settings whose :meth:`RunConfig.identity` is ``content``.

    Raises :class:`UserError` for a kind that is unknown here and for settings that another version wrote.
    """
    config = read_settings(content)
    if json.loads(json.dumps(config.identity())) != content:
        raise UserError(f"the settings of {config.run} seed {config.seed} mean another run in this version.")
    return config
