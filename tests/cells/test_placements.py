"""Where the shadow batch norm of MixPath stands: the equations of every placement, and what follows from each."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import generator
from torch import Tensor, nn

from nas_core.cells.chain import Choice, Slot
from nas_core.cells.mixpath import (
    AFTER_PROJECTION,
    AFTER_SUM,
    NEVER,
    PLACEMENTS,
    S1_PLACEMENTS,
    S4_OPERATIONS,
    MixedBottleneck,
    ParallelCell,
    s4_cells,
    sampled_choices,
)
from nas_core.cells.multipath import SPACES, placements
from nas_core.errors import UserError

SLOT = Slot(3, 4, 1)  # without a shortcut, so that nothing is added to what the projection makes
ALIKE = [("conv3x3",) * n + (None,) * (4 - n) for n in (1, 2, 3, 4)]


def image(channels: int = 3, side: int = 5, n: int = 4) -> Tensor:
    return torch.randn(n, channels, side, side, generator=generator(1), dtype=torch.float64)


def varied(norms: nn.ModuleList) -> None:
    """Each norm gets a scale and a shift of its own, else all are alike."""
    for n, norm in enumerate(norms, start=1):
        nn.init.constant_(norm.weight, n)
        nn.init.constant_(norm.bias, n / 3)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(S1_PLACEMENTS), st.sampled_from(sampled_choices(4)), st.sampled_from([(3, 4), (3, 3)]))
def test_exact_equations_of_a_mixed_block(placement: str, choice: Choice, widths: tuple[int, int]) -> None:
    """SBN_n(W sum) and W SBN_n(sum), plus x where the shapes agree."""
    block = MixedBottleneck(Slot(*widths, 1), 4, placement=placement).double()
    rate = block.rates[str(choice.expansion)]
    varied(rate.norm.norms)
    x = image()
    wide = rate.expand(x)
    total = sum(rate.paths[str(kernel)](wide) for kernel in choice.kernels)
    norm = rate.norm.norms[len(choice.kernels) - 1]
    expected = rate.project(norm(total)) if placement == AFTER_SUM else norm(rate.project(total))
    out = block(x, choice)
    torch.testing.assert_close(out, x + expected if widths == (3, 3) else expected)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(PLACEMENTS), st.sampled_from(s4_cells()))
def test_exact_equations_of_the_parallel_cell(placement: str, choice: tuple[str | None, ...]) -> None:
    """ReLU of SBN_n(W sum), of W SBN_n(sum), and of W sum + b."""
    cell = ParallelCell(3, 4, placement=placement).double()
    varied(cell.norm.norms)
    if cell.project.bias is not None:
        nn.init.constant_(cell.project.bias, 0.3)
    x = image()
    present = [f"{n}:{op}" for n, op in enumerate(choice) if op is not None]
    total = sum(cell.nodes[name](x) for name in present)
    norm = cell.norm.norms[len(present) - 1]
    expected = {
        AFTER_PROJECTION: lambda: norm(cell.project(total)),
        AFTER_SUM: lambda: cell.project(norm(total)),
        NEVER: lambda: cell.project(total),
    }
    torch.testing.assert_close(cell(x, choice), torch.relu(expected[placement]()))


def test_exact_without_a_word_the_norms_stand_after_the_projection() -> None:
    """Bit for bit, in the block and in the cell, and so do those of the supernets."""
    x = image().float()
    block, cell = MixedBottleneck(SLOT, 4), ParallelCell(3, 4)
    rate = block.rates["6"]
    wide = rate.expand(x)
    total = rate.paths["3"](wide) + rate.paths["9"](wide)
    assert torch.equal(block(x, Choice(6, (3, 9))), rate.norm.norms[1](rate.project(total)))
    total = cell.nodes["0:conv3x3"](x) + cell.nodes["3:maxpool3x3"](x)
    expected = torch.relu(cell.norm.norms[1](cell.project(total)))
    assert torch.equal(cell(x, ("conv3x3", None, None, "maxpool3x3")), expected)
    assert [placements(space)[0] for space in SPACES] == [AFTER_PROJECTION] * len(SPACES)


def test_exact_after_the_sum_the_projection_is_linear_in_a_normalised_sum() -> None:
    """Before any training: W's input has mean 0 and variance 1 in every channel, and its own output mean 0."""
    block = MixedBottleneck(SLOT, 4, placement=AFTER_SUM).double()
    rate = block.rates["3"]
    seen: list[Tensor] = []
    rate.project.register_forward_hook(lambda module, args, out: seen.extend((args[0], out)))
    out = block(image(n=8), Choice(3, (3, 5, 7)))
    given_, made = seen
    assert torch.equal(out, made)
    assert given_.mean((0, 2, 3)).abs().max() < 1e-12
    variance = given_.var((0, 2, 3), correction=0)
    assert (variance - 1).abs().max() < 1e-3
    assert made.mean((0, 2, 3)).abs().max() < 1e-12
    assert (made.var((0, 2, 3), correction=0) - 1).abs().max() > 1e-2  # nothing normalises what W makes


