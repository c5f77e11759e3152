"""The searched chain of ProxylessNAS: every slot holds its candidates, each multiplied by its gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Generator, Tensor, nn

from nas_core.cells.chain import (
    FIRST,
    ZERO,
    Branch,
    ChainNetwork,
    Choice,
    Macro,
    Slot,
    candidates,
    check_choices,
    one_per_slot,
)
from nas_core.cells.checks import different
from nas_core.cells.gates import GatedBlock, Row, rows
from nas_core.cells.operations import Zero
from nas_core.errors import UserError


class SearchedSlot(GatedBlock):
    """A slot that is searched: y = sum_k g_k o_k(x), plus x where the shapes agree (ProxylessNAS, Sec. 3.2).

    ``held``: its candidates. The shortcut stands outside of the gates, as in the released code, so that Zero is a map
    of zeros whose cost is zero; it may only be held where there is a shortcut.
    """

    def __init__(self, slot: Slot, held: Sequence[Choice], eps: float = 1e-5) -> None:
        super().__init__()
        different("the candidates of a slot", held)
        if ZERO in held and not slot.residual:
            raise UserError(f"Zero may only be a candidate where there is a shortcut, which {slot} has not.")
        self.slot = slot
        self.held = tuple(held)
        self.choices = len(self.held)
        self.candidates = nn.ModuleList()
        for choice in self.held:
            self.candidates.append(Zero(slot.stride) if choice == ZERO else Branch(slot, choice, eps))

    def gated(self, x: Tensor, row: Row) -> Tensor:
        y = row.total(self.candidates, x)
        if y is None:
            y = self._zeros(x)
        return x + y if self.slot.residual else y

    def _zeros(self, x: Tensor) -> Tensor:
        step = self.slot.stride
        height, width = x[0, 0, ::step, ::step].shape
        return x.new_zeros(len(x), self.slot.outputs, height, width)

    def marked(self, choice: Choice) -> list[bool]:
        if choice not in self.held:
            raise UserError(f"{choice} is no candidate of {self.slot}, which holds {self.held}.")
        return [choice == held for held in self.held]


def searched_slots(macro: Macro, held: Sequence[Sequence[Choice]] | None = None) -> list[GatedBlock]:
    """The slots of ProxylessNAS: the first block is fixed, all others hold their :func:`candidates`.

    ``held``: what each slot holds instead.
    """
    found: list[GatedBlock] = []
    for slot, choices in zip(macro.slots, held or all_candidates(macro), strict=True):
        found.append(SearchedSlot(slot, choices, macro.eps))
    return found


def all_candidates(macro: Macro) -> list[tuple[Choice, ...]]:
    """What each slot of ProxylessNAS holds."""
    return [(FIRST,), *[candidates(slot) for slot in macro.slots[1:]]]


class ChainSupernet(ChainNetwork):
    """A chain whose blocks take gates: :class:`Gated`, with gates of shape (slots, choices).

    ``blocks``: one :class:`GatedBlock` per slot of ``macro``: :func:`searched_slots` for ProxylessNAS, mixed or
    grouped bottlenecks for MixPath's S1 to S3, where a row of gates is multi-hot over the paths of the layer.
    """

    def __init__(
        self, macro: Macro, blocks: Sequence[GatedBlock], *, classes: int, in_channels: int, generator: Generator
    ) -> None:
        for block in blocks:
            if not isinstance(block, GatedBlock):
                raise UserError(f"a searched chain is made of blocks with gates, not of {type(block).__name__}.")
        super().__init__(macro, blocks, classes=classes, in_channels=in_channels, generator=generator)
        self.widths = [block.choices for block in blocks]

    @property
    def gate_shape(self) -> tuple[int, int]:
        """(slots, choices of the slot that has the most)."""
        return (len(self.widths), max(self.widths))

    def mask(self) -> np.ndarray:
        """Which choices a slot has: bool, (slots, choices)."""
        return np.arange(max(self.widths)) < np.array(self.widths)[:, None]

    def forward(self, images: Tensor, gates: Tensor, *, observed: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Class logits (batch, classes) of ``images`` (batch, channels, height, width).

        ``gates``: (slots, choices), Z or g; ``observed``: bool, of the same shape, choices whose cost is wanted
        although their gate is zero.
        """
        x = self.stem(images)
        for block, row in zip(self.blocks, rows(gates, observed, self.gate_shape), strict=True):
            x = cast(GatedBlock, block).gated(x, row)
        return self.classify(x)

    def gates(self, choices: Sequence) -> Tensor:
        """The gates (slots, choices) of the child whose slots have made these ``choices``: zeros and ones, float32."""
        one_per_slot(self.blocks, "choices", choices)
        gates = torch.zeros(self.gate_shape)
        for i, (block, choice) in enumerate(zip(self.blocks, choices, strict=True)):
            marked = cast(GatedBlock, block).marked(choice)
            gates[i, : len(marked)] = torch.tensor(marked)
        return gates


def derive_chain(
    prob: np.ndarray, macro: Macro, held: Sequence[Sequence[Choice]] | None = None
) -> tuple[Choice, ...]:
    """The rule of ProxylessNAS: in every slot its most probable candidate. ``prob``: (slots, candidates).

    Ties go to the earlier candidate; what a slot does not hold is not looked at. ``held``: as of
    :func:`searched_slots`.
    """
    one_per_slot(macro.slots, "rows of probabilities", prob)
    found = []
    for choices, row in zip(held or all_candidates(macro), prob, strict=True):
        found.append(choices[int(row[: len(choices)].argmax())])
    check_choices(macro, found)
    return tuple(found)
