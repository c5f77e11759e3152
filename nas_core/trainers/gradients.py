"""Gradients, in the one place where several processes meet.

Each process sees an equal share of the batch and draws the same Z, since all have the same generators. So the gradient
by the whole batch is the mean of theirs. Batch statistics are each process's own, as in DistributedDataParallel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def gradients(loss: Tensor, inputs: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor | None]:
    """dL/dx for every input, of its shape; None where the loss does not depend on it.

    With ``create_graph`` they can be differentiated again; several processes cannot, which is a RuntimeError.
    """
    if not inputs or not loss.requires_grad:
        return [None] * len(inputs)
    found = torch.autograd.grad(loss, list(inputs), create_graph=create_graph, allow_unused=True)
    if create_graph and several():
        raise RuntimeError("the exact hypergradient needs a single process: no gradient flows between processes")
    return [None if gradient is None else averaged(gradient) for gradient in found]


def averaged(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, which becomes its value in each; alone, the tensor itself."""
    if several():
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value


def several() -> bool:
    """Whether several processes share the work."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
