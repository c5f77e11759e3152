"""Parallel paths in the supernet of MixPath's S1: the statistics of their sums, and of the paths themselves.

A layer adds up n of its paths, y = W sum_k f_k(E x), and a batch norm for every n normalises the sum. For paths whose
mean variance is v and whose mean covariance is c, both over the pairs that are drawn alike, the sum of n has the
variance n v + n (n - 1) c = n (1 + (n - 1) rho) v with rho = c / v.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_core.cells.chain import Choice
from nas_core.cells.mixpath import subsets

PARAMETERS = {"mean": "running_mean", "var": "running_var", "gamma": "weight", "beta": "bias"}
LARGEST = 8  # pixels; larger maps of features are averaged down to it


def norm_parameters(supernet: Any) -> dict[str, Tensor]:
    """Mean, variance, scale gamma and shift beta of all shadow norms: each (layers, expansions, norms, channels).

    Layers that have fewer channels than others are filled up with nan.
    """
    width = max(slot.outputs for slot in supernet.macro.slots)
    found = {}
    for name, attribute in PARAMETERS.items():
        layers = []
        for block in supernet.blocks:
            norms = [rate.norm.norms for rate in block.rates.values()]
            rows = [[_filled(getattr(norm, attribute), width) for norm in of_rate] for of_rate in norms]
            layers.append(torch.stack([torch.stack(row) for row in rows]))
        found[name] = torch.stack(layers)
    return found


def _filled(values: Tensor, width: int) -> Tensor:
    """Values (..., channels) as (..., width), nan behind."""
    return F.pad(values.detach().cpu(), (0, width - values.shape[-1]), value=torch.nan)


class PathMoments:
    """Means and covariances of the paths of every layer, each path alone: averages over batches."""

    def __init__(self) -> None:
        self.batches = 0
        self.sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, supernet: Any, images: Tensor, child: Sequence[Choice]) -> None:
        """Add a batch of ``images``: every layer reads what the ``child`` gives it, and computes all of its paths."""
        width = max(slot.outputs for slot in supernet.macro.slots)
        means, covariances = [], []
        x = supernet.stem(images)
        for block, choice in zip(supernet.blocks, child, strict=True):
            moments = [_moments(_alone(rate, x)) for rate in block.rates.values()]
            means.append(torch.stack([_filled(mean, width) for mean, _ in moments]))
            covariances.append(torch.stack([_filled(covariance, width) for _, covariance in moments]))
            x = block(x, choice)
        self._count({"path_mean": torch.stack(means), "path_cov": torch.stack(covariances)})

    def _count(self, batch: dict[str, Tensor]) -> None:
        for name, value in batch.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.batches += 1

    def close(self) -> dict[str, Tensor]:
        """``path_mean`` (layers, expansions, kernels, channels), ``path_cov`` (..., kernels, kernels, channels)."""
        return {name: value / self.batches for name, value in self.sums.items()}


def _alone(rate: Any, x: Tensor) -> Tensor:
    """W f_k(E x) of every path k: (paths, batch, channels, height, width)."""
    wide = rate.expand(x)
    return torch.stack([rate.project(path(wide)) for path in rate.paths.values()])


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Means (paths, channels) and covariances (paths, paths, channels) of features.

    ``features``: (paths, batch, channels, height, width).
    """
    values = features.double().transpose(1, 2).flatten(2)  # (paths, channels, samples)
    mean = values.mean(2)
    centred = values - mean.unsqueeze(2)
    covariance = torch.einsum("ics,jcs->ijc", centred, centred) / (values.shape[2] - 1)
    return mean, covariance


@torch.no_grad()
def first_features(supernet: Any, images: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Of the first layer's last expansion: sums of every combination of at most ``most`` paths, and these normalised.

    Both (combinations, images, channels, height, width), combinations in the order of :func:`subsets`; maps of more
    than 8 x 8 pixels are averaged down.
    """
    rate = list(supernet.blocks[0].rates.values())[-1]
    alone = _alone(rate, supernet.stem(images))
    before, after = [], []
    for active in subsets(range(len(alone)), most):
        mixed = alone[list(active)].sum(0)
        before.append(_small(mixed))
        after.append(_small(rate.norm(mixed, len(active))))
    return torch.stack(before), torch.stack(after)


def _small(features: Tensor) -> Tensor:
    height, width = features.shape[-2:]
    if max(height, width) <= LARGEST:
        return features.contiguous().cpu()
    return F.adaptive_avg_pool2d(features, LARGEST).contiguous().cpu()
