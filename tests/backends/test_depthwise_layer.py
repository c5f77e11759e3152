"""Networks of ordinary layers with fast depthwise gradients: the same numbers, and only where they are meant."""

from itertools import product

import pytest
import torch
from small import generator
from torch import nn

from nas_core.backends.depthwise_layer import DepthwiseConvolution, with_fast_depthwise


@pytest.mark.parametrize(("kernel", "stride", "side"), list(product((3, 5, 7, 9), (1, 2), (2, 7, 11))))
def test_exact_gradients_are_those_of_autograd(kernel: int, stride: int, side: int) -> None:
    plain = nn.Conv2d(4, 4, kernel, stride, kernel // 2, groups=4, bias=False).double()
    fast = with_fast_depthwise(nn.Conv2d(4, 4, kernel, stride, kernel // 2, groups=4, bias=False).double())
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(3, 4, side, side, dtype=torch.float64, generator=generator())
    found = []
    for layer in (plain, fast):
        given = x.clone().requires_grad_()
        y = layer(given)
        found.append((y, *torch.autograd.grad((y**2).sum(), [given, layer.weight])))
    assert type(fast) is DepthwiseConvolution
    for ours, theirs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False),
        nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=0, groups=4, bias=False),
        nn.Conv2d(4, 4, (3, 5), padding=1, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, bias=False),
        nn.Conv2d(4, 4, 4, padding=2, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
    ],
)
def test_other_layers_stay(layer: nn.Module) -> None:
    assert type(with_fast_depthwise(layer)) is nn.Conv2d


def test_layers_within_are_found() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 3, 5, padding=2, groups=3, bias=False))
    network = nn.Sequential(inner, nn.ReLU())
    names = list(network.state_dict())
    assert with_fast_depthwise(network) is network
    assert type(inner[0]) is DepthwiseConvolution
    assert list(network.state_dict()) == names
