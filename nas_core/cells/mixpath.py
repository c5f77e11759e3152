"""MixPath: several paths of a layer at once, their sum normalised by a batch norm for each number of paths.

The spaces are data, as in :mod:`nas_core.cells.chain`; the forward of a supernet takes what was drawn and computes
only that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn
from torchvision.ops import Conv2dNormActivation

from nas_core.cells.chain import Bottleneck, Choice, Macro, Slot, depthwise, initialise_fan_out, slots

T = TypeVar("T")
KERNELS, EXPANSIONS = (3, 5, 7, 9), (3, 6)
S1 = Macro(32, 1, slots(32, [(48, 2, 1), (96, 3, 2), (192, 3, 2), (256, 2, 1), (320, 2, 1)]), 1280)
# 18 layers are printed, their widths are not: the stages of ProxylessNAS, cut to 18 blocks (our default).
S2 = S3 = Macro(32, 2, slots(32, [(24, 2, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 3, 2), (320, 1, 1)]), 1280)


class ShadowBatchNorm(nn.Module):
    """MixPath's SBN: y = BN_n(x), one batch norm for every number n = 1..``most`` of summed paths.

    With ``most = 1`` a single batch norm serves every n: the baseline without shadows.
    """

    def __init__(self, channels: int, most: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(most))

    def forward(self, x: Tensor, active: int) -> Tensor:
        """Normalise ``x``, (batch, channels, height, width), the sum of ``active`` paths."""
        most = len(self.norms)
        if most > 1 and not 0 < active <= most:
            raise ValueError(f"{active} active paths, but there are batch norms for 1 to {most}")
        return self.norms[min(active, most) - 1](x)


class _Rate(Bottleneck):
    """What a mixed block has for one expansion: all kernels, of which only those drawn are computed."""

    def __init__(self, slot: Slot, choice: Choice, most: int) -> None:
        super().__init__(slot, choice, ShadowBatchNorm(slot.outputs, most))

    def forward(self, x: Tensor, kernels: Sequence[int]) -> Tensor:
        return self.shortcut(x, self.norm(self.mix(x, kernels), len(kernels)))


class MixedBottleneck(nn.Module):
    """The block of S1's supernet, and with one expansion that of S2: ``forward`` takes one :class:`Choice`.

    y = SBN_|S|(W sum_{k in S} f_k(E x)), plus x where the shapes agree. Each expansion owns its weights and its SBN.
    Which one S2 has is not printed ("as MixNet").
    """

    def __init__(
        self, slot: Slot, most: int, expansions: Sequence[int] = EXPANSIONS, kernels: Sequence[int] = KERNELS
    ) -> None:
        super().__init__()
        self.rates = nn.ModuleDict({str(e): _Rate(slot, Choice(e, tuple(kernels)), most) for e in expansions})

    def forward(self, x: Tensor, choice: Choice) -> Tensor:
        return self.rates[str(choice.expansion)](x, choice.kernels)


class GroupedBottleneck(Bottleneck):
    """The block of S3: the hidden channels fall into ``groups`` equal groups, each with a depthwise kernel of its own.

    y = BN(W [f_1(E x)_1, ..., f_4(E x)_4]), plus x where the shapes agree; ``forward`` takes one kernel per group.
    Expansion 6 is our default.
    """

    def __init__(self, slot: Slot, expansion: int = 6, kernels: Sequence[int] = KERNELS, groups: int = 4) -> None:
        super().__init__(slot, Choice(expansion, ()), nn.BatchNorm2d(slot.outputs))
        self.count, width = groups, expansion * slot.inputs // groups
        pairs = itertools.product(range(groups), kernels)
        self.groups = nn.ModuleDict({f"{i}:{k}": depthwise(width, k, slot.stride) for i, k in pairs})

    def forward(self, x: Tensor, kernels: Sequence[int]) -> Tensor:
        parts = zip(kernels, self.expand(x).chunk(self.count, dim=1), strict=True)
        y = torch.cat([self.groups[f"{i}:{k}"](part) for i, (k, part) in enumerate(parts)], dim=1)
        return self.shortcut(x, self.norm(self.project(y)))


S4_OPERATIONS = {
    "conv1x1": lambda channels: Conv2dNormActivation(channels, channels, 1),
    "conv3x3": lambda channels: Conv2dNormActivation(channels, channels, 3),
    "maxpool3x3": lambda channels: nn.MaxPool2d(3, 1, 1),
}


class ParallelCell(nn.Module):
    """The cell of S4: four parallel nodes, each absent or one operation after its own 1x1 convolution, and a fifth.

    y = ReLU(SBN_|S|(W sum_{i in S} o_i(P_i x))). The released code never calls its SBN; its place, after the
    convolution of the fifth node and before the ReLU, is our choice; the convolution therefore has no bias, while the
    released one has.
    """

    def __init__(self, inputs: int, outputs: int, most: int = 4) -> None:
        super().__init__()
        self.nodes = nn.ModuleDict()
        for i, (op, build) in itertools.product(range(4), S4_OPERATIONS.items()):
            self.nodes[f"{i}:{op}"] = nn.Sequential(Conv2dNormActivation(inputs, outputs, 1), build(outputs))
        self.project = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.norm = ShadowBatchNorm(outputs, most)

    def forward(self, x: Tensor, cell: Sequence[str | None]) -> Tensor:
        """``cell``: the operation of each node, None where it is absent; at least one is not."""
        first, *others = (self.nodes[f"{i}:{op}"](x) for i, op in enumerate(cell) if op is not None)
        return torch.relu(self.norm(self.project(sum(others, start=first)), 1 + len(others)))


class ParallelNetwork(nn.Module):
    """S4: a 3x3 stem, nine cells that share one choice, 2x2 max-pool after cells 2 and 5, pool, linear classifier.

    ``channels`` (128 in the release) double in cells 3 and 6.
    """

    def __init__(self, *, channels: int, classes: int, in_channels: int, most: int, generator: Generator) -> None:
        super().__init__()
        widths = [channels * 2 ** (i // 3) for i in range(9)]
        self.stem = Conv2dNormActivation(in_channels, channels, 3)
        cells = (ParallelCell(i, o, most) for i, o in itertools.pairwise([channels, *widths]))
        self.cells, self.pool = nn.ModuleList(cells), nn.MaxPool2d(2)
        self.classifier = nn.Linear(widths[-1], classes)
        initialise_fan_out(self, generator)

    def forward(self, images: Tensor, cell: Sequence[str | None]) -> Tensor:
        """Class logits (batch, classes) of the network whose nine cells are all ``cell``."""
        x = self.stem(images)
        for i, part in enumerate(self.cells):
            x = part(x, cell)
            x = self.pool(x) if i in (2, 5) else x
        return self.classifier(x.mean(dim=(2, 3)))


def subsets(paths: Iterable[T], most: int) -> list[tuple[T, ...]]:
    """All sets of 1 to ``most`` of the ``paths``: what is active in a layer; S1 prints 8, 36, 92, 162 of 8 paths."""
    members = tuple(paths)
    return [some for n in range(1, most + 1) for some in itertools.combinations(members, n)]


def sampled_choices(most: int, expansions: Sequence[int] = EXPANSIONS) -> list[Choice]:
    """A layer's choices under the released sampler, which draws one expansion and then 1 to ``most`` kernels.

    8, 20, 28, 30 in S1 for ``most`` = 1, 2, 3, 4; with one expansion and ``most = 2`` the 10 of S2.
    """
    return [Choice(e, kernels) for e in expansions for kernels in subsets(KERNELS, most)]


def grouped_choices(groups: int = 4) -> list[tuple[int, ...]]:
    """A layer's choices in S3: one kernel for each group of channels, 256 in all."""
    return list(itertools.product(KERNELS, repeat=groups))


def s4_cells(most: int = 4) -> list[tuple[str | None, ...]]:
    """The labelled cells of S4 with 1 to ``most`` of the four nodes: 12, 66, 174, 255; None is an absent node."""
    cells = itertools.product((None, *S4_OPERATIONS), repeat=4)
    return [cell for cell in cells if 1 <= 4 - cell.count(None) <= most]
