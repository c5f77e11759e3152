"""Backbones: the maps of four stages are those of the depthwise layers, and any of them goes below the same pyramid."""

import itertools

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_large
from torchvision.models.mnasnet import MNASNet

from nas_core.cells.backbones import (
    KNOWN,
    Pyramid,
    chain_backbone,
    known_backbone,
    last_of_stages,
    scaled,
    stage_channels,
    strided,
)
from nas_core.cells.chain import Macro, slots
from nas_core.cells.mixpath import S1, S2
from nas_core.cells.multipath import read_child
from nas_core.errors import UserError

CHOICES = read_child("e3k3 e6k3k9 e3k5 e3k3k7 e6k3 e3k9 e3k5k7 e3k3 e6k3 e3k3k7 e3k5 e3k3k9")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def backbone(name: str) -> nn.Module:
    return chain_backbone(CHOICES, 0.25, generator()) if name == "child" else known_backbone(name, 0.25, generator())


@pytest.mark.parametrize("name", [*KNOWN, "child"])
def test_exact_the_maps_are_4_8_16_and_32_times_smaller(name: str) -> None:
    maps = backbone(name)(torch.rand(2, 3, 96, 64, generator=generator()))
    assert [tuple(value.shape[2:]) for value in maps.values()] == [(24, 16), (12, 8), (6, 4), (3, 2)]
    assert [value.shape[1] for value in maps.values()] == stage_channels(backbone(name))


@pytest.mark.parametrize(("name", "network"), [("MobileNetV3", mobilenet_v3_large()), ("MnasNet", MNASNet(1.0))])
def test_exact_the_maps_are_taken_after_the_last_depthwise_layer_of_a_stage(name: str, network: nn.Module) -> None:
    """Seen from the whole network: the convolution before is the last depthwise one before the map is halved."""
    convolutions = [(key, m) for key, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    wide = [(key, m) for key, m in convolutions if m.groups == m.in_channels]
    last = []
    for (key, _), (_, after) in itertools.pairwise(wide):
        if after.stride == (2, 2):
            last.append(key)
    stages = [*last[-3:], wide[-1][0]]
    for layer, key in zip(KNOWN[name].depthwise, stages, strict=True):
        unit, _, index = layer.rpartition(".")
        assert key == f"{layer}.0" or (key == f"{unit}.3" and index == "5"), (layer, key)


def test_exact_the_maps_of_a_child_are_sums_of_its_depthwise_paths() -> None:
    network = chain_backbone(CHOICES, 0.25, generator()).eval()
    images = torch.rand(2, 3, 64, 64, generator=generator(1))
    maps = list(network(images).values())
    x = network.stem(images)
    for i, block in enumerate(network.blocks):
        if i in network.last:
            wide = block.expand(x)
            total = sum(path(wide) for path in block.paths.values())
            torch.testing.assert_close(maps[network.last.index(i)], total)
        x = block(x)
    assert network.last == (1, 4, 7, 11)
    assert len(network.blocks[11].paths) == 2


def test_exact_a_backbone_of_s1_has_its_slots_at_the_strides_of_a_network_for_large_images() -> None:
    macro = strided(S1)
    assert [(slot.inputs, slot.outputs) for slot in macro.slots] == [(slot.inputs, slot.outputs) for slot in S1.slots]
    assert macro.stride == 2
    assert [i for i, slot in enumerate(macro.slots) if slot.stride == 2] == [0, 2, 5, 8]
    assert [i for i, slot in enumerate(S1.slots) if slot.stride == 2] == [2, 5]
    assert scaled(macro, 1.0) == macro
    narrow = scaled(macro, 0.25)
    assert [slot.outputs for slot in narrow.slots] == [16, 16, 24, 24, 24, 48, 48, 48, 64, 64, 80, 80]
    with pytest.raises(ValueError, match="zip"):
        strided(S2)


def test_a_child_of_another_length_is_refused() -> None:
    with pytest.raises(UserError, match="a chain of 12 slots needs as many choices, not 11"):
        chain_backbone(CHOICES[:-1], 0.25, generator())


def test_stages_end_before_each_stride() -> None:
    macro = Macro(8, 2, slots(8, [(8, 1, 1), (8, 2, 2), (8, 1, 2), (8, 3, 2), (8, 1, 1), (8, 2, 2)]), 8)
    assert last_of_stages(macro) == [2, 3, 7, 9]


@pytest.mark.parametrize("name", [*KNOWN, "child"])
def test_weights_come_from_the_generator_alone(name: str) -> None:
    torch.manual_seed(1)
    ours = backbone(name).state_dict()
    torch.manual_seed(2)
    again = backbone(name).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in ours.items())


@pytest.mark.parametrize(("first", "coarser", "sides"), [(2, False, [16, 8, 4, 2]), (3, True, [8, 4, 2, 1, 1])])
def test_the_pyramid_has_the_stages_that_are_asked_for(first: int, coarser: bool, sides: list[int]) -> None:
    pyramid = Pyramid(backbone("child"), 8, first=first, coarser=coarser)
    maps = pyramid(torch.rand(1, 3, 64, 64, generator=generator()))
    assert [tuple(value.shape[1:]) for value in maps.values()] == [(8, side, side) for side in sides]


def test_every_batch_norm_follows_its_batches() -> None:
    norms = [m for m in backbone("MnasNet").modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    assert norms
