"""Relaxations: how the edge variable Z is drawn from the logits, and how its cost becomes a gradient of the logits.

Every method is a pair of functions over arrays of shape (cell types, edges, ops): ``draw`` gives Z, and
``logit_gradient`` turns the cost C = dL/dZ into dL/da. A logit is a = log alpha; p = softmax(a). An operation that an
edge does not allow has logit -inf, hence probability 0.

All follow one formula (wiring paper, eq. 4): dL/da is the derivative by a of the law of Z, applied to the cost C. For
DARTS and SNAS that is the Jacobian of Z itself, for ProxylessNAS that of p, for DSNAS and REINFORCE the score of Z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nas_core.errors import UserError
from nas_core.registry import Registry

Draw = Callable[[Tensor, Generator, float], Tensor]
LogitGradient = Callable[[Tensor, Tensor, Tensor, float], Tensor]
Score = Callable[[Tensor, Tensor, float], Tensor]
Restrict = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True)
class Relaxation:
    """``draw(logits, generator, temperature) -> Z`` and ``logit_gradient(logits, Z, cost, temperature) -> dL/da``.

    All tensors are (cell types, edges, ops). A plugin adds one by ``RELAXATIONS.register(name, relaxation)``; all but
    the two functions has defaults. ``costs`` says which costs a step on the logits measures: those of the ``drawn``
    operations, of all ``allowed`` ones (the others at gate 0), or none, a ``reward`` of the whole network standing for
    all. ``score(logits, Z, temperature)`` is grad_a log p(Z), if Z has a law. ``restrict(logits, generator)`` sets
    logits to -inf for one step on the logits, which then moves only the others.
    """

    name: str
    draw: Draw
    logit_gradient: LogitGradient
    costs: Literal["drawn", "allowed", "reward"] = "drawn"
    score: Score | None = None
    restrict: Restrict | None = None


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
    u = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    u = u.clamp_min(torch.finfo(torch.float64).tiny)
    return -torch.log(-torch.log(u)).to(logits)


def concrete_draw(logits: Tensor, generator: Generator, temperature: float) -> Tensor:
    """SNAS eq. 5: Z^k = exp((a^k + G^k) / lam) / sum_m exp((a^m + G^m) / lam)."""
    noisy = logits + gumbel(logits, generator)
    return F.softmax(noisy / temperature, dim=-1)


def concrete_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """SNAS eq. 6 for logits: dL/da^k = Z^k (C^k - sum_m Z^m C^m) / lam."""
    return through_softmax(z, cost) / temperature


def concrete_score(logits: Tensor, z: Tensor, temperature: float) -> Tensor:
    """d log p(Z) / da^k = 1 - K e^{a^k} (Z^k)^-lam / sum_m e^{a^m} (Z^m)^-lam for the density of SNAS eq. 5.

    K counts the allowed operations. Needs a Z in float64 at low temperatures: in float32 most entries underflow to 0.
    """
    allowed = logits.isfinite()
    log_z = z.clamp_min(torch.finfo(z.dtype).tiny).log()
    exponents = logits - temperature * log_z
    shares = F.softmax(exponents.masked_fill(~allowed, -torch.inf), dim=-1)
    count = allowed.sum(-1, keepdim=True)
    return allowed * (1 - count * shares)


def one_hot_draw(logits: Tensor, generator: Generator, temperature: float) -> Tensor:
    """DSNAS: Z one-hot, Z ~ Cat(softmax(a)), drawn by the Gumbel-max rule."""
    noisy = logits + gumbel(logits, generator)
    drawn = noisy.argmax(-1)
    return F.one_hot(drawn, logits.shape[-1]).to(logits)


def one_hot_score(logits: Tensor, z: Tensor, temperature: float) -> Tensor:
    """grad_a log p(Z) = Z - p."""
    return z - F.softmax(logits, dim=-1)


def one_hot_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """DSNAS (wiring paper, Sec. 4): dL/da = grad_a log p(Z) C(Z) = (Z - p) C^s, s the drawn operation.

    REINFORCE (ProxylessNAS, Sec. 3.3) is the same with C = -(R - b), reward R and baseline b, on every edge.
    """
    cost_of_drawn = (z * cost).sum(-1, keepdim=True)
    return one_hot_score(logits, z, temperature) * cost_of_drawn


def binary_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """ProxylessNAS eq. 4 (BinaryConnect): dL/da^i = sum_j C^j p^j (delta_ij - p^i), with C^j = dL/dg^j for every j."""
    return through_softmax(F.softmax(logits, dim=-1), cost)


def two_paths(logits: Tensor, generator: Generator) -> Tensor:
    """ProxylessNAS, Sec. 3.2: two operations drawn without replacement from p (Gumbel top-2), all others at -inf.

    The softmax of what is left is p renormalised over the pair, so the step is a binary one between two candidates.
    """
    noisy = logits + gumbel(logits, generator)
    pair = noisy.topk(min(2, logits.shape[-1])).indices
    nothing = torch.full_like(logits, -torch.inf)
    return nothing.scatter(-1, pair, logits.gather(-1, pair))


def keep_others(old: Tensor, new: Tensor, moved: Tensor) -> Tensor:
    """The updated logits of the operations that ``moved`` marks, shifted so that all others keep their probability.

    ProxylessNAS, Sec. 3.2: subtract log(sum_i exp(new^i) / sum_i exp(old^i)), sums over the moved ones of an edge. All
    others get back their old logit, which an optimiser with momentum or decay would have changed.
    """
    total_new = new.masked_fill(~moved, -torch.inf).logsumexp(-1, keepdim=True)
    total_old = old.masked_fill(~moved, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.where(moved, new - (total_new - total_old), old)


def uniform_draw(logits: Tensor, generator: Generator, temperature: float) -> Tensor:
    """Single paths drawn uniformly over the allowed operations (wiring paper, Sec. 5.1); the logits only mask."""
    equal = logits.masked_fill(logits.isfinite(), 0.0)
    return one_hot_draw(equal, generator, temperature)


def no_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """Uniform sampling does not depend on the logits."""
    return torch.zeros_like(logits)


_REGISTERED = (
    Relaxation("softmax", softmax_draw, softmax_gradient),
    Relaxation("concrete", concrete_draw, concrete_gradient, score=concrete_score),
    Relaxation("one-hot", one_hot_draw, one_hot_gradient, score=one_hot_score),
    Relaxation("uniform", uniform_draw, no_gradient),
    Relaxation("binary", one_hot_draw, binary_gradient, "allowed", one_hot_score),
    Relaxation("two-path", one_hot_draw, binary_gradient, "allowed", one_hot_score, two_paths),
    Relaxation("reinforce", one_hot_draw, one_hot_gradient, "reward", one_hot_score),
)


def _check_relaxation(name: str, relaxation: Relaxation) -> None:
    """Raise :class:`UserError` unless the functions do with an edge of two operations, and one more not allowed."""
    logits = torch.tensor([[[0.0, 1.0, -torch.inf]]])
    z = relaxation.draw(logits, Generator().manual_seed(0), 1.0)
    if z.shape != logits.shape or z[..., -1].any():
        raise UserError(
            f"relaxation {name!r}: Z must have the shape of the logits, and 0 where they are -inf; "
            f"of {logits.tolist()} it draws {z.tolist()}."
        )
    gradient = relaxation.logit_gradient(logits, z, torch.ones_like(z), 1.0)
    if gradient.shape != logits.shape or not gradient.isfinite().all():
        raise UserError(
            f"relaxation {name!r}: dL/da must have the shape of the logits and be finite; "
            f"of {logits.tolist()} it is {gradient.tolist()}."
        )


RELAXATIONS: Registry[Relaxation] = Registry("relaxation", {r.name: r for r in _REGISTERED}, check=_check_relaxation)
