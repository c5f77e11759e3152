"""One backward pass through a cell, taken apart, for the tests of the theorems.

Where the papers ask for eps = 0, eps is 1e-30: the same numbers in float64, and PyTorch accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from small import batch, path
from torch import Tensor

from nas_core.cells.operations import CANDIDATES
from nas_core.cells.supernet import Supernet

NO_EPS = 1e-30
PASSES_NOTHING_ON = tuple(op for op in CANDIDATES if op != "skip_connect")
DEGREE_0 = tuple(op for op in PASSES_NOTHING_ON if op != "none")
FIXED = ("sep_conv_3x3", "dil_conv_3x3", "sep_conv_5x5", "avg_pool_3x3")  # on edges 0 to 3, as in T-W1
SKIP = CANDIDATES.index("skip_connect")


@dataclass(frozen=True)
class Pass:
    """Costs (edges,) of the last cell, its output and the gradient there, and X_j^i of every edge that was computed."""

    cost: Tensor
    out: Tensor
    gradient: Tensor
    maps: dict[int, Tensor]
    channels: int
    inputs: int

    def part(self, node: int) -> slice:
        """Where an intermediate node stands in the concatenated output."""
        first = (node - self.inputs) * self.channels
        return slice(first, first + self.channels)

    def to_output(self, node: int) -> Tensor:
        """<dL/dX_out^j, X_j>: what the output edge of a node pays."""
        return (self.gradient * self.out)[:, self.part(node)].sum()

    def first_path(self, edge: int, node: int) -> Tensor:
        """<dL/dX_out^j, X_j^i>: what an edge into node j is paid over the output edge of j."""
        return (self.gradient[:, self.part(node)] * self.maps[edge]).sum()


def backward(model: Supernet, gates: Tensor, images: Tensor, labels: Tensor) -> Pass:
    """One pass on one path (gates one-hot, skip nowhere read by its map: an identity returns its input)."""
    cell, maps, outputs = model.cells[-1], {}, []
    hooks = [cell.register_forward_hook(lambda module, args, out: outputs.append(out))]
    for e, k in enumerate(gates[-1].argmax(-1).tolist()):
        keep = lambda module, args, out, e=e: maps.__setitem__(e, out)  # noqa: E731
        hooks.append(cell.candidates(e)[k].register_forward_hook(keep))
    z = gates.clone().requires_grad_()
    try:
        loss = F.cross_entropy(model(images, z), labels)
    finally:
        for hook in hooks:
            hook.remove()
    by_gate, by_output = torch.autograd.grad(loss, [z, outputs[0]])
    cost = (gates * by_gate)[-1].sum(-1)
    topology = model.space.topology
    channels = outputs[0].shape[1] // len(topology.output)
    return Pass(
        cost, outputs[0].detach(), by_output, {e: m.detach() for e, m in maps.items()}, channels, topology.inputs
    )


def at_node_2(model: Supernet, last: str, seed: int = 1) -> tuple[Pass, Tensor, Tensor]:
    """The pass with FIXED and ``last``; what node 2 pays beyond its output edge (T-W1's r); the scale of the costs."""
    seen = backward(model, path(model, *FIXED, last), *batch(seed=seed))
    rest = seen.cost[:2].sum() - seen.to_output(2)
    return seen, rest, torch.maximum(seen.cost.abs().max(), seen.to_output(2).abs())
