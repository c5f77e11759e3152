"""Supernets of several paths: which networks they hold, how MixPath draws one, and how one is written down.

A *child* of such a supernet says of every layer which paths are active. A supernet draws children and computes any of
them; that is all that training and scoring need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from nas_core.cells.chain import ChainNetwork, Choice, Macro, Slot
from nas_core.cells.checks import at_least_one
from nas_core.cells.mixpath import (
    AFTER_PROJECTION,
    EXPANSIONS,
    KERNELS,
    PLACEMENTS,
    S1,
    S1_PLACEMENTS,
    S4_NODES,
    S4_OPERATIONS,
    Cell,
    MixedBottleneck,
    ParallelNetwork,
    draw_paths,
)
from nas_core.cells.multipath_cells import DARTS_SPACES, CellsSupernet
from nas_core.errors import UserError
from nas_core.registry import Registry

NORMS = ("shadow", "plain")  # a batch norm for every number of active paths, or one for all of them
S1_STEM = 32  # channels of the stem as printed, in whose units a narrow S1 is measured


class MultiPath(Protocol):
    """What training and scoring need of a supernet, a :class:`torch.nn.Module`, beside its weights."""

    def draw(self, generator: Generator) -> Any:
        """A child as MixPath draws it in a step of training: hashable, and ``forward`` takes it."""

    def __call__(self, images: Tensor, child: Any) -> Tensor:
        """Class logits (batch, classes) of ``images`` (batch, channels, height, width) in the ``child``."""


def narrowed(macro: Macro, channels: int, stem: int) -> Macro:
    """``macro``, whose stem has ``stem`` channels, with ``channels`` of them and all other widths in proportion.

    Widths are rounded down to whole channels; raises :class:`UserError` where one would be zero.
    """
    slots = []
    for slot in macro.slots:
        slots.append(Slot(_scaled(slot.inputs, channels, stem), _scaled(slot.outputs, channels, stem), slot.stride))
    return Macro(_scaled(macro.stem, channels, stem), macro.stride, tuple(slots), _scaled(macro.head, channels, stem))


def _scaled(width: int, channels: int, stem: int) -> int:
    return width * channels // stem


class S1Supernet(ChainNetwork):
    """The supernet of S1: 12 mixed bottlenecks, of whose kernels at most ``most`` are active in a layer.

    ``channels``: of the stem, 32 as printed, the other widths in proportion; ``norms``: see :data:`NORMS`;
    ``placement``: where they stand. A child is a tuple of one :class:`Choice` for each of the layers.
    """

    def __init__(
        self,
        *,
        channels: int,
        most: int,
        norms: str,
        classes: int,
        in_channels: int,
        generator: Generator,
        placement: str = AFTER_PROJECTION,
    ) -> None:
        at_least_one("the supernet of S1", channels=channels, most=most)
        if most > len(KERNELS):
            raise UserError(f"a layer of S1 has {len(KERNELS)} kernels, so at most {most} cannot be active.")
        macro = narrowed(S1, channels, S1_STEM)
        shadows = most if norms == "shadow" else 1
        blocks = [MixedBottleneck(slot, shadows, placement=placement) for slot in macro.slots]
        super().__init__(macro, blocks, classes=classes, in_channels=in_channels, generator=generator)
        self.macro = macro
        self.most = most

    def draw(self, generator: Generator) -> tuple[Choice, ...]:
        """In every layer one expansion, as in the released code, and then 1 to ``most`` kernels."""
        child = []
        for _ in self.blocks:
            expansion = EXPANSIONS[int(torch.randint(len(EXPANSIONS), (1,), generator=generator))]
            active = draw_paths(len(KERNELS), self.most, generator)
            child.append(Choice(expansion, tuple(KERNELS[k] for k in active)))
        return tuple(child)


class S4Supernet(ParallelNetwork):
    """The supernet of S4: cells that share the choice of their four nodes, of which at most ``most`` are there.

    ``channels``: of the first cells, 128 as released; ``norms``: see :data:`NORMS`; ``placement``: where they stand. A
    child is a cell, the operation of each node, None where it is absent.
    """

    def __init__(
        self,
        *,
        channels: int,
        most: int,
        norms: str,
        classes: int,
        in_channels: int,
        generator: Generator,
        cells: int = 9,
        placement: str = AFTER_PROJECTION,
    ) -> None:
        if most > S4_NODES:
            raise UserError(f"a cell of S4 has {S4_NODES} nodes, so at most {most} cannot be active.")
        super().__init__(
            channels=channels,
            classes=classes,
            in_channels=in_channels,
            most=most if norms == "shadow" else 1,
            generator=generator,
            cells=cells,
            placement=placement,
        )
        self.most = most

    def draw(self, generator: Generator) -> Cell:
        """1 to ``most`` nodes, and for each of them any operation."""
        operations = tuple(S4_OPERATIONS)
        child: list[str | None] = [None] * S4_NODES
        for node in draw_paths(S4_NODES, self.most, generator):
            child[node] = operations[int(torch.randint(len(operations), (1,), generator=generator))]
        return tuple(child)


def spelled(child: Sequence[Choice]) -> str:
    """A child of S1 as text: ``e3k3k7 e6k5 ...``, a word a layer."""
    words = []
    for choice in child:
        kernels = "".join(f"k{kernel}" for kernel in choice.kernels)
        words.append(f"e{choice.expansion}{kernels}")
    return " ".join(words)


def read_child(text: str) -> tuple[Choice, ...]:
    """The child of S1 that :func:`spelled` wrote; a :class:`UserError` for any other text."""
    child = []
    for word in text.split():
        expansion, *kernels = word.removeprefix("e").split("k")
        if not all(part.isdecimal() for part in (expansion, *kernels)):
            raise UserError(f"{word!r} is no block of S1, as e3k3k7 is.")
        child.append(Choice(int(expansion), tuple(map(int, kernels))))
    return tuple(child)


# What builds the supernet of a space: called with channels, most, norms, classes, in_channels and generator by keyword.
# Those of three cells are for the laptop.
SPACES: Registry[Callable[..., Any]] = Registry(
    "space of several paths",
    {
        "S1": S1Supernet,
        "S4": S4Supernet,
        "S4 of 3 cells": partial(S4Supernet, cells=3),
        **{name: partial(CellsSupernet, layers=layers) for name, layers in DARTS_SPACES.items()},
    },
)
# Where the shadow norms of a space may stand; those of a space that is not listed stand where it has them, and what
# builds it is not given a placement.
PLACED: dict[str, tuple[str, ...]] = {"S1": S1_PLACEMENTS, "S4": PLACEMENTS, "S4 of 3 cells": PLACEMENTS}


def placements(space: str) -> tuple[str, ...]:
    """Where the shadow norms of ``space`` may stand, its usual place first."""
    return PLACED.get(space, (AFTER_PROJECTION,))
