"""How sure a network is, and how sure it should be: its loss at other scales of its logits, and its reliability.

For a classifier without bias the cost of the last cell is C = <W, dL/dW> = dL/d log s at s = 1, where s scales the
class logits (Theorem 2 of the wiring paper: C = L - H). The loss is convex in s, so it would fall if the logits were
smaller where C > 0 (an over-confident network), and if they were larger where C < 0 (Guo and others, 2017, fit 1 / s
as a temperature).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nas_core.probes.losses import loss_terms

OCTAVES = np.arange(-20, 21) / 4  # log2 of the scales
SCALES = 2.0**OCTAVES
BINS = 10  # of confidence, from 0 to 1


def scaled_terms(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over samples of L and of C of s Y for every scale s, both (scales,); ``logits`` Y: (batch, classes)."""
    scales = torch.as_tensor(SCALES).to(logits)
    scaled = scales[:, None, None] * logits
    loss, _, cost, _ = loss_terms(scaled.flatten(0, 1), labels.repeat(len(scales)))
    shape = len(scales), len(labels)
    return loss.view(shape).sum(1), cost.view(shape).sum(1)


def reliability(logits: Tensor, labels: Tensor) -> Tensor:
    """By bin of confidence (the largest probability): images, the sum of confidence, correct ones; (bins, 3)."""
    confidence, guess = logits.softmax(1).max(1)
    chosen = (confidence * BINS).long().clamp(max=BINS - 1)
    hits = (guess == labels).to(confidence)
    counted = torch.stack([torch.ones_like(confidence), confidence, hits], dim=1)
    return torch.zeros(BINS, 3, dtype=confidence.dtype, device=confidence.device).index_add(0, chosen, counted)


def best_scale(cost: np.ndarray) -> float:
    """log2 of the scale at which the loss is least: where C, (scales,), which rises with s, crosses zero.

    Between two scales of the grid C is taken as linear in log s. Ends of the grid stand for what lies beyond.
    """
    above = np.flatnonzero(cost > 0)
    if not len(above):
        return float(OCTAVES[-1])
    right = int(above[0])
    if right == 0:
        return float(OCTAVES[0])
    left = right - 1
    share = -cost[left] / (cost[right] - cost[left])
    return float(OCTAVES[left] + share * (OCTAVES[right] - OCTAVES[left]))


class CalibrationProbe:
    """Sums over the images of an epoch, by data split."""

    def __init__(self) -> None:
        self.sums: dict[str, dict[str, Tensor]] = {}

    def add(self, split: str, logits: Tensor, labels: Tensor) -> None:
        """Add one batch: class logits (batch, classes) and labels (batch,)."""
        y = logits.detach().double()
        loss, cost = scaled_terms(y, labels)
        batch = {
            "L_by_scale": loss.cpu(),
            "C_by_scale": cost.cpu(),
            "reliability": reliability(y, labels).cpu(),
        }
        if split in self.sums:
            batch = {name: self.sums[split][name] + value for name, value in batch.items()}
        self.sums[split] = batch

    def close(self) -> dict[str, Tensor]:
        """The epoch's arrays by split, as in ``train_L_by_scale``, then start afresh.

        Means over images ``L_by_scale`` and ``C_by_scale`` (scales,); sums ``reliability`` (bins, 3).
        """
        arrays = {}
        for split, sums in self.sums.items():
            images = sums["reliability"][:, 0].sum()
            arrays[f"{split}_L_by_scale"] = sums["L_by_scale"] / images
            arrays[f"{split}_C_by_scale"] = sums["C_by_scale"] / images
            arrays[f"{split}_reliability"] = sums["reliability"]
        self.sums = {}
        return arrays
