"""The resource penalty of SNAS (eqs. 9-11) on parameters, FLOPs and memory accesses."""

from __future__ import annotations

from torch import Tensor


def log_penalty(z: Tensor, costs: Tensor) -> Tensor:
    """Sum over edges of the mean over the three criteria of ln max(1, sum_k Z^k cost_k), averaged over layers.

    ``z``: (..., edges, ops); ``costs``: (..., edges, ops, 3) per image. The floor of 1 makes an edge without any
    operation cost 0, as in the released code; below it the penalty is flat.
    """
    per_criterion = (z.unsqueeze(-1) * costs).sum(-2).clamp_min(1.0).log()
    return per_criterion.mean(-1).sum(-1).mean()
