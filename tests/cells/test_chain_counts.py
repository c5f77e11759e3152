"""Multiply-adds of chains in closed form against a counter, and against the extremes of S1."""

import pytest
import torch
from small import generator

from nas_core.cells.chain import MOBILENET_V2, ChainNetwork, Choice, Slot, blocks
from nas_core.cells.chain_counts import ChainCosts, block_madds
from nas_core.cells.counts import counted
from nas_core.cells.mixpath import S1, sampled_choices
from nas_core.cells.multipath import narrowed
from nas_core.errors import UserError


@pytest.mark.parametrize(
    ("choice", "madds"),
    [(Choice(3, (3,)), 242_772_480), (Choice(6, (7, 9)), 632_394_240), (Choice(6, (3, 5, 7, 9)), 681_275_904)],
)
def test_exact_extremes_of_s1(choice, madds):
    assert ChainCosts(S1, 32, 3, 10).of_child([choice] * 12) == madds


@pytest.mark.parametrize("side", [7, 8, 14])
def test_exact_random_children_as_the_counter_counts_them(side):
    """Narrow ones, on images whose sides are odd after a stride, too."""
    macro, choices = narrowed(S1, 4, 32), sampled_choices(4)
    costs = ChainCosts(macro, side, 1, 10)
    for seed in range(3):
        child = [choices[int(i)] for i in torch.randint(len(choices), (12,), generator=generator(seed))]

        def build(child=child):
            return ChainNetwork(macro, blocks(macro, child), classes=10, in_channels=1, generator=generator())

        assert costs.of_child(child) == counted(build, side, in_channels=1).madds


def test_exact_blocks_without_expansion_and_a_stride_of_the_stem():
    macro, choices = MOBILENET_V2
    costs = ChainCosts(macro, 225, 3, 1000)

    def build():
        return ChainNetwork(macro, blocks(macro, choices), classes=1000, in_channels=3, generator=generator())

    assert costs.of_child(choices) == counted(build, 225).madds


def test_a_block_by_hand():
    """4 to 6 channels, stride 2, 5 x 5 pixels: 12 hidden ones on 25 pixels, then 9 pixels."""
    assert block_madds(Slot(4, 6, 2), Choice(3, (3, 5)), 5) == 12 * (4 * 25 + (9 + 25) * 9 + 6 * 9)


def test_a_child_has_a_choice_for_every_slot():
    with pytest.raises(UserError, match="12 slots"):
        ChainCosts(S1, 32, 3, 10).of_child([Choice(3, (3,))])
