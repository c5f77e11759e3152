"""What one step of a search costs, counted: passes, multiply-adds, and bytes kept for backward passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nas_core.cells.counts import most_saved_bytes
from nas_core.trainers.search import Search
from nas_core.trainers.search_settings import SearchConfig


class StepCost(NamedTuple):
    """``passes``: forward passes through the supernet; ``madds``: multiply-adds of its convolutions and linear layers.

    The multiply-adds are those of all passes, forward and backward, by image of a batch; ``kept``: bytes, at most at
    any one time.
    """

    passes: int
    madds: float
    kept: int


class _Flops(TorchDispatchMode):
    """Adds up the operations of everything inside; PyTorch's own counter cannot be inside of ``autograd.grad``."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        result = func(*args, **options)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.total += count(*args, **options, out_val=result)
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
    with _Flops() as flops:
        kept = most_saved_bytes(search.step)
    return StepCost(passes, flops.total / (2 * config.batch), kept)
