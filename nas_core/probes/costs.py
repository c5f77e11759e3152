"""The cost of a choice, C = dL/dZ, per layer, edge and operation, accumulated over an epoch.

Costs are read from scalar gates that multiply the operations' outputs. Reading them from the outputs' own gradients
would be wrong for the identity skip, which returns its input: that tensor's gradient is the node's, not the edge's.
"""

from __future__ import annotations

import torch
from torch import Tensor


class CostProbe:
    """Accumulates costs; ``leaks``: (edges, ops) marks skip on intermediate edges, which passes cost on (Theorem 1)."""

    def __init__(self, layers: int, leaks: Tensor) -> None:
        edges, ops = leaks.shape
        self.layers, self.leaks = layers, leaks
        self.sums = {name: torch.zeros(layers, edges, ops, dtype=torch.float64) for name in ("sum", "sq", "n")}
        self.edge = torch.zeros(layers, edges, dtype=torch.float64)
        self.out = torch.zeros(layers, dtype=torch.float64)
        self.leak = torch.zeros(layers, dtype=torch.float64)
        self.batches = 0

    def add(self, gates: Tensor, cost: Tensor, output_cost: Tensor) -> None:
        """Add one batch: gates Z and their gradients (layers, edges, ops), gradients (layers,) of the output gates."""
        z, c = gates.detach().double().cpu(), cost.double().cpu()
        drawn = (z != 0).double()
        for name, value in (("sum", c), ("sq", c**2), ("n", torch.ones_like(c))):
            self.sums[name] += value * drawn
        self.edge += (z * c).sum(-1)
        self.leak += (z * c * self.leaks).sum((1, 2))
        self.out += output_cost.double().cpu()
        self.batches += 1

    def state(self) -> dict:
        """Everything accumulated so far."""
        return {"sums": self.sums, "edge": self.edge, "out": self.out, "leak": self.leak, "batches": self.batches}

    def load_state(self, state: dict) -> None:
        """Take over what :meth:`state` gave."""
        self.sums, self.edge, self.out = state["sums"], state["edge"], state["out"]
        self.leak, self.batches = state["leak"], state["batches"]

    def close(self) -> dict[str, Tensor]:
        """The epoch's arrays, then start afresh.

        ``cost_sum, cost_sq, cost_n`` (layers, edges, ops) over drawn entries; per batch means ``edge_cost`` (layers,
        edges) = sum_k Z^k C^k, ``out_cost`` and ``skip_leak`` (layers,).
        """
        n = max(self.batches, 1)
        arrays = {f"cost_{name}": value for name, value in self.sums.items()}
        arrays |= {"edge_cost": self.edge / n, "out_cost": self.out / n, "skip_leak": self.leak / n}
        self.__init__(self.layers, self.leaks)  # type: ignore[misc]
        return arrays
