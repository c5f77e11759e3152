"""A stage: all edges from some nodes to some others, every candidate on all of them as one grouped operation.

Its *slots* are its edges, ordered by source, then target; a map of all slots has slots x channels channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_core.backends.grouped import (
    Fixed,
    channels_last,
    depthwise_convolution,
    folded,
    image,
    joined,
    pointwise_norm,
    repeated,
    rows,
)
from nas_core.cells.operations import FactorizedReduce
from nas_core.cells.supernet import added

SMALL = 2**16  # numbers in a map up to which maps are joined: fewer calls then matter more than fewer copies


class Norms:
    """The batch norms of one or more candidates on all slots, all with the settings of the first."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self.modules: Sequence[nn.BatchNorm2d] = modules

    def __call__(self, x: Tensor, p: Tensor | None, gate: Tensor | None = None) -> Tensor:
        """gate x BN(P x); shapes as of :func:`.pointwise_norm`, ``gate``: (slots x channels,)."""
        fixed = self.fixed()
        w, b = self.affine(gate)
        z, mean, var = pointwise_norm(x, p, w, b, fixed=fixed, eps=self.modules[0].eps)
        if fixed is None:
            self.track(mean, var, z.numel() // z.shape[1])
        return z

    def affine(self, gate: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """w = gate x weight and b = gate x bias, (slots x channels,) each; None for 1 and 0."""
        if not self.modules[0].affine:
            return gate, None
        w = torch.cat([m.weight for m in self.modules])
        b = torch.cat([m.bias for m in self.modules])
        if gate is None:
            return w, b
        return w * gate, b * gate

    def fixed(self) -> Fixed | None:
        """Running mean and variance, (slots x channels,) each, if they are what normalises: in evaluation mode."""
        if self.modules[0].training or self.modules[0].running_mean is None:
            return None
        return torch.cat(self._buffers("running_mean")), torch.cat(self._buffers("running_var"))

    @torch.no_grad()
    def track(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move the running statistics as the modules themselves would, after a batch of ``n`` pixels.

        ``mean``, ``var``: (slots x channels,), the variance over n.
        """
        first = self.modules[0]
        if first.running_mean is None:
            return
        counts = self._buffers("num_batches_tracked")
        torch._foreach_add_(counts, 1)
        unbiased = var * (n / (n - 1))
        new = [*mean.split(first.num_features), *unbiased.split(first.num_features)]
        old = [*self._buffers("running_mean"), *self._buffers("running_var")]
        if first.momentum is not None:
            torch._foreach_lerp_(old, new, first.momentum)
            return
        for running, value, count in zip(old, new, counts * 2, strict=True):  # the mean of all batches so far
            running.lerp_(value, 1 / count.item())

    def _buffers(self, name: str) -> list[Any]:
        return [m._buffers[name] for m in self.modules]


class Maps:
    """What the candidates read of the sources; each map is computed when first asked for.

    ``states``: a map (batch, C, height, width) of every source; each source is read by as many ``targets``.
    """

    def __init__(self, states: Sequence[Tensor], targets: int) -> None:
        self.states = [channels_last(x) for x in states]
        self.sources = len(states)
        self.targets = targets

    @cached_property
    def _relu(self) -> list[Tensor]:
        return [torch.relu(x) for x in self.states]

    @cached_property
    def _half(self) -> list[Tensor]:
        return [channels_last(x[:, :, ::2, ::2]) for x in self._relu]

    @cached_property
    def slots(self) -> Tensor:
        """ReLU of its source on every slot, (batch, slots x C, height, width)."""
        return repeated(self._relu, self.targets)

    @cached_property
    def even(self) -> Tensor:
        """The same at every second row and column."""
        return repeated(self._half, self.targets)

    @cached_property
    def even_and_odd(self) -> Tensor:
        """The same, and that at the rows and columns between, as twice the channels; beyond an odd end is zero."""
        pairs = []
        for x, even in zip(self._relu, self._half, strict=True):
            padded = F.pad(x, (0, 1, 0, 1))
            odd = padded[:, :, 1::2, 1::2]
            pairs.append(torch.cat([even, odd], 1))
        return repeated(pairs, self.targets)


class Depthwise:
    """D on all slots."""

    def __init__(self, filters: Sequence[nn.Conv2d]) -> None:
        self.filters = filters
        stride, dilation = filters[0].stride[0], filters[0].dilation[0]
        # Of the even rows and columns, which are all that it reads, a filter with both reads neighbours.
        self.even = stride == dilation == 2
        self.where = (1, 1) if self.even else (stride, dilation)

    def __call__(self, x: Maps | Tensor) -> Tensor:
        """Of a map of all slots (batch, slots x C, height, width), or of the sources."""
        if isinstance(x, Maps):
            x = x.even if self.even else x.slots
        weights = torch.cat([f.weight for f in self.filters])
        return depthwise_convolution(x, weights, *self.where)


def stacked(filters: Sequence[Any]) -> Tensor:
    """1x1 filters of all slots: (slots, out, in)."""
    out, into = filters[0].weight.shape[:2]
    weights = torch.cat([f.weight for f in filters])
    return weights.view(len(filters), out, into)


class Pointwise:
    """gate x BN P of several candidates, one by one or, if their maps are small, together.

    ``layers``: of each candidate the 1x1 convolutions of all slots and their batch norms.
    """

    def __init__(self, layers: Sequence[tuple[Sequence[Any], Sequence[Any]]]) -> None:
        self.each = [(filters, Norms(norms)) for filters, norms in layers]
        self.filters: list[Any] = []
        norms_of_all: list[Any] = []
        for filters, norms in layers:
            self.filters += filters
            norms_of_all += norms
        self.norms = Norms(norms_of_all)

    def __call__(self, xs: Sequence[Tensor], gates: Sequence[Tensor] | None) -> list[Tensor]:
        """Maps whose channels, one after the other, are those of the candidates.

        ``xs``: (batch, slots x C, height, width) for each candidate, ``gates``: (slots x C,), all 1 if None.
        """
        if len(xs) == 1 or xs[0].numel() > SMALL:
            maps = []
            for i, (filters, norms) in enumerate(self.each):
                gate = None if gates is None else gates[i]
                maps.append(norms(xs[i], stacked(filters), gate))
            return maps
        gate = None if gates is None else torch.cat(list(gates))
        return [self.norms(joined(xs), stacked(self.filters), gate)]


class Convolutions:
    """The sum over candidates of gate x BN P D (ReLU BN P D) ReLU: those that have this twice, then the others.

    ``twice``, ``once``: their modules, [candidate][slot].
    """

    def __init__(self, twice: Sequence[Sequence[nn.Sequential]], once: Sequence[Sequence[nn.Sequential]]) -> None:
        self.first: list[Depthwise] = []
        self.second: list[Depthwise] = []
        self.only: list[Depthwise] = []
        inner = []
        last = []
        for modules in twice:
            _, d, p, norms, _, d2, p2, norms2 = zip(*modules, strict=True)
            self.first.append(Depthwise(d))
            self.second.append(Depthwise(d2))
            inner.append((p, norms))
            last.append((p2, norms2))
        for modules in once:
            _, d, p, norms = zip(*modules, strict=True)
            self.only.append(Depthwise(d))
            last.append((p, norms))
        self.inner = Pointwise(inner)
        self.last = Pointwise(last)

    def __call__(self, maps: Maps, gates: Sequence[Tensor]) -> Tensor:
        """A map of all slots, (batch, slots x C, height, width); ``gates``: (slots x C,) of each candidate."""
        ends = [d(maps) for d in self.only]
        if self.first:
            between = self._between(maps)
            ends = [d(y) for d, y in zip(self.second, between, strict=True)] + ends
        total, *others = self.last(ends, gates)
        for z in others:
            total += z
        return folded(total, ends[0].shape[1])

    def _between(self, maps: Maps) -> list[Tensor]:
        """ReLU BN P D ReLU of the candidates that have it twice."""
        ys = self.inner([d(maps) for d in self.first], None)
        ys = [torch.relu_(y) for y in ys]
        if len(ys) == len(self.first):
            return ys
        return [channels_last(y) for y in ys[0].chunk(len(self.first), 1)]


class Reductions:
    """gate x BN [A x_even; B x_odd], x = ReLU(X): the identity of stride 2, as one 1x1 convolution of both halves."""

    def __init__(self, modules: Sequence[FactorizedReduce]) -> None:
        self.straight = [m.straight for m in modules]
        self.shifted = [m.shifted for m in modules]
        self.norms = Norms([m.norm for m in modules])

    def matrices(self) -> Tensor:
        """[A, 0; 0, B] of all slots: (slots, out, 2 in)."""
        a = stacked(self.straight)
        b = stacked(self.shifted)
        zero = torch.zeros_like(a)
        above = torch.cat([a, zero], 2)
        below = torch.cat([zero, b], 2)
        return torch.cat([above, below], 1)

    def __call__(self, maps: Maps, gate: Tensor) -> Tensor:
        """A map of all slots, (batch, slots x C, height, width); ``gate``: (slots x C,)."""
        return self.norms(maps.even_and_odd, self.matrices(), gate)


class Mixture:
    """Pools, each with its norms, and the identity: functions Q of a source, mixed into the targets,

    sum_q sum_i gate_q,ij x BN_q,ij Q_q(X_i) = Q M + shift, with Q of all sources (pixels, maps) and M (maps, targets).

    ``pools``: their modules, [candidate][slot].
    """

    def __init__(self, pools: Sequence[Sequence[Any]], *, identity: bool) -> None:
        self.pools: list[Any] = []
        self.norms: list[Norms] = []
        for modules in pools:
            some, norms = zip(*modules, strict=True)
            self.pools.append(some[0])
            self.norms.append(Norms(norms))
        self.identity = identity

    def __call__(
        self, maps: Maps, gates: Sequence[Tensor], path_factors: Tensor | None, start: Tensor | None
    ) -> Tensor:
        """A map of all targets, (batch, targets x C, height, width), added to ``start``.

        ``gates``: (slots x C,) of the pools, then of the identity; ``path_factors``: (slots, batch).
        """
        x = joined(maps.states)
        shift = None
        factors = list(gates)
        q = []
        if self.pools:
            q.append(self._pooled(x, maps))
            weights, shift = self._affine(gates)
            factors[: len(weights)] = weights
        if self.identity:
            q.append(x)
        functions = joined(q)
        slots = maps.sources, maps.targets, -1
        diagonals = torch.stack(factors).view(len(factors), *slots).diag_embed()
        m = diagonals.transpose(2, 3)  # (function, source, channel, target, channel)
        if shift is not None:
            shift = shift.view(slots)
        if path_factors is not None:
            return self._of_each_image(functions, m, path_factors.view(slots), shift, start)
        m = m.reshape(functions.shape[1], -1)
        mixed = rows(functions) @ m if start is None else torch.addmm(rows(start), rows(functions), m)
        if shift is not None:
            mixed = mixed + shift.sum(0).flatten()
        return image(mixed, functions)

    @staticmethod
    def _of_each_image(
        x: Tensor, m: Tensor, path_factors: Tensor, shift: Tensor | None, start: Tensor | None
    ) -> Tensor:
        """The same where every image n has a matrix M_n of its own; ``path_factors``: (sources, targets, images)."""
        matrices = torch.einsum("qsctd,stn->nqsctd", m, path_factors)
        matrices = matrices.reshape(len(x), x.shape[1], -1)
        mixed = rows(x).view(len(x), -1, x.shape[1]) @ matrices
        if shift is not None:
            shifts = torch.einsum("stc,stn->ntc", shift, path_factors)
            mixed = mixed + shifts.flatten(1)[:, None]
        mixed = image(mixed.flatten(0, 1), x)
        return mixed if start is None else start + mixed

    def _pooled(self, x: Tensor, maps: Maps) -> Tensor:
        """Q of all pools, (batch, pools x sources x C, ...), standardised if it is the batch that normalises."""
        pooled = torch.cat([pool(x) for pool in self.pools], 1)
        if self.norms[0].fixed() is not None:
            return pooled
        return self._standardised(pooled, maps)

    def _standardised(self, pooled: Tensor, maps: Maps) -> Tensor:
        """(Q - mean) / sqrt(var + eps); all targets see the same batch."""
        eps = self.norms[0].modules[0].eps
        z, mean, var = pointwise_norm(channels_last(pooled), None, None, None, fixed=None, eps=eps)
        channels = maps.states[0].shape[1]
        mean = mean.view(len(self.norms), maps.sources, 1, channels)
        var = var.view(len(self.norms), maps.sources, 1, channels)
        of_slots = (-1, -1, maps.targets, -1)
        means = mean.expand(of_slots).flatten(1)
        variances = var.expand(of_slots).flatten(1)
        for i, norms in enumerate(self.norms):
            norms.track(means[i], variances[i], z.numel() // z.shape[1])
        return z

    def _affine(self, gates: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | None]:
        """What the maps are multiplied by on every slot, and what is added; in evaluation mode with the statistics."""
        factors: list[Tensor] = []
        shifts: list[Tensor] = []
        for norms, gate in zip(self.norms, gates, strict=False):
            weight, b = norms.affine(gate)
            w = gate if weight is None else weight
            fixed = norms.fixed()
            if fixed is not None:
                mean, var = fixed
                w = w * (var + norms.modules[0].eps).rsqrt()
                b = -mean * w if b is None else b - mean * w
            factors.append(w)
            if b is not None:
                shifts.append(b)
        return factors, added(shifts) if shifts else None


# What a stage computes together, in the order of its gates.
TWICE, ONCE, REDUCTION, POOL, IDENTITY = KINDS = ("twice", "once", "reduction", "pool", "identity")


def kind(grouping: str, module: Any) -> str:
    """How a stage computes a module that is what its ``grouping`` says (see :func:`.declarations.check`)."""
    if grouping == "separable":
        return TWICE if len(module) == 8 else ONCE
    if grouping == "skip":
        return REDUCTION if isinstance(module, FactorizedReduce) else IDENTITY
    return POOL


class Stage:
    """``modules[n][s]``: candidate ``ops[n]`` of the plain supernet on slot s, which is its edge ``edges[s]``.

    ``groupings[n]``: how the candidate may be computed together with others; at most one is a skip.
    """

    def __init__(
        self,
        modules: Sequence[Sequence[Any]],
        groupings: Sequence[str],
        edges: Sequence[int],
        ops: Sequence[int],
        targets: int,
    ) -> None:
        self.targets = targets
        found: dict[str, list[int]] = {name: [] for name in KINDS}
        for n, grouping in enumerate(groupings):
            found[kind(grouping, modules[n][0])].append(n)
        order = list(chain.from_iterable(found.values()))
        twice, once, reductions, pools, identities = ([modules[n] for n in found[name]] for name in KINDS)
        self.convolutions = Convolutions(twice, once) if twice or once else None
        self.reductions = Reductions(reductions[0]) if reductions else None
        self.mixture = Mixture(pools, identity=bool(identities)) if pools or identities else None
        self.counts = [len(twice) + len(once), len(reductions), len(pools) + len(identities)]
        self.edges = torch.tensor(edges)
        self.order = torch.tensor([ops[n] for n in order])

    def __call__(self, states: Sequence[Tensor], gates: Tensor, path_factors: Tensor | None = None) -> Tensor:
        """What the sources' ``states`` add to the targets, (batch, targets x C, height, width).

        ``states``: (batch, C, height, width) each; ``gates``: (edges, ops) and ``path_factors``: (edges, batch) of the
        whole cell.
        """
        channels = states[0].shape[1]
        maps = Maps(states, self.targets)
        edges = self.edges.to(gates.device)
        order = self.order.to(gates.device)
        gate = gates.index_select(0, edges).index_select(1, order).t()  # (ops, slots)
        gate = gate[:, :, None].expand(-1, -1, channels).flatten(1)
        convolutions, reductions, mixture = (part.unbind(0) for part in gate.split(self.counts))
        if path_factors is not None:
            path_factors = path_factors.index_select(0, edges)
        of_slots = []
        if self.convolutions is not None:
            of_slots.append(self.convolutions(maps, convolutions))
        if self.reductions is not None:
            of_slots.append(self.reductions(maps, *reductions))
        total = None
        if of_slots:
            total = added(of_slots)
            if path_factors is not None:
                of_images = path_factors.t().repeat_interleave(channels, 1)
                total = total * of_images[:, :, None, None]
            total = folded(total, self.targets * channels)
        if self.mixture is not None:
            return self.mixture(maps, mixture, path_factors, total)
        assert total is not None, "a stage has at least one candidate"
        return total
