"""The resource constraint of SNAS (eqs. 9-11) on parameters, FLOPs and memory accesses: penalties and estimators.

A penalty is ``penalty(z, costs) -> (..., edges)`` of the edge variables ``z`` (..., edges, ops) and the ``costs``
(..., edges, ops, 3) per image; a cell's penalty is the sum over its edges. An estimator gives the gradient of the
expected penalty of one cell type, whose ``costs`` are (layers, edges, ops, 3) and are averaged over the layers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_core.relaxations import Score, through_softmax

Penalty = Callable[[Tensor, Tensor], Tensor]


def log_penalty(z: Tensor, costs: Tensor) -> Tensor:
    """The mean over the three criteria of ln max(1, sum_k Z^k cost_k), edge by edge.

    The floor of 1 makes an edge without any operation cost 0, as in the released code; below it the penalty is flat.
    """
    expected_costs = (z.unsqueeze(-1) * costs).sum(-2)
    return expected_costs.clamp_min(1.0).log().mean(-1)


def linear_penalty(z: Tensor, costs: Tensor) -> Tensor:
    """0.43 (2 parameters + FLOPs / 4000 + memory accesses / 100), edge by edge, with the released code's scales."""
    expected_costs = (z.unsqueeze(-1) * costs).sum(-2)
    scales = costs.new_tensor([2, 1 / 4000, 1 / 100])
    return 0.43 * (expected_costs * scales).sum(-1)


PENALTIES: dict[str, Penalty] = {"log": log_penalty, "linear": linear_penalty}


def reparametrised(penalty: Penalty, z: Tensor, costs: Tensor) -> Tensor:
    """dP/dZ at the drawn Z, (edges, ops): a cost like any other, which the relaxation turns into a gradient."""
    z = z.detach().requires_grad_()
    of_a_cell = penalty(z, costs).sum(-1)
    return torch.autograd.grad(of_a_cell.mean(), z)[0]


def score(penalty: Penalty, law: Score, logits: Tensor, z: Tensor, costs: Tensor, temperature: float) -> Tensor:
    """grad_a log p(Z) P(Z), (edges, ops), of every edge by itself: edges are independent, so the mean is the same."""
    of_edges = penalty(z, costs).mean(0)
    return law(logits, z, temperature) * of_edges.unsqueeze(-1)


def alone(penalty: Penalty, costs: Tensor) -> Tensor:
    """The penalty of every operation by itself, (edges, ops), averaged over the layers."""
    chosen = costs.new_ones(costs.shape[1:-1]).unsqueeze(-1)  # each operation is its edge's only one
    return penalty(chosen, costs.unsqueeze(-2)).mean(0)


def expected(penalty: Penalty, logits: Tensor, costs: Tensor) -> Tensor:
    """The gradient of sum_k p^k P^k, (edges, ops), the expected penalty of a one-hot Z: p^k (P^k - sum_m p^m P^m)."""
    of_operations = alone(penalty, costs).to(logits)
    return through_softmax(F.softmax(logits, dim=-1), of_operations)
