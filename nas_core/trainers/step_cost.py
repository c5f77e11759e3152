"""What a search costs, counted: by step passes, multiply-adds and bytes kept for backward passes; and as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from statistics import fmean
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nas_core.backends.depthwise_layer import DepthwiseConvolution
from nas_core.cells.counts import counted, most_saved_bytes
from nas_core.cells.supernet import Supernet
from nas_core.errors import UserError
from nas_core.trainers.multipath import MultiPathTraining
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.search import Search
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Network


class StepCost(NamedTuple):
    """``passes``: forward passes through the supernet; ``madds``: multiply-adds of its convolutions and linear layers.

    The multiply-adds are those of all passes, forward and backward, by image of a batch; ``kept``: bytes, at most at
    any one time.
    """

    passes: int
    madds: float
    kept: int


class _MultiplyAdds(TorchDispatchMode):
    """Adds up the multiply-adds of everything inside, forward and backward.

    PyTorch's own mode cannot be inside of ``autograd.grad``, and its count for the weights of a grouped convolution
    forgets the groups; so convolutions are counted here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        result = func(*args, **options)
        operation = func.overloadpacket
        if operation is torch.ops.aten.convolution_backward:
            output, _, weight = args[:3]
            wanted = args[-1]  # the gradients of input, weight and bias
            self.total += output.numel() * weight[0].numel() * (wanted[0] + wanted[1])
        elif operation in flop_registry:
            self.total += flop_registry[operation](*args, **options, out_val=result) / 2
        return result


def step_cost(config: SearchConfig) -> StepCost:
    """Of the first step of a search without probes, in the plain formulation: what it takes is not in a kernel of ours.

    The steps of methods that draw paths differ by what they draw.
    """
    search = Search(config.but(probes=(), formulation="plain"))
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    search.model.register_forward_pre_hook(count)
    with _MultiplyAdds() as madds:
        kept = most_saved_bytes(search.step)
    return StepCost(passes, madds.total / config.batch, kept)


def mean_cost(searches: Sequence[SearchConfig]) -> StepCost:
    """The mean over first steps of several seeds: what a method that draws paths costs depends on what it draws."""
    found = [step_cost(config) for config in searches]
    (passes,) = {cost.passes for cost in found}
    madds = fmean(cost.madds for cost in found)
    kept = fmean(cost.kept for cost in found)
    return StepCost(passes, madds, round(kept))


@cache
def forward_madds(network: Network, side: int, *, in_channels: int = 3, classes: int = 10) -> int:
    """Multiply-adds of one image's pass through all operations of a supernet; nothing is computed.

    ``side``: of the square images, in pixels.
    """
    build = partial(
        Supernet,
        network.space(),
        channels=network.channels,
        layers=network.layers,
        classes=classes,
        in_channels=in_channels,
        reductions=network.reductions,
        head_bias=network.head_bias,
        generator=torch.Generator().manual_seed(0),
    )
    space = network.space()
    gates = torch.ones(network.layers, len(space.topology.edges), len(space.candidates))
    return counted(build, side, gates, in_channels=in_channels).madds


def madds_of(compute: Callable[[], object]) -> float:
    """Multiply-adds of all convolutions and linear layers while ``compute()`` runs, forward and backward.

    What runs in a kernel of ours is not counted.
    """
    with _MultiplyAdds() as madds:
        compute()
    return madds.total


def _pass(supernet: Any, images: Tensor, child: Any, labels: Tensor) -> None:
    """Forward and backward."""
    F.cross_entropy(supernet(images, child), labels).backward()


def supernet_madds(config: MultiPathConfig) -> float:
    """Multiply-adds of the whole training of a supernet, forward and backward.

    Every step counts the child that the run's seed draws, but each child is only computed once, on two images: it costs
    the same whatever its weights are. Raises :class:`UserError` for a supernet with depthwise convolutions, whose
    gradients come from a kernel of ours.
    """
    training = MultiPathTraining(config)
    if any(isinstance(module, DepthwiseConvolution) for module in training.supernet.modules()):
        raise UserError(f"run {config.run!r}: multiply-adds of depthwise convolutions are not counted here.")
    images, labels = training.data.batch("train", torch.arange(2), config.device)
    of_children: dict[Any, float] = {}
    total = 0.0
    for _ in range(training.total):
        child = training.supernet.draw(training.streams["paths"])
        if child not in of_children:
            of_children[child] = madds_of(partial(_pass, training.supernet, images, child, labels))
        total += of_children[child]
    return total * config.batch / len(images)
