"""The candidate operations: what they cost, the shapes they give, the blocks they are made of."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small import generator
from torch import Tensor, nn

from nas_core.cells.operations import (
    CANDIDATES,
    NORMALISERS,
    OPERATIONS,
    AveragePool,
    FactorizedReduce,
    Style,
    block,
)
from nas_core.cells.supernet import initialise
from nas_core.errors import UserError

C, SIDE = 16, 32
NAMES = st.sampled_from(CANDIDATES)
STRIDES = st.sampled_from((1, 2))

# (parameters, multiply-adds, memory accesses) of one image of 16 channels whose output has 32x32 pixels.
PRINTED = {
    "none": (0, 0, 0),
    "skip_connect": (0, 0, 32768),
    "max_pool_3x3": (0, 147456, 32768),
    "avg_pool_3x3": (0, 147456, 32768),
    "sep_conv_3x3": (800, 819200, 131872),
    "sep_conv_5x5": (1312, 1343488, 132384),
    "dil_conv_3x3": (400, 409600, 65936),
    "dil_conv_5x5": (656, 671744, 66192),
}
# The forms printed for stride 2, with y output pixels a side.
AT_STRIDE_2: dict[str, Callable[[int], tuple[int, int, int]]] = {
    "none": lambda y: (0, 0, 0),
    "skip_connect": lambda y: (C**2, C**2 * y**2, 2 * y**2 * (4 * C + C // 2) + C**2),
    "max_pool_3x3": lambda y: (0, 9 * C * y**2, 5 * C * y**2),
    "avg_pool_3x3": lambda y: (0, 9 * C * y**2, 5 * C * y**2),
    "sep_conv_3x3": lambda y: (800, 800 * y**2, 11 * C * y**2 + 800),
    "sep_conv_5x5": lambda y: (1312, 1312 * y**2, 11 * C * y**2 + 1312),
    "dil_conv_3x3": lambda y: (400, 400 * y**2, 7 * C * y**2 + 400),
    "dil_conv_5x5": lambda y: (656, 656 * y**2, 7 * C * y**2 + 656),
}


def build(name: str, channels: int, stride: int, style: Style | None = None) -> nn.Module:
    """The operation in float64, its weights drawn from a fixed generator."""
    module = OPERATIONS[name].build(channels, stride, style or Style()).double()
    initialise(module, generator())
    return module


def image(channels: int, height: int, width: int | None = None) -> Tensor:
    return torch.randn(2, channels, height, width or height, dtype=torch.float64, generator=generator(5))


@pytest.mark.parametrize("name", CANDIDATES)
def test_exact_costs_at_stride_1(name: str) -> None:
    cost = OPERATIONS[name].cost(C, SIDE, 1)
    assert (cost.params, cost.madds, cost.accesses) == PRINTED[name]


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("side", [4, 16])
def test_exact_costs_at_stride_2(name: str, side: int) -> None:
    cost = OPERATIONS[name].cost(C, side, 2)
    assert (cost.params, cost.madds, cost.accesses) == AT_STRIDE_2[name](side)


def test_candidates_keep_the_released_order() -> None:
    assert CANDIDATES == (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    )


@given(NAMES, STRIDES, st.integers(1, 12).map(lambda c: 2 * c), st.booleans())
def test_property_cost_counts_the_modules_parameters(name: str, stride: int, channels: int, affine: bool) -> None:
    module = build(name, channels, stride, Style(affine=affine))
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    counted = sum(p.numel() for m in convolutions for p in m.parameters())
    assert OPERATIONS[name].cost(channels, 8, stride).params == counted
    if not affine:
        assert sum(p.numel() for p in module.parameters()) == counted
    assert all(m.bias is None for m in convolutions)


@given(NAMES, STRIDES, st.sampled_from((2, 6, 8)), st.integers(2, 6).map(lambda s: 2 * s))
def test_property_cost_counts_what_the_forward_pass_does(name: str, stride: int, channels: int, side: int) -> None:
    """Multiply-adds and memory accesses, counted at every convolution and pool that a forward pass meets."""
    module, x = build(name, channels, stride), image(channels, side)[:1]
    flops, mac = [], []

    def count(layer: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        weights = layer.weight.numel() if isinstance(layer, nn.Conv2d) else 0
        per_pixel = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else 9
        flops.append(0 if isinstance(layer, nn.Identity) else per_pixel * out.numel())
        mac.append(args[0].numel() + out.numel() + weights)

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d | nn.Identity):
            layer.register_forward_hook(count)
    out = module(x)
    cost = OPERATIONS[name].cost(channels, out.shape[-1], stride)
    assert (cost.madds, cost.accesses) == (sum(flops), sum(mac))


@given(NAMES, STRIDES, st.integers(3, 11), st.integers(3, 11))
def test_property_output_shape(name: str, stride: int, height: int, width: int) -> None:
    out = build(name, 4, stride)(image(4, height, width))
    assert out.shape == (2, 4, math.ceil(height / stride), math.ceil(width / stride))
    assert out.isfinite().all()


@pytest.mark.parametrize("stride", [1, 2])
def test_none_is_zero_and_skip_is_the_input(stride: int) -> None:
    x = image(4, 7)
    assert torch.equal(build("none", 4, stride)(x), torch.zeros(2, 4, 7, 7).double()[..., ::stride, ::stride])
    if stride == 1:
        assert build("skip_connect", 4, 1)(x) is x


@pytest.mark.parametrize("side", [2, 6, 8])
@pytest.mark.parametrize("order", ["rcb", "crb", "cbr"])
def test_exact_factorized_reduce_without_padding(side: int, order: str) -> None:
    """At even sizes it is the textbook's: ReLU, two strided 1x1 convolutions one pixel apart, BN, in any order."""
    module = FactorizedReduce(4, 6, Style(order=order)).double()
    x = image(4, side)
    y = F.relu(x) if order == "rcb" else x
    straight = F.conv2d(y, module.straight.weight, stride=2)
    y = torch.cat([straight, F.conv2d(y[..., 1:, 1:], module.shifted.weight, stride=2)], 1)
    y = F.relu(y) if order == "crb" else y
    y = F.batch_norm(y, None, None, training=True)
    torch.testing.assert_close(module(x), F.relu(y) if order == "cbr" else y, rtol=1e-12, atol=1e-12)


