"""Trainers: from the settings of a run to its result, one step at a time, resumable at every step.

A run is of a *kind*: its settings, a subclass of :class:`nas_core.trainers.settings.RunConfig`, name its trainer. This
module imports no trainer, so that what a run's source is does not depend on which other kinds there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from nas_core.trainers.devices import check_present

if TYPE_CHECKING:
    from nas_core.trainers.result import Result
    from nas_core.trainers.settings import RunConfig


class Trainer(Protocol):
    """What computes a run: ``done`` of ``total`` steps, each of them short beside the time between two checkpoints.

    ``period``: after so many steps something is summed up (an epoch, a child), which a replay then covers. ``state``
    is everything that the rest of the run depends on, as nested dicts with string keys, lists and tuples of tensors,
    arrays and plain values; ``load_state`` goes on from there, bit for bit. ``result`` is there when all is done.
    """

    done: int
    total: int
    period: int

    def step(self) -> object: ...

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: dict[str, Any]) -> None: ...

    def result(self) -> Result: ...


def build(config: RunConfig, needed: Mapping[str, Result] | None = None) -> Trainer:
    """The trainer that ``config`` names; ``needed``: by key, the results of the runs that it needs."""
    check_present(config.device)
    module, _, name = config.trainer.partition(":")
    trainer = getattr(import_module(module), name)
    return trainer(config, needed) if config.needs() else trainer(config)
