"""Backbones of detectors: networks for classes, of which the maps of four stages are taken.

MixPath, App. C.4: what a pyramid reads are the outputs of the depthwise layers of the last bottleneck before each
stride, at 1/4, 1/8, 1/16 and 1/32 of the image (stages 2 to 5). A child of S1, which is found on small images and
halves its map twice, has its blocks at the strides of a network for large ones here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torchvision.models import mobilenet_v3_large
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.mnasnet import MNASNet
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from nas_core.cells.chain import Bottleneck, ChainNetwork, Choice, Macro, blocks, slots
from nas_core.cells.mixpath import S1

STAGES = 4
S1_STRIDES = (2, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1)  # of a backbone's twelve slots; those of S1 are 2 at slots 2 and 5


@dataclass(frozen=True)
class Known:
    """A network of torchvision at a share ``width`` of its channels; ``depthwise``: those layers of its four stages."""

    build: Callable[[float], nn.Module]
    depthwise: tuple[str, str, str, str]


def _mobilenet(width: float) -> nn.Module:
    return mobilenet_v3_large(width_mult=width)


KNOWN: Mapping[str, Known] = {
    "MobileNetV3": Known(
        _mobilenet, ("features.3.block.1", "features.6.block.1", "features.12.block.1", "features.15.block.1")
    ),
    # torchvision has MnasNet-B1, which is A2 without squeeze and excitation and with another depth.
    "MnasNet": Known(
        MNASNet,
        (
            "layers.8.2.layers.5",
            "layers.9.2.layers.5",
            "layers.11.1.layers.5",
            "layers.13.0.layers.5",
        ),
    ),
}


def known_backbone(name: str, width: float, generator: Generator) -> nn.Module:
    """The network ``name`` of torchvision with weights as torchvision draws them; gives its four maps, finest first."""
    known = KNOWN[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        network = known.build(width)
    nodes = {layer: str(stage) for stage, layer in enumerate(known.depthwise)}
    return _steady(create_feature_extractor(network, nodes))


class ChainBackbone(nn.Module):
    """The stem and the blocks of a chain: gives sum_k f_k(E x) of the last block of each stage, finest first."""

    def __init__(self, network: ChainNetwork, last: Sequence[int]) -> None:
        super().__init__()
        self.stem = network.stem
        self.blocks = network.blocks[: last[-1] + 1]
        self.last = tuple(last)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = OrderedDict()
        x = self.stem(images)
        for i, module in enumerate(self.blocks):
            block = cast(Bottleneck, module)
            wide = block.expand(x)
            mixed = torch.stack([path(wide) for path in block.paths.values()]).sum(0)
            if i in self.last:
                maps[str(len(maps))] = mixed
            x = block.shortcut(x, block.norm(block.project(mixed)))
        return maps


def chain_backbone(choices: Sequence[Choice], width: float, generator: Generator) -> ChainBackbone:
    """A child of S1: its blocks in :func:`strided` S1, at a share ``width`` of the channels."""
    macro = scaled(strided(S1), width)
    network = ChainNetwork(macro, blocks(macro, choices), classes=1, in_channels=3, generator=generator)
    return ChainBackbone(network, last_of_stages(macro))


def strided(macro: Macro) -> Macro:
    """The macro network of S1 with a stem of stride 2 and :data:`S1_STRIDES`: five halvings instead of two."""
    stages = []
    for slot, stride in zip(macro.slots, S1_STRIDES, strict=True):
        stages.append((slot.outputs, 1, stride))
    return Macro(macro.stem, 2, slots(macro.stem, stages), macro.head, macro.eps)


def scaled(macro: Macro, width: float) -> Macro:
    """The macro network with a share ``width`` of the channels, rounded to multiples of 8."""
    stages = [(_rounded(slot.outputs * width), 1, slot.stride) for slot in macro.slots]
    stem = _rounded(macro.stem * width)
    return Macro(stem, macro.stride, slots(stem, stages), macro.head, macro.eps)


def _rounded(channels: float) -> int:
    return max(8, 8 * round(channels / 8))


def last_of_stages(macro: Macro) -> list[int]:
    """The slots after which the map is halved, and the last one; of the first stage, at half of the image, none."""
    strides = [i for i, slot in enumerate(macro.slots) if slot.stride == 2]
    return [i - 1 for i in strides[1:]] + [len(macro.slots) - 1]


def _steady(network: nn.Module) -> nn.Module:
    """Batch norms with PyTorch's momentum: MnasNet's, 0.0003, would need thousands of steps."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return network


class Pyramid(nn.Module):
    """A backbone and its feature pyramid: maps of ``channels`` channels each, finest first.

    ``first``: the finest stage that is used, 2 to 5; ``coarser``: two more maps, by strides, as RetinaNet has them.
    """

    def __init__(self, backbone: nn.Module, channels: int, *, first: int, coarser: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.skipped = first - 2
        widths = stage_channels(backbone)[self.skipped :]
        further = LastLevelP6P7(widths[-1], channels) if coarser else None
        self.pyramid = FeaturePyramidNetwork(widths, channels, further)
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = list(self.backbone(images).items())
        return self.pyramid(OrderedDict(maps[self.skipped :]))


def stage_channels(backbone: nn.Module) -> list[int]:
    """Channels of the four maps."""
    backbone.eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 64, 64))
    backbone.train()
    return [value.shape[1] for value in maps.values()]
