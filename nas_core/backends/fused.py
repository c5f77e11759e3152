"""The supernet once more, with the same parameters and the same numbers, computed faster.

With z_e^k the gate of candidate k on edge e = (i, j), node j is the sum over edges and candidates of

    z_e^k O_e^k(X_i),      O(X) = BN(P D ReLU(X)) for a convolution (twice for a separable one),

D depthwise, P pointwise. Four identities make it fast: all edges that leave the same nodes run as one grouped
operation; the gate is the weight of the last batch norm; pools and identities depend on the source alone, so they are
computed once and mixed into all targets by one matrix; ``none`` adds nothing.

That is for operations that declare their grouping; all others are computed by their own modules, as in the plain one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nas_core.backends import declarations
from nas_core.backends.grouped import depthwise_convolution
from nas_core.backends.stage import Stage
from nas_core.cells.operations import Style
from nas_core.cells.supernet import SearchCell, Space, Supernet, added, gate
from nas_core.cells.topology import Topology
from nas_core.errors import UserError

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
        for targets, sources in _reached(topology, group, drawn, k).items():
            found.setdefault((tuple(sources), targets), []).append(k)
    return tuple((sources, targets, tuple(ops)) for (sources, targets), ops in found.items())


def _reached(topology: Topology, group: tuple[int, ...], drawn: Drawn, op: int) -> dict[tuple[int, ...], list[int]]:
    """Which sources of ``group`` reach the same targets by operation ``op``."""
    reached: dict[tuple[int, ...], list[int]] = {}
    for i in group:
        targets = []
        for e, (source, target) in enumerate(topology.edges):
            if source == i and drawn[e][op]:
                targets.append(target)
        if targets:
            reached.setdefault(tuple(targets), []).append(i)
    return reached


@lru_cache(maxsize=1024)
def split_living(topology: Topology, drawn: Drawn) -> tuple[Drawn, Drawn]:
    """The drawn operations on edges whose target leads to the output by drawn ones, and those on all other edges."""
    alive = set(topology.output)
    latest_target_first = sorted(enumerate(topology.edges), key=lambda edge: -edge[1][1])
    for e, (i, j) in latest_target_first:
        if j in alive and any(drawn[e]):
            alive.add(i)
    none = (False,) * len(drawn[0])
    living = []
    dead = []
    for (_, j), row in zip(topology.edges, drawn, strict=True):
        living.append(row if j in alive else none)
        dead.append(none if j in alive else row)
    return tuple(living), tuple(dead)


class Single(NamedTuple):
    """An operation that is computed for itself; ``whole``: by its own module and nothing else."""

    edge: int
    op: int
    whole: bool


class Leaving(NamedTuple):
    """What leaves a group of nodes: what reaches the output, and what only moves its running statistics."""

    living: tuple[Rectangle | Single, ...]
    dead: tuple[Rectangle | Single, ...]


@lru_cache(maxsize=1024)
def plan(topology: Topology, drawn: Drawn, declared: tuple[bool, ...], alone: int) -> tuple[Leaving, ...]:
    """How the drawn operations are computed: of the cell's inputs together, then of each intermediate node.

    ``declared``: (ops,), which may be computed together; ``alone``: see :class:`FusedCell`.
    """
    living, dead = split_living(topology, drawn)
    found = []
    for group in (tuple(range(topology.inputs)), *((n,) for n in topology.intermediate)):
        parts = [_parts(topology, group, some, declared, alone) for some in (living, dead)]
        found.append(Leaving(*parts))
    return tuple(found)


def _parts(
    topology: Topology, group: tuple[int, ...], drawn: Drawn, declared: tuple[bool, ...], alone: int
) -> tuple[Rectangle | Single, ...]:
    together = tuple(_both(row, declared) for row in drawn)
    found: list[Rectangle | Single] = []
    for rectangle in rectangles(topology, group, together):
        sources, targets, ops = rectangle
        if len(sources) * len(targets) * len(ops) > alone:
            found.append(rectangle)
            continue
        for e in _edges(topology, sources, targets):
            found += [Single(e, k, whole=False) for k in ops]
    for e, (i, _) in enumerate(topology.edges):
        if i in group:
            found += [Single(e, k, whole=True) for k, here in enumerate(drawn[e]) if here and not declared[k]]
    return tuple(found)


def _both(row: Iterable[bool], other: Iterable[bool]) -> tuple[bool, ...]:
    return tuple(a and b for a, b in zip(row, other, strict=True))


def _edges(topology: Topology, sources: Iterable[int], targets: Sequence[int]) -> list[int]:
    """Those from every source to every target, ordered by source."""
    edges = []
    for i in sources:
        edges += [topology.edges.index((i, j)) for j in targets]
    return edges


class FusedCell(SearchCell):
    """A cell that computes stage by stage: first all edges that leave its inputs, then those of each node in turn.

    ``alone``: so many operations, or fewer, are computed one by one, since grouping them costs more than it saves.
    An operation that is not what it declares is a :class:`UserError`.
    """

    stage: type[Stage] = Stage
    alone = 2

    def __init__(
        self, space: Space, previous: Sequence[int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__(space, previous, channels, reduction=reduction, after_reduction=after_reduction)
        self._groupings = declarations.groupings(space.candidates)
        self._declared = tuple(grouping is not None for grouping in self._groupings)
        self._stages: dict[Rectangle, Stage] = {}
        self._exists = ~torch.tensor(self.zero)  # not a buffer: the state is that of the plain cell
        self._check_declarations(space.candidates, channels, space.style)

    def _check_declarations(self, names: Sequence[str], channels: int, style: Style) -> None:
        for k, grouping in enumerate(self._groupings):
            if grouping is None:
                continue
            of_stride: dict[int, list[nn.Module]] = {}
            for e in range(len(self.topology.edges)):
                if not self.zero[e][k]:
                    of_stride.setdefault(self.stride(e), []).append(self.candidates(e)[k])
            for stride, modules in of_stride.items():
                declarations.check(names[k], grouping, modules, channels, stride, style)

    def forward(
        self,
        inputs: Sequence[Tensor],
        gates: Tensor,
        observed: Tensor | None = None,
        path_factors: Tensor | None = None,
    ) -> Tensor:
        """As the plain cell: ``gates`` (edges, ops); a zero gate's operation is not computed, unless ``observed``.

        What is drawn but does not reach the output has no gradient, and is computed for its running statistics only.
        """
        states = self._states(inputs)
        drawn = gates.detach().cpu().ne(0) & self._exists
        seen = None if observed is None else _rows(observed.cpu() & self._exists & ~drawn)
        arriving: dict[int, list[Tensor]] = {n: [] for n in self.topology.intermediate}
        groups = (range(self.topology.inputs), *((n,) for n in self.topology.intermediate))
        planned = plan(self.topology, _rows(drawn), self._declared, self.alone)
        for group, leaving in zip(groups, planned, strict=True):
            if group[0] in arriving:
                terms = arriving[group[0]]
                states.append(added(terms) if terms else self._zeros(states[0]))
            terms_of = list(self._computed(leaving.living, states, gates, path_factors))
            if leaving.dead:
                with torch.no_grad():
                    terms_of += self._computed(leaving.dead, states, gates, path_factors)
            if seen is not None:
                terms_of += self._observed(group, seen, states, gates, path_factors)
            for target, term in terms_of:
                arriving[target].append(term)
        return torch.cat([states[n] for n in self.topology.output], dim=1)

    def _computed(
        self,
        parts: Sequence[Rectangle | Single],
        states: Sequence[Tensor],
        gates: Tensor,
        path_factors: Tensor | None,
    ) -> Terms:
        """What the parts of a plan add to other nodes."""
        for part in parts:
            if isinstance(part, Single):
                source, target = self.topology.edges[part.edge]
                compute = _whole if part.whole else _alone
                y = compute(self.candidates(part.edge)[part.op], states[source])
                yield target, gate(gates, path_factors, part.edge, part.op) * y
                continue
            sources, targets, _ = part
            if part not in self._stages:
                self._stages[part] = self._stage(part)
            total = self._stages[part]([states[i] for i in sources], gates, path_factors)
            yield from zip(targets, total.chunk(len(targets), 1), strict=True)

    def _stage(self, rectangle: Rectangle) -> Stage:
        sources, targets, ops = rectangle
        edges = _edges(self.topology, sources, targets)
        modules = []
        groupings = []
        for k in ops:
            modules.append([self.candidates(e)[k] for e in edges])
            groupings.append(str(self._groupings[k]))
        return self.stage(modules, groupings, edges, ops, len(targets))

    def _observed(
        self,
        group: Sequence[int],
        seen: Drawn,
        states: Sequence[Tensor],
        gates: Tensor,
        path_factors: Tensor | None,
    ) -> Terms:
        """Zeros for other nodes, whose gates get the gradients <dL/dX, O(x)>."""
        for e, (i, j) in enumerate(self.topology.edges):
            if i not in group:
                continue
            for k, op in enumerate(self.candidates(e)):
                if seen[e][k]:
                    with torch.no_grad():
                        x = op(states[i])
                    yield j, gate(gates, path_factors, e, k) * x


def _rows(mask: Tensor) -> Drawn:
    return tuple(map(tuple, mask.tolist()))


def _whole(op: nn.Module, x: Tensor) -> Tensor:
    """O(x) by the plain module."""
    return op(x)


def _alone(op: nn.Module, x: Tensor) -> Tensor:
    """O(x) by the plain module of a declared operation, but for the gradients of its depthwise convolutions."""
    layers = op if isinstance(op, nn.Sequential) else [op]
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.stride[0] * layer.dilation[0] < 4:
            # The view is no leaf, so that whether its gradient is wanted can be asked.
            x = depthwise_convolution(x, layer.weight[:], layer.stride[0], layer.dilation[0])
        else:
            x = layer(x)
    return x


class FusedSupernet(Supernet):
    """The plain supernet's constructor, parameters, state and forward; for what, says :mod:`.formulations`.

    Its gradients cannot be differentiated again: a backward pass with create_graph is an error, and needs the plain
    supernet, into which the state loads. Another normaliser or order of blocks is a :class:`UserError`.
    """

    cell = FusedCell

    def __init__(self, space: Space, **settings: Any) -> None:
        if not declarations.supported(space.style):
            style = f"normaliser {space.style.normaliser!r} and order {space.style.order!r}"
            raise UserError(f"the faster formulations are for normaliser 'batch' and order 'rcb', not {style}.")
        super().__init__(space, **settings)

    def forward(self, images: Tensor, *arguments: Any, **settings: Any) -> Tensor:
        """See :meth:`Supernet.forward`."""
        return super().forward(images.contiguous(memory_format=torch.channels_last), *arguments, **settings)
