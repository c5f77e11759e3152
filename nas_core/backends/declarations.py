"""Whether an operation is what it declares, so that what is computed together is never computed wrongly.

An operation's ``grouping`` says how it may be computed together with others; here that is compared, when a network is
made, with the module that the project itself builds for it: the same types of layers with the same settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from nas_core.cells.operations import OPERATIONS, Build, Style, avg_pool, max_pool, separable, skip
from nas_core.errors import UserError

Structure = tuple[Any, ...]


def supported(style: Style) -> bool:
    """Whether blocks of this style can be computed together."""
    return style.normaliser == "batch" and style.order == "rcb"


def groupings(candidates: Sequence[str]) -> list[str | None]:
    """How each candidate of a cell is computed together with others; None: by its own module.

    A second skip is, too: a stage has room for one.
    """
    found: list[str | None] = []
    for name in candidates:
        grouping = OPERATIONS[name].grouping
        if grouping == "skip" and grouping in found:
            grouping = None
        found.append(grouping)
    return found


def check(
    name: str, grouping: str, modules: Sequence[nn.Module], channels: int, stride: int, style: Style
) -> None:
    """Raise :class:`UserError` unless what operation ``name`` built is what its ``grouping`` says, alike on all edges.

    ``modules``: one for each edge of this ``stride``.
    """
    first, *others = [structure(module) for module in modules]
    allowed = _structures(grouping, _separable_settings(modules[0]), channels, stride, style)
    if first not in allowed or any(other != first for other in others):
        raise UserError(
            f"operation {name!r} declares grouping {grouping!r}, but what it builds at stride {stride} is something "
            "else; registered without a grouping, it is computed by its own module."
        )


def structure(module: nn.Module) -> Structure:
    """Type and settings of a module and of all in it; of its parameters and buffers names and shapes."""
    settings = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    settings.pop("training")
    tensors = []
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        tensors.append((name, None if tensor is None else tuple(tensor.shape)))
    children = [(name, structure(child)) for name, child in module.named_children()]
    return type(module), settings, tensors, children


def _separable_settings(module: nn.Module) -> tuple[int, int, int] | None:
    """Kernel, times and dilation of the separable convolution that ``module`` might be."""
    convolutions = [m for m in module.modules() if type(m) is nn.Conv2d]
    times = len(convolutions) // 2
    if times not in (1, 2):
        return None
    kernel, dilation = convolutions[0].kernel_size[0], convolutions[0].dilation[0]
    if kernel not in (3, 5, 7) or dilation not in (1, 2):
        return None
    return kernel, times, dilation


@lru_cache(maxsize=1024)
def _structures(
    grouping: str, settings: tuple[int, int, int] | None, channels: int, stride: int, style: Style
) -> list[Structure]:
    """What a module of this ``grouping`` may be."""
    builds: list[Build] = []
    if grouping == "pool":
        builds = [max_pool, avg_pool]
    elif grouping == "skip":
        builds = [skip]
    elif settings is not None:
        builds = [separable(*settings)]
    with torch.device("meta"):  # so that no memory is taken and no number drawn
        return [structure(build(channels, stride, style)) for build in builds]
