"""What the costs of a cell must add up to on every single batch (wiring paper, Theorem 2 and Corollary 1.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from nas_core.probes.losses import loss_terms


class IdentityProbe:
    """Keeps how far the worst batch of an epoch is from the identities.

    The costs of a cell's edges, less what skip passes on along intermediate edges, sum to the mean of L - H over the
    images in the last cell and to zero in all others. ``leaks`` is as for :class:`nas_core.probes.costs.CostProbe`.
    The classifier must have no bias, and passes must be in training mode.
    """

    def __init__(self, layers: int, leaks: Tensor) -> None:
        self.layers = layers
        self.leaks = leaks
        self.difference = 0.0  # L - H of the pass that :meth:`expect` saw last
        self.totals = self._nothing()

    def _nothing(self) -> dict[str, Tensor]:
        """What is accumulated, before the first batch; part of a trainer's state."""
        zeros = torch.zeros(self.layers, dtype=torch.float64)
        return {"worst": zeros, "size": zeros.clone(), "batches": torch.zeros((), dtype=torch.float64)}

    def expect(self, logits: Tensor, labels: Tensor) -> None:
        """Show the class logits (batch, classes) of a pass, whose costs come next."""
        loss, uncertainty, _, _ = loss_terms(logits.detach().double(), labels)
        self.difference = (loss - uncertainty).mean().item()

    def add(self, gates: Tensor, cost: Tensor) -> None:
        """Add the costs of that pass: gates Z and their gradients, both (layers, edges, ops)."""
        paid = gates.detach().double().cpu() * cost.double().cpu()
        of_edges = paid.sum(-1)
        residual = of_edges.sum(-1) - (paid * self.leaks).sum((1, 2))
        residual[-1] -= self.difference
        totals = self.totals
        totals["worst"] = torch.maximum(totals["worst"], residual.abs())
        totals["size"] = totals["size"] + of_edges.abs().sum(-1)
        totals["batches"] = totals["batches"] + 1

    def close(self) -> dict[str, Tensor]:
        """The epoch's arrays, then start afresh, both (layers,).

        ``residual``: the largest residual of a batch without sign; ``edge_size``: the sum of the edges' costs without
        their signs, mean over batches.
        """
        totals = self.totals
        self.totals = self._nothing()
        return {"residual": totals["worst"], "edge_size": totals["size"] / totals["batches"].clamp_min(1)}
