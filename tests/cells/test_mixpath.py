"""MixPath: sizes of its spaces, exact counts of S1, shadow batch norms, and blocks that compute only what is drawn."""

import hashlib
from itertools import combinations, product

import numpy as np
import pytest
import torch
from closed_forms import Count, chain_count, supernet_params
from hypothesis import given, settings
from hypothesis import strategies as st
from small import generator
from torch import Tensor, nn

from nas_core import papers
from nas_core.cells.chain import ChainNetwork, Choice, InvertedBottleneck, Macro, Slot, blocks, slots
from nas_core.cells.counts import multiply_adds, parameters
from nas_core.cells.mixpath import (
    EXPANSIONS,
    KERNELS,
    S1,
    S2,
    S3,
    S4_OPERATIONS,
    GroupedBottleneck,
    MixedBottleneck,
    ParallelCell,
    ParallelNetwork,
    ShadowBatchNorm,
    grouped_choices,
    s4_cells,
    sampled_choices,
    subsets,
)
from nas_core.errors import UserError

TABLE = papers.printed("mixpath_table1")


def chain(macro: Macro, parts: list[nn.Module]) -> ChainNetwork:
    return ChainNetwork(macro, parts, classes=10, in_channels=3, generator=generator())


def image(side: int = 32, n: int = 1, channels: int = 3) -> Tensor:
    return torch.randn(n, channels, side, side, generator=generator(1))


@pytest.mark.claim("C-MT1a", "C-MT1b")
def test_exact_sizes_of_the_spaces() -> None:
    """Enumerated a layer at a time, against the printed bases and exponents."""
    layers = {"S1": len(S1.slots), "S2": len(S2.slots), "S3": len(S3.slots)}
    s1 = {m: len(set(subsets(product(EXPANSIONS, KERNELS), m))) for m in (1, 2, 3, 4)}
    assert list(s1.values()) == [8, 36, 92, 162]
    s2, s3, s4 = len(set(sampled_choices(2, (6,)))), len(set(grouped_choices())), len(set(s4_cells()))
    assert (s2, s3, s4) == (10, 256, 255)
    ours = [f"{s1[m]}^{layers['S1']}" for m in s1] + [f"{s2}^{layers['S2']}", f"{s3}^{layers['S3']}", str(s4)]
    assert TABLE["size"].tolist() == ours
    assert TABLE["m"].tolist() == [*s1, 2, 1, 4]


@pytest.mark.claim("C-MT1c")
def test_exact_choices_that_the_released_sampler_reaches() -> None:
    """One expansion a layer: fewer than printed as soon as two paths are active, and each a choice of the table."""
    reached = [sampled_choices(m) for m in (1, 2, 3, 4)]
    assert [len(set(choices)) for choices in reached] == [8, 20, 28, 30]
    for m, choices in enumerate(reached, 1):
        printed = {frozenset(some) for some in subsets(product(EXPANSIONS, KERNELS), m)}
        drawn = {frozenset((choice.expansion, k) for k in choice.kernels) for choice in choices}
        assert drawn <= printed
        assert (drawn == printed) == (m == 1)


def tied_cell() -> ParallelCell:
    """A cell whose four nodes share their weights, operation by operation, in float64 and evaluation mode."""
    cell = ParallelCell(3, 4).double().eval()
    for i, op in product(range(1, 4), S4_OPERATIONS):
        cell.nodes[f"{i}:{op}"] = cell.nodes[f"0:{op}"]
    return cell


@pytest.mark.claim("C-MT1d")
@pytest.mark.parametrize(("most", "labelled", "distinct"), [(1, 12, 3), (2, 66, 9), (3, 174, 19), (4, 255, 34)])
def test_exact_distinct_functions_of_s4(most: int, labelled: int, distinct: int) -> None:
    """Hashes of the outputs of all cells: equal exactly for equal multisets of operations."""
    cell, x = tied_cell(), image(6, 2).double()
    hashes: dict[str, set[tuple[str, ...]]] = {}
    with torch.no_grad():
        for choice in s4_cells(most):
            values = np.round(cell(x, choice).numpy(), 9) + 0.0  # the order of a sum moves the last digits
            multiset = tuple(sorted(op for op in choice if op is not None))
            hashes.setdefault(hashlib.sha256(values.tobytes()).hexdigest(), set()).add(multiset)
    assert len(s4_cells(most)) == labelled
    assert len(hashes) == distinct
    assert all(len(multisets) == 1 for multisets in hashes.values())


