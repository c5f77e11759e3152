"""What a step keeps until its backward pass: a mixture of all operations, or sampled paths, on a chain of edges.

Two numbers for the same step: the bytes that autograd keeps, which are counted and the same on every machine, and how
far the memory of a fresh process rises, which is measured.
"""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import Function

from nas_core.cells.counts import saved_bytes
from nas_core.cells.supernet import SearchCell, Space, initialise
from nas_core.cells.topology import Topology

MIXTURE, ALL, RECOMPUTED, TWO, ONE = MODES = (
    "mixture of all (DARTS)",
    "one path, all outputs observed",
    "one path, outputs recomputed",
    "two paths",
    "one path (weight step)",
)
KIBI, MEBI = 1024, 1024**2
RSS_UNIT = 1 if sys.platform == "darwin" else KIBI  # of the largest resident size, in bytes


@dataclass(frozen=True)
class Step:
    """One forward pass, and the sizes of what it sees: ``images`` maps of ``channels`` x ``side`` x ``side``.

    ``mode``: one of MODES; ``candidates``: of every edge; ``edges``: how many stand one after the other. On edge e the
    path number e is active, and the next one is the second of two.
    """

    mode: str
    candidates: tuple[str, ...]
    edges: int
    images: int = 16
    channels: int = 16
    side: int = 7


def lone_edge(candidates: Sequence[str], channels: int, generator: torch.Generator) -> SearchCell:
    """A cell of one edge and nothing else."""
    space = Space(Topology("edge", 1, 1, ((0, 1),), (1,)), tuple(candidates))
    cell = SearchCell(space, (channels,), channels, reduction=False, after_reduction=False)
    cell.preprocess[0] = nn.Identity()
    initialise(cell, generator)
    return cell


class Recomputed(Function):
    """The active path's output, unchanged; the costs of all gates are computed in the backward pass (ProxylessNAS).

    Only the edge's input is kept for them: each output is computed anew, without a graph, and dropped.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, gates: Tensor, operations: nn.ModuleList) -> Tensor:
        """``output``, of the active path; ``x``: the edge's input, both (images, channels, height, width)."""
        ctx.operations = operations
        ctx.save_for_backward(x)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor, None]:
        """The gradient of ``output`` as it is, and the cost <dL/dy, o(x)> of every gate, (K,)."""
        (x,) = ctx.saved_tensors
        (gradient,) = gradients
        with torch.no_grad():
            costs = [(gradient * operation(x)).sum() for operation in ctx.operations]
        return gradient, None, torch.stack(costs), None


def edge_output(edge: SearchCell, x: Tensor, gates: Tensor, mode: str, paths: tuple[int, int]) -> Tensor:
    """What the edge gives for ``x``, (images, channels, height, width); ``gates``: (K,), learning but in a weight step.

    ``paths``: the active one, where there is one, and the one that is observed besides it, where there are two.
    """
    if mode == MIXTURE:
        return edge([x], gates.softmax(-1)[None])
    active = torch.zeros_like(gates, requires_grad=False)
    active[paths[0]] = 1.0
    if mode == ONE:
        return edge([x], active[None])
    if mode == RECOMPUTED:
        output: Tensor = Recomputed.apply(edge([x], active[None]), x, gates, edge.candidates(0))
        return output
    seen = torch.ones_like(active, dtype=torch.bool)
    if mode == TWO:
        seen = active.bool()
        seen[paths[1]] = True
    drawn = active + gates - gates.detach()  # one-hot, with the gates' gradients
    return edge([x], drawn[None], seen[None])


class Chain(nn.Module):
    """Edges one after the other, each added to its input, so that an active ``none`` does not cut what follows."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step
        generator = torch.Generator().manual_seed(0)
        edges = [lone_edge(step.candidates, step.channels, generator) for _ in range(step.edges)]
        self.edges = nn.ModuleList(edges)
        self.gates = nn.ParameterList(torch.zeros(len(step.candidates)) for _ in edges)

    def forward(self, x: Tensor) -> Tensor:
        for number, (edge, gates) in enumerate(zip(self.edges, self.gates, strict=True)):
            assert isinstance(edge, SearchCell)
            paths = (number % len(gates), (number + 1) % len(gates))
            x = x + edge_output(edge, x, gates, self.step.mode, paths)
        return x


def maps(step: Step) -> Tensor:
    """What the first edge reads."""
    shape = (step.images, step.channels, step.side, step.side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()


def kept(step: Step) -> int:
    """Bytes that autograd keeps for the backward pass of a step."""
    chain, x = Chain(step), maps(step)
    return saved_bytes(lambda: chain(x))


def kept_by_edge(mode: str, candidates: Sequence[str]) -> list[int]:
    """Bytes that one edge keeps: one number for the mixture, otherwise one for every choice of paths.

    Its sizes are those of a :class:`Step`.
    """
    step = Step(mode, tuple(candidates), 1)
    edge, x = lone_edge(candidates, step.channels, torch.Generator().manual_seed(0)), maps(step)
    gates = torch.zeros(len(candidates), requires_grad=True)
    choices = [(0, 0)]
    if mode == TWO:
        choices = list(itertools.permutations(range(len(candidates)), 2))
    elif mode != MIXTURE:
        choices = [(path, path) for path in range(len(candidates))]
    return [saved_bytes(partial(edge_output, edge, x, gates, mode, paths)) for paths in choices]


def peak_mib(steps: Iterable[Step]) -> list[float]:
    """MiB by which a forward and a backward pass raise the memory of a process that is fresh for every step."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    found = []
    for step in steps:
        with context.Pool(1) as pool:
            found.append(pool.apply(rise, (step,)))
    return found


def rise(step: Step) -> float:
    """MiB by which one pass forward and back raises the largest resident size of this process, after a small one."""
    torch.set_num_threads(1)
    chain = Chain(step)
    chain(maps(step)[:1]).sum().backward()
    x = maps(step)
    before = _largest_resident()
    chain(x).sum().backward()
    return (_largest_resident() - before) / MEBI


def _largest_resident() -> int:
    """Bytes."""
    return RSS_UNIT * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
