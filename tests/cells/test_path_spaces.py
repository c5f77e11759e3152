"""Supernets of several paths: the law of the draw, widths in proportion, and children as text."""

from collections import Counter
from itertools import combinations

import pytest
import torch
from small import generator

from nas_core.cells.counts import parameters
from nas_core.cells.mixpath import EXPANSIONS, KERNELS, S1, MixedBottleneck
from nas_core.cells.multipath import S1Supernet, draw_paths, narrowed, read_child, spelled
from nas_core.errors import UserError

DRAWS = 6000


def supernet(channels: int = 4, most: int = 4, norms: str = "shadow", in_channels: int = 1) -> S1Supernet:
    return S1Supernet(
        channels=channels, most=most, norms=norms, classes=10, in_channels=in_channels, generator=generator()
    )


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_exact_law_of_the_draw(most: int) -> None:
    """The number of paths is uniform, and all sets of one size are equally likely; within five standard errors."""
    draw = generator(most)
    counts = Counter(draw_paths(4, most, draw) for _ in range(DRAWS))
    for n in range(1, most + 1):
        sets = list(combinations(range(4), n))
        share = 1 / most / len(sets)
        error = (share * (1 - share) / DRAWS) ** 0.5
        assert all(abs(counts[each] / DRAWS - share) < 5 * error for each in sets)
    assert all(1 <= len(each) <= most for each in counts)


def test_a_child_has_one_expansion_a_layer_and_layers_draw_for_themselves() -> None:
    model, draw = supernet(most=3), generator(1)
    children = [model.draw(draw) for _ in range(200)]
    assert {len(child) for child in children} == {12}
    for layer in range(12):
        choices = [child[layer] for child in children]
        assert {choice.expansion for choice in choices} == set(EXPANSIONS)
        assert {len(choice.kernels) for choice in choices} == {1, 2, 3}
        assert {kernel for choice in choices for kernel in choice.kernels} == set(KERNELS)
    assert any(len({choice.expansion for choice in child}) == 2 for child in children)


def test_the_supernet_computes_its_children() -> None:
    model, draw = supernet(), generator(1)
    logits = model(torch.randn(2, 1, 7, 7, generator=draw), model.draw(draw))
    assert logits.shape == (2, 10)


@pytest.mark.parametrize(("norms", "count"), [("shadow", 10_474_602), ("plain", 10_449_258)])
def test_exact_parameters_at_the_printed_width(norms: str, count: int) -> None:
    """Four shadow batch norms for each expansion, and one."""
    assert parameters(supernet(32, 4, norms, in_channels=3)) == count


def test_widths_are_in_proportion() -> None:
    assert narrowed(S1, 32, 32) == S1
    narrow = narrowed(S1, 8, 32)
    assert (narrow.stem, narrow.head) == (8, 320)
    assert [slot.outputs for slot in narrow.slots] == [12, 12, 24, 24, 24, 48, 48, 48, 64, 64, 80, 80]
    assert [slot.stride for slot in narrow.slots] == [slot.stride for slot in S1.slots]


def test_norms_are_one_for_each_number_of_paths_or_one_for_all() -> None:
    for most, norms, expected in ((4, "shadow", 4), (3, "shadow", 3), (4, "plain", 1)):
        for block in supernet(most=most, norms=norms).blocks:
            assert isinstance(block, MixedBottleneck)
            assert {len(rate.norm.norms) for rate in block.rates.values()} == {expected}


def test_more_paths_than_there_are_kernels_are_refused() -> None:
    with pytest.raises(UserError, match="has 4 kernels, so at most 5 cannot be active"):
        supernet(most=5)


def test_a_child_is_read_as_it_was_spelled() -> None:
    child = supernet().draw(generator(7))
    assert read_child(spelled(child)) == child
    assert spelled(child[:1]).startswith(f"e{child[0].expansion}k{child[0].kernels[0]}")


@pytest.mark.parametrize("text", ["x", "e3kk5", "ek3"])
def test_what_is_no_child_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no block of S1"):
        read_child(text)
