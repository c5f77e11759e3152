"""The cost of a choice, C = dL/dZ, per layer, edge and operation, accumulated over an epoch.

Costs are read from scalar gates that multiply the operations' outputs. Reading them from the outputs' own gradients
would be wrong for the identity skip, which returns its input: that tensor's gradient is the node's, not the edge's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor


class CostProbe:
    """Accumulates costs; ``leaks``: (edges, ops) marks skip on intermediate edges, which passes cost on (Theorem 1)."""

    def __init__(self, layers: int, leaks: Tensor) -> None:
        self.layers, self.leaks = layers, leaks
        self.totals = self._nothing()

    def _nothing(self) -> dict[str, Any]:
        """What is accumulated, before the first batch; part of a search's state."""
        zeros = partial(torch.zeros, self.layers, dtype=torch.float64)
        sums = {name: zeros(*self.leaks.shape) for name in ("sum", "sq", "n")}
        return {"sums": sums, "edge": zeros(len(self.leaks)), "out": zeros(), "leak": zeros(), "batches": 0}

    def add(self, gates: Tensor, cost: Tensor, output_cost: Tensor) -> None:
        """Add one batch: gates Z and their gradients (layers, edges, ops), gradients (layers,) of the output gates."""
        z, c = gates.detach().double().cpu(), cost.double().cpu()
        drawn, totals = (z != 0).double(), self.totals
        for name, value in (("sum", c), ("sq", c**2), ("n", torch.ones_like(c))):
            totals["sums"][name] += value * drawn
        totals["edge"] += (z * c).sum(-1)
        totals["leak"] += (z * c * self.leaks).sum((1, 2))
        totals["out"] += output_cost.double().cpu()
        totals["batches"] += 1

    def close(self) -> dict[str, Tensor]:
        """The epoch's arrays, then start afresh.

        ``cost_sum, cost_sq, cost_n`` (layers, edges, ops) over drawn entries; per batch means ``edge_cost`` (layers,
        edges) = sum_k Z^k C^k, ``out_cost`` and ``skip_leak`` (layers,).
        """
        totals, self.totals = self.totals, self._nothing()
        arrays = {f"cost_{name}": value for name, value in totals["sums"].items()}
        means = (("edge_cost", "edge"), ("out_cost", "out"), ("skip_leak", "leak"))
        return arrays | {name: totals[of] / max(totals["batches"], 1) for name, of in means}
