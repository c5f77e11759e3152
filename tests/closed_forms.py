"""Parameters and multiply-adds from the numbers of an architecture alone; no module is built.

With s x s output pixels,
    convolution: w = k^2 C_in C_out / groups parameters, w s^2 multiply-adds (no bias),
    normaliser with scale and shift: 2 C parameters, 0 multiply-adds,
    linear layer: C N (+ N with a bias) parameters, C N multiply-adds.
A stride of 2 takes a side of s pixels to ceil(s / 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nas_core.cells.chain import ZERO, Choice, Macro, Slot, check_choices
from nas_core.cells.evaluation import EVALUATED, check_network
from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.topology import Topology
from nas_core.errors import choose


@dataclass(frozen=True)
class Count:
    """Trainable ``params``, and ``madds``: multiply-adds of convolutions and linear layers for one image."""

    params: int = 0
    madds: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.params + other.params, self.madds + other.madds)


def convolution(inputs: int, outputs: int, area: int, pixels: int) -> Count:
    """area C_in C_out weights (C_in = 1 if depthwise), each used at every one of the output ``pixels``."""
    weights = area * inputs * outputs
    return Count(weights, weights * pixels)


def norm(channels: int) -> Count:
    """Scale and shift, 2 C."""
    return Count(2 * channels)


def linear(inputs: int, outputs: int, bias: bool = True) -> Count:
    """C N, and N with a ``bias``."""
    return Count((inputs + bias) * outputs, inputs * outputs)


def _half(side: int) -> int:
    return (side + 1) // 2


# Kernel, and how often the pair of a depthwise and a 1x1 convolution is applied.
SEPARABLE = {
    "sep_conv_3x3": (3, 2),
    "sep_conv_5x5": (5, 2),
    "sep_conv_7x7": (7, 2),
    "dil_conv_3x3": (3, 1),
    "dil_conv_5x5": (5, 1),
}


def operation(name: str, channels: int, side: int, stride: int, *, affine: int = 2, pools: int = 0) -> Count:
    """One edge of a DARTS cell, on a map of ``side`` x ``side`` pixels.

    sep: 2 (k^2 C + C^2); dil: k^2 C + C^2; skip of stride 2: C^2; 1x7 then 7x1: 7 C^2 + 7 C^2; all others 0.
    ``affine``: parameters per channel of a normaliser, 2, or 0 while searching; ``pools``: of one after a pool. A
    name that no network has is refused.
    """
    choose("operation", name, ("none", *EVALUATED))
    out = side if stride == 1 else _half(side)
    if name in SEPARABLE:
        kernel, times = SEPARABLE[name]
        weights = times * (kernel**2 * channels + channels**2)
        return Count(weights + times * affine * channels, weights * out**2)
    if name == "conv_7x1_1x7":
        rows = convolution(channels, channels, 7, side * out)
        columns = convolution(channels, channels, 7, out**2)
        return rows + columns + Count(affine * channels)
    if name == "skip_connect" and stride == 2:
        return convolution(channels, channels, 1, out**2) + Count(affine * channels)
    return Count(pools * channels if "pool" in name else 0)


def _cell(cell: CellGenotype, previous: Sequence[int], channels: int, side: int, halves: bool, **norms: int) -> Count:
    """(C_pp + C_p) C for the preprocessing, at the resolution of the cell's inputs, plus the operations."""
    inputs = previous[-cell.inputs :]
    total = Count(len(inputs) * norms["affine"] * channels) + convolution(sum(inputs), channels, 1, side**2)
    inner = _half(side) if halves else side
    for source, _, op in cell.edges:
        if source < cell.inputs:
            total += operation(op, channels, side, 2 if halves else 1, **norms)
        else:
            total += operation(op, channels, inner, 1, **norms)
    return total


def _cifar(in_channels: int, channels: int, side: int) -> tuple[Count, int, int]:
    return convolution(in_channels, 3 * channels, 9, side**2) + norm(3 * channels), 3 * channels, side


def _imagenet(in_channels: int, channels: int, side: int) -> tuple[Count, int, int]:
    half = channels // 2
    total = Count()
    for inputs, outputs in ((in_channels, half), (half, channels), (channels, channels)):
        side = _half(side)
        total += convolution(inputs, outputs, 9, side**2) + norm(outputs)
    return total, channels, side


# Each gives its count, the channels of both inputs of the first cell, and the side of the newer one.
STEMS: dict[str, Callable[[int, int, int], tuple[Count, int, int]]] = {"cifar": _cifar, "imagenet": _imagenet}


