"""Operations that nobody declared are computed as in the plain supernet; declarations that are wrong are refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
from equality import assert_equal, gates_of, pair
from hypothesis import given
from hypothesis import strategies as st
from small import batch, generator, kept_paths, mixture, random_path
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from nas_core.backends.fused import FusedSupernet
from nas_core.cells import operations
from nas_core.cells.evaluation import EVALUATED
from nas_core.cells.operations import CANDIDATES, OPERATIONS, Build, Cost, FactorizedReduce, Operation, Style
from nas_core.cells.supernet import Space
from nas_core.cells.topology import darts_cell, minimal_cell, simplified_cell
from nas_core.errors import UserError

def free(channels: int, side: int, stride: int) -> Cost:
    return Cost(0, 0, 0)


@contextmanager
def registered(builds: dict[str, Build], grouping: str | None = None) -> Iterator[None]:
    """The operations under their names, declared as ``grouping`` or not at all."""
    declared = {} if grouping is None else {"grouping": grouping}
    found = {name: Operation(name, build, free, **declared) for name, build in builds.items()}
    with patch.dict(OPERATIONS, found):
        yield


# ----------------------------------------------------------------------------------------------------------------------
# Modules of every kind; each halves the side if its stride is 2.


class Scaled(nn.Identity):
    """An identity that is none: times a number that is trained, and counting its calls."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.scale * x[:, :, :: self.stride, :: self.stride] + 0.01 * self.calls


class Negated(FactorizedReduce):
    """A factorised reduction that is none."""

    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(x)


class Squared(nn.Sequential):
    """Layers of a separable convolution that do something else."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).square()


def subsampled(stride: int) -> list[nn.Module]:
    return [nn.AvgPool2d(1, stride)] if stride > 1 else []


def layer(kind: str, channels: int) -> nn.Module:
    if kind == "conv":
        return nn.Conv2d(channels, channels, 1)
    if kind == "wide conv":
        return nn.Conv2d(channels, channels, 3, padding=1, groups=2, bias=False)
    if kind == "depthwise":
        return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
    if kind == "norm":
        return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.3)
    if kind == "pool":
        return nn.MaxPool2d(3, 1, 1)
    return nn.ReLU()


def stack(kinds: list[str]) -> Build:
    """Layers one after the other, as many as ``kinds`` at stride 1."""

    def build(channels: int, stride: int, style: Style) -> nn.Module:
        return nn.Sequential(*subsampled(stride), *(layer(kind, channels) for kind in kinds))

    return build


def like_separable(times: int, *, kernel: int = 3, dilation: int = 1, **change: Any) -> Build:
    """The types of a separable convolution's layers, with something changed in the depthwise ones."""

    def build(channels: int, stride: int, style: Style) -> nn.Module:
        layers: list[nn.Module] = []
        for step in [stride, 1][:times]:
            settings = {"groups": channels, "bias": False, "padding": dilation * (kernel // 2)} | change
            depthwise = nn.Conv2d(channels, channels, kernel, step, dilation=dilation, **settings)
            pointwise = nn.Conv2d(channels, channels, 1, bias=False)
            layers += [nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels, affine=style.affine, eps=style.eps)]
        return nn.Sequential(*layers)

    return build


def excite(channels: int, stride: int, style: Style) -> nn.Module:
    return nn.Sequential(*subsampled(stride), SqueezeExcitation(channels, 2))


def activated(channels: int, stride: int, style: Style) -> nn.Module:
    depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    return nn.Sequential(depthwise, nn.BatchNorm2d(channels), nn.Hardswish())


def negated(channels: int, stride: int, style: Style) -> nn.Module:
    return Scaled(1) if stride == 1 else Negated(channels, channels, style)


def squared(channels: int, stride: int, style: Style) -> nn.Module:
    return Squared(*operations.separable(3, 1)(channels, stride, style))


def same_pool(channels: int, stride: int, style: Style) -> nn.Module:
    pool = nn.AvgPool2d(3, stride, 1)  # which counts the padding, as the declared one does not
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=style.affine))


SPECIAL: dict[str, Build] = {
    "biased": like_separable(1, bias=True),
    "biased twice": like_separable(2, bias=True),
    "dense": like_separable(1, groups=1),
    "dense twice": like_separable(2, groups=1),
    "replicated": like_separable(1, padding_mode="replicate"),
    "wide": like_separable(2, kernel=7),
    "sparse": like_separable(1, dilation=3),
    "squared": squared,
    "excite": excite,
    "activated": activated,
    "scaled": lambda channels, stride, style: Scaled(stride),
    "negated": negated,
    "counting pool": same_pool,
    "conv_7x1_1x7": EVALUATED["conv_7x1_1x7"],
    "dropout": lambda channels, stride, style: nn.Sequential(*subsampled(stride), nn.Dropout(0.3)),
}
KINDS = ["conv", "wide conv", "depthwise", "norm", "pool", "relu"]


@st.composite
def undeclared(draw: st.DrawFn) -> dict[str, Build]:
    """One to three operations that nobody declared, at least one of them a stack of any length."""
    found = {name: SPECIAL[name] for name in draw(st.lists(st.sampled_from(list(SPECIAL)), max_size=2, unique=True))}
    found["stack"] = stack(draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=9)))
    return found


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    builds = draw(undeclared())
    declared = draw(st.lists(st.sampled_from(CANDIDATES), max_size=4, unique=True))
    return {
        "builds": builds,
        "settings": {
            "topology": draw(st.sampled_from([simplified_cell(), minimal_cell(), darts_cell(3)])),
            "candidates": tuple(draw(st.permutations([*builds, *declared]))),
            "layers": draw(st.integers(1, 3)),
            "channels": draw(st.sampled_from([2, 4, 8])),
            "reductions": draw(st.booleans()),
            "affine": draw(st.booleans()),
            "seed": draw(st.integers(0, 99)),
        },
        "side": draw(st.sampled_from([4, 7, 8])),
        "gates": draw(st.sampled_from(["mixture", "one-hot", "sparse", "any sign"])),
        "training": draw(st.booleans()) and "dropout" not in builds,  # its draws are in another order
        "drop": draw(st.sampled_from([0.0, 0.0, 0.3])),
        "observed": draw(st.booleans()),
    }


def assert_undeclared_equal(kind: type, case: dict[str, Any]) -> None:
    """What :func:`cases` drew, in float64: logits, all gradients, running statistics."""
    seed = case["settings"]["seed"]
    with registered(case["builds"]):
        plain, model = pair(kind, **case["settings"])
    plain.train(case["training"])
    model.train(case["training"])
    gates = gates_of(plain, case["gates"], seed)
    factors = kept_paths(plain, 6, case["drop"], seed) if case["drop"] else None
    observed = torch.rand(gates.shape, generator=generator(seed)) < 0.3 if case["observed"] else None
    assert_equal(plain, model, gates, *batch(6, case["side"], seed), factors, observed)


@given(cases())
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
        space = Space(minimal_cell(), ("odd", "max_pool_3x3"), {e: ("max_pool_3x3",) for e in range(5)})
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
