"""Operations that nobody declared, of every kind, and whether a formulation computes them as the plain supernet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from equality import assert_equal, gates_of, pair
from hypothesis import strategies as st
from small import batch, generator, kept_paths
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from nas_core.cells import operations
from nas_core.cells.evaluation import EVALUATED
from nas_core.cells.operations import CANDIDATES, OPERATIONS, Build, Cost, FactorizedReduce, Operation, Style
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import darts_cell, minimal_cell, simplified_cell


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
        return nn.AvgPool2d(3, 1, 1)
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
def undeclared_cases(draw: st.DrawFn, others: tuple[str, ...] = CANDIDATES) -> dict[str, Any]:
    """A network with them and some of the declared ``others``, images, gates, what is observed, and drop-path."""
    builds = draw(undeclared())
    declared = draw(st.lists(st.sampled_from(others), max_size=4, unique=True))
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


def assert_undeclared_equal(kind: type[Supernet], case: dict[str, Any]) -> None:
    """What :func:`undeclared_cases` drew, in float64: logits, all gradients, running statistics."""
    seed = case["settings"]["seed"]
    with registered(case["builds"]):
        plain, model = pair(kind, **case["settings"])
    plain.train(case["training"])
    model.train(case["training"])
    gates = gates_of(plain, case["gates"], seed)
    factors = kept_paths(plain, 6, case["drop"], seed) if case["drop"] else None
    observed = torch.rand(gates.shape, generator=generator(seed)) < 0.3 if case["observed"] else None
    assert_equal(plain, model, gates, *batch(6, case["side"], seed), factors, observed)
