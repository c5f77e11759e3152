"""Small exact problems that several tests share: a smooth two-level one, and estimates against what they should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from small import generator
from torch import Tensor

Loss = Callable[[Sequence[Tensor], Tensor], Tensor]


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(seed))


def smooth_problem(seed: int = 0) -> tuple[Loss, Loss, list[Tensor], Tensor]:
    """Training loss, validation loss, weights and gates: quadratic loss of gated tanh features, smooth in both."""

    first = random(5, 4, seed=seed + 2).requires_grad_()
    second = random(4, seed=seed + 3).requires_grad_()
    gates = random(4, seed=seed + 4).requires_grad_()
    return _gated_loss(seed + 10), _gated_loss(seed + 20), [first, second], gates


def _gated_loss(seed: int) -> Loss:
    """The quadratic loss on 12 drawn examples."""
    x = random(12, 5, seed=seed)
    y = random(12, seed=seed + 1)

    def loss(w: Sequence[Tensor], z: Tensor) -> Tensor:
        features = torch.tanh(x @ w[0])
        gated = features * z.softmax(-1)
        return (gated @ w[1] - y).square().mean()

    return loss


def largest_z(samples: Tensor, expected: Tensor | float = 0.0) -> float:
    """Largest distance of the mean over the first axis from ``expected``, in standard errors of the mean."""
    error = samples.std(0) / len(samples) ** 0.5
    distance = (samples.mean(0) - expected).abs()
    return (distance / error).max().item()
