"""Chains of inverted bottlenecks: the ImageNet space of ProxylessNAS, its released networks, MobileNetV2.

A chain is data: a :class:`Macro` says where blocks stand, one :class:`Choice` per slot says which block stands there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Generator, Tensor, nn
from torchvision.ops import Conv2dNormActivation

from nas_core import papers
from nas_core.cells.checks import at_least_one, check_kernels, check_stride
from nas_core.errors import UserError, choose


@dataclass(frozen=True)
class Choice:
    """A block: the hidden layer has ``expansion`` times the input's channels; ``kernels`` are summed depthwise paths.

    ProxylessNAS has one kernel per block; several are the paths of MixPath. ``ZERO``, without expansion and kernels, is
    nothing but the shortcut. Raises :class:`UserError` on what is neither.
    """

    expansion: int
    kernels: tuple[int, ...]

    def __post_init__(self) -> None:
        if (self.expansion, self.kernels) == (0, ()):
            return
        at_least_one(f"a block with kernels {self.kernels}", expansion=self.expansion)
        check_kernels("the kernels of a block", self.kernels)


ZERO = Choice(0, ())


@dataclass(frozen=True)
class Slot:
    """Where a block stands: channels in and out, and its stride, 1 or 2."""

    inputs: int
    outputs: int
    stride: int

    def __post_init__(self) -> None:
        at_least_one("a slot of a chain", inputs=self.inputs, outputs=self.outputs)
        check_stride("a slot of a chain", self.stride)

    @property
    def residual(self) -> bool:
        """Whether input and output have one shape, so that the block has a shortcut."""
        return self.stride == 1 and self.inputs == self.outputs


@dataclass(frozen=True)
class Macro:
    """What is fixed: a 3x3 stem, the slots, a 1x1 head, then pool and linear layer.

    ``stem``, ``head``: channels; ``stride``: of the stem; ``eps``: of the batch norms. Raises :class:`UserError` where
    a slot does not read the channels that are there.
    """

    stem: int
    stride: int
    slots: tuple[Slot, ...]
    head: int
    eps: float = 1e-5

    def __post_init__(self) -> None:
        at_least_one("a chain", stem=self.stem, head=self.head, slots=len(self.slots))
        check_stride("the stem of a chain", self.stride)
        channels = self.stem
        for i, slot in enumerate(self.slots):
            if slot.inputs != channels:
                raise UserError(f"slot {i} of a chain must read the {channels} channels before it, not {slot.inputs}.")
            channels = slot.outputs


def slots(inputs: int, stages: Iterable[tuple[int, int, int]]) -> tuple[Slot, ...]:
    """The slots of stages (channels, blocks, stride of the first block), after a map of ``inputs`` channels."""
    found = []
    for width, blocks, stride in stages:
        for i in range(blocks):
            found.append(Slot(inputs, width, stride if i == 0 else 1))
            inputs = width
    return tuple(found)


def proxyless(widths: Sequence[int], blocks: Sequence[int]) -> Macro:
    """The macro network of ProxylessNAS: stem of stride 2, a fixed first block, six stages of 2, 2, 2, 1, 2, 1 strides.

    ``widths``: channels of stem, first block, the six stages and head; ``blocks``: per stage.
    """
    stem, first, *stages, head = widths
    after = slots(first, zip(stages, blocks, (2, 2, 2, 1, 2, 1), strict=True))
    return Macro(stem, 2, (Slot(stem, first, 1), *after), head, eps=1e-3)


FIRST = Choice(1, (3,))  # The fixed first block: no expansion, so no 1x1 convolution before the depthwise one.
PROXYLESS = proxyless((32, 16, 24, 40, 80, 96, 192, 320, 1280), (4, 4, 4, 4, 4, 1))
MOBILENET_V2 = proxyless((32, 16, 24, 32, 64, 96, 160, 320, 1280), (2, 3, 4, 3, 3, 1)), (FIRST, *[Choice(6, (3,))] * 16)


def candidates(slot: Slot) -> tuple[Choice, ...]:
    """The candidates of ProxylessNAS: kernels 3, 5, 7 times expansions 3, 6, and Zero where there is a shortcut."""
    blocks = [Choice(expansion, (kernel,)) for kernel, expansion in itertools.product((3, 5, 7), (3, 6))]
    return (*blocks, ZERO) if slot.residual else tuple(blocks)


def space_size() -> int:
    """Number of networks in the ImageNet space of ProxylessNAS: one candidate per slot, the first block being fixed."""
    return math.prod(len(candidates(slot)) for slot in PROXYLESS.slots[1:])


def released_chain(net: str) -> tuple[Macro, tuple[Choice, ...]]:
    """The released ProxylessNAS network ``net`` (mobile, gpu or cpu) as its macro network and its choices."""
    table = papers.printed("proxyless_nets").set_index("net")
    row = table.loc[choose("released network", net, table.index)]
    stages = [row[f"s{i}"].split() for i in range(2, 8)]
    macro = proxyless([int(width) for width in row["widths"].split("-")], [len(stage) for stage in stages])
    return macro, (FIRST, *map(_released_choice, itertools.chain.from_iterable(stages)))


def _released_choice(text: str) -> Choice:
    """``k5e3`` is kernel 5 and expansion 3."""
    return Choice(int(text[3]), (int(text[1]),))


def one_per_slot(slots: Sized, what: str, given: Sized) -> None:
    """Raise :class:`UserError` unless there are as many of ``given`` (``what``: choices, blocks, ...) as slots."""
    if len(given) != len(slots):
        raise UserError(f"a chain of {len(slots)} slots needs as many {what}, not {len(given)}.")


def check_choices(macro: Macro, choices: Sequence[Choice]) -> None:
    """Raise :class:`UserError` unless ``choices`` has one for each slot, ZERO only where there is a shortcut."""
    one_per_slot(macro.slots, "choices", choices)
    for i, (slot, choice) in enumerate(zip(macro.slots, choices, strict=True)):
        if choice == ZERO and not slot.residual:
            raise UserError(f"slot {i} of the chain has no shortcut, so a block must stand there, not Zero.")


def depthwise(channels: int, kernel: int, stride: int, eps: float = 1e-5) -> nn.Module:
    """Depthwise convolution, batch norm, ReLU6."""
    return _conv(channels, channels, kernel, stride, groups=channels, eps=eps)


def _conv(inputs: int, outputs: int, kernel: int, stride: int, *, eps: float, groups: int = 1) -> nn.Module:
    norm = partial(nn.BatchNorm2d, eps=eps)
    return Conv2dNormActivation(
        inputs, outputs, kernel, stride, groups=groups, norm_layer=norm, activation_layer=nn.ReLU6
    )


class Bottleneck(nn.Module):
    """What inverted bottlenecks share: 1x1 expansion E, depthwise paths f_k, linear 1x1 projection W, shortcut.

    Every path has its own batch norm and ReLU6; E is the identity if the expansion is 1.
    """

    def __init__(
        self, slot: Slot, expansion: int, kernels: Sequence[int], norm: nn.Module, eps: float = 1e-5
    ) -> None:
        super().__init__()
        hidden = expansion * slot.inputs
        self.residual = slot.residual
        self.expand = nn.Identity() if expansion == 1 else _conv(slot.inputs, hidden, 1, 1, eps=eps)
        self.paths = nn.ModuleDict({str(k): depthwise(hidden, k, slot.stride, eps) for k in kernels})
        self.project = nn.Conv2d(hidden, slot.outputs, 1, bias=False)
        self.norm = norm

    def shortcut(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y where the shapes agree, else y."""
        return x + y if self.residual else y


