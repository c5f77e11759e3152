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

from nas_core.cells.checks import at_least_one, check_drop
from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.operations import (
    OPERATIONS,
    AveragePool,
    Build,
    Style,
    block,
    kept_paths,
    normaliser,
    preprocessing,
    separable,
)
from nas_core.cells.supernet import initialise
from nas_core.errors import UserError, choose
from nas_core.registry import Registry

STYLE = Style(affine=True)


def _conv_7x1_1x7(channels: int, stride: int, style: Style) -> nn.Module:
    rows = nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False)
    columns = nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False)
    return block([rows, columns], channels, style)


def _max_pool(channels: int, stride: int, style: Style) -> nn.Module:
    return nn.MaxPool2d(3, stride, 1)


def _avg_pool(channels: int, stride: int, style: Style) -> nn.Module:
    return AveragePool(stride)


# What is not as in the search: pools, which carry no normaliser here in DARTS's code, and the operations that only
# NASNet's and AmoebaNet's cells use. A plugin adds its own here only if it is built otherwise than in the search.
UNLIKE_SEARCH: Registry[Build] = Registry(
    "operation of evaluation networks",
    {
        "max_pool_3x3": _max_pool,
        "avg_pool_3x3": _avg_pool,
        "sep_conv_7x7": separable(7, 2),
        "conv_7x1_1x7": _conv_7x1_1x7,
    },
)
SEARCHED: dict[str, Build] = {name: op.build for name, op in OPERATIONS.items() if name != "none"}
EVALUATED: dict[str, Build] = {**SEARCHED, **UNLIKE_SEARCH}


def choose_operation(op: str) -> str:
    """``op`` if a derived network may have it; otherwise a :class:`UserError`, as for ``none``, which is no edge."""
    names = dict.fromkeys([*EVALUATED, *OPERATIONS, *UNLIKE_SEARCH])
    del names["none"]
    return choose("operation", op, names)


def build_of(op: str) -> Build:
    """How a derived network builds ``op``; one that a plugin registered for the search alone is built as there.

    Raises :class:`UserError` on what :func:`choose_operation` refuses.
    """
    choose_operation(op)
    return UNLIKE_SEARCH[op] if op in UNLIKE_SEARCH else OPERATIONS[op].build