@pytest.mark.parametrize(("choice", "count"), [
    (Choice(3, (3,)), Count(2_887_434, 242_772_480)),
    (Choice(6, (7, 9)), Count(6_690_858, 632_394_240)),
    (Choice(6, KERNELS), Count(7_106_730, 681_275_904)),
])  # fmt: skip
def test_exact_counts_of_extreme_children_of_s1(choice: Choice, count: Count) -> None:
    """The child as a network of its own, the same choice drawn in the supernet, and the closed form."""
    choices = [choice] * 12
    child = chain(S1, blocks(S1, choices))
    assert Count(parameters(child), multiply_adds(child, image())) == count
    assert chain_count(S1, choices, side=32, classes=10) == count
    supernet = chain(S1, [MixedBottleneck(slot, 4) for slot in S1.slots])
    assert multiply_adds(supernet, image(), choices) == count.madds


@pytest.mark.parametrize(("most", "count"), [(4, 10_474_602), (1, 10_449_258)])
def test_exact_parameters_of_the_supernet_of_s1(most: int, count: int) -> None:
    """With four shadow batch norms for each expansion, and with one."""
    assert parameters(chain(S1, [MixedBottleneck(slot, most) for slot in S1.slots])) == count
    assert supernet_params(S1, EXPANSIONS, KERNELS, most, classes=10) == count


@settings(max_examples=20)
@given(st.data(), st.integers(1, 4), st.sampled_from((1, 2)))
def test_property_closed_form_of_a_supernet(data: st.DataObject, most: int, stride: int) -> None:
    stages = data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 2), st.integers(1, 2)), min_size=1))
    expansions = data.draw(st.sampled_from([(6,), (3, 6), (2, 4, 6)]))
    kernels = data.draw(st.sampled_from([*combinations(KERNELS, 2), KERNELS]))
    macro = Macro(4, stride, slots(4, stages[:3]), 6)
    model = chain(macro, [MixedBottleneck(slot, most, expansions, kernels) for slot in macro.slots])
    assert parameters(model) == supernet_params(macro, expansions, kernels, most, classes=10)
    choices = [Choice(data.draw(st.sampled_from(expansions)), kernels[:1]) for _ in macro.slots]
    drawn = chain_count(macro, choices, side=9, classes=10).madds
    assert multiply_adds(model, image(9), choices) == drawn


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_property_shadow_batch_norm(most: int, channels: int, seed: int) -> None:
    """SBN_n is an ordinary batch norm whose statistics see only sums of n paths."""
    norm = ShadowBatchNorm(channels, most).double()
    draw = generator(seed)
    references = [nn.BatchNorm2d(channels).double() for _ in range(most)]
    for active in torch.randint(1, most + 1, (6,), generator=draw).tolist():
        x = active + torch.randn(3, channels, 2, 2, dtype=torch.float64, generator=draw)
        assert torch.equal(norm(x, active), references[active - 1](x))
    for own, reference in zip(norm.norms, references, strict=True):
        assert torch.equal(own.running_mean, reference.running_mean)
        assert torch.equal(own.num_batches_tracked, reference.num_batches_tracked)


def test_shadow_batch_norm_refuses_other_numbers_of_paths() -> None:
    x = torch.zeros(2, 3, 2, 2)
    for active in (0, 3):
        with pytest.raises(ValueError, match=f"{active} active paths, but there are batch norms for 1 to 2"):
            ShadowBatchNorm(3, 2)(x, active)
    assert ShadowBatchNorm(3, 1)(x, 4).shape == x.shape


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 3), st.sampled_from((1, 2)), st.sampled_from(sampled_choices(4)))
def test_property_a_mixed_block_is_the_child_that_was_drawn(i: int, o: int, stride: int, choice: Choice) -> None:
    """With the supernet's weights the child gives its output; only the drawn paths and one batch norm get gradients."""
    slot = Slot(i, o, stride)
    mixed, child = MixedBottleneck(slot, 4).double(), InvertedBottleneck(slot, choice).double()
    rate = mixed.rates[str(choice.expansion)]
    for n, shadow in enumerate(rate.norm.norms):
        nn.init.constant_(shadow.weight, n + 1)  # else all are alike
    state = {k: v for k, v in rate.state_dict().items() if not k.startswith("norm.")}
    names = child.state_dict().keys()
    norm = {f"norm.{k}": v for k, v in rate.norm.norms[len(choice.kernels) - 1].state_dict().items()}
    child.load_state_dict({k: v for k, v in (state | norm).items() if k in names})
    x = image(5, 3, i).double()
    out = mixed(x, choice)
    assert torch.equal(out, child(x))
    out.square().mean().backward()
    touched = {name for name, p in mixed.named_parameters() if p.grad is not None}
    assert len(touched) == len(list(child.parameters()))
    assert all(name.startswith(f"rates.{choice.expansion}.") for name in touched)
    assert {n.split(".")[3] for n in touched if ".paths." in n} == {str(k) for k in choice.kernels}


