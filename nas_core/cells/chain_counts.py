"""Multiply-adds of chains in closed form, layer by layer: a search asks for thousands, and counting runs a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nas_core.cells.chain import Choice, Macro, Slot, check_choices


@dataclass(frozen=True)
class ChainCosts:
    """Multiply-adds of the children of ``macro`` for one square image: a fixed part, and one part a slot.

    As :func:`nas_core.cells.counts.multiply_adds` counts, which tests compare: convolutions and linear layers.
    """

    macro: Macro
    side: int
    in_channels: int
    classes: int

    def sides(self) -> list[int]:
        """The side of the map that each slot reads, and last that of the head, in pixels."""
        found = [math.ceil(self.side / self.macro.stride)]
        for slot in self.macro.slots:
            found.append(math.ceil(found[-1] / slot.stride))
        return found

    def fixed(self) -> int:
        """Stem, head and classifier."""
        sides = self.sides()
        stem = 9 * self.in_channels * self.macro.stem * sides[0] ** 2
        head = self.macro.slots[-1].outputs * self.macro.head * sides[-1] ** 2
        return stem + head + self.macro.head * self.classes

    def of_slot(self, place: int, choice: Choice) -> int:
        """The block at ``place``; nothing where only the shortcut stands."""
        return block_madds(self.macro.slots[place], choice, self.sides()[place])

    def of_child(self, choices: Sequence[Choice]) -> int:
        """The whole child; raises :class:`UserError` on what makes none."""
        check_choices(self.macro, choices)
        return self.fixed() + sum(self.of_slot(i, choice) for i, choice in enumerate(choices))


def block_madds(slot: Slot, choice: Choice, side: int) -> int:
    """Multiply-adds of an inverted bottleneck that reads a map of ``side`` x ``side`` pixels.

    hidden (inputs side^2 + sum_k k^2 side'^2 + outputs side'^2), side' after the stride; no expansion, no first term.
    """
    hidden = choice.expansion * slot.inputs
    after = math.ceil(side / slot.stride) ** 2
    expand = slot.inputs * side**2 if choice.expansion > 1 else 0
    paths = sum(kernel**2 for kernel in choice.kernels) * after
    return hidden * (expand + paths + slot.outputs * after)