def evaluation_count(
    genotype: Genotype,
    *,
    channels: int,
    layers: int,
    classes: int,
    side: int,
    stem: str = "cifar",
    in_channels: int = 3,
    head_bias: bool = True,
    affine: int = 2,
    pools: int = 0,
) -> Count:
    """The network of ``genotype``: stem, ``layers`` cells, linear classifier, without the auxiliary tower.

    Cells L//3 and 2L//3 halve ``side`` and double ``channels`` if there is a reduction cell. ``affine``, ``pools``: as
    in :func:`operation`; ``pools = 2`` is SNAS's released code, which normalises after the pools.
    """
    check_network(channels=channels, layers=layers, classes=classes, in_channels=in_channels, stem=stem)
    total, width, side = STEMS[stem](in_channels, channels, side)
    previous = (width, width)
    for i in range(layers):
        cell = genotype.normal
        halves = genotype.reduce is not None and i in (layers // 3, 2 * layers // 3)
        if halves:
            cell = genotype.reduce
            channels *= 2
        total += _cell(cell, previous, channels, side, halves, affine=affine, pools=pools)
        side = _half(side) if halves else side
        width = channels * len(cell.output)
        previous = (previous[1], width)
    return total + linear(width, classes, head_bias)


def search_count(topology: Topology, candidates: Sequence[str], *, reductions: bool, **network: Any) -> Count:
    """The supernet without its logits: every edge carries all ``candidates``, cells have no scale and shift.

    ``network``: the remaining keywords of :func:`evaluation_count`.
    """
    edges = []
    for source, target in topology.edges:
        edges += [(source, target, op) for op in candidates if op != "none"]
    cell = CellGenotype(topology.inputs, topology.nodes, tuple(edges), topology.output)
    return evaluation_count(Genotype(cell, cell if reductions else None), affine=0, **network)


def auxiliary_count(channels: int, classes: int, stem: str = "cifar") -> Count:
    """The auxiliary tower on ``channels`` channels: 1x1 to 128 on 2x2 pixels, 2x2 to 768, linear layer.

    Both convolutions have a normaliser on CIFAR, only the first on ImageNet.
    """
    last = {"cifar": norm(768), "imagenet": Count()}[choose("stem", stem, STEMS)]
    return convolution(channels, 128, 1, 4) + norm(128) + convolution(128, 768, 4, 1) + last + linear(768, classes)


def bottleneck(slot: Slot, choice: Choice, side: int) -> Count:
    """One inverted bottleneck, h = e C_in: C_in h (unless e = 1) + sum_k k^2 h + h C_out, each with its normaliser."""
    if choice == ZERO:
        return Count()
    hidden = choice.expansion * slot.inputs
    out = side if slot.stride == 1 else _half(side)
    total = Count()
    if choice.expansion > 1:
        total += convolution(slot.inputs, hidden, 1, side**2) + norm(hidden)
    for kernel in choice.kernels:
        total += convolution(1, hidden, kernel**2, out**2) + norm(hidden)
    return total + convolution(hidden, slot.outputs, 1, out**2) + norm(slot.outputs)


def chain_count(macro: Macro, choices: Sequence[Choice], *, side: int, classes: int, in_channels: int = 3) -> Count:
    """A child of ProxylessNAS or of MixPath's S1 and S2, or MobileNetV2: stem, bottlenecks, head, linear layer."""
    check_choices(macro, choices)
    side = side if macro.stride == 1 else _half(side)
    total = convolution(in_channels, macro.stem, 9, side**2) + norm(macro.stem)
    for slot, choice in zip(macro.slots, choices, strict=True):
        total += bottleneck(slot, choice, side)
        side = side if slot.stride == 1 else _half(side)
    width = macro.slots[-1].outputs
    return total + convolution(width, macro.head, 1, side**2) + norm(macro.head) + linear(macro.head, classes)


def supernet_params(
    macro: Macro, expansions: Sequence[int], kernels: Sequence[int], most: int, *, classes: int, in_channels: int = 3
) -> int:
    """MixPath's supernet: per slot and expansion one bottleneck with all kernels and ``most`` shadow norms."""
    total = convolution(in_channels, macro.stem, 9, 1) + norm(macro.stem)
    for slot in macro.slots:
        for expansion in expansions:
            total += bottleneck(slot, Choice(expansion, tuple(kernels)), 1)
            total += Count((most - 1) * norm(slot.outputs).params)
    width = macro.slots[-1].outputs
    total += convolution(width, macro.head, 1, 1) + norm(macro.head) + linear(macro.head, classes)
    return total.params
