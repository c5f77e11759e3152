"""The evaluation network of a genotype: what is trained from scratch after a search.

As DARTS trains it: 20 cells of 36 channels on CIFAR-10 or 14 of 48 on ImageNet, affine normalisers, drop-path, an
auxiliary classifier after cell 2/3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.operations import OPERATIONS, Build, Style, block, kept_paths, normaliser, preprocessing, separable
from nas_core.cells.supernet import initialise
from nas_core.errors import choose

STYLE = Style(affine=True)


def _conv_7x1_1x7(channels: int, stride: int, style: Style) -> nn.Module:
    rows = nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False)
    columns = nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False)
    return block([rows, columns], channels, style)


# The candidates of the search, whose pools carry no normaliser here in DARTS's code, and the operations that only
# NASNet's and AmoebaNet's cells use.
EVALUATED: dict[str, Build] = {
    **{name: op.build for name, op in OPERATIONS.items() if name != "none"},
    "max_pool_3x3": lambda channels, stride, style: nn.MaxPool2d(3, stride, 1),
    "avg_pool_3x3": lambda channels, stride, style: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "sep_conv_7x7": separable(7, 2),
    "conv_7x1_1x7": _conv_7x1_1x7,
}


class EvaluationCell(nn.Module):
    """A derived cell; a node without any kept edge is a map of zeros, as in the released evaluation code of SNAS."""

    def __init__(
        self, cell: CellGenotype, previous: Sequence[int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__()
        self.cell, self.reduction = cell, reduction
        self.preprocess = preprocessing(previous, channels, STYLE, halve_older=after_reduction)
        self.operations = nn.ModuleList(
            EVALUATED[choose("operation", op, EVALUATED)](channels, 2 if reduction and i < cell.inputs else 1, STYLE)
            for i, _, op in cell.edges
        )

    def forward(self, older: Tensor, newer: Tensor, drop: float, generator: Generator | None) -> Tensor:
        states = [preprocess(x) for preprocess, x in zip(self.preprocess, (older, newer), strict=True)]
        step = 2 if self.reduction else 1
        zeros = torch.zeros_like(states[0][:, :, ::step, ::step])
        for node in range(self.cell.inputs, self.cell.inputs + self.cell.nodes):
            total = zeros
            for (source, target, _), op in zip(self.cell.edges, self.operations, strict=True):
                if target == node:
                    y = op(states[source])
                    # An identity is never dropped: a cell of skips alone would otherwise lose its input.
                    if drop and generator is not None and not isinstance(op, nn.Identity):
                        y = y * kept_paths((len(y), 1, 1, 1), drop, generator).to(y)
                    total = total + y
            states.append(total)
        return torch.cat([states[n] for n in self.cell.output], dim=1)


def auxiliary_tower(channels: int, classes: int, stride: int, last: nn.Module) -> nn.Sequential:
    """The auxiliary classifier after cell 2/3; its loss has weight 0.4 in DARTS. Needs maps of at least 5x5.

    ``stride``: of the 5x5 pool, which leaves 2x2 pixels of an 8x8 or 7x7 map; ``last`` follows the second convolution.
    """
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride, count_include_pad=False),
        nn.Conv2d(channels, 128, 1, bias=False),
        normaliser(128, STYLE),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        last,
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(768, classes),
    )


class Stem(NamedTuple):
    """What precedes the cells, and the auxiliary tower that goes with it.

    ``older`` maps images to input 0 of the first cell and ``newer`` that one to input 1, both with ``channels``
    channels; ``halves`` says that ``newer`` halves the resolution, so that the first cell must behave as one after a
    reduction. ``tower(channels, classes)`` builds the auxiliary classifier.
    """

    older: nn.Module
    newer: nn.Module
    channels: int
    halves: bool
    tower: Callable[[int, int], nn.Module]


def _stem_conv(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), normaliser(outputs, STYLE)]


def cifar_stem(in_channels: int, channels: int) -> Stem:
    """One 3x3 convolution to 3C channels at full resolution, read by both inputs of the first cell."""
    older = nn.Sequential(*_stem_conv(in_channels, 3 * channels, 1))
    return Stem(
        older, nn.Identity(), 3 * channels, False, lambda c, n: auxiliary_tower(c, n, 3, normaliser(768, STYLE))
    )


def imagenet_stem(in_channels: int, channels: int) -> Stem:
    """Three 3x3 convolutions of stride 2, 224 -> 112 -> 56 -> 28 pixels; input 0 is the map of 56, input 1 that of 28.

    In DARTS's code the auxiliary tower has no normaliser after its second convolution.
    """
    half = channels // 2
    older = nn.Sequential(*_stem_conv(in_channels, half, 2), nn.ReLU(), *_stem_conv(half, channels, 2))
    newer = nn.Sequential(nn.ReLU(), *_stem_conv(channels, channels, 2))
    return Stem(older, newer, channels, True, lambda c, n: auxiliary_tower(c, n, 2, nn.Identity()))


STEMS: dict[str, Callable[[int, int], Stem]] = {"cifar": cifar_stem, "imagenet": imagenet_stem}


class EvaluationNetwork(nn.Module):
    """Stem, ``layers`` derived cells with reductions at 1/3 and 2/3, global average pooling, linear classifier.

    ``stem``: a name in ``STEMS``.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        channels: int,
        layers: int,
        classes: int,
        in_channels: int,
        generator: Generator,
        auxiliary: bool = False,
        stem: str = "cifar",
    ) -> None:
        super().__init__()
        at = {layers // 3, 2 * layers // 3} if genotype.reduce is not None else set()
        start = STEMS[choose("stem", stem, STEMS)](in_channels, channels)
        self.stem = nn.ModuleList([start.older, start.newer])
        older = newer = start.channels
        self.cells, self.tower_at, self.tower = nn.ModuleList(), 2 * layers // 3, None
        for i in range(layers):
            channels *= 2 if i in at else 1
            cell = genotype.reduce if i in at and genotype.reduce is not None else genotype.normal
            flags = {"reduction": i in at, "after_reduction": i - 1 in at if i else start.halves}
            self.cells.append(EvaluationCell(cell, (older, newer), channels, **flags))
            older, newer = newer, channels * len(cell.output)
            if auxiliary and i == self.tower_at:
                self.tower = start.tower(newer, classes)
        self.classifier = nn.Linear(newer, classes)
        initialise(self, generator)

    def forward(
        self, images: Tensor, drop: float = 0.0, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Class logits (batch, classes), and the auxiliary ones while training with a tower. ``drop``: drop-path."""
        older = self.stem[0](images)
        newer = self.stem[1](older)
        extra = None
        for i, cell in enumerate(self.cells):
            older, newer = newer, cell(older, newer, drop if self.training else 0.0, generator)
            if self.tower is not None and self.training and i == self.tower_at:
                extra = self.tower(newer)
        return self.classifier(F.adaptive_avg_pool2d(newer, 1).flatten(1)), extra
