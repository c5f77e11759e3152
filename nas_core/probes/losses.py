"""Cross-entropy L, prediction entropy H and cost C of the class logits, split by correctness and by data split."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = ("all", "correct", "wrong")
MEANS = ("L", "H", "C", "acc")


def loss_terms(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per sample: L = -log p_n, H = -sum_n p_n log p_n, C = -Y_n + sum_n p_n Y_n, and whether it is correct.

    C is computed from the logits Y (batch, classes), not as L - H, so that Theorem 2 of the wiring paper (App. F,
    with the label term outside the sum over classes) remains something to check. All in nats, shape (batch,).
    """
    log_p = F.log_softmax(logits, dim=1)
    p = log_p.exp()
    loss = F.nll_loss(log_p, labels, reduction="none")
    # p log p is 0 where p underflows to 0.
    uncertainty = -torch.xlogy(p, p).sum(1)
    cost = (p * logits).sum(1) - logits.gather(1, labels[:, None]).squeeze(1)
    return loss, uncertainty, cost, logits.argmax(1) == labels


class LossProbe:
    """Sums L, H, C over the samples of an epoch, per data split and group; means are weighted by samples."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}

    def add(self, split: str, logits: Tensor, labels: Tensor) -> None:
        """Add one batch, classified on the pass that produced ``logits`` (batch, classes); ``labels``: (batch,)."""
        loss, uncertainty, cost, correct = loss_terms(logits.detach().double(), labels)
        count = torch.ones_like(loss)
        values = torch.stack([loss, uncertainty, cost, correct.double(), count])
        groups = [values, values[:, correct], values[:, ~correct]]
        batch = torch.stack([group.sum(1) for group in groups]).cpu()
        if split in self.sums:
            batch = self.sums[split] + batch
        self.sums[split] = batch

    def close(self, epoch: int) -> list[dict[str, Any]]:
        """One row per split and group: the means L, H, C, acc and the number n of samples; then start afresh."""
        rows = []
        for split, sums in self.sums.items():
            for group, (*totals, n) in zip(GROUPS, sums.tolist(), strict=True):
                means = [total / n if n else float("nan") for total in totals]
                rows.append(
                    {
                        "epoch": epoch,
                        "split": split,
                        "group": group,
                        **dict(zip(MEANS, means, strict=True)),
                        "n": int(n),
                    }
                )
        self.sums = {}
        return rows
