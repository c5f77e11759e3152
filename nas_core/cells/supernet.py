"""The supernet: one network whose every edge carries a variable Z over candidate operations.

This is the plain formulation, one module per edge and operation. The edge variables come in as *gates*, one number per
layer, edge and operation, so that the cost of a choice, C = dL/dZ, is simply the gradient of its gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.cells.operations import CANDIDATES, OPERATIONS, Cost, Style, preprocessing
from nas_core.cells.topology import Topology
from nas_core.errors import UserError, choose


@dataclass(frozen=True)
class Space:
    """What is searched: a topology, the candidates of every edge, and the blocks they are made of.

    ``allowed`` restricts edges: a mapping from edge index to the names it may take (one name fixes the edge). What is
    unknown, named twice or leaves nothing to search is a :class:`UserError`.
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
        if set(self.candidates) == {"none"}:
            raise UserError("candidates must have an operation besides 'none', or every cell is a map of zeros.")
        for edge, names in self.allowed.items():
            self._check_edge(edge, names)

    def _check_edge(self, edge: int, names: tuple[str, ...]) -> None:
        edges = [str(e) for e in range(len(self.topology.edges))]
        choose(f"edge of topology {self.topology.name!r}", str(edge), edges)
        if not isinstance(edge, int | np.integer):
            raise UserError(f"an edge is named by its index, an integer, not {edge!r}.")
        if isinstance(names, str):
            raise UserError(f"edge {edge} must be given a tuple of operations, not the text {names!r}.")
        for op in names:
            choose(f"operation on edge {edge}", op, self.candidates)
        if not names:
            raise UserError(f"edge {edge} must be allowed at least one of {', '.join(self.candidates)}.")
        if len(set(names)) < len(names):
            raise UserError(f"edge {edge} must be allowed different operations, not {tuple(names)}.")

    def mask(self) -> np.ndarray:
        """Which operation is allowed on which edge: bool, (edges, ops)."""
        mask = np.ones((len(self.topology.edges), len(self.candidates)), dtype=bool)
        for edge, names in self.allowed.items():
            mask[edge] = [op in names for op in self.candidates]
        return mask


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or size < 1:
            raise UserError(f"{name} must be an integer of at least 1, not {size!r}.")


def _output(op: nn.Module, x: Tensor, drawn: bool) -> Tensor:
    """O(x), without a graph if the operation is not drawn and only its cost is wanted."""
    if drawn:
        return op(x)
    with torch.no_grad():
        return op(x.detach())


def gate(gates: Tensor, path_factors: Tensor | None, edge: int, op: int) -> Tensor:
    """What multiplies an operation's output: one number, or with drop-path one for each image, (images, 1, 1, 1).

    ``gates``: (edges, ops); ``path_factors``: (edges, images).
    """
    z = gates[edge, op]
    if path_factors is None:
        return z
    of_image = z * path_factors[edge]
    return of_image[:, None, None, None]


