"""The eight candidate operations of the DARTS space, each registered once with its cost beside its forward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nas_core.errors import UserError, choose
from nas_core.registry import Registry


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
CountCost = Callable[[int, int, int], Cost]  # of channels, output side and stride
NORMALISERS: dict[str, Callable[[int, Style], nn.Module]] = {
    "batch": lambda channels, s: nn.BatchNorm2d(channels, eps=s.eps, affine=s.affine),
    "instance": lambda channels, s: nn.InstanceNorm2d(channels, eps=s.eps, affine=s.affine),
    "layer": lambda channels, s: nn.GroupNorm(1, channels, eps=s.eps, affine=s.affine),
}
ORDERS = ("rcb", "crb", "cbr")
GROUPINGS = ("separable", "pool", "skip")


def normaliser(channels: int, style: Style) -> nn.Module:
    """The normaliser of a block."""
    return NORMALISERS[choose("normaliser", style.normaliser, NORMALISERS)](channels, style)


def block(convolutions: list[nn.Module], channels: int, style: Style) -> nn.Sequential:
    """Stack ReLU (r), convolutions (c) and normaliser (b) in the order that ``style`` names."""
    parts: dict[str, list[nn.Module]] = {"r": [nn.ReLU()], "c": convolutions, "b": [normaliser(channels, style)]}
    modules: list[nn.Module] = []
    for letter in choose("order", style.order, ORDERS):
        modules += parts[letter]
    return nn.Sequential(*modules)


def kept_paths(shape: Sequence[int], probability: float, generator: Generator) -> Tensor:
    """Drop-path's factors, of this ``shape``: 0 with ``probability``, otherwise what keeps the mean at 1."""
    stays = torch.rand(*shape, generator=generator) >= probability
    return stays / (1 - probability)


class Zero(nn.Module):
    """The operation ``none``: a map of zeros, subsampled by the stride."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same, of ceil(side / stride) pixels a side."""
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class FactorizedReduce(nn.Module):
    """Halve the resolution with two 1x1 convolutions, the second on the input shifted by one pixel both ways.

    ``channels_out`` must be even. At odd sizes the shifted input is padded by one row and column of zeros, so that
    both halves have ceil(side / 2) pixels; at even sizes this changes nothing. An odd number of output channels is a
    :class:`UserError`.
    """

    def __init__(self, channels_in: int, channels_out: int, style: Style) -> None:
        super().__init__()
        if channels_out % 2:
            raise UserError(f"FactorizedReduce needs an even number of output channels, not {channels_out}.")
        self.style = style
        half = channels_out // 2
        self.straight = nn.Conv2d(channels_in, half, 1, stride=2, bias=False)
        self.shifted = nn.Conv2d(channels_in, half, 1, stride=2, bias=False)
        self.norm = normaliser(channels_out, style)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, height, width) -> (batch, channels_out, ceil(height / 2), ceil(width / 2))."""
        if self.style.order == "rcb":
            x = F.relu(x)
        padded = F.pad(x, (0, 1, 0, 1))
        halves = [self.straight(x), self.shifted(padded[:, :, 1:, 1:])]
        y = torch.cat(halves, dim=1)
        if self.style.order == "crb":
            y = F.relu(y)
        y = self.norm(y)
        if self.style.order == "cbr":
            y = F.relu(y)
        return y


def preprocessing(previous: Sequence[int], channels: int, style: Style, *, halve_older: bool) -> nn.ModuleList:
    """What brings a cell's inputs of ``previous`` channels to ``channels``, and the older of two to half the side."""
    modules = nn.ModuleList()
    for i, width in enumerate(previous):
        older = i < len(previous) - 1
        if halve_older and older:
            modules.append(FactorizedReduce(width, channels, style))
        else:
            convolution = nn.Conv2d(width, channels, 1, bias=False)
            modules.append(block([convolution], channels, style))
    return modules