class EvaluationCell(nn.Module):
    """A derived cell; a node without any kept edge is a map of zeros, as in the released evaluation code of SNAS.

    ``previous``: channels of the outputs of cells k-2 and k-1; a cell with one input reads the latter only.
    ``reduction`` halves the resolution on the edges that leave an input node; ``after_reduction`` says that the output
    of cell k-2 has twice the resolution. Raises :class:`UserError` on an operation that :func:`build_of` refuses.
    """

    def __init__(
        self, cell: CellGenotype, previous: Sequence[int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__()
        self.cell = cell
        self.reduction = reduction
        self.preprocess = preprocessing(previous[-cell.inputs :], channels, STYLE, halve_older=after_reduction)
        self.operations = nn.ModuleList()
        for source, _, op in cell.edges:
            stride = 2 if reduction and source < cell.inputs else 1
            self.operations.append(build_of(op)(channels, stride, STYLE))

    def forward(self, older: Tensor, newer: Tensor, drop: float, generator: Generator | None) -> Tensor:
        """Map (batch, channels x nodes of the output, height, width) from the outputs of cells k-2 and k-1."""
        inputs = (older, newer)[-self.cell.inputs :]
        states = [preprocess(x) for preprocess, x in zip(self.preprocess, inputs, strict=True)]
        step = 2 if self.reduction else 1
        zeros = torch.zeros_like(states[0][:, :, ::step, ::step])
        for node in self.cell.intermediate:
            total = zeros
            for (source, target, _), op in zip(self.cell.edges, self.operations, strict=True):
                if target == node:
                    total = total + self._output(op, states[source], drop, generator)
            states.append(total)
        return torch.cat([states[node] for node in self.cell.output], dim=1)

    @staticmethod
    def _output(op: nn.Module, x: Tensor, drop: float, generator: Generator | None) -> Tensor:
        y = op(x)
        # An identity is never dropped: a cell of skips alone would otherwise lose its input.
        if generator is None or not drop or isinstance(op, nn.Identity):
            return y
        return y * kept_paths((len(y), 1, 1, 1), drop, generator).to(y)


class TowerPool(nn.Module):
    """The 5x5 mean of the auxiliary tower, at the stride that leaves 2x2 pixels: side - 5, height and width apart.

    That is the stride of both published towers: 3 on 8x8 pixels (CIFAR), 2 on 7x7 (ImageNet).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, 2, 2) from (batch, channels, height, width); a side below 6 is a :class:`UserError`."""
        height, width = x.shape[-2:]
        if min(height, width) < 6:
            raise UserError(f"the auxiliary tower needs maps of 6x6 pixels or more, not {height}x{width}.")
        return F.avg_pool2d(x, 5, (height - 5, width - 5), count_include_pad=False)


def auxiliary_tower(channels: int, classes: int, last: nn.Module) -> nn.Sequential:
    """The auxiliary classifier after cell 2/3; its loss has weight 0.4 in DARTS. Needs maps of at least 6x6.

    ``last`` follows the second convolution.
    """
    return nn.Sequential(
        nn.ReLU(),
        TowerPool(),
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


def _cifar_tower(channels: int, classes: int) -> nn.Module:
    return auxiliary_tower(channels, classes, normaliser(768, STYLE))


def _imagenet_tower(channels: int, classes: int) -> nn.Module:
    """In DARTS's code it has no normaliser after its second convolution."""
    return auxiliary_tower(channels, classes, nn.Identity())


def cifar_stem(in_channels: int, channels: int) -> Stem:
    """One 3x3 convolution to 3C channels at full resolution, read by both inputs of the first cell."""
    older = nn.Sequential(*_stem_conv(in_channels, 3 * channels, 1))
    return Stem(older, nn.Identity(), 3 * channels, False, _cifar_tower)


def imagenet_stem(in_channels: int, channels: int) -> Stem:
    """Three 3x3 convolutions of stride 2, 224 -> 112 -> 56 -> 28 pixels; input 0 is the map of 56, input 1 that of 28.

    The first one has half the ``channels``; :func:`check_network` refuses an odd number of them.
    """
    half = channels // 2
    older = nn.Sequential(*_stem_conv(in_channels, half, 2), nn.ReLU(), *_stem_conv(half, channels, 2))
    newer = nn.Sequential(nn.ReLU(), *_stem_conv(channels, channels, 2))
    return Stem(older, newer, channels, True, _imagenet_tower)


STEMS: dict[str, Callable[[int, int], Stem]] = {"cifar": cifar_stem, "imagenet": imagenet_stem}


def check_network(*, channels: int, layers: int, classes: int, in_channels: int, stem: str) -> None:
    """Raise :class:`UserError` unless an evaluation network can have these numbers and this stem."""
    choose("stem", stem, STEMS)
    at_least_one("an evaluation network", channels=channels, layers=layers, classes=classes, in_channels=in_channels)
    if stem == "imagenet" and channels % 2:
        raise UserError(f"the imagenet stem halves the channels, so they must be even, not {channels}.")


def reductions_at(genotype: Genotype, layers: int) -> tuple[int, ...]:
    """The layers that are reduction cells: L//3 and 2L//3, or none without a reduction cell.

    One layer is a single reduction, two are two; only from three on does a normal cell come first.
    """
    if genotype.reduce is None:
        return ()
    return (layers // 3, 2 * layers // 3)


class EvaluationNetwork(nn.Module):
    """Stem, ``layers`` derived cells with reductions at 1/3 and 2/3, global average pooling, linear classifier.

    ``stem``: a name in ``STEMS``. Raises :class:`UserError` on numbers that make no network, and on an operation that
    :func:`build_of` refuses. ``genotype`` and ``numbers`` are what it was built of, but for a tower.
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
        check_network(channels=channels, layers=layers, classes=classes, in_channels=in_channels, stem=stem)
        self.genotype = genotype
        self.numbers = {
            "channels": channels,
            "layers": layers,
            "classes": classes,
            "in_channels": in_channels,
            "stem": stem,
        }
        at = reductions_at(genotype, layers)
        start = STEMS[stem](in_channels, channels)
        self.stem = nn.ModuleList([start.older, start.newer])
        self.cells = nn.ModuleList()
        self.tower_at = 2 * layers // 3
        self.tower: nn.Module | None = None
        older = newer = start.channels
        halved = start.halves
        for i in range(layers):
            cell = genotype.normal
            if i in at and genotype.reduce is not None:
                cell = genotype.reduce
                channels *= 2
            built = EvaluationCell(cell, (older, newer), channels, reduction=i in at, after_reduction=halved)
            self.cells.append(built)
            older, newer = newer, channels * len(cell.output)
            halved = i in at
            if auxiliary and i == self.tower_at:
                self.tower = start.tower(newer, classes)
        self.classifier = nn.Linear(newer, classes)
        initialise(self, generator)

    def forward(
        self, images: Tensor, drop: float = 0.0, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Class logits (batch, classes), and the auxiliary ones while training with a tower.

        ``images``: (batch, channels, height, width). ``drop``: the probability of drop-path, in [0, 1), which acts
        while training and draws from ``generator``.
        """
        check_drop(drop, generator)
        drop = drop if self.training else 0.0
        older = self.stem[0](images)
        newer = self.stem[1](older)
        extra = None
        for i, cell in enumerate(self.cells):
            older, newer = newer, cell(older, newer, drop, generator)
            if self.tower is not None and self.training and i == self.tower_at:
                extra = self.tower(newer)
        return self.classifier(F.adaptive_avg_pool2d(newer, 1).flatten(1)), extra
