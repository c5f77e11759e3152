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
    """Accumulates costs over the batches of an epoch.

    ``leaks``: (edges, ops), marks skip on intermediate edges, the only operation that passes the cost of its output on
    to its input (wiring paper, Theorem 1). Passes must be in training mode: with running statistics no batch norm
    makes an operation blind to the scale of its input, and the theorem does not hold.
    """

    def __init__(self, layers: int, leaks: Tensor) -> None:
        self.layers = layers
        self.leaks = leaks
        self.totals = self._nothing()

    def _nothing(self) -> dict[str, Any]:
        """What is accumulated, before the first batch; part of a search's state."""
        zeros = partial(torch.zeros, self.layers, dtype=torch.float64)
        edges, ops = self.leaks.shape
        sums = {name: zeros(edges, ops) for name in ("sum", "sq", "n")}
        return {
            "sums": sums,
            "edge": zeros(edges),
            "out": zeros(),
            "leak": zeros(),
            "batches": 0,
        }

    def add(self, gates: Tensor, cost: Tensor, output_cost: Tensor) -> None:
        """Add one batch: gates Z and their gradients (layers, edges, ops), gradients (layers,) of the output gates."""
        z = gates.detach().double().cpu()
        c = cost.double().cpu()
        drawn = (z != 0).double()
        totals = self.totals
        totals["sums"]["sum"] += c * drawn
        totals["sums"]["sq"] += c**2 * drawn
        totals["sums"]["n"] += drawn
        totals["edge"] += (z * c).sum(-1)
        totals["leak"] += (z * c * self.leaks).sum((1, 2))
        totals["out"] += output_cost.double().cpu()
        totals["batches"] += 1

    def close(self) -> dict[str, Tensor]:
        """The epoch's arrays, then start afresh.

        ``cost_sum, cost_sq, cost_n`` (layers, edges, ops) over drawn entries; per batch means ``edge_cost`` (layers,
        edges) = sum_k Z^k C^k, ``out_cost`` and ``skip_leak`` (layers,).
        """
        totals = self.totals
        self.totals = self._nothing()
        batches = max(totals["batches"], 1)
        arrays = {f"cost_{name}": value for name, value in totals["sums"].items()}
        arrays["edge_cost"] = totals["edge"] / batches
        arrays["out_cost"] = totals["out"] / batches
        arrays["skip_leak"] = totals["leak"] / batches
        return arrays
