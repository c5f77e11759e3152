"""Endless random batches whose position can be saved."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


class Batches:
    """Indices 0..n-1 in a fresh random order every epoch, ``size`` at a time; an incomplete last batch is dropped."""

    def __init__(self, n: int, size: int, generator: Generator) -> None:
        self.n, self.size, self.generator = n, size, generator
        self.order, self.position = torch.empty(0, dtype=torch.long), 0

    def next(self) -> Tensor:
        """The next batch of indices, shape (size,)."""
        if self.position + self.size > len(self.order):
            self.order, self.position = torch.randperm(self.n, generator=self.generator), 0
        batch = self.order[self.position : self.position + self.size]
        self.position += self.size
        return batch

    def state(self) -> dict:
        """Order and position; the generator is saved by its owner."""
        return {"order": self.order, "position": self.position}

    def load_state(self, state: dict) -> None:
        """Take over what :meth:`state` gave."""
        self.order, self.position = state["order"], state["position"]