def test_factorized_reduce_needs_even_channels() -> None:
    with pytest.raises(ValueError, match="even number of output channels, not 5"):
        FactorizedReduce(4, 5, Style())


def test_average_pool_does_not_count_the_padding() -> None:
    pool = build("avg_pool_3x3", 2, 1)[0]
    ones = torch.ones(1, 2, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(pool(ones), ones)


def test_average_pool_sees_maps_whose_channels_come_first_on_all_but_processors() -> None:
    for device, mended in (("cpu", False), ("meta", True)):
        x = torch.ones(2, 4, 6, 6, device=device).contiguous(memory_format=torch.channels_last)
        assert AveragePool(1)(x).is_contiguous() == mended


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("stride", [1, 2])
def test_exact_gradients_of_pools_are_the_processors_on_cuda(stride: int) -> None:
    """Of maps whose channels come last, too, as all maps of a search are."""
    for name in ("avg_pool_3x3", "max_pool_3x3"):
        module, x = build(name, 6, stride), torch.randn(3, 6, 7, 7, dtype=torch.float64, generator=generator(0))
        gradients = []
        for device in ("cpu", "cuda"):
            x_here = x.to(device, memory_format=torch.channels_last).requires_grad_()
            y = module.to(device)(x_here)
            (gradient,) = torch.autograd.grad((y * torch.arange(y.numel(), device=device).view_as(y)).sum(), x_here)
            gradients.append(gradient.cpu())
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


R, N = nn.ReLU, nn.BatchNorm2d
STACKS = {"rcb": [R, nn.Conv2d, nn.Conv2d, N], "crb": [nn.Conv2d, nn.Conv2d, R, N], "cbr": [nn.Conv2d, nn.Conv2d, N, R]}


@pytest.mark.parametrize("order", STACKS)
def test_stacking_order(order: str) -> None:
    """ReLU, the depthwise-separable pair and the normaliser stand as the order says; sep applies the stack twice."""
    style = Style(order=order)
    for kernel in (3, 5):
        assert [type(m) for m in build(f"dil_conv_{kernel}x{kernel}", 4, 1, style)] == STACKS[order]
        assert [type(m) for m in build(f"sep_conv_{kernel}x{kernel}", 4, 1, style)] == 2 * STACKS[order]
    for pool, kind in (("max_pool_3x3", nn.MaxPool2d), ("avg_pool_3x3", AveragePool)):
        assert [type(m) for m in build(pool, 4, 1, style)] == [kind, N]


@pytest.mark.parametrize(("name", "kernel", "dilation", "times"), [
    ("sep_conv_3x3", 3, 1, 2), ("sep_conv_5x5", 5, 1, 2), ("dil_conv_3x3", 3, 2, 1), ("dil_conv_5x5", 5, 2, 1),
])  # fmt: skip
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_are_as_specified(name: str, kernel: int, dilation: int, times: int, stride: int) -> None:
    """Depthwise with the stride (the second time with stride 1) and padding that keeps the size, then pointwise."""
    convolutions = [m for m in build(name, 6, stride).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 2 * times
    for i, (depthwise, pointwise) in enumerate(zip(convolutions[::2], convolutions[1::2], strict=True)):
        assert depthwise.kernel_size == (kernel, kernel)
        assert depthwise.dilation == (dilation, dilation)
        assert depthwise.padding == (dilation * (kernel // 2),) * 2
        assert depthwise.groups == 6
        assert depthwise.stride == ((stride, stride) if i == 0 else (1, 1))
        assert (pointwise.kernel_size, pointwise.groups, pointwise.stride) == ((1, 1), 1, (1, 1))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("name", NORMALISERS)
def test_normalisers(name: str, affine: bool) -> None:
    """Batch norm standardises a channel over the batch, instance norm in each image, layer norm an image as a whole."""
    module = block([], 4, Style(name, affine, "cbr", eps=1e-30))[0].double()
    assert sum(p.numel() for p in module.parameters()) == (8 if affine else 0)
    dims = {"batch": (0, 2, 3), "instance": (2, 3), "layer": (1, 2, 3)}[name]
    x = 3 + torch.arange(1, 5).view(1, 4, 1, 1) * image(4, 6)
    expected = (x - x.mean(dims, keepdim=True)) / x.std(dims, correction=0, keepdim=True)
    torch.testing.assert_close(module(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NORMALISERS)
def test_eps_reaches_the_normaliser(name: str) -> None:
    assert [m.eps for m in block([], 4, Style(name, eps=0.25)).modules() if hasattr(m, "eps")] == [0.25]


@pytest.mark.parametrize(("style", "sentence"), [
    (Style(normaliser="bath"), "unknown normaliser 'bath'; did you mean 'batch'?"),
    (Style(order="rbc"), "unknown order 'rbc'; did you mean"),
])  # fmt: skip
def test_unknown_style_is_named(style: Style, sentence: str) -> None:
    with pytest.raises(UserError, match="unknown") as error:
        block([], 4, style)
    assert str(error.value).startswith(sentence)