def added(terms: Sequence[Tensor]) -> Tensor:
    """The sum of at least one map, in their order."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class SearchCell(nn.Module):
    """One cell of the supernet: every intermediate node sums gate x operation over its incoming edges.

    ``previous``: channels of the cell's inputs, the older first; ``reduction`` halves the resolution on the edges that
    leave an input node; ``after_reduction`` says that the older input has twice the resolution. Both need an even
    number of ``channels``, else a :class:`UserError`.
    """

    def __init__(
        self, space: Space, previous: Sequence[int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__()
        _check_sizes(channels=channels)
        if channels % 2 and (reduction or after_reduction):
            raise UserError(f"a reduction needs an even number of channels, not {channels}.")
        if len(previous) != space.topology.inputs:
            wanted = f"topology {space.topology.name!r} reads {space.topology.inputs} maps"
            raise UserError(f"{wanted}, but {len(previous)} are given.")
        self.topology = space.topology
        self.reduction = reduction
        self.preprocess = preprocessing(previous, channels, space.style, halve_older=after_reduction)
        self.operations = nn.ModuleList()
        # zero[e][k]: whether candidate k is nothing on edge e, because it is none or not allowed
        self.zero: list[list[bool]] = []
        for e, allowed in enumerate(space.mask()):
            names = [op if ok else "none" for op, ok in zip(space.candidates, allowed, strict=True)]
            modules = [OPERATIONS[op].build(channels, self.stride(e), space.style) for op in names]
            self.operations.append(nn.ModuleList(modules))
            self.zero.append([op == "none" for op in names])

    def stride(self, edge: int) -> int:
        """2 on the edges of a reduction cell that leave an input node, else 1."""
        return 2 if self.reduction and edge in self.topology.input_edges else 1

    def candidates(self, edge: int) -> nn.ModuleList:
        """The modules of an edge, in the order of the candidates."""
        return cast(nn.ModuleList, self.operations[edge])

    def forward(
        self,
        inputs: Sequence[Tensor],
        gates: Tensor,
        observed: Tensor | None = None,
        path_factors: Tensor | None = None,
    ) -> Tensor:
        """The output nodes' maps as channels of one, (images, nodes x channels, height, width).

        ``gates``: (edges, ops); an operation whose gate is exactly zero is neither computed nor stored, unless
        ``observed`` (bool, of the same shape) marks it: then its output O(x) is computed without a graph, adds zero to
        the node, and gives its gate the gradient <dL/dX, O(x)>, the cost it would have (ProxylessNAS).
        ``path_factors``: (edges, images), what drop-path multiplies each image's output of an edge by.
        """
        states = self._states(inputs)
        drawn = gates.detach().ne(0).tolist()
        wanted = drawn if observed is None else observed.tolist()
        for node in self.topology.intermediate:
            terms: list[Tensor] = []
            for e in self.topology.incoming[node]:
                source, _ = self.topology.edges[e]
                for k, op in enumerate(self.candidates(e)):
                    if self.zero[e][k] or not (drawn[e][k] or wanted[e][k]):
                        continue
                    factor = gate(gates, path_factors, e, k)
                    terms.append(factor * _output(op, states[source], drawn[e][k]))
            states.append(added(terms) if terms else self._zeros(states[0]))
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
    paper needs ``head_bias=False``. Weights are drawn from ``generator`` with PyTorch's default laws. A size below 1 is
    a :class:`UserError`.
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
        _check_sizes(channels=channels, layers=layers, classes=classes, in_channels=in_channels)
        self.space = space
        self.channels = channels
        # Row of the logits that each layer reads: 0 for normal, 1 for reduction cells.
        self.cell_type = [0] * layers
        if reductions:
            for at in (layers // 3, 2 * layers // 3):
                self.cell_type[at] = 1
        width = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        older = newer = width
        after = False
        for kind in self.cell_type:
            reduction = kind == 1
            if reduction:
                channels *= 2
            previous = self._read(older, newer)
            self.cells.append(self.cell(space, previous, channels, reduction=reduction, after_reduction=after))
            older, newer = newer, channels * len(space.topology.output)
            after = reduction
        self.classifier = nn.Linear(newer, classes, bias=head_bias)
        initialise(self, generator)

    def _read(self, older: Any, newer: Any) -> tuple[Any, ...]:
        """What a cell reads: both of the cells before it, or the newer one alone."""
        return (older, newer) if self.space.topology.inputs == 2 else (newer,)

    def forward(
        self,
        images: Tensor,
        gates: Tensor,
        output_gates: Tensor | None = None,
        observed: Tensor | None = None,
        path_factors: Tensor | None = None,
    ) -> Tensor:
        """Class logits (batch, classes) of ``images`` (batch, channels, side, side).

        ``gates``: (layers, edges, ops), the edge variables Z; ``output_gates``: (layers,), ones that multiply the
        cells' outputs, so that their gradients are the costs at the output nodes; ``observed``: bool, like ``gates``,
        operations whose cost is wanted although their gate is zero; ``path_factors``: (layers, edges, batch),
        drop-path's factors, 0 or 1 / (1 - p), of what an edge gives for an image.
        """
        older = newer = self.stem(images)
        for layer, cell in enumerate(self.cells):
            seen = None if observed is None else observed[layer]
            factors = None if path_factors is None else path_factors[layer]
            out = cell(self._read(older, newer), gates[layer], seen, factors)
            if output_gates is not None:
                out = output_gates[layer] * out
            older, newer = newer, out
        return self.classifier(newer.mean(dim=(2, 3)))

    def edge_costs(self, side: int) -> list[list[list[Cost]]]:
        """Cost of every candidate, [layer][edge][op], for one image of ``side`` pixels a side."""
        operations = [OPERATIONS[op] for op in self.space.candidates]
        channels = self.channels
        costs = []
        for cell in self.cells:
            assert isinstance(cell, SearchCell)
            if cell.reduction:
                side = math.ceil(side / 2)
                channels *= 2
            of_edges = []
            for e in range(len(self.space.topology.edges)):
                of_edges.append([op.cost(channels, side, cell.stride(e)) for op in operations])
            costs.append(of_edges)
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
