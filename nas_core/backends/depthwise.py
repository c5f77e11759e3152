"""Depthwise convolutions and both of their gradients, from the kernels that are fast on a processor.

oneDNN has a fast kernel for the weight gradient of dense filters of width 3 only. Everything else it computes as if all
channels met, 20 times slower. So

    the gradient by the input, at stride 1, is a convolution with the flipped filter;
    the gradient by a filter of width 5 is that of two filters of width 3, at columns (-1, 0, 1) and (-2, 0, 2);
    the gradient by a filter of dilation 2 is that of a dense one on the four grids of every second row and column.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_backward = torch.ops.aten.convolution_backward


def convolution(x: Tensor, w: Tensor, stride: int, dilation: int) -> Tensor:
    """y = w * x, "same" padding; ``x``: (batch, channels, height, width), ``w``: (channels, 1, k, k), k odd."""
    w = _inner(w, x, dilation)
    return F.conv2d(x, w, None, stride, dilation * (w.shape[-1] // 2), dilation, w.shape[0])


def input_gradient(g: Tensor, x: Tensor, w: Tensor, stride: int, dilation: int) -> Tensor:
    """dL/dx from ``g`` = dL/dy."""
    w = _inner(w, x, dilation)
    if stride == 1:
        return convolution(g, w.flip(2, 3), 1, dilation)
    return _gradients(g, x, w, stride, (w.shape[-1] // 2,) * 2, dilation, (True, False, False))[0]


def weight_gradient(g: Tensor, x: Tensor, w: Tensor, stride: int, dilation: int) -> Tensor:
    """dL/dw from ``g`` = dL/dy; of ``w`` only its shape counts."""
    inner = _inner(w, x, dilation)
    if dilation == 2 and stride == 1:
        gradient = _dense(_grids(g), _grids(x), inner, 1)
    elif dilation == 1:
        gradient = _dense(g, x, inner, stride)
    else:
        raise ValueError(f"stride {stride} with dilation {dilation}: take every second pixel, then dilation 1")
    outer = (w.shape[-1] - inner.shape[-1]) // 2
    return F.pad(gradient, (outer,) * 4) if outer else gradient


def _inner(w: Tensor, x: Tensor, dilation: int) -> Tensor:
    """The filter without the outer taps that only ever meet padding, because the image is that small."""
    outer = w.shape[-1] // 2
    needless = outer - min(outer, (max(x.shape[2:]) - 1) // dilation)
    return w[..., needless : w.shape[-1] - needless, needless : w.shape[-1] - needless] if needless else w


def _dense(g: Tensor, x: Tensor, w: Tensor, stride: int) -> Tensor:
    k, rows = w.shape[-1], w.shape[-1] // 2
    if x.shape[2] < k:  # padding of the kernel's own is fast only where the image is at least as high as the filter
        x, rows = F.pad(x, (0, 0, rows, rows)), 0
    if k == 5:
        return _of_width_5(g, x, w, stride, rows)
    return _filter_gradient(g, x, w, stride, (rows, k // 2))


def _of_width_5(g: Tensor, x: Tensor, w: Tensor, stride: int, rows: int) -> Tensor:
    w = w[..., :3]
    if stride > 1:  # columns -2..0 and 0..2, of an image padded on the left or on the right
        left = _filter_gradient(g, F.pad(x, (2, 0)), w, stride, (rows, 0))
        right = _filter_gradient(g, F.pad(x, (0, 2)), w, stride, (rows, 0))
        return torch.cat([left, right[..., 1:]], -1)
    if x.shape[3] % 2:
        x, g = F.pad(x, (0, 1)), F.pad(g, (0, 1))
    inner = _filter_gradient(g, x, w, 1, (rows, 1))
    outer = _filter_gradient(_pairs(g), _pairs(x), torch.cat([w, w]), 1, (rows, 1)).unflatten(0, (2, -1)).sum(0)
    return torch.cat([outer[..., :1], inner, outer[..., 2:]], -1)


def _filter_gradient(g: Tensor, x: Tensor, w: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
    return _gradients(g, x, w, stride, padding, 1, (False, True, False))[1]


def _gradients(
    g: Tensor, x: Tensor, w: Tensor, stride: int, padding: tuple[int, int], dilation: int, wanted: tuple[bool, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    where = [stride] * 2, padding, [dilation] * 2, False, [0, 0], w.shape[0]
    return _backward(g, x, w, None, *where, wanted)


def _pairs(x: Tensor) -> Tensor:
    """Even and odd columns as channels of their own, (batch, 2 C, height, width / 2): no copy if channels come last."""
    x = x.permute(0, 2, 3, 1)
    return x.reshape(*x.shape[:2], x.shape[2] // 2, -1).permute(0, 3, 1, 2)


def _grids(x: Tensor) -> Tensor:
    """The four grids of every second row and column as images of their own, (4 batch, C, height / 2, width / 2)."""
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)) if x.shape[2] % 2 or x.shape[3] % 2 else x
    n, c, height, width = x.shape
    grids = x.permute(0, 2, 3, 1).reshape(n, height // 2, 2, width // 2, 2, c).permute(2, 4, 0, 1, 3, 5)
    return grids.reshape(4 * n, height // 2, width // 2, c).permute(0, 3, 1, 2)