@pytest.mark.parametrize("placement", S1_PLACEMENTS)
def test_exact_a_norm_undoes_the_scale_of_the_sum_wherever_it_stands(placement: str) -> None:
    block = MixedBottleneck(SLOT, 4, placement=placement).double()
    rate = block.rates["3"]
    for norm in rate.norm.norms:
        norm.eps = 1e-14
    x, choice = image(), Choice(3, (3, 7))
    before = block(x, choice)
    for kernel in choice.kernels:
        last = rate.paths[str(kernel)][1]  # the batch norm of the path
        nn.init.constant_(last.weight, 0.1)  # 10 times smaller, and below the 6 of ReLU6 as before
    rescaled = block(x, choice)
    torch.testing.assert_close(rescaled, before)


def tied(placement: str) -> ParallelCell:
    """A cell whose four nodes share their weights, so that all its single paths are the same."""
    cell = ParallelCell(3, 4, placement=placement).double()
    for i, op in product(range(1, 4), S4_OPERATIONS):
        cell.nodes[f"{i}:{op}"] = cell.nodes[f"0:{op}"]
    for norm in cell.norm.norms:
        norm.eps = 1e-14
    return cell


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_exact_the_output_grows_with_the_number_of_paths_only_as_released(placement: str) -> None:
    """n paths that are alike: n times the output of one where no norm is called, and the same output elsewhere."""
    cell, x = tied(placement), image()
    if cell.project.bias is not None:
        nn.init.zeros_(cell.project.bias)
    one = cell(x, ALIKE[0])
    for n, choice in enumerate(ALIKE, start=1):
        torch.testing.assert_close(cell(x, choice), n * one if placement == NEVER else one)


def test_the_projection_has_a_bias_only_where_the_norm_is_never_called_and_then_the_norm_learns_nothing() -> None:
    for placement in PLACEMENTS:
        model = SPACES["S4 of 3 cells"](
            channels=2,
            most=4,
            norms="shadow",
            classes=10,
            in_channels=1,
            generator=generator(),
            placement=placement,
        )
        model(torch.randn(8, 1, 7, 7, generator=generator()), ("conv1x1", "conv3x3", None, None)).sum().backward()
        for cell in model.cells:
            assert cell.placement == placement
            assert (cell.project.bias is not None) == (placement == NEVER)
            called = [norm.weight.grad is not None for norm in cell.norm.norms]
            assert called == [False, placement != NEVER, False, False]


def test_exact_weights_are_drawn_by_the_generator_alone_and_the_bias_starts_at_0() -> None:
    size = {"channels": 2, "most": 4, "norms": "shadow", "classes": 10, "in_channels": 1, "placement": NEVER}
    torch.manual_seed(1)
    first = SPACES["S4 of 3 cells"](**size, generator=generator()).state_dict()
    torch.manual_seed(2)
    second = SPACES["S4 of 3 cells"](**size, generator=generator()).state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not first["cells.0.project.bias"].any()


def test_a_placement_that_a_space_does_not_have_is_refused() -> None:
    size = {"channels": 4, "most": 4, "norms": "shadow", "classes": 10, "in_channels": 1, "generator": generator()}
    with pytest.raises(UserError, match="in a mixed block 'never called'"):
        SPACES["S1"](**size, placement=NEVER)
    with pytest.raises(UserError, match="unknown placement of the shadow batch norm 'after the sun'; did you mean"):
        SPACES["S4"](**size, placement="after the sun")
    assert placements("a space of someone else") == (AFTER_PROJECTION,)
