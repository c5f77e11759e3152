"""The expected latency of ProxylessNAS (Sec. 3.3) as a differentiable function of the logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def expected_latency(logits: Tensor, latency: Tensor, constant: float = 0.0) -> Tensor:
    """E[LAT] = sum over edges of sum_j p^j F(o_j), plus the constant latency of what is not searched.

    ``logits``, ``latency``: (..., edges, ops), F from a table or a predictor, in ms like the result, a scalar.
    """
    p = F.softmax(logits, dim=-1)
    return (p * latency).sum() + constant
