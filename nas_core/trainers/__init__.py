"""Trainers: from a validated config to a result, one step at a time, resumable at every step."""

from __future__ import annotations

from nas_core.config import RunConfig
from nas_core.trainers.result import Result
from nas_core.trainers.search import Search

__all__ = ["Result", "Search", "build"]


def build(config: RunConfig) -> Search:
    """The trainer that computes ``config``."""
    return Search(config)
