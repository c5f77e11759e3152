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
    channels, _, _, k = w.shape
    padding = dilation * (k // 2)
    return F.conv2d(x, w, None, stride, padding, dilation, channels)


def input_gradient(g: Tensor, x: Tensor, w: Tensor, stride: int, dilation: int) -> Tensor:
    """dL/dx, of the shape of ``x``, from ``g`` = dL/dy; shapes as of :func:`convolution`."""
    w = _inner(w, x, dilation)
    if stride == 1:
        return convolution(g, w.flip(2, 3), 1, dilation)
    half = w.shape[-1] // 2
    gradient, _, _ = _gradients(g, x, w, stride, (half, half), dilation, (True, False, False))
    return gradient


def weight_gradient(g: Tensor, x: Tensor, w: Tensor, stride: int, dilation: int) -> Tensor:
    """dL/dw, of the shape of ``w``, from ``g`` = dL/dy; shapes as of :func:`convolution`, of ``w`` only that counts.

    A dilation of 2 with a stride of 2 is a ValueError.
    """
    inner = _inner(w, x, dilation)
    if dilation == 2 and stride == 1:
        gradient = _dense(_grids(g), _grids(x), inner, 1)
    elif dilation == 1:
        gradient = _dense(g, x, inner, stride)
    else:
        raise ValueError(f"stride {stride} with dilation {dilation}: take every second pixel, then dilation 1")
    outer = (w.shape[-1] - inner.shape[-1]) // 2
    if outer:
        gradient = F.pad(gradient, (outer, outer, outer, outer))
    return gradient


def _inner(w: Tensor, x: Tensor, dilation: int) -> Tensor:
    """The filter without the outer taps that only ever meet padding, because the image is that small."""
    outer = w.shape[-1] // 2
    reach = (max(x.shape[2:]) - 1) // dilation
    needless = outer - min(outer, reach)
    if needless == 0:
        return w
    inside = slice(needless, w.shape[-1] - needless)
    return w[..., inside, inside]


def _dense(g: Tensor, x: Tensor, w: Tensor, stride: int) -> Tensor:
    k = w.shape[-1]
    rows = k // 2
    if x.shape[2] < k:  # padding of the kernel's own is fast only where the image is at least as high as the filter
        x = F.pad(x, (0, 0, rows, rows))
        rows = 0
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
        x = F.pad(x, (0, 1))
        g = F.pad(g, (0, 1))
    inner = _filter_gradient(g, x, w, 1, (rows, 1))
    of_pairs = _filter_gradient(_pairs(g), _pairs(x), torch.cat([w, w]), 1, (rows, 1))
    outer = of_pairs.unflatten(0, (2, -1)).sum(0)
    return torch.cat([outer[..., :1], inner, outer[..., 2:]], -1)


def _filter_gradient(g: Tensor, x: Tensor, w: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
    _, gradient, _ = _gradients(g, x, w, stride, padding, 1, (False, True, False))
    return gradient


def _gradients(
    g: Tensor, x: Tensor, w: Tensor, stride: int, padding: tuple[int, int], dilation: int, wanted: tuple[bool, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """dL/dx, dL/dw and that of the bias, those that are ``wanted``."""
    where = [stride, stride], padding, [dilation, dilation], False, [0, 0], w.shape[0]
    return _backward(g, x, w, None, *where, wanted)


def _pairs(x: Tensor) -> Tensor:
    """Even and odd columns as channels of their own, (batch, 2 C, height, width / 2): no copy if channels come last."""
    batch, _, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1)
    return pixels.reshape(batch, height, width // 2, -1).permute(0, 3, 1, 2)


def _grids(x: Tensor) -> Tensor:
    """The four grids of every second row and column as images of their own, (4 batch, C, height / 2, width / 2)."""
    below, right = x.shape[2] % 2, x.shape[3] % 2
    if below or right:
        x = F.pad(x, (0, right, 0, below))
    n, c, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1)
    pairs = pixels.reshape(n, height // 2, 2, width // 2, 2, c)
    grids = pairs.permute(2, 4, 0, 1, 3, 5)
    images = grids.reshape(4 * n, height // 2, width // 2, c)
    return images.permute(0, 3, 1, 2)
