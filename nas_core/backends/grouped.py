"""The operations of many edges as one: a map of S slots has S x C channels, channels last.

Each function computes only the gradients that a backward pass asks for, so a step on the gates computes none of the
weights, and the reverse. None has a second derivative: a backward pass that keeps its graph is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nas_core.backends import depthwise

_convolution_backward = torch.ops.aten.convolution_backward
LANES = 16  # channels a group of a 1x1 convolution should have to fill a vector register
Fixed = tuple[Tensor, Tensor]  # running mean and variance


def rows(x: Tensor) -> Tensor:
    """(batch, channels, height, width) -> (pixels, channels); a view if channels come last."""
    pixels = x.permute(0, 2, 3, 1)
    return pixels.reshape(-1, x.shape[1])


def image(flat: Tensor, like: Tensor) -> Tensor:
    """(pixels, channels) -> (batch, channels, height, width), of the size of ``like``."""
    pixels = flat.reshape(like.shape[0], *like.shape[2:], -1)
    return pixels.permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """The same map (batch, channels, height, width), the channels of a pixel next to each other in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def pointwise(x: Tensor, p: Tensor) -> Tensor:
    """y_s = P_s x_s for every slot s.

    ``x``: (batch, slots x in, height, width); ``p``: (slots, out, in); y: (batch, slots x out, height, width). Narrow
    slots share a group, so that it has LANES channels.
    """
    slots, out, into = p.shape
    pack = 1
    while slots % (2 * pack) == 0 and 2 * pack * into <= LANES:
        pack *= 2
    if pack > 1:
        packed = p.new_zeros(slots // pack, pack, out, pack, into)
        blocks = p.reshape(-1, pack, out, into)
        packed.diagonal(dim1=1, dim2=3).copy_(blocks.permute(0, 2, 3, 1))
        p = packed
    filters = p.reshape(slots * out, pack * into, 1, 1)
    return channels_last(F.conv2d(x, filters, groups=slots // pack))


def _pointwise_gradient(g: Tensor, x: Tensor, p: Tensor) -> Tensor:
    """dL/dP_s = sum over pixels of g_s x_s^T."""
    filters = p.reshape(-1, p.shape[2], 1, 1)
    stride, padding, dilation = [1, 1], [0, 0], [1, 1]
    where = stride, padding, dilation, False, [0, 0], len(p)
    _, gradient, _ = _convolution_backward(g, x, filters, None, *where, (False, True, False))
    return gradient.view_as(p)


def _moments(y: Tensor) -> Fixed:
    """Mean and variance of every channel; as in PyTorch, those of a single pixel are an error."""
    if y.numel() == y.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {y.shape}")
    return torch.batch_norm_update_stats(y, None, None, 0.0)


def wanted(ctx: Any, tensors: Sequence[Tensor | None]) -> list[bool]:
    """Which inputs' gradients this backward pass will use; ``needs_input_grad`` only says which it could."""
    nodes = iter(ctx.next_functions)
    found = []
    for x in tensors:
        if x is None:
            found.append(False)
        else:
            node, _ = next(nodes)
            found.append(_runs(node))
    return found


def _runs(node: Any) -> bool:
    if node is None:
        return False
    leaf = hasattr(node, "variable")  # of a leaf, autograd does not tell
    return leaf or torch._C._will_engine_execute_node(node)


def first_order(backward: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's ``once_differentiable`` only warns of second derivatives on the way to its own outputs, so not here."""

    @wraps(backward)
    def checked(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("the fused supernet has no second derivative: create_graph needs the plain formulation")
        return backward(ctx, *gradients)

    return checked


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.where = stride, dilation
        return channels_last(depthwise.convolution(x, w, stride, dilation))

    @staticmethod
    @first_order
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        for_x, for_w = wanted(ctx, (x, w))
        g = channels_last(g)
        gx = depthwise.input_gradient(g, x, w, *ctx.where) if for_x else None
        gw = depthwise.weight_gradient(g, x, w, *ctx.where) if for_w else None
        return gx, gw, None, None


def depthwise_convolution(x: Tensor, w: Tensor, stride: int, dilation: int) -> Tensor:
    """y = w * x, "same" padding; ``x``: (batch, channels, height, width), ``w``: (channels, 1, k, k), k odd."""
    return _Depthwise.apply(x, w, stride, dilation)


class _Norm(torch.autograd.Function):
    """z = scale y + shift, y = P x; keeps x alone and computes y again."""

    @staticmethod
    def forward(ctx: Any, eps: float, fixed: Fixed | None, x: Tensor, *pwb: Tensor | None) -> tuple[Tensor, ...]:
        p, w, b = pwb
        y = x if p is None else pointwise(x, p)
        mean, var = fixed or _moments(y)
        rstd = (var + eps).rsqrt_()
        scale = rstd if w is None else rstd * w
        shift = -mean * scale if b is None else b - mean * scale
        ctx.save_for_backward(x, p, w, b, mean, rstd, scale)
        ctx.of_batch = fixed is None
        ctx.mark_non_differentiable(mean, var)
        if p is None:
            return image(torch.addcmul(shift, rows(y), scale), y), mean, var
        rows(y).mul_(scale).add_(shift)
        return y, mean, var

    @staticmethod
    @first_order
    def backward(ctx: Any, gz: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        """dL/dy = scale (g - total / n - yhat along / n) over n pixels, as one number per channel times g, y and 1."""
        x, p, w, b, mean, rstd, scale = ctx.saved_tensors
        for_x, for_p = wanted(ctx, (x, p))
        g = rows(gz)
        y = rows(x if p is None else pointwise(x, p))
        total = g.sum(0)
        along = rstd * ((g * y).sum(0) - mean * total)  # sum over pixels of g yhat
        gx = gp = None
        if for_x or for_p:
            gy = g * scale
            if ctx.of_batch:
                share = scale / -len(g)
                slope = share * rstd * along
                gy.addcmul_(y, slope)
                gy.add_(share * total - slope * mean)
            gy = image(gy, x)
        if for_x:
            gx = gy if p is None else pointwise(gy, p.transpose(1, 2))
        if for_p:
            gp = _pointwise_gradient(gy, x, p)
        gw = None if w is None else along
        gb = None if b is None else total
        return None, None, gx, gp, gw, gb


def pointwise_norm(
    x: Tensor, p: Tensor | None, w: Tensor | None, b: Tensor | None, *, fixed: Fixed | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """z = w (y - mean) / sqrt(var + eps) + b with y_s = P_s x_s (x itself without P), and the mean and var used.

    ``x``: (batch, slots x in, height, width); ``p``: (slots, out, in); ``w``, ``b``: (slots x out,), 1 and 0 if None;
    ``fixed``: running mean and variance in evaluation mode, those of the batch if None, (slots x out,) each; z:
    (batch, slots x out, height, width).
    """
    return _Norm.apply(eps, fixed, x, p, w, b)


def summed(x: Tensor, width: int) -> Tensor:
    """The sum of all parts of ``width`` channels: (batch, parts x width, height, width) -> (batch, width, ...)."""
    return image(_halved(rows(x), width), x)


def _halved(flat: Tensor, width: int) -> Tensor:
    """The sum of all parts of ``width`` numbers along the last axis, halves first: slices as long as possible."""
    parts = flat.shape[-1] // width
    while parts > 1:
        half = parts // 2
        middle, end = half * width, 2 * half * width
        total = flat[..., :middle] + flat[..., middle:end]
        if parts % 2:
            total[..., :width] += flat[..., end:]
        flat = total
        parts = half
    return flat


class _Repeated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: int, *maps: Tensor) -> Tensor:
        ctx.maps = len(maps)
        ctx.times = times
        copies: list[Tensor] = []
        for x in maps:
            copies += [x] * times
        return torch.cat(copies, 1)

    @staticmethod
    @first_order
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        of_map = g.shape[1] // ctx.maps
        total = _halved(rows(g).view(-1, ctx.maps, of_map), of_map // ctx.times)
        gradients = [image(part, g) for part in total.unbind(1)]
        return None, *gradients


def repeated(maps: Sequence[Tensor], times: int) -> Tensor:
    """Every map (batch, C, height, width) ``times`` times, as channels of one: (batch, maps x times x C, ...)."""
    if len(maps) == times == 1:
        return maps[0]
    return _Repeated.apply(times, *maps)


class _Fold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, width: int) -> Tensor:
        ctx.times = x.shape[1] // width
        return summed(x, width)

    @staticmethod
    @first_order
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return torch.cat([g] * ctx.times, 1), None


def folded(x: Tensor, width: int) -> Tensor:
    """The sum of all parts of ``width`` channels: (batch, parts x width, height, width) -> (batch, width, ...)."""
    if x.shape[1] == width:
        return x
    return _Fold.apply(x, width)


def joined(maps: Sequence[Tensor]) -> Tensor:
    """Maps (batch, C, height, width) as channels of one, (batch, maps x C, height, width)."""
    if len(maps) == 1:
        return maps[0]
    return torch.cat(list(maps), 1)
