"""How large the evaluation networks of a genotype are, with and without the auxiliary tower."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from nas_core.cells.checks import at_least_one
from nas_core.cells.counts import Counted, multiply_adds, parameters
from nas_core.cells.evaluation import EvaluationNetwork, reductions_at
from nas_core.cells.genotype import Genotype
from nas_core.cells.operations import OPERATIONS
from nas_core.errors import choose


@dataclass(frozen=True)
class Size:
    """The numbers of an evaluation network: ``side`` of the square images, in pixels, and ``stem`` in ``STEMS``."""

    channels: int
    layers: int
    classes: int
    side: int
    in_channels: int = 3
    stem: str = "cifar"


# As DARTS trains them.
CIFAR = Size(channels=36, layers=20, classes=10, side=32)
IMAGENET = Size(channels=48, layers=14, classes=1000, side=224, stem="imagenet")


def network_counts(genotype: Genotype, size: Size) -> Counted:
    """Parameters, and multiply-adds for one image, of the network without its tower.

    Raises :class:`UserError` on numbers that make no network.
    """
    network, images = _on_meta(genotype, size, auxiliary=False)
    return Counted(parameters(network), multiply_adds(network, images))


def network_parameters(genotype: Genotype, size: Size) -> int:
    """The parameters alone, which are there without a pass through the network."""
    network, _ = _on_meta(genotype, size, auxiliary=False)
    return parameters(network)


def counts_with_tower(genotype: Genotype, size: Size) -> Counted:
    """The same of the network with its tower, which works only while it is trained.

    Raises :class:`UserError` where the maps are too small for a tower, too.
    """
    network, images = _on_meta(genotype, size, auxiliary=True)
    assert network.tower is not None
    maps: list[Tensor] = []
    network.cells[network.tower_at].register_forward_hook(lambda cell, inputs, output: maps.append(output))
    madds = multiply_adds(network, images)
    return Counted(parameters(network), madds + multiply_adds(network.tower, maps[0]))


def memory_accesses(genotype: Genotype, size: Size) -> int:
    """Numbers that the operations of all cells read and write for one image, and their weights (SNAS, App. F).

    Stem, preprocessing and classifier are left out. The operations must be candidates of a search, the stem that of
    CIFAR, which keeps the resolution; anything else is a :class:`UserError`.
    """
    choose("stem that keeps the resolution", size.stem, ["cifar"])
    at = reductions_at(genotype, size.layers)
    channels, side = size.channels, size.side
    total = 0
    for i in range(size.layers):
        cell = genotype.normal
        if i in at and genotype.reduce is not None:
            cell = genotype.reduce
            channels *= 2
            side = (side + 1) // 2
        for source, _, op in cell.edges:
            stride = 2 if i in at and source < cell.inputs else 1
            total += OPERATIONS[choose("operation", op, OPERATIONS)].cost(channels, side, stride).accesses
    return total


def _on_meta(genotype: Genotype, size: Size, *, auxiliary: bool) -> tuple[EvaluationNetwork, Tensor]:
    """The network and one image, on PyTorch's device without data."""
    at_least_one("an image", side=size.side)
    with torch.device("meta"):
        network = EvaluationNetwork(
            genotype,
            channels=size.channels,
            layers=size.layers,
            classes=size.classes,
            in_channels=size.in_channels,
            generator=Generator().manual_seed(0),
            auxiliary=auxiliary,
            stem=size.stem,
        )
        images = torch.empty(1, size.in_channels, size.side, size.side)
    return network, images
