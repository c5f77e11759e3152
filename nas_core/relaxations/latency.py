"""The expected latency of ProxylessNAS (Sec. 3.3) as a differentiable function of the logits, and losses that have it.

A latency is in microseconds here: the multiplicative form takes logarithms, so that its unit counts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Form = Callable[..., Tensor]  # of CE, E[LAT], reference and weight


def expected_latency(logits: Tensor, latency: Tensor, constant: float = 0.0) -> Tensor:
    """E[LAT] = sum over edges of sum_j p^j F(o_j), plus the constant latency of what is not searched.

    ``logits``, ``latency``: (..., edges, ops), F from a table or a predictor, in the unit of the result, a scalar.
    """
    p = F.softmax(logits, dim=-1)
    return (p * latency).sum() + constant


def additive(cross_entropy: Tensor, latency: Tensor, reference: float, weight: float) -> Tensor:
    """CE + weight (E[LAT] - ref) / ref: the sum of the paper, its weight made a pure number as in the released code."""
    return cross_entropy + weight * (latency - reference) / reference


def multiplicative(cross_entropy: Tensor, latency: Tensor, reference: float, weight: float) -> Tensor:
    """CE (log E[LAT] / log ref)^weight, the released code's default but for its constant factor 0.2."""
    scale = torch.log(latency) / torch.log(torch.tensor(reference, dtype=latency.dtype))
    return cross_entropy * scale**weight


FORMS: dict[str, Form] = {"additive": additive, "multiplicative": multiplicative}


def with_latency(
    form: Form, of_cross_entropy: Tensor, cross_entropy: float, latency: Callable[[Tensor], Tensor], a: Tensor
) -> Tensor:
    """d form(CE, E[LAT]) / da, shaped like ``a``: chain rule with the gradient of CE that a relaxation has estimated.

    ``of_cross_entropy``: that gradient; ``latency(a)``: E[LAT] of the logits ``a``, of which some may be -inf; what
    ``form`` gives besides CE and E[LAT] is bound to it.
    """
    loss = torch.tensor(cross_entropy, dtype=torch.float64, requires_grad=True)
    logits = a.detach().double().requires_grad_()
    total = form(loss, latency(logits))
    by_loss, by_logits = torch.autograd.grad(total, (loss, logits))
    return (by_loss * of_cross_entropy.double() + by_logits).to(a)


def discounted(reward: float, latency: float, reference: float, weight: float) -> float:
    """Reward (ref / LAT)^weight of one network, for REINFORCE; the released code's weight is 0.1."""
    return reward * (reference / latency) ** weight
