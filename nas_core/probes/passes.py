"""One backward pass on one path, taken apart in one cell: what the wiring paper's theorems are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_core.cells.supernet import SearchCell, Supernet
from nas_core.cells.topology import Topology


@dataclass(frozen=True)
class Pass:
    """The loss and class logits (batch, classes) of a pass, and what happened in the cell that was looked at.

    ``cost``: C of every edge, (edges,); ``out``: the cell's output X_out, (batch, channels, height, width), and
    ``gradient``: dL/dX_out; ``maps``: by edge what it delivered, X_j^i, of all edges that were computed.
    """

    loss: Tensor
    logits: Tensor
    cost: Tensor
    out: Tensor
    gradient: Tensor
    maps: dict[int, Tensor]
    topology: Topology

    def part(self, node: int) -> slice:
        """Which channels of the concatenated output are those of an intermediate node."""
        channels = self.out.shape[1] // len(self.topology.output)
        first = self.topology.output.index(node) * channels
        return slice(first, first + channels)

    def map(self, node: int) -> Tensor:
        """X_j of a node that reaches the output, (batch, channels, height, width)."""
        return self.out[:, self.part(node)]

    def gradient_at(self, node: int) -> Tensor:
        """dL/dX_out^j, what arrives at a node over its output edge; of the same shape."""
        return self.gradient[:, self.part(node)]

    def to_output(self, node: int) -> Tensor:
        """<dL/dX_out^j, X_j>: what the output edge of a node pays."""
        return (self.gradient_at(node) * self.map(node)).sum()

    def first_path(self, edge: int, node: int) -> Tensor:
        """<dL/dX_out^j, X_j^i>: what an edge into node j is paid over the output edge of j."""
        return (self.gradient_at(node) * self.maps[edge]).sum()

    @property
    def output_cost(self) -> Tensor:
        """<dL/dX_out, X_out>: the cost at the cell's output."""
        return (self.gradient * self.out).sum()


def backward(model: Supernet, gates: Tensor, images: Tensor, labels: Tensor, layer: int = -1) -> Pass:
    """One pass on one path, looked at in the cell ``layer``; the loss is the mean cross-entropy.

    ``gates``: (layers, edges, ops), one-hot. Every cost is the gradient of a gate. The map of a skip is its source
    node's own: an identity returns its input.
    """
    cell = cast(SearchCell, model.cells[layer])
    outputs: list[Tensor] = []
    maps: dict[int, Tensor] = {}
    z = gates.clone().requires_grad_()
    with _kept(cell, outputs), _kept_by_edge(cell, gates[layer], maps):
        logits = model(images, z)
    loss = F.cross_entropy(logits, labels)
    by_gate, by_output = torch.autograd.grad(loss, [z, outputs[0]])
    return Pass(
        loss=loss.detach(),
        logits=logits.detach(),
        cost=(gates * by_gate)[layer].sum(-1),
        out=outputs[0].detach(),
        gradient=by_output,
        maps={edge: x.detach() for edge, x in maps.items()},
        topology=model.space.topology,
    )


@contextmanager
def _kept(module: nn.Module, outputs: list[Tensor]) -> Iterator[None]:
    """Append what a module returns to ``outputs``."""
    hook = module.register_forward_hook(lambda module, args, out: outputs.append(out))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _kept_by_edge(cell: SearchCell, gates: Tensor, maps: dict[int, Tensor]) -> Iterator[None]:
    """Put what the drawn operation of every edge returns into ``maps``; ``gates``: (edges, ops)."""
    hooks = []
    for edge, op in enumerate(gates.argmax(-1).tolist()):
        hooks.append(cell.candidates(edge)[op].register_forward_hook(_keeper(edge, maps)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _keeper(edge: int, maps: dict[int, Tensor]) -> Callable[..., None]:
    """A forward hook that puts what a module returns into ``maps``."""

    def keep(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        maps[edge] = out

    return keep
