"""The fast gradients of :mod:`nas_core.backends.depthwise` in a network of ordinary layers."""

from __future__ import annotations

from torch import Tensor, nn

from nas_core.backends.grouped import depthwise_convolution


class DepthwiseConvolution(nn.Conv2d):
    """A depthwise convolution without bias, of odd width and "same" padding, whose gradients are fast."""

    def forward(self, x: Tensor) -> Tensor:
        return depthwise_convolution(x, self.weight, self.stride[0], self.dilation[0])


def with_fast_depthwise(network: nn.Module) -> nn.Module:
    """``network`` itself, in which every depthwise convolution that is one of these has become one.

    Weights, their names and the numbers are the same; only gradients are computed another way. There is no second
    derivative then.
    """
    for module in network.modules():
        if _is_depthwise(module):
            module.__class__ = DepthwiseConvolution
    return network


def _is_depthwise(module: nn.Module) -> bool:
    if type(module) is not nn.Conv2d or module.bias is not None or module.groups == 1:
        return False
    kernel, dilation = module.kernel_size[0], module.dilation[0]
    square = module.kernel_size == (kernel, kernel) and module.stride[0] == module.stride[1] and kernel % 2 == 1
    same = module.padding == (dilation * (kernel // 2),) * 2 and module.dilation == (1, 1)
    return square and same and module.groups == module.in_channels == module.out_channels
