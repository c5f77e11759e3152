"""Randomness: every use has a generator of its own, so that observing a run does not change it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor


def generators(seed: int, names: Sequence[str]) -> dict[str, Generator]:
    """One generator a name; no two runs of a kind with different seeds share one."""
    found = {}
    for i, name in enumerate(names):
        found[name] = Generator().manual_seed(seed * len(names) + i)
    return found


def states(streams: dict[str, Generator]) -> dict[str, Tensor]:
    """Where each generator stands."""
    return {name: generator.get_state() for name, generator in streams.items()}


def load_states(streams: dict[str, Generator], saved: dict[str, Tensor]) -> None:
    """Take over what :func:`states` gave."""
    for name, generator in streams.items():
        generator.set_state(saved[name])
