"""The expected latency of ProxylessNAS (Sec. 3.3) as a differentiable function of the logits, and the loss with it."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def expected_latency(logits: Tensor, latency: Tensor, constant: float = 0.0) -> Tensor:
    """E[LAT] = sum over edges of sum_j p^j F(o_j), plus the constant latency of what is not searched.

    ``logits``, ``latency``: (..., edges, ops), F from a table or a predictor, in ms like the result, a scalar.
    """
    return (F.softmax(logits, dim=-1) * latency).sum() + constant


def add_linear(loss: Tensor, latency: Tensor, reference: float, weight: float = 0.1) -> Tensor:
    """L + weight (E[LAT] - reference) / reference (released code); ``reference`` in ms."""
    return loss + weight * (latency - reference) / reference


def multiply_log(loss: Tensor, latency: Tensor, reference: float, scale: float = 0.2, exponent: float = 0.3) -> Tensor:
    """scale L (log E[LAT] / log reference)^exponent (released code); both latencies in ms and above 1."""
    return scale * loss * (latency.log() / math.log(reference)) ** exponent
