"""The eight candidate operations of the DARTS space, each registered once with its cost beside its forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nas_core.errors import choose


@dataclass(frozen=True)
class Cost:
    """What one operation costs for one image: parameters, multiply-adds, and memory accesses (SNAS, App. F)."""

    params: int
    madds: int
    accesses: int


@dataclass(frozen=True)
class Style:
    """How the blocks of a cell are put together.

    ``normaliser``: batch, instance or layer; ``order``: rcb = ReLU-Conv-Norm (the papers' default), crb, cbr (wiring
    paper, App. H); ``affine`` is off while searching and on when a derived network is trained.
    """

    normaliser: str = "batch"
    affine: bool = False
    order: str = "rcb"
    eps: float = 1e-5


Build = Callable[[int, int, Style], nn.Module]  # of channels, stride and style
NORMALISERS: dict[str, Callable[[int, Style], nn.Module]] = {
    "batch": lambda channels, s: nn.BatchNorm2d(channels, eps=s.eps, affine=s.affine),
    "instance": lambda channels, s: nn.InstanceNorm2d(channels, eps=s.eps, affine=s.affine),
    "layer": lambda channels, s: nn.GroupNorm(1, channels, eps=s.eps, affine=s.affine),
}
ORDERS = ("rcb", "crb", "cbr")


def normaliser(channels: int, style: Style) -> nn.Module:
    """The normaliser of a block."""
    return NORMALISERS[choose("normaliser", style.normaliser, NORMALISERS)](channels, style)


def block(convolutions: list[nn.Module], channels: int, style: Style) -> nn.Sequential:
    """Stack ReLU (r), convolutions (c) and normaliser (b) in the order that ``style`` names."""
    parts: dict[str, list[nn.Module]] = {"r": [nn.ReLU()], "c": convolutions, "b": [normaliser(channels, style)]}
    return nn.Sequential(*(m for letter in choose("order", style.order, ORDERS) for m in parts[letter]))


def kept_paths(shape: Sequence[int], probability: float, generator: Generator) -> Tensor:
    """Drop-path's factors, of this ``shape``: 0 with ``probability``, otherwise what keeps the mean at 1."""
    return (torch.rand(*shape, generator=generator) >= probability) / (1 - probability)


class Zero(nn.Module):
    """The operation ``none``: a map of zeros, subsampled by the stride."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class FactorizedReduce(nn.Module):
    """Halve the resolution with two 1x1 convolutions, the second on the input shifted by one pixel both ways.

    ``channels_out`` must be even. At odd sizes the shifted input is padded by one row and column of zeros, so that
    both halves have ceil(side / 2) pixels; at even sizes this changes nothing.
    """

    def __init__(self, channels_in: int, channels_out: int, style: Style) -> None:
        super().__init__()
        if channels_out % 2:
            raise ValueError(f"FactorizedReduce needs an even number of output channels, not {channels_out}")
        self.style = style
        half = channels_out // 2
        self.straight = nn.Conv2d(channels_in, half, 1, stride=2, bias=False)
        self.shifted = nn.Conv2d(channels_in, half, 1, stride=2, bias=False)
        self.norm = normaliser(channels_out, style)

    def forward(self, x: Tensor) -> Tensor:
        if self.style.order == "rcb":
            x = F.relu(x)
        y = torch.cat([self.straight(x), self.shifted(F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:])], dim=1)
        if self.style.order == "crb":
            y = F.relu(y)
        y = self.norm(y)
        return F.relu(y) if self.style.order == "cbr" else y


def preprocessing(previous: Sequence[int], channels: int, style: Style, *, halve_older: bool) -> nn.ModuleList:
    """What brings a cell's inputs of ``previous`` channels to ``channels``, and the older of two to half the side."""
    return nn.ModuleList(
        FactorizedReduce(c, channels, style)
        if halve_older and i < len(previous) - 1
        else block([nn.Conv2d(c, channels, 1, bias=False)], channels, style)
        for i, c in enumerate(previous)
    )


def separable(kernel: int, times: int, dilation: int = 1) -> Build:
    """Depthwise and 1x1 convolution, a pair that is applied ``times`` times; only the first one has the stride."""
    padding = dilation * (kernel // 2)

    def build(channels: int, stride: int, style: Style) -> nn.Module:
        modules: list[nn.Module] = []
        for step in [stride] + [1] * (times - 1):
            depthwise = nn.Conv2d(channels, channels, kernel, step, padding, dilation, groups=channels, bias=False)
            modules += block([depthwise, nn.Conv2d(channels, channels, 1, bias=False)], channels, style)
        return nn.Sequential(*modules)

    return build


def _skip(channels: int, stride: int, style: Style) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, style)


def _max_pool(channels: int, stride: int, style: Style) -> nn.Module:
    return nn.Sequential(nn.MaxPool2d(3, stride, 1), normaliser(channels, style))


def _avg_pool(channels: int, stride: int, style: Style) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), normaliser(channels, style))


def _convolution_cost(kernel: int, blocks: int) -> Callable[[int, int, int], Cost]:
    """Depthwise-separable blocks: weights, weights x pixels, and reads plus writes of the maps and the weights.

    Every convolution reads and writes its map (4 C y^2 a block); at stride 2 the first reads a map four times as large.
    """

    def cost(channels: int, side: int, stride: int) -> Cost:
        size = blocks * (kernel**2 * channels + channels**2)
        maps = (4 * blocks + (3 if stride == 2 else 0)) * channels * side**2
        return Cost(size, size * side**2, maps + size)

    return cost


def _pool_cost(channels: int, side: int, stride: int) -> Cost:
    """Nine additions or comparisons an output pixel; SNAS eq. 38 prints a dense convolution's count instead."""
    return Cost(0, 9 * channels * side**2, (2 if stride == 1 else 5) * channels * side**2)


def _skip_cost(channels: int, side: int, stride: int) -> Cost:
    if stride == 1:
        return Cost(0, 0, 2 * channels * side**2)
    accesses = 2 * side**2 * (4 * channels + channels // 2) + channels**2
    return Cost(channels**2, channels**2 * side**2, accesses)


@dataclass(frozen=True)
class Operation:
    """A candidate: ``build(channels, stride, style)`` and ``cost(channels, output side, stride)`` per image."""

    name: str
    build: Build
    cost: Callable[[int, int, int], Cost]


# The canonical order is that of the released codes of DARTS and SNAS.
OPERATIONS: dict[str, Operation] = {
    op.name: op
    for op in (
        Operation("none", lambda channels, stride, style: Zero(stride), lambda channels, side, stride: Cost(0, 0, 0)),
        Operation("max_pool_3x3", _max_pool, _pool_cost),
        Operation("avg_pool_3x3", _avg_pool, _pool_cost),
        Operation("skip_connect", _skip, _skip_cost),
        Operation("sep_conv_3x3", separable(3, 2), _convolution_cost(3, 2)),
        Operation("sep_conv_5x5", separable(5, 2), _convolution_cost(5, 2)),
        Operation("dil_conv_3x3", separable(3, 1, dilation=2), _convolution_cost(3, 1)),
        Operation("dil_conv_5x5", separable(5, 1, dilation=2), _convolution_cost(5, 1)),
    )
}
CANDIDATES: tuple[str, ...] = tuple(OPERATIONS)
