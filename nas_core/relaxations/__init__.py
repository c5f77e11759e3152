"""Relaxations: how the edge variable Z is drawn from the logits, and how its cost becomes a gradient of the logits.

Every method is a pair of functions over arrays of shape (cell types, edges, ops): ``draw`` gives Z, and
``logit_gradient`` turns the cost C = dL/dZ into dL/da. A logit is a = log alpha; p = softmax(a). An operation that an
edge does not allow has logit -inf, hence probability 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Draw = Callable[[Tensor, Generator, float], Tensor]
LogitGradient = Callable[[Tensor, Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Relaxation:
    """``draw(logits, generator, temperature) -> Z`` and ``logit_gradient(logits, Z, cost, temperature) -> dL/da``.

    All tensors are (cell types, edges, ops). To add one, write the two functions and register it in RELAXATIONS.
    """

    name: str
    draw: Draw
    logit_gradient: LogitGradient


def through_softmax(z: Tensor, cost: Tensor) -> Tensor:
    """Z^k (C^k - sum_m Z^m C^m): the Jacobian of a softmax with values Z, applied to the cost."""
    return z * (cost - (z * cost).sum(-1, keepdim=True))


def softmax_draw(logits: Tensor, generator: Generator, temperature: float) -> Tensor:
    """DARTS: Z^k = exp(a^k) / sum_m exp(a^m); nothing is random, the temperature is not used."""
    return F.softmax(logits, dim=-1)


def softmax_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """DARTS in the cost form of the wiring paper (App. B.1): dL/da^k = Z^k (C^k - sum_m Z^m C^m)."""
    return through_softmax(z, cost)


def gumbel(logits: Tensor, generator: Generator) -> Tensor:
    """G = -log(-log U), U uniform on (0, 1), of the shape of the logits."""
    u = torch.rand(logits.shape, generator=generator, dtype=torch.float64).clamp_min(torch.finfo(torch.float64).tiny)
    return -torch.log(-torch.log(u)).to(logits)


def concrete_draw(logits: Tensor, generator: Generator, temperature: float) -> Tensor:
    """SNAS eq. 5: Z^k = exp((a^k + G^k) / lam) / sum_m exp((a^m + G^m) / lam)."""
    return F.softmax((logits + gumbel(logits, generator)) / temperature, dim=-1)


def concrete_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """SNAS eq. 6 for logits: dL/da^k = Z^k (C^k - sum_m Z^m C^m) / lam."""
    return through_softmax(z, cost) / temperature


def one_hot_draw(logits: Tensor, generator: Generator, temperature: float) -> Tensor:
    """DSNAS: Z one-hot, Z ~ Cat(softmax(a)), drawn by the Gumbel-max rule."""
    return F.one_hot((logits + gumbel(logits, generator)).argmax(-1), logits.shape[-1]).to(logits)


def one_hot_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """DSNAS (wiring paper, Sec. 4): dL/da = grad_a log p(Z) C(Z) = (Z - p) C^s, s the drawn operation."""
    return (z - F.softmax(logits, dim=-1)) * (z * cost).sum(-1, keepdim=True)


def uniform_draw(logits: Tensor, generator: Generator, temperature: float) -> Tensor:
    """Single paths drawn uniformly over the allowed operations (wiring paper, Sec. 5.1); the logits only mask."""
    return one_hot_draw(logits.masked_fill(logits.isfinite(), 0.0), generator, temperature)


def no_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """Uniform sampling does not depend on the logits."""
    return torch.zeros_like(logits)


RELAXATIONS: dict[str, Relaxation] = {
    r.name: r
    for r in (
        Relaxation("softmax", softmax_draw, softmax_gradient),
        Relaxation("concrete", concrete_draw, concrete_gradient),
        Relaxation("one-hot", one_hot_draw, one_hot_gradient),
        Relaxation("uniform", uniform_draw, no_gradient),
    )
}
