"""One interface of gates for every searched network: cells, chains, parallel paths.

A searched network has slots, and each slot holds choices. Choice k of slot s is multiplied by its *gate*, the variable
Z_s^k of the papers (SNAS, wiring paper; g_k in ProxylessNAS, the indicator of a path in MixPath), so that

    m_s = sum_k Z_s^k x_s^k,    dL/dZ_s^k = <dL/dm_s, x_s^k> = C_s^k,

and the cost of a choice is the gradient of its gate. A choice whose gate is exactly zero is neither computed nor
stored; if it is *observed*, its output is computed without a graph, only to give its gate that gradient (ProxylessNAS).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.cells.operations import Zero
from nas_core.errors import UserError


class Gated(Protocol):
    """What relaxations and probes need of a searched network: which gates there are, and logits for given ones."""

    @property
    def gate_shape(self) -> tuple[int, ...]:
        """(layers, edges, operations) of cells, (slots, candidates) of chains, (layers, paths) of parallel paths.

        The last two are (slots, choices); what stands before them are parts of the network with the same slots.
        """

    def mask(self) -> np.ndarray:
        """Which choices a slot has: bool, (slots, choices); a gate outside of it has no effect."""

    def forward(self, images: Tensor, gates: Tensor, *, observed: Tensor | None = None) -> Tensor:
        """Class logits (batch, classes) of ``images`` (batch, channels, height, width).

        ``gates``: of ``gate_shape``; ``observed``: bool, like ``gates``, choices whose cost is wanted although their
        gate is zero.
        """


@dataclass(frozen=True)
class Row:
    """The gates of one slot, of one choice each: which are ``drawn`` (not zero), which costs are ``wanted``.

    ``gates``: (choices,), or None where every drawn gate is one and none has a gradient.
    """

    drawn: tuple[bool, ...]
    wanted: tuple[bool, ...]
    gates: Tensor | None = None

    @classmethod
    def of(cls, drawn: Sequence[bool]) -> Row:
        """The row of a discrete choice: a gate is one where ``drawn`` says so, and zero elsewhere."""
        return cls(tuple(drawn), (False,) * len(drawn))

    @property
    def active(self) -> int:
        """How many choices are drawn."""
        return sum(self.drawn)

    def part(self, start: int, length: int) -> Row:
        """The ``length`` gates from ``start`` on."""
        at = slice(start, start + length)
        gates = None if self.gates is None else self.gates[at]
        return Row(self.drawn[at], self.wanted[at], gates)

    def total(self, choices: Iterable[nn.Module], x: Tensor) -> Tensor | None:
        """sum_k Z^k x^k over the ``choices``, each applied to ``x``; None where nothing is drawn or wanted.

        What a :class:`Zero` gives is never computed.
        """
        terms = []
        for k, choice in enumerate(choices):
            if isinstance(choice, Zero):
                continue
            if self.drawn[k]:
                terms.append(self._weighted(k, choice(x)))
            elif self.wanted[k]:
                with torch.no_grad():
                    output = choice(x.detach())
                terms.append(self._weighted(k, output))
        if not terms:
            return None
        return sum(terms[1:], start=terms[0])

    def _weighted(self, k: int, output: Tensor) -> Tensor:
        return output if self.gates is None else self.gates[k] * output


def rows(gates: Tensor, observed: Tensor | None, shape: tuple[int, ...]) -> list[Row]:
    """One :class:`Row` for each slot of ``gates`` (slots, choices); ``observed``: bool, of the same shape, or None.

    Raises :class:`UserError` where they are not of the ``shape`` that the network has.
    """
    for name, tensor in (("gates", gates), ("observed", observed)):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise UserError(f"{name} must have the shape {shape}, not {tuple(tensor.shape)}.")
    drawn = gates.detach().ne(0).tolist()
    wanted = torch.zeros(shape, dtype=torch.bool).tolist() if observed is None else observed.tolist()
    found = []
    for slot, row in enumerate(gates):
        found.append(Row(tuple(drawn[slot]), tuple(wanted[slot]), row))
    return found


class GatedBlock(nn.Module):
    """The choices of one slot: ``gated`` takes the slot's row of gates, ``forward`` what was chosen.

    ``choices``: how many there are.
    """

    choices: int

    def gated(self, x: Tensor, row: Row) -> Tensor:
        """What the slot gives for ``x``, (batch, channels, height, width), under its gates."""
        raise NotImplementedError

    def marked(self, choice: Any) -> list[bool]:
        """The gates that ``choice`` opens; raises :class:`UserError` on what the slot does not hold."""
        raise NotImplementedError

    def forward(self, x: Tensor, choice: Any) -> Tensor:
        """What the slot gives for ``x`` once it has made its ``choice``: the gates that this opens are one."""
        return self.gated(x, Row.of(self.marked(choice)))
