"""Remedies for the bias of `none`: what the logits may learn from the costs without learning the common level.

The expected step of the wiring paper (Sec. 4) is E[dL/da^k] = p^k (C^k - sum_m p^m C^m), where the cost of none is 0.
Add a constant c to the costs of all operations of a cell, and the gradient of none changes by -p^none (1 - p^none) c,
though nothing was said about which operation is better: descent raises its logit. The last cell's costs sum to L - H
(Theorem 2), so that this common level is positive early in training, and on images that the weights do not know. The
remedies here are ours, not the paper's.

All tensors are (cell types, edges, ops) and ``none`` is the position of that candidate, unless said otherwise.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import softmax
from torch import Tensor

SCALES = (1e-2, 1e2)  # between which the scale of class logits is looked for


def common_level(z: Tensor, cost: Tensor, none: int) -> Tensor:
    """b = sum Z^k C^k / sum Z^k over all edges and all operations but none, (cell types, 1, 1); 0 if none was drawn.

    In one cell without skip on intermediate edges the upper sum is L - H.
    """
    weights = z.clone()
    weights[..., none] = 0
    total = (weights * cost).sum((1, 2), keepdim=True)
    kept = weights.sum((1, 2), keepdim=True)
    return torch.where(kept > 0, total / kept.clamp_min(torch.finfo(z.dtype).tiny), 0.0)


def centred_in_cell(z: Tensor, cost: Tensor, none: int) -> Tensor:
    """C^k - b for every operation, while none keeps its cost of 0: sum Z^k (C^k - b) = 0 for every Z.

    Edges still differ: on one whose operations cost more than those of the cell do on average, none gains.
    """
    centred = cost - common_level(z, cost, none)
    centred[..., none] = cost[..., none]
    return centred


def among_operations(a: Tensor, z: Tensor, none: int) -> tuple[Tensor, Tensor]:
    """Logits and Z of the choice between the operations alone: none has logit -inf, and Z is normalised again.

    The gradient of any relaxation by these is the one in which the cost of none is the mean cost of the operations of
    its edge: E[dL/da^k] = p^k (C^k - b) with b = sum_m p^m C^m / (1 - p^none) over the operations, and 0 for none.
    A Z that is none alone becomes 0, and teaches nothing.
    """
    others = a.clone()
    others[..., none] = -torch.inf
    weights = z.clone()
    weights[..., none] = 0
    kept = weights.sum(-1, keepdim=True)
    return others, torch.where(kept > 0, weights / kept.clamp_min(torch.finfo(z.dtype).tiny), 0.0)


def fitted_scale(logits: Tensor, labels: Tensor) -> float:
    """The s in :data:`SCALES` at which the loss of s Y is smallest; class logits Y (batch, classes), labels (batch,).

    The loss is convex in s, and its derivative by log s is the cost C = <X, dL/dX> of the last cell's output, so that
    C = 0 at the fitted scale. Where the network does worse than chance, or makes no error, s is at an end.
    """
    y = logits.detach().double().cpu().numpy()
    of_label = y[np.arange(len(y)), labels.cpu().numpy()]

    def slope(scale: float) -> float:
        """dL/ds = mean over images of <p, Y> - Y^label."""
        expected = (softmax(scale * y, axis=1) * y).sum(1)
        return float((expected - of_label).mean())

    low, high = SCALES
    if slope(low) >= 0:
        return low
    if slope(high) <= 0:
        return high
    return float(brentq(slope, low, high))
