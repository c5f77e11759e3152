"""A stage: all edges from some nodes to some others, every candidate on all of them as one grouped operation.

Its *slots* are its edges, ordered by source, then target; a map of all slots has slots x channels channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
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
    rows,
    spread,
)
from nas_core.cells.operations import FactorizedReduce

SMALL = 2**16  # numbers in a map up to which maps are joined: fewer calls then matter more than fewer copies


class Norms:
    """The batch norms of one or more candidates on all slots."""

    def __init__(self, modules: Sequence[Any]) -> None:
        self.modules: Sequence[nn.BatchNorm2d] = modules

    def __call__(self, x: Tensor, p: Tensor | None, gate: Tensor | None = None) -> Tensor:
        """gate x BN(P x)."""
        fixed, eps = self.fixed(), self.modules[0].eps
        z, mean, var = pointwise_norm(x, p, *self.affine(gate), fixed=fixed, eps=eps)
        if fixed is None:
            self.track(mean, var, z.numel() // z.shape[1])
        return z

    def affine(self, gate: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """w = gate x weight and b = gate x bias, (slots x channels,) each; None for 1 and 0."""
        if not self.modules[0].affine:
            return gate, None
        w, b = (torch.cat([getattr(m, name) for m in self.modules]) for name in ("weight", "bias"))
        return (w, b) if gate is None else (w * gate, b * gate)

    def fixed(self) -> Fixed | None:
        """Running mean and variance if they are what normalises: in evaluation mode, if there are any."""
        if self.modules[0].training or self.modules[0].running_mean is None:
            return None
        return torch.cat(self._buffers("running_mean")), torch.cat(self._buffers("running_var"))

    @torch.no_grad()
    def track(self, mean: Tensor, var: Tensor, n: int) -> None:
        """Move the running statistics as the modules themselves would, after a batch of ``n`` pixels."""
        if self.modules[0].running_mean is None:
            return
        counts, channels = self._buffers("num_batches_tracked"), self.modules[0].num_features
        torch._foreach_add_(counts, 1)
        new = [*mean.split(channels), *(var * (n / (n - 1))).split(channels)]
        old = [*self._buffers("running_mean"), *self._buffers("running_var")]
        momentum = self.modules[0].momentum
        if momentum is not None:
            torch._foreach_lerp_(old, new, momentum)
            return
        for running, value, count in zip(old, new, counts * 2, strict=True):  # the mean of all batches so far
            running.lerp_(value, 1 / count.item())

    def _buffers(self, name: str) -> list[Any]:
        return [m._buffers[name] for m in self.modules]


class Maps:
    """What the candidates read of the sources; each map is computed when first asked for."""

    def __init__(self, states: Sequence[Tensor], targets: int) -> None:
        self.states, self.sources, self.targets = [channels_last(x) for x in states], len(states), targets

    @cached_property
    def _relu(self) -> list[Tensor]:
        return [torch.relu(x) for x in self.states]

    @cached_property
    def _half(self) -> list[Tensor]:
        return [channels_last(x[:, :, ::2, ::2]) for x in self._relu]

    @cached_property
    def slots(self) -> Tensor:
        """ReLU of its source on every slot."""
        return spread(self._relu, self.targets)

    @cached_property
    def even(self) -> Tensor:
        """The same at every second row and column."""
        return spread(self._half, self.targets)

    @cached_property
    def even_and_odd(self) -> Tensor:
        """The same, and that at the rows and columns between, as twice the channels; beyond an odd end is zero."""
        odd = [F.pad(x, (0, 1, 0, 1))[:, :, 1::2, 1::2] for x in self._relu]
        return spread([torch.cat(pair, 1) for pair in zip(self._half, odd, strict=True)], self.targets)


class Depthwise:
    """D on all slots."""

    def __init__(self, filters: Sequence[nn.Conv2d]) -> None:
        self.filters, first = filters, filters[0]
        # Of the even rows and columns, which are all that it reads, a filter with both reads neighbours.
        self.even = first.stride[0] == first.dilation[0] == 2
        self.where = (1, 1) if self.even else (first.stride[0], first.dilation[0])

    def __call__(self, x: Maps | Tensor) -> Tensor:
        """Of a map of all slots, or of the sources."""
        if isinstance(x, Maps):
            x = x.even if self.even else x.slots
        return depthwise_convolution(x, torch.cat([f.weight for f in self.filters]), *self.where)


def stacked(filters: Sequence[Any]) -> Tensor:
    """1x1 filters of all slots: (slots, out, in)."""
    return torch.cat([f.weight for f in filters]).view(len(filters), *filters[0].weight.shape[:2])


class Pointwise:
    """gate x BN P of several candidates, one by one or, if their maps are small, together."""

    def __init__(self, layers: Sequence[Sequence[Sequence[Any]]]) -> None:
        self.each = [(p, Norms(norms)) for p, norms in layers]
        self.all = [p for filters, _ in layers for p in filters], Norms([n for _, norms in layers for n in norms])

    def __call__(self, xs: Sequence[Tensor], gates: Sequence[Tensor | None]) -> list[Tensor]:
        """Maps whose channels, one after the other, are those of the candidates."""
        if len(xs) == 1 or xs[0].numel() > SMALL:
            parts = zip(self.each, xs, gates, strict=True)
            return [norms(x, stacked(p), gate) for (p, norms), x, gate in parts]
        filters, norms = self.all
        gate = None if gates[0] is None else torch.cat([g for g in gates if g is not None])
        return [norms(joined(xs), stacked(filters), gate)]


class Convolutions:
    """The sum over candidates of gate x BN P D (ReLU BN P D) ReLU."""

    def __init__(self, candidates: Sequence[Sequence[nn.Sequential]]) -> None:
        # layers[i]: the i-th layer of every slot; ReLU, D, P, norm, once or twice
        twice, once = ([list(zip(*m, strict=True)) for m in candidates if len(m[0]) == n] for n in (8, 4))
        self.first, self.second = [Depthwise(layers[1]) for layers in twice], [Depthwise(layers[5]) for layers in twice]
        self.only = [Depthwise(layers[1]) for layers in once]
        self.inner = Pointwise([layers[2:4] for layers in twice])
        self.last = Pointwise([layers[-2:] for layers in (*twice, *once)])

    def __call__(self, maps: Maps, gates: Sequence[Tensor]) -> Tensor:
        """A map of all slots; ``gates``: of the candidates applied twice, then of the others."""
        ends = [d(maps) for d in self.only]
        if self.first:
            ys = self.inner([d(maps) for d in self.first], [None] * len(self.first))
            ys = [torch.relu_(y) for y in ys]
            if len(ys) < len(self.first):
                ys = [channels_last(y) for y in ys[0].chunk(len(self.first), 1)]
            ends = [*(d(y) for d, y in zip(self.second, ys, strict=True)), *ends]
        first, *others = self.last(ends, gates)
        for z in others:
            first += z
        return folded(first, ends[0].shape[1])


class Reductions:
    """gate x BN [A x_even; B x_odd], x = ReLU(X): the identity of stride 2, as one 1x1 convolution of both halves."""

    def __init__(self, modules: Sequence[FactorizedReduce]) -> None:
        self.straight, self.shifted = [m.straight for m in modules], [m.shifted for m in modules]
        self.norms = Norms([m.norm for m in modules])

    def matrices(self) -> Tensor:
        """[A, 0; 0, B] of all slots: (slots, out, 2 in)."""
        a, b = stacked(self.straight), stacked(self.shifted)
        zero = torch.zeros_like(a)
        return torch.cat([torch.cat([a, zero], 2), torch.cat([zero, b], 2)], 1)

    def __call__(self, maps: Maps, gate: Tensor) -> Tensor:
        """A map of all slots."""
        return self.norms(maps.even_and_odd, self.matrices(), gate)


class Mixture:
    """Pools, each with its norms, and the identity: functions Q of a source, mixed into the targets,

    sum_q sum_i gate_q,ij x BN_q,ij Q_q(X_i) = Q M + shift, with Q of all sources (pixels, maps) and M (maps, targets).
    """

    def __init__(self, pools: Sequence[Sequence[Any]], *, identity: bool) -> None:
        self.pools = [group[0][0] for group in pools]
        self.norms = [Norms([m[1] for m in group]) for group in pools]
        self.identity = identity

    def __call__(self, maps: Maps, gates: Sequence[Tensor], kept: Tensor | None, start: Tensor | None) -> Tensor:
        """A map of all targets, added to ``start``; ``gates``: of the pools, then of the identity."""
        x, shift, factors = joined(maps.states), None, list(gates)
        q = [x] if self.identity else []
        if self.pools:
            pooled = torch.cat([pool(x) for pool in self.pools], 1)
            if self.norms[0].fixed() is None:
                pooled = self._standardised(pooled, maps)
            factors[: len(self.pools)], shift = self._affine(gates)
            q.insert(0, pooled)
        functions = joined(q)
        m = torch.stack(factors).view(len(factors), maps.sources, maps.targets, -1).diag_embed()
        m = m.transpose(2, 3)  # (function, source, channel, target, channel)
        shift = None if shift is None else shift.view(maps.sources, maps.targets, -1)
        if kept is not None:
            return self._of_each_image(functions, m, kept.view(maps.sources, maps.targets, -1), shift, start)
        m = m.reshape(functions.shape[1], -1)
        mixed = rows(functions) @ m if start is None else torch.addmm(rows(start), rows(functions), m)
        if shift is not None:
            mixed = mixed + shift.sum(0).flatten()
        return image(mixed, functions)

    @staticmethod
    def _of_each_image(x: Tensor, m: Tensor, kept: Tensor, shift: Tensor | None, start: Tensor | None) -> Tensor:
        """The same where every image n has a matrix M_n of its own; ``kept``: (sources, targets, images)."""
        of_image = torch.einsum("qsctd,stn->nqsctd", m, kept).reshape(len(x), x.shape[1], -1)
        mixed = rows(x).view(len(x), -1, x.shape[1]) @ of_image
        if shift is not None:
            mixed = mixed + torch.einsum("stc,stn->ntc", shift, kept).flatten(1)[:, None]
        mixed = image(mixed.flatten(0, 1), x)
        return mixed if start is None else start + mixed

    def _standardised(self, pooled: Tensor, maps: Maps) -> Tensor:
        """(Q - mean) / sqrt(var + eps); all targets see the same batch."""
        eps = self.norms[0].modules[0].eps
        z, *moments = pointwise_norm(channels_last(pooled), None, None, None, fixed=None, eps=eps)
        where = len(self.norms), maps.sources, 1, maps.states[0].shape[1]
        mean, var = (m.view(where).expand(-1, -1, maps.targets, -1).flatten(1) for m in moments)
        for i, norms in enumerate(self.norms):
            norms.track(mean[i], var[i], z.numel() // z.shape[1])
        return z

    def _affine(self, gates: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | None]:
        """What the maps are multiplied by on every slot, and what is added; in evaluation mode with the statistics."""
        factors: list[Tensor] = []
        shifts: list[Tensor] = []
        for norms, gate in zip(self.norms, gates, strict=False):
            weight, b = norms.affine(gate)
            w = gate if weight is None else weight
            if fixed := norms.fixed():
                w = w * (fixed[1] + norms.modules[0].eps).rsqrt()
                b = -fixed[0] * w if b is None else b - fixed[0] * w
            factors.append(w)
            shifts += [] if b is None else [b]
        return factors, sum(shifts[1:], start=shifts[0]) if shifts else None


class Stage:
    """``modules[n][s]``: candidate ``ops[n]`` of the plain supernet on slot s, which is its edge ``edges[s]``."""

    def __init__(
        self, modules: Sequence[Sequence[Any]], edges: Sequence[int], ops: Sequence[int], targets: int
    ) -> None:
        self.targets = targets
        convolutions = [m for n in (8, 4) for m in modules if isinstance(m[0], nn.Sequential) and len(m[0]) == n]
        reductions = [m for m in modules if isinstance(m[0], FactorizedReduce)]
        identity = [m for m in modules if isinstance(m[0], nn.Identity)]
        pools = [m for m in modules if m not in (*convolutions, *reductions, *identity)]
        self.convolutions = Convolutions(convolutions) if convolutions else None
        self.reductions = Reductions(reductions[0]) if reductions else None
        self.mixture = Mixture(pools, identity=bool(identity)) if pools or identity else None
        order = [[ops[modules.index(m)] for m in part] for part in (convolutions, reductions, [*pools, *identity])]
        self.counts = [len(part) for part in order]
        self.edges, self.order = torch.tensor(edges), torch.tensor([k for part in order for k in part])

    def __call__(self, states: Sequence[Tensor], gates: Tensor, kept: Tensor | None = None) -> Tensor:
        """What the sources' ``states`` add to the targets, (batch, targets x channels, height, width)."""
        channels = states[0].shape[1]
        maps = Maps(states, self.targets)
        edges, order = self.edges.to(gates.device), self.order.to(gates.device)
        gate = gates.index_select(0, edges).index_select(1, order).t()  # (ops, slots)
        gate = gate[:, :, None].expand(-1, -1, channels).flatten(1)
        convolutions, reductions, mixture = (part.unbind(0) for part in gate.split(self.counts))
        kept = None if kept is None else kept.index_select(0, edges)  # (slots, images)
        of_slots = [self.convolutions(maps, convolutions)] if self.convolutions else []
        of_slots += [self.reductions(maps, *reductions)] if self.reductions else []
        total = sum(of_slots[1:], start=of_slots[0]) if of_slots else None
        if total is not None:
            if kept is not None:
                total = total * kept.t().repeat_interleave(channels, 1)[:, :, None, None]
            total = folded(total, self.targets * channels)
        if self.mixture is None:
            assert total is not None, "a stage has at least one candidate"
            return total
        return self.mixture(maps, mixture, kept, total)
