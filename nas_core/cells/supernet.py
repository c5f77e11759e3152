"""The supernet: one network whose every edge carries a variable Z over candidate operations.

This is the plain formulation, one module per edge and operation. The edge variables come in as *gates*, one number per
layer, edge and operation, so that the cost of a choice, C = dL/dZ, is simply the gradient of its gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.cells.operations import CANDIDATES, OPERATIONS, Cost, Style, preprocessing
from nas_core.cells.topology import Topology
from nas_core.errors import UserError, choose


@dataclass(frozen=True)
class Space:
    """What is searched: a topology, the candidates of every edge, and the blocks they are made of.

    ``allowed`` restricts edges: a mapping from edge index to the names it may take (one name fixes the edge).
    """

    topology: Topology
    candidates: tuple[str, ...] = CANDIDATES
    allowed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    style: Style = field(default_factory=Style)

    def __post_init__(self) -> None:
        for op in self.candidates:
            choose("operation", op, OPERATIONS)
        if not self.candidates or len(set(self.candidates)) < len(self.candidates):
            raise UserError(f"candidates must be different operations and at least one, not {self.candidates}.")
        for edge, names in self.allowed.items():
            choose(f"edge of topology {self.topology.name!r}", str(edge), map(str, range(len(self.topology.edges))))
            for op in names:
                choose(f"operation on edge {edge}", op, self.candidates)
            if not names:
                raise UserError(f"edge {edge} must be allowed at least one of {', '.join(self.candidates)}.")

    def mask(self) -> np.ndarray:
        """Which operation is allowed on which edge: bool, (edges, ops)."""
        rows = (self.allowed.get(e, self.candidates) for e in range(len(self.topology.edges)))
        return np.array([[op in row for op in self.candidates] for row in rows])


def _output(op: nn.Module, x: Tensor, drawn: bool) -> Tensor:
    """O(x), without a graph if the operation is not drawn and only its cost is wanted."""
    if drawn:
        return op(x)
    with torch.no_grad():
        return op(x.detach())


def gate(gates: Tensor, kept: Tensor | None, edge: int, op: int) -> Tensor:
    """What multiplies an operation's output: one number, or with drop-path one for each image, (images, 1, 1, 1)."""
    z = gates[edge, op]
    return z if kept is None else (z * kept[edge])[:, None, None, None]


