"""The distribution over architectures that the logits describe."""

from __future__ import annotations

import torch
from torch import Tensor


def probabilities(logits: Tensor) -> Tensor:
    """softmax(a) in float64; operations with logit -inf have probability 0. Shape (..., ops) in and out."""
    return torch.softmax(logits.detach().double().cpu(), dim=-1)


def entropy(prob: Tensor) -> Tensor:
    """Entropy of every edge's distribution in nats (SNAS Fig. 4): (..., ops) -> (...)."""
    return -torch.xlogy(prob, prob).sum(-1)


def entropy_gradient(prob: Tensor) -> Tensor:
    """dH/da of every edge's entropy by its logits: -p^k (log p^k + H). (..., ops) in and out."""
    return -torch.xlogy(prob, prob) - prob * entropy(prob).unsqueeze(-1)