class Branch(Bottleneck):
    """A block without its shortcut: BN(W sum_k f_k(E x)); what a gate of ProxylessNAS multiplies."""

    def __init__(self, slot: Slot, choice: Choice, eps: float = 1e-5) -> None:
        norm = nn.BatchNorm2d(slot.outputs, eps=eps)
        super().__init__(slot, choice.expansion, choice.kernels, norm, eps)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.expand(x)
        first, *others = [path(wide) for path in self.paths.values()]
        return self.norm(self.project(sum(others, start=first)))


class InvertedBottleneck(Branch):
    """The block of a child: y = BN(W sum_k f_k(E x)), plus x where the shapes agree."""

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x, super().forward(x))


def blocks(macro: Macro, choices: Sequence[Choice]) -> list[nn.Module]:
    """The blocks of the child in which every slot has made its choice; :func:`check_choices` says which are refused."""
    check_choices(macro, choices)
    built: list[nn.Module] = []
    for slot, choice in zip(macro.slots, choices, strict=True):
        built.append(nn.Identity() if choice == ZERO else InvertedBottleneck(slot, choice, macro.eps))
    return built


class ChainNetwork(nn.Module):
    """Stem, blocks, head, global average pooling, biased linear classifier.

    ``blocks``: one module per slot of ``macro``; those that hold several candidates take their choice as a second
    argument. Weights are drawn by :func:`initialise_fan_out`. Raises :class:`UserError` on what makes no network.
    """

    def __init__(
        self, macro: Macro, blocks: Sequence[nn.Module], *, classes: int, in_channels: int, generator: Generator
    ) -> None:
        super().__init__()
        at_least_one("a chain", classes=classes, in_channels=in_channels)
        one_per_slot(macro.slots, "blocks", blocks)
        self.stem = _conv(in_channels, macro.stem, 3, macro.stride, eps=macro.eps)
        self.blocks = nn.ModuleList(blocks)
        self.head = _conv(macro.slots[-1].outputs, macro.head, 1, 1, eps=macro.eps)
        self.classifier = nn.Linear(macro.head, classes)
        initialise_fan_out(self, generator)

    def forward(self, images: Tensor, choices: Sequence[Any] | None = None) -> Tensor:
        """Class logits (batch, classes); ``choices``: what each block is given, nothing in a fixed network."""
        if choices is not None:
            one_per_slot(self.blocks, "choices", choices)
        x = self.stem(images)
        for i, block in enumerate(self.blocks):
            x = block(x) if choices is None else block(x, choices[i])
        return self.classify(x)

    def classify(self, x: Tensor) -> Tensor:
        """Class logits (batch, classes) of the last block's map."""
        return self.classifier(self.head(x).mean(dim=(2, 3)))


def initialise_fan_out(network: nn.Module, generator: Generator) -> None:
    """Draw convolutions from N(0, 2 / (k^2 C_out)) and linear layers from +-1/sqrt(C_out), uniform; biases are 0.

    MixPath's released code; for ProxylessNAS the notes say nothing, and this is our choice there too.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.zeros_(module.bias)
