"""Operations that nobody declared are computed as in the plain supernet; declarations that are wrong are refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from declared import (
    SPECIAL,
    Scaled,
    assert_undeclared_equal,
    excite,
    free,
    like_separable,
    negated,
    registered,
    same_pool,
    squared,
    stack,
    undeclared_cases,
)
from equality import assert_equal, gates_of, pair
from hypothesis import given
from small import batch, generator, mixture, random_path
from torch import nn

from nas_core.backends.fused import FusedSupernet
from nas_core.cells import operations
from nas_core.cells.operations import CANDIDATES, Build, Operation, Style
from nas_core.cells.supernet import Space
from nas_core.cells.topology import darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.errors import UserError


@given(undeclared_cases())
def test_property_fused_is_plain_for_undeclared_operations(case: dict[str, Any]) -> None:
    assert_undeclared_equal(FusedSupernet, case)


@pytest.mark.parametrize("topology", [simplified_cell(), minimal_cell(), darts_cell(4)], ids=lambda t: t.name)
@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("reductions", [False, True])
def test_exact_each_undeclared_operation(name: str, topology: Any, reductions: bool) -> None:
    """Among declared ones, and alone, where nothing at all is grouped."""
    for others in (("sep_conv_3x3", "dil_conv_5x5", "max_pool_3x3", "skip_connect"), ()):
        with registered({name: SPECIAL[name]}):
            candidates = (name, *others)
            plain, model = pair(topology=topology, candidates=candidates, layers=3, reductions=reductions)
        if name == "dropout":
            plain.eval()
            model.eval()
        for gates in (mixture(plain), random_path(plain, candidates, 1)):
            assert_equal(plain, model, gates, *batch(5, 8))


@pytest.mark.parametrize("topology", [minimal_cell(), darts_cell(3)], ids=lambda t: t.name)
@pytest.mark.parametrize("reductions", [False, True])
def test_exact_declared_under_another_name(topology: Any, reductions: bool) -> None:
    """Each grouping twice or more: a second skip, a third pool, and separable convolutions of width 7."""
    skips = registered({"second skip": operations.skip}, "skip")
    pools = registered({"third pool": operations.max_pool}, "pool")
    wide = registered({"sep_conv_7x7": operations.separable(7, 2), "dil": operations.separable(7, 1, 2)}, "separable")
    with skips, pools, wide:
        candidates = ("second skip", "third pool", "sep_conv_7x7", "dil", *CANDIDATES)
        plain, model = pair(topology=topology, candidates=candidates, layers=3, reductions=reductions, affine=True)
    for gates in (mixture(plain), random_path(plain, candidates, 1), gates_of(plain, "sparse", 3)):
        assert_equal(plain, model, gates, *batch(5, 9))


def test_exact_undeclared_dead_ends() -> None:
    """What leads nowhere has no gradient, and its running statistics move, as in the plain one."""
    with registered({"biased": SPECIAL["biased"]}):
        plain, model = pair(topology=modified_cell(), candidates=("biased", "sep_conv_3x3"))
    gates = mixture(plain) * torch.tensor([1.0, 1, 0])[:, None]  # node 1 is not concatenated, and node 2 reads it not
    assert_equal(plain, model, gates, *batch(5, 8))


def test_an_operation_replaces_another_with_its_own_declaration() -> None:
    with registered({"skip_connect": excite, "sep_conv_3x3": squared}):
        plain, model = pair(topology=minimal_cell(), layers=3, reductions=True)
    assert_equal(plain, model, mixture(plain), *batch(5, 8))


ALTERNATING = itertools.cycle([operations.separable(3, 1, 1), operations.separable(3, 1, 2)])
WRONG: dict[str, list[Build]] = {
    "separable": [
        *(SPECIAL[name] for name in ("biased", "dense twice", "replicated", "sparse", "squared", "activated")),
        like_separable(1, padding=0),
        stack(["relu", "depthwise", "conv", "norm"]),
        stack(["relu", "conv", "norm"]),
        operations.separable(3, 3),
        operations.separable(1, 2),
        operations.max_pool,
        operations.skip,
        lambda channels, stride, style: operations.separable(3, 1)(channels, stride, Style(eps=0.1)),
        lambda channels, stride, style: operations.separable(3, 1)(channels, stride, Style(affine=True)),
        lambda channels, stride, style: operations.separable(3, 1)(channels, stride, Style(order="cbr")),
        lambda channels, stride, style: operations.separable(3, 1)(channels, stride, Style("instance")),
        lambda channels, stride, style: operations.separable(3, 1)(channels, 1, style),  # right at stride 1 alone
        lambda channels, stride, style: next(ALTERNATING)(channels, stride, style),
    ],
    "pool": [
        same_pool,
        operations.separable(3, 1),
        lambda channels, stride, style: nn.MaxPool2d(3, stride, 1),
        lambda channels, stride, style: nn.Sequential(nn.MaxPool2d(5, stride, 2), nn.BatchNorm2d(channels)),
    ],
    "skip": [negated, lambda channels, stride, style: Scaled(stride), operations.max_pool],
}
WRONG_CASES = [(grouping, i) for grouping, builds in WRONG.items() for i in range(len(builds))]


@pytest.mark.parametrize(("grouping", "i"), WRONG_CASES)
def test_a_wrong_declaration_is_refused(grouping: str, i: int) -> None:
    """When the network is made, whatever else is among the candidates."""
    sentence = f"operation 'odd' declares grouping '{grouping}', but what it builds at stride 2 is something else"
    with registered({"odd": WRONG[grouping][i]}, grouping), pytest.raises(UserError) as error:
        network_of("odd", reductions=True)
    assert str(error.value).startswith(sentence)


def network_of(*candidates: str, reductions: bool = False, style: Style | None = None) -> FusedSupernet:
    space = Space(minimal_cell(), candidates, style=style or Style())
    return FusedSupernet(
        space, channels=4, layers=1, classes=10, in_channels=1,
        reductions=reductions, head_bias=False, generator=generator(),
    )  # fmt: skip


def test_an_unknown_grouping_is_refused() -> None:
    with pytest.raises(UserError, match="unknown grouping of operation 'odd' 'seperable'; did you mean 'separable'"):
        Operation("odd", operations.skip, free, "seperable")


@pytest.mark.parametrize("style", [Style("instance"), Style("layer"), Style(order="crb"), Style(order="cbr")])
def test_another_style_is_refused(style: Style) -> None:
    """Grouped blocks are batch norm and rcb; any other would be computed as if they were."""
    with pytest.raises(UserError, match="are for normaliser 'batch' and order 'rcb', not normaliser"):
        network_of("sep_conv_3x3", style=style)


def test_only_the_allowed_are_checked() -> None:
    """An operation that is nowhere allowed is built nowhere."""
    with registered({"odd": negated}, "skip"):
        space = Space(minimal_cell(), ("odd", "max_pool_3x3"), dict.fromkeys(range(5), ("max_pool_3x3",)))
        FusedSupernet(
            space, channels=4, layers=1, classes=10, in_channels=1,
            reductions=False, head_bias=False, generator=generator(),
        )  # fmt: skip


def test_an_undeclared_operation_is_never_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module is called once a forward pass on every edge; declared ones of a mixture are not called at all."""
    calls: list[str] = []
    with registered({"excite": excite}):
        _, model = pair(topology=darts_cell(2), candidates=("excite", "sep_conv_3x3", "max_pool_3x3"))
    for edge in model.cells[0].operations:
        for name, op in zip(model.space.candidates, edge, strict=True):
            op.register_forward_hook(lambda m, args, out, name=name: calls.append(name))
    model(batch()[0], mixture(model))
    assert calls == ["excite"] * 5
