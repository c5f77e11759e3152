"""The supernet once more, with the same parameters and the same numbers, computed faster.

With z_e^k the gate of candidate k on edge e = (i, j), node j is the sum over edges and candidates of

    z_e^k O_e^k(X_i),      O(X) = BN(P D ReLU(X)) for a convolution (twice for a separable one),

D depthwise, P pointwise. Four identities make it fast: all edges that leave the same nodes run as one grouped
operation; the gate is the weight of the last batch norm; pools and identities depend on the source alone, so they are
computed once and mixed into all targets by one matrix; ``none`` adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from nas_core.backends.grouped import depthwise_convolution
from nas_core.backends.stage import Stage
from nas_core.cells.supernet import SearchCell, Supernet, gate
from nas_core.cells.topology import Topology

Drawn = tuple[tuple[bool, ...], ...]  # (edges, ops)
Rectangle = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # sources, targets, ops
Terms = Iterator[tuple[int, Tensor]]  # (target, what is added to it)


@lru_cache(maxsize=1024)
def rectangles(topology: Topology, group: tuple[int, ...], drawn: Drawn) -> tuple[Rectangle, ...]:
    """The drawn operations on the edges that leave the nodes of ``group``, as few (sources x targets) x ops as may be.

    A mixture is one rectangle; of a sampled path there is about one for each operation drawn.
    """
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for k in range(len(drawn[0])):
        reached: dict[tuple[int, ...], list[int]] = {}  # which sources reach the same targets
        for i in group:
            targets = tuple(t for e, (s, t) in enumerate(topology.edges) if s == i and drawn[e][k])
            reached.setdefault(targets, []).append(i)
        for targets, sources in reached.items():
            if targets:
                found.setdefault((tuple(sources), targets), []).append(k)
    return tuple((sources, targets, tuple(ops)) for (sources, targets), ops in found.items())


@lru_cache(maxsize=1024)
def split_living(topology: Topology, drawn: Drawn) -> tuple[Drawn, Drawn]:
    """The drawn operations on edges whose target leads to the output by drawn ones, and those on all other edges."""
    alive = set(topology.output)
    for e, (i, j) in sorted(enumerate(topology.edges), key=lambda edge: -edge[1][1]):
        if j in alive and any(drawn[e]):
            alive.add(i)
    none, ends = (False,) * len(drawn[0]), [j in alive for _, j in topology.edges]
    living = tuple(row if end else none for row, end in zip(drawn, ends, strict=True))
    return living, tuple(none if end else row for row, end in zip(drawn, ends, strict=True))


class FusedCell(SearchCell):
    """A cell that computes stage by stage: first all edges that leave its inputs, then those of each node in turn.

    ``alone``: so many operations, or fewer, are computed one by one, since grouping them costs more than it saves.
    """

    stage: type[Stage] = Stage
    alone = 2

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._stages: dict[Rectangle, Stage] = {}
        self._exists = ~torch.tensor(self.zero)  # not a buffer: the state is that of the plain cell

    def forward(
        self, inputs: Sequence[Tensor], gates: Tensor, observed: Tensor | None = None, kept: Tensor | None = None
    ) -> Tensor:
        """As the plain cell: ``gates`` (edges, ops); a zero gate's operation is not computed, unless ``observed``.

        What is drawn but does not reach the output has no gradient, and is computed for its running statistics only.
        """
        states = self._states(inputs)
        drawn = gates.detach().cpu().ne(0) & self._exists
        living, dead = split_living(self.topology, _rows(drawn))
        seen = None if observed is None else _rows(observed.cpu() & self._exists & ~drawn)
        arriving: dict[int, list[Tensor]] = {n: [] for n in self.topology.intermediate}
        for group in (tuple(range(self.topology.inputs)), *((n,) for n in self.topology.intermediate)):
            if group[0] in arriving:
                first, *others = arriving[group[0]] or [self._zeros(states[0])]
                states.append(sum(others, start=first))
            leaving = list(self._leaving(group, living, states, gates, kept))
            with torch.no_grad():
                leaving += self._leaving(group, dead, states, gates, kept)
            if seen is not None:
                leaving += self._observed(group, seen, states, gates, kept)
            for target, term in leaving:
                arriving[target].append(term)
        return torch.cat([states[n] for n in self.topology.output], dim=1)

    def _leaving(
        self, group: tuple[int, ...], drawn: Drawn, states: Sequence[Tensor], gates: Tensor, kept: Tensor | None
    ) -> Terms:
        """What the nodes of ``group`` add to others."""
        for rectangle in rectangles(self.topology, group, drawn):
            sources, targets, ops = rectangle
            edges = [self.topology.edges.index((i, j)) for i in sources for j in targets]
            if len(edges) * len(ops) <= self.alone:
                for e in edges:
                    i, j = self.topology.edges[e]
                    yield from ((j, gate(gates, kept, e, k) * _alone(self.candidates(e)[k], states[i])) for k in ops)
                continue
            if rectangle not in self._stages:
                modules = [[self.candidates(e)[k] for e in edges] for k in ops]
                self._stages[rectangle] = self.stage(modules, edges, ops, len(targets))
            total = self._stages[rectangle]([states[i] for i in sources], gates, kept)
            yield from zip(targets, total.chunk(len(targets), 1), strict=True)

    def _observed(
        self, group: tuple[int, ...], seen: Drawn, states: Sequence[Tensor], gates: Tensor, kept: Tensor | None
    ) -> Terms:
        """Zeros for other nodes, whose gates get the gradients <dL/dX, O(x)>."""
        for e, (i, j) in enumerate(self.topology.edges):
            for k, op in enumerate(self.candidates(e)):
                if i in group and seen[e][k]:
                    with torch.no_grad():
                        x = op(states[i])
                    yield j, gate(gates, kept, e, k) * x


def _rows(mask: Tensor) -> Drawn:
    return tuple(map(tuple, mask.tolist()))


def _alone(op: nn.Module, x: Tensor) -> Tensor:
    """O(x) by the plain module, but for the gradients of its depthwise convolutions."""
    for layer in op if isinstance(op, nn.Sequential) else [op]:
        if isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.stride[0] * layer.dilation[0] < 4:
            # The view is no leaf, so that whether its gradient is wanted can be asked.
            x = depthwise_convolution(x, layer.weight[:], layer.stride[0], layer.dilation[0])
        else:
            x = layer(x)
    return x


class FusedSupernet(Supernet):
    """The plain supernet's constructor, parameters, state and forward; for what, says :mod:`.formulations`.

    Its gradients cannot be differentiated again: a backward pass with create_graph is an error, and needs the plain
    supernet, into which the state loads.
    """

    cell = FusedCell

    def forward(self, images: Tensor, *arguments: Any, **settings: Any) -> Tensor:
        """See :meth:`Supernet.forward`."""
        return super().forward(images.contiguous(memory_format=torch.channels_last), *arguments, **settings)
