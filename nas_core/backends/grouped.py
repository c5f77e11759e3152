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
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def image(flat: Tensor, like: Tensor) -> Tensor:
    """(pixels, channels) -> (batch, channels, height, width), of the size of ``like``."""
    return flat.reshape(like.shape[0], *like.shape[2:], -1).permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """The same map, the channels of a pixel next to each other."""
    return x.contiguous(memory_format=torch.channels_last)


def pointwise(x: Tensor, p: Tensor) -> Tensor:
    """y_s = P_s x_s for every slot s; ``p``: (slots, out, in). Narrow slots share a group, so that it has LANES."""
    slots, out, into = p.shape
    pack = 1
    while slots % (2 * pack) == 0 and 2 * pack * into <= LANES:
        pack *= 2
    if pack > 1:
        packed = p.new_zeros(slots // pack, pack, out, pack, into)
        packed.diagonal(dim1=1, dim2=3).copy_(p.reshape(-1, pack, out, into).permute(0, 2, 3, 1))
        p = packed
    return channels_last(F.conv2d(x, p.reshape(slots * out, pack * into, 1, 1), groups=slots // pack))


def _pointwise_gradient(g: Tensor, x: Tensor, p: Tensor) -> Tensor:
    """dL/dP_s = sum over pixels of g_s x_s^T."""
    w, where = p.reshape(-1, p.shape[2], 1, 1), ([1, 1], [0, 0], [1, 1], False, [0, 0], len(p))
    return _convolution_backward(g, x, w, None, *where, (False, True, False))[1].view_as(p)


def _moments(y: Tensor) -> Fixed:
    """Mean and variance of every channel; as in PyTorch, those of a single pixel are an error."""
    if y.numel() == y.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {y.shape}")
    return torch.batch_norm_update_stats(y, None, None, 0.0)


def wanted(ctx: Any, tensors: Sequence[Tensor | None]) -> list[bool]:
    """Which inputs' gradients this backward pass will use; ``needs_input_grad`` only says which it could."""
    nodes = iter(ctx.next_functions)
    return [x is not None and _runs(next(nodes)[0]) for x in tensors]


def _runs(node: Any) -> bool:
    leaf = hasattr(node, "variable")  # of a leaf, autograd does not tell
    return node is not None and (leaf or torch._C._will_engine_execute_node(node))


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
    """y = w * x, "same" padding; ``w``: (channels, 1, k, k)."""
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
        g, y = rows(gz), rows(x if p is None else pointwise(x, p))
        total = g.sum(0)
        along = rstd * ((g * y).sum(0) - mean * total)  # sum over pixels of g yhat
        gx = gp = None
        if for_x or for_p:
            gy = g * scale
            if ctx.of_batch:
                share = scale / -len(g)
                slope = share * rstd * along
                gy.addcmul_(y, slope).add_(share * total - slope * mean)
            gy = image(gy, x)
            gx = (gy if p is None else pointwise(gy, p.transpose(1, 2))) if for_x else None
            gp = _pointwise_gradient(gy, x, p) if for_p else None
        return None, None, gx, gp, along if w is not None else None, total if b is not None else None


def pointwise_norm(
    x: Tensor, p: Tensor | None, w: Tensor | None, b: Tensor | None, *, fixed: Fixed | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """z = w (y - mean) / sqrt(var + eps) + b with y_s = P_s x_s (x itself without P), and the mean and var used.

    ``p``: (slots, out, in); ``w``, ``b``: (slots x out,), 1 and 0 if None; ``fixed``: running mean and variance in
    evaluation mode, those of the batch if None.
    """
    return _Norm.apply(eps, fixed, x, p, w, b)


def summed(x: Tensor, width: int) -> Tensor:
    """The sum of all parts of ``width`` channels, halves first: slices as long as possible."""
    flat = rows(x)
    while (parts := flat.shape[1] // width) > 1:
        half = parts // 2 * width
        total = flat[:, :half] + flat[:, half : 2 * half]
        if parts % 2:
            total[:, :width] += flat[:, 2 * half :]
        flat = total
    return image(flat, x)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: int, *maps: Tensor) -> Tensor:
        ctx.maps, ctx.times = len(maps), times
        return torch.cat([x for x in maps for _ in range(times)], 1)

    @staticmethod
    @first_order
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        parts, times = rows(g).view(-1, ctx.maps, g.shape[1] // ctx.maps), ctx.times
        while times > 1:
            half, width = times // 2, parts.shape[2] // times
            total = parts[:, :, : half * width] + parts[:, :, half * width : 2 * half * width]
            if times % 2:
                total[:, :, :width] += parts[:, :, 2 * half * width :]
            parts, times = total, half
        return None, *(image(part, g) for part in parts.unbind(1))


def spread(maps: Sequence[Tensor], times: int) -> Tensor:
    """Every map ``times`` times, as channels of one."""
    return maps[0] if len(maps) == times == 1 else _Spread.apply(times, *maps)


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
    """The sum of all parts of ``width`` channels."""
    return x if x.shape[1] == width else _Fold.apply(x, width)


def joined(maps: Sequence[Tensor]) -> Tensor:
    """Maps as channels of one."""
    return maps[0] if len(maps) == 1 else torch.cat(list(maps), 1)