def separable(kernel: int, times: int, dilation: int = 1) -> Build:
    """Depthwise and 1x1 convolution, a pair that is applied ``times`` times; only the first one has the stride."""
    padding = dilation * (kernel // 2)

    def build(channels: int, stride: int, style: Style) -> nn.Module:
        modules: list[nn.Module] = []
        for step in [stride] + [1] * (times - 1):
            depthwise = nn.Conv2d(channels, channels, kernel, step, padding, dilation, groups=channels, bias=False)
            pointwise = nn.Conv2d(channels, channels, 1, bias=False)
            modules += block([depthwise, pointwise], channels, style)
        return nn.Sequential(*modules)

    return build


def skip(channels: int, stride: int, style: Style) -> nn.Module:
    """The identity, and at stride 2 a factorised reduction."""
    if stride == 1:
        return nn.Identity()
    return FactorizedReduce(channels, channels, style)


def max_pool(channels: int, stride: int, style: Style) -> nn.Module:
    """The largest of 3x3 pixels, then a normaliser."""
    return nn.Sequential(nn.MaxPool2d(3, stride, 1), normaliser(channels, style))


class AveragePool(nn.AvgPool2d):
    """The mean of 3x3 pixels, those outside not counted.

    On a GPU of maps whose channels come first: for padded ones whose channels come last PyTorch returned wrong
    gradients without a word (pytorch/pytorch issue 188344, mended in 2026).
    """

    def __init__(self, stride: int) -> None:
        super().__init__(3, stride, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """The pooled map of ``x``, (batch, channels, height, width)."""
        if x.device.type != "cpu":
            x = x.contiguous()
        return super().forward(x)


def avg_pool(channels: int, stride: int, style: Style) -> nn.Module:
    """The mean of 3x3 pixels, then a normaliser."""
    return nn.Sequential(AveragePool(stride), normaliser(channels, style))


def _zero(channels: int, stride: int, style: Style) -> nn.Module:
    return Zero(stride)


def _zero_cost(channels: int, side: int, stride: int) -> Cost:
    return Cost(0, 0, 0)


def _convolution_cost(kernel: int, blocks: int) -> CountCost:
    """Depthwise-separable blocks: weights, weights x pixels, and reads plus writes of the maps and the weights.

    Every convolution reads and writes its map (4 C y^2 a block); at stride 2 the first reads a map four times as large.
    """

    def cost(channels: int, side: int, stride: int) -> Cost:
        pixels = side**2
        size = blocks * (kernel**2 * channels + channels**2)
        maps = 4 * blocks
        if stride == 2:
            maps += 3
        return Cost(size, size * pixels, maps * channels * pixels + size)

    return cost


def _pool_cost(channels: int, side: int, stride: int) -> Cost:
    """Nine additions or comparisons an output pixel; SNAS eq. 38 prints a dense convolution's count instead."""
    numbers = channels * side**2
    maps = 2 if stride == 1 else 5
    return Cost(0, 9 * numbers, maps * numbers)


def _skip_cost(channels: int, side: int, stride: int) -> Cost:
    pixels = side**2
    if stride == 1:
        return Cost(0, 0, 2 * channels * pixels)
    size = channels**2
    maps = 4 * channels + channels // 2  # read and written by each of the two convolutions
    return Cost(size, size * pixels, 2 * pixels * maps + size)


@dataclass(frozen=True)
class Operation:
    """A candidate of an edge; a plugin adds one by ``OPERATIONS.register(name, operation)``.

    ``build(channels, stride, style)``: a module from maps (batch, channels, height, width) to maps of the same
    channels and of ceil(side / stride) pixels a side, which leaves its input as it is;
    ``cost(channels, output side, stride)``: what it costs for one image;
    ``grouping``: how it may be computed together with others, by its own module if None. It describes what ``build``
    returns when the normaliser is a batch norm and the order is rcb, and a faster formulation that relies on it checks
    it when a network is made:

        separable    once or twice ReLU, depthwise convolution, 1x1 convolution, batch norm: :func:`separable`,
        pool         :func:`max_pool` or :func:`avg_pool`,
        skip         :func:`skip`.
    """

    name: str
    build: Build
    cost: CountCost
    grouping: str | None = None

    def __post_init__(self) -> None:
        if self.grouping is not None:
            choose(f"grouping of operation {self.name!r}", self.grouping, GROUPINGS)


def _separable_operation(name: str, kernel: int, times: int, dilation: int = 1) -> Operation:
    build = separable(kernel, times, dilation)
    return Operation(name, build, _convolution_cost(kernel, times), "separable")


# The canonical order is that of the released codes of DARTS and SNAS.
_REGISTERED = (
    Operation("none", _zero, _zero_cost),
    Operation("max_pool_3x3", max_pool, _pool_cost, "pool"),
    Operation("avg_pool_3x3", avg_pool, _pool_cost, "pool"),
    Operation("skip_connect", skip, _skip_cost, "skip"),
    _separable_operation("sep_conv_3x3", 3, times=2),
    _separable_operation("sep_conv_5x5", 5, times=2),
    _separable_operation("dil_conv_3x3", 3, times=1, dilation=2),
    _separable_operation("dil_conv_5x5", 5, times=1, dilation=2),
)


def _check_operation(name: str, op: Operation) -> None:
    """Raise :class:`UserError` unless ``op`` gives maps and costs as :class:`Operation` says."""
    channels = 16
    images = torch.ones(2, channels, 5, 7)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for stride in (1, 2):
            shape = (2, channels, math.ceil(5 / stride), math.ceil(7 / stride))
            found = op.build(channels, stride, Style())(images)
            if tuple(found.shape) != shape:
                raise UserError(
                    f"operation {name!r}: of maps {tuple(images.shape)} at stride {stride} it must make {shape}, "
                    f"not {tuple(found.shape)}."
                )
            if not isinstance(op.cost(channels, 3, stride), Cost):
                raise UserError(f"operation {name!r}: its cost must be a Cost(params, madds, accesses).")
    if not torch.equal(images, torch.ones_like(images)):
        raise UserError(f"operation {name!r} must leave its input as it is.")


OPERATIONS: Registry[Operation] = Registry(
    "operation", {op.name: op for op in _REGISTERED}, check=_check_operation
)
CANDIDATES: tuple[str, ...] = tuple(OPERATIONS)