@settings(max_examples=15)
@given(st.sampled_from(grouped_choices()), st.sampled_from((1, 2)), st.sampled_from((2, 4)))
def test_property_a_grouped_block_convolves_each_group_with_its_kernel(
    kernels: tuple[int, ...], stride: int, channels: int
) -> None:
    """Weights and multiply-adds: 6C/4 channels a group; a group's path sees its own channels only."""
    block = GroupedBottleneck(Slot(channels, 5, stride)).double()
    x = image(8, 2, channels).double()
    hidden, out = 6 * channels, 8 // stride
    depthwise = sum(k**2 * hidden // 4 for k in kernels) * out**2
    assert multiply_adds(block, x, kernels) == channels * hidden * 8**2 + depthwise + hidden * 5 * out**2
    parts = block.expand(x).chunk(4, 1)
    paths = [block.groups[f"{i}:{k}"](part) for i, (k, part) in enumerate(zip(kernels, parts, strict=True))]
    expected = block.norm(block.project(torch.cat(paths, 1)))
    torch.testing.assert_close(block(x, kernels), expected)
    with pytest.raises(UserError, match="one kernel for each of its 4 groups, not 7"):
        block(x, (*kernels, 3, 5, 7))


def test_s2_and_s3_run_from_end_to_end() -> None:
    """Eighteen layers each; S2 has one expansion and up to two kernels, S3 one kernel for each group."""
    s2 = chain(S2, [MixedBottleneck(slot, 2, (6,)) for slot in S2.slots]).eval()
    s3 = chain(S3, [GroupedBottleneck(slot) for slot in S3.slots]).eval()
    assert s2(image(64), [Choice(6, (3, 9))] * 18).shape == (1, 10)
    assert s3(image(64), [(3, 5, 7, 9)] * 18).shape == (1, 10)
    assert multiply_adds(s2, image(64), [Choice(6, (5,))] * 18) == multiply_adds(s3, image(64), [(5, 5, 5, 5)] * 18)


@settings(max_examples=15)
@given(st.sampled_from(s4_cells()), st.integers(1, 3), st.integers(1, 3))
def test_property_the_parallel_cell_sums_what_is_there(choice: tuple[str | None, ...], i: int, o: int) -> None:
    """y = ReLU(SBN_|S|(W sum of the nodes)); the absent get no gradient."""
    cell, x = ParallelCell(i, o).double(), image(5, 2, i).double()
    present = [f"{n}:{op}" for n, op in enumerate(choice) if op is not None]
    total = torch.stack([cell.nodes[name](x) for name in present]).sum(0)
    expected = torch.relu(cell.norm.norms[len(present) - 1](cell.project(total)))
    out = cell(x, choice)
    torch.testing.assert_close(out, expected)
    out.square().mean().backward()
    touched = {name for name, p in cell.named_parameters() if p.grad is not None}
    assert {n.split(".")[1] for n in touched if n.startswith("nodes.")} == set(present)
    assert {n.split(".")[2] for n in touched if n.startswith("norm.")} == {str(len(present) - 1)}


def test_network_of_s4_has_nine_cells_that_share_the_choice() -> None:
    """Widths c, 2c, 4c in threes, pixels halved after cells 2 and 5."""
    model = ParallelNetwork(channels=4, classes=10, in_channels=3, most=4, generator=generator())
    seen: list[tuple[int, ...]] = []
    for cell in model.cells:
        cell.register_forward_hook(lambda m, args, out: seen.append((args[1], *out.shape[1:])))
    choice = ("conv3x3", None, "maxpool3x3", "conv1x1")
    assert model(image(16, 2), choice).shape == (2, 10)
    assert seen == [(choice, 4 * 2 ** (i // 3), side, side) for i, side in enumerate([16] * 3 + [8] * 3 + [4] * 3)]