class SearchCell(nn.Module):
    """One cell of the supernet: every intermediate node sums gate x operation over its incoming edges.

    ``previous``: channels of the cell's inputs, the older first; ``reduction`` halves the resolution on the edges that
    leave an input node; ``after_reduction`` says that the older input has twice the resolution.
    """

    def __init__(
        self, space: Space, previous: Sequence[int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__()
        self.topology, self.reduction, style = space.topology, reduction, space.style
        self.preprocess = preprocessing(previous, channels, style, halve_older=after_reduction)
        allowed = space.mask()
        self.operations = nn.ModuleList(
            nn.ModuleList(
                OPERATIONS[op if ok else "none"].build(channels, self.stride(e), style)
                for op, ok in zip(space.candidates, allowed[e], strict=True)
            )
            for e in range(len(self.topology.edges))
        )
        self.zero = [[op == "none" or not ok for op, ok in zip(space.candidates, row, strict=True)] for row in allowed]

    def stride(self, edge: int) -> int:
        """2 on the edges of a reduction cell that leave an input node, else 1."""
        return 2 if self.reduction and edge in self.topology.input_edges else 1

    def candidates(self, edge: int) -> nn.ModuleList:
        """The modules of an edge, in the order of the candidates."""
        return cast(nn.ModuleList, self.operations[edge])

    def forward(
        self, inputs: Sequence[Tensor], gates: Tensor, observed: Tensor | None = None, kept: Tensor | None = None
    ) -> Tensor:
        """``gates``: (edges, ops); an operation whose gate is exactly zero is neither computed nor stored.

        Unless ``observed`` (bool, of the same shape) marks it: then its output O(x) is computed without a graph, adds
        zero to the node, and gives its gate the gradient <dL/dX, O(x)>, the cost it would have (ProxylessNAS).
        ``kept``: (edges, images), what drop-path multiplies each image's output of an edge by.
        """
        states = self._states(inputs)
        drawn = gates.detach().ne(0).tolist()
        wanted = drawn if observed is None else observed.tolist()
        for node in self.topology.intermediate:
            terms = [
                gate(gates, kept, e, k) * _output(op, states[self.topology.edges[e][0]], drawn[e][k])
                for e in self.topology.incoming[node]
                for k, op in enumerate(self.candidates(e))
                if (drawn[e][k] or wanted[e][k]) and not self.zero[e][k]
            ]
            states.append(sum(terms[1:], start=terms[0]) if terms else self._zeros(states[0]))
        return torch.cat([states[n] for n in self.topology.output], dim=1)

    def _states(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return [preprocess(x) for preprocess, x in zip(self.preprocess, inputs, strict=True)]

    def _zeros(self, x: Tensor) -> Tensor:
        step = 2 if self.reduction else 1
        return torch.zeros_like(x[:, :, ::step, ::step])


class Supernet(nn.Module):
    """Stem, a chain of cells, global average pooling, linear classifier.

    ``layers`` cells of ``channels`` channels; with ``reductions``, cells layers//3 and 2*layers//3 halve the
    resolution and double the channels (DARTS), otherwise all cells are normal (wiring paper). Theorem 2 of the wiring
    paper needs ``head_bias=False``. Weights are drawn from ``generator`` with PyTorch's default laws.
    """

    cell: type[SearchCell] = SearchCell

    def __init__(
        self,
        space: Space,
        *,
        channels: int,
        layers: int,
        classes: int,
        in_channels: int,
        reductions: bool,
        head_bias: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.space, self.channels = space, channels
        at = {layers // 3, 2 * layers // 3} if reductions else set()
        # Row of the logits that each layer reads: 0 for normal, 1 for reduction cells.
        self.cell_type = [int(i in at) for i in range(layers)]
        stem = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        older = newer = stem
        self.cells = nn.ModuleList()
        for i, reduction in enumerate(self.cell_type):
            channels *= 2 if reduction else 1
            previous = (older, newer)[-space.topology.inputs :]
            after = i > 0 and bool(self.cell_type[i - 1])
            self.cells.append(self.cell(space, previous, channels, reduction=bool(reduction), after_reduction=after))
            older, newer = newer, channels * len(space.topology.output)
        self.classifier = nn.Linear(newer, classes, bias=head_bias)
        initialise(self, generator)

    def forward(
        self,
        images: Tensor,
        gates: Tensor,
        output_gates: Tensor | None = None,
        observed: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Class logits (batch, classes) of ``images`` (batch, channels, side, side).

        ``gates``: (layers, edges, ops), the edge variables Z; ``output_gates``: (layers,), ones that multiply the
        cells' outputs, so that their gradients are the costs at the output nodes; ``observed``: bool, like ``gates``,
        operations whose cost is wanted although their gate is zero; ``kept``: (layers, edges, batch), drop-path's
        factors, 0 or 1 / (1 - p), of what an edge gives for an image.
        """
        older = newer = self.stem(images)
        for layer, cell in enumerate(self.cells):
            seen, paths = (None if t is None else t[layer] for t in (observed, kept))
            out = cell((older, newer)[-self.space.topology.inputs :], gates[layer], seen, paths)
            older, newer = newer, out if output_gates is None else output_gates[layer] * out
        return self.classifier(newer.mean(dim=(2, 3)))

    def edge_costs(self, side: int) -> list[list[list[Cost]]]:
        """Cost of every candidate, [layer][edge][op], for images of ``side`` pixels (params, FLOPs, MAC per image)."""
        costs, channels, ops = [], self.channels, [OPERATIONS[op] for op in self.space.candidates]
        for cell in self.cells:
            assert isinstance(cell, SearchCell)
            side, channels = (math.ceil(side / 2), channels * 2) if cell.reduction else (side, channels)
            strides = [cell.stride(e) for e in range(len(self.space.topology.edges))]
            costs.append([[op.cost(channels, side, stride) for op in ops] for stride in strides])
        return costs

    @property
    def gate_shape(self) -> tuple[int, int, int]:
        """(layers, edges, ops)."""
        return (len(self.cells), *self.mask().shape)

    def mask(self) -> np.ndarray:
        """Which operation is allowed on which edge: bool, (edges, ops)."""
        return self.space.mask()


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw convolutions and linear layers from ``generator`` with PyTorch's default laws, uniform +-1/sqrt(fan in)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
