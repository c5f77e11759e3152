"""What a network has, does and keeps: parameters, multiply-adds, and bytes held for the backward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from nas_core.cells.checks import at_least_one


def parameters(network: nn.Module) -> int:
    """Number of trainable numbers in ``network``; shared ones count once."""
    return sum(p.numel() for p in network.parameters())


def multiply_adds(network: nn.Module, images: Tensor, *choice: Any) -> int:
    """Multiply-adds per image of the convolutions and linear layers that ``network(images, *choice)`` meets.

    One multiply-accumulate counts 1, as in the papers (PyTorch's counter says 2); normalisers, activations and pools
    count nothing. A copy without data runs in evaluation mode, so only shapes matter: nothing is computed, and
    ``network`` stays as it is. ``images``: (batch, channels, height, width).
    """
    shapes = copy.deepcopy(network).eval().to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(images.to("meta"), *choice)
    return counter.get_total_flops() // (2 * len(images))


class Counted(NamedTuple):
    """``params``: trainable numbers; ``madds``: multiply-adds of convolutions and linear layers for one image."""

    params: int
    madds: int


def counted(build: Callable[[], nn.Module], side: int, *choice: Any, in_channels: int = 3) -> Counted:
    """What the network that ``build()`` makes has and does, without ever holding its numbers.

    It is built on PyTorch's device without data, so that one for ImageNet costs no memory either. ``side``: of the
    square images, in pixels; ``choice``: what the network takes besides them.
    """
    at_least_one("an image", side=side, in_channels=in_channels)
    with torch.device("meta"):
        network = build()
        images = torch.empty(1, in_channels, side, side)
    return Counted(parameters(network), multiply_adds(network, images, *choice))


class _Kept:
    """A storage in the keeping of autograd; it dies with the part of the graph that needs it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()  # a tensor with its graph would keep the graph, and the graph this box


def saved_bytes(compute: Callable[[], Any]) -> int:
    """Bytes that autograd keeps for the backward pass of what ``compute()`` returns.

    Counted are the storages, each once however many tensors view it, and whole, because a view keeps all of it alive.
    Parameters (leaves that require a gradient, and views of them) do not count; inputs and the statistics of
    normalisers do. What ``compute`` builds and drops again does not count either.
    """
    kept: WeakSet[_Kept] = WeakSet()
    with saved_tensors_hooks(lambda tensor: _box(tensor, kept), lambda box: box.tensor):
        result = compute()
    size = _size(kept)
    del result  # until here it kept the graph alive
    return size


def most_saved_bytes(compute: Callable[[], Any]) -> int:
    """The most bytes that autograd keeps at any one time while ``compute()`` runs, counted as by :func:`saved_bytes`.

    For what goes forward and backward several times, as a step of a search does: graphs that are gone do not count.
    """
    kept: WeakSet[_Kept] = WeakSet()
    most = 0

    def pack(tensor: Tensor) -> _Kept:
        nonlocal most
        box = _box(tensor, kept)
        most = max(most, _size(kept))
        return box

    with saved_tensors_hooks(pack, lambda box: box.tensor):
        compute()
    return most


def _box(tensor: Tensor, kept: WeakSet[_Kept]) -> _Kept:
    """What autograd keeps in place of ``tensor``; it is remembered in ``kept`` unless it is of a parameter."""
    box = _Kept(tensor)
    owner = tensor if tensor._base is None else tensor._base
    is_parameter = owner.is_leaf and owner.requires_grad
    if not is_parameter:
        kept.add(box)
    return box


def _size(kept: WeakSet[_Kept]) -> int:
    """Bytes of the storages of all boxes, each storage once."""
    size_at = {}
    for box in kept:
        storage = box.tensor.untyped_storage()
        size_at[storage.data_ptr()] = storage.nbytes()
    return sum(size_at.values())
