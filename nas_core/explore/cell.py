"""A minimal cell that one rewires: what its edges cost, who pays (Theorem 1), and how large it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Generator, Tensor

from nas_core.cells.counts import Counted, counted
from nas_core.cells.genotype import CellGenotype
from nas_core.cells.operations import CANDIDATES, OPERATIONS, Style
from nas_core.cells.supernet import Space, Supernet
from nas_core.cells.topology import minimal_cell
from nas_core.explore.live import Explorer, choice, signed, whole_slider
from nas_core.report.diagrams import draw_cell
from nas_core.report.style import GREY, WIRING_ORDER, new_figure, short, use_style

CELL = minimal_cell()
FULL_NAMES = {short(op): op for op in CANDIDATES}
SKIP = CANDIDATES.index("skip_connect")
CHANNELS, SIDE = 16, 32  # of the counts: the first cell of the papers' search network on CIFAR-10
INTO, PAID, DIFFERENCE = "#3B4754", "#8FA1B8", "#CFC6B8"  # colours that no operation has
PASSED: dict[str, Any] = {"fc": "white", "ec": "#E69F00", "hatch": "////", "lw": 1.0}  # in the colour of skip
EPS = 1e-30  # of batch normalisation: 0 for all that float64 can tell, and no division by 0


@dataclass(frozen=True)
class Measured:
    """One batch through one cell.

    ``cost``: C of every edge, (edges,); ``paid``: <dL/dX_out^j, X_j> at the output edge of every intermediate node,
    (nodes,); ``passed``: the cost that a skip on edge 4 passes on to node 2; ``loss`` and ``entropy`` in nats.
    """

    cost: np.ndarray
    paid: np.ndarray
    passed: float
    loss: float
    entropy: float

    @property
    def of_nodes(self) -> np.ndarray:
        """The costs of the edges into every intermediate node, added, (nodes,)."""
        return np.array([self.cost[list(edges)].sum() for edges in CELL.incoming.values()])

    @property
    def gap(self) -> float:
        """By how much Theorem 1 or Theorem 2 is missed, the largest of three differences."""
        theorem_1 = self.of_nodes - self.paid - np.array([self.passed, 0.0])
        theorem_2 = self.paid.sum() - (self.loss - self.entropy)
        return float(max(np.abs(theorem_1).max(), abs(theorem_2)))


def measure(ops: Sequence[str], seed: int) -> Measured:
    """The costs in a minimal cell with the operations ``ops``, one an edge, by their full names.

    Weights, 16 random images and labels come from ``seed``; float64, batch statistics.
    """
    generator = Generator().manual_seed(seed)
    model = _supernet(generator)
    images = torch.randn(16, 3, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(10, (16,), generator=generator)
    chosen = torch.tensor([CANDIDATES.index(op) for op in ops])
    gates = F.one_hot(chosen, len(CANDIDATES)).double()[None].requires_grad_()
    maps: list[Tensor] = []
    hook = model.cells[0].register_forward_hook(lambda cell, inputs, output: maps.append(output.requires_grad_()))
    logits = model(images, gates)
    hook.remove()
    loss = F.cross_entropy(logits, labels)
    by_gate, by_map = _gradients(loss, gates, maps[0])
    cost = (gates.detach() * by_gate)[0].sum(-1)
    share = (by_map * maps[0].detach()).sum((0, 2, 3))
    p = logits.detach().softmax(1)
    return Measured(
        cost=cost.numpy(),
        paid=share.reshape(CELL.nodes, -1).sum(1).numpy(),
        passed=float(cost[-1]) if int(chosen[-1]) == SKIP else 0.0,
        loss=float(loss.detach()),
        entropy=float(-torch.xlogy(p, p).sum(1).mean()),
    )


def _supernet(generator: Generator) -> Supernet:
    model = Supernet(
        Space(CELL, style=Style(eps=EPS)),
        channels=4,
        layers=1,
        classes=10,
        in_channels=3,
        reductions=False,
        head_bias=False,
        generator=generator,
    )
    return model.double()


def _gradients(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    """dL/dx for every input; zeros where the loss does not depend on it, as when all edges are ``none``."""
    found = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
    return list(found)


def counts(ops: Sequence[str]) -> tuple[int, int]:
    """Parameters and multiply-adds of the operations, one an edge, with 16 channels on maps of 32 x 32."""
    found = [_counted(op) for op in ops]
    return sum(one.params for one in found), sum(one.madds for one in found)


@cache
def _counted(op: str) -> Counted:
    return counted(lambda: OPERATIONS[op].build(CHANNELS, 1, Style()), SIDE, in_channels=CHANNELS)


@use_style()
def cell_figure(ops: Sequence[str], seed: int) -> Figure:
    """The cell with the cost of every edge, and beside it who pays these costs; ``ops`` by their full names."""
    found = measure(ops, seed)
    params, madds = counts(ops)
    figure, axes = new_figure(7.0, 3.6, 1, 2, width_ratios=(1.9, 1))
    edges = [(i, j, op) for (i, j), op in zip(CELL.edges, ops, strict=True) if op != "none"]
    texts = {pair: signed(cost, 3) for pair, cost in zip(CELL.edges, found.cost, strict=True)}
    texts |= {(node, 4): signed(paid, 3) for node, paid in zip(CELL.output, found.paid, strict=True)}
    draw_cell(axes[0, 0], CELL, CellGenotype(2, 2, tuple(edges), CELL.output), texts=texts)
    axes[0, 0].set_title(f"the cost of every edge\n{params:,} parameters, {madds:,} multiply-adds", size=8)
    _bars(axes[0, 1], found)
    digits = f"{found.gap:.0e}".split("e")
    power = int(digits[1])
    gap = f"{digits[0]} × $10^{{{power}}}$" if found.gap else "0"
    axes[0, 1].set_title(f"who pays: both bars of a pair agree\n(largest difference {gap})", size=8)
    figure.set_label(
        f"A minimal cell with the cost of every edge; {params:,} parameters; loss minus entropy is "
        f"{signed(found.loss - found.entropy, 3)}, and both sides of Theorems 1 and 2 agree."
    )
    return figure


def _bars(ax: Axes, found: Measured) -> None:
    """Pairs of bars: the costs of the edges into a node, and what its output edge pays and a skip passes on."""
    into = [*found.of_nodes, found.paid.sum()]
    pays = [*found.paid, found.loss - found.entropy]
    places = np.arange(3)
    ax.axvline(0, color=GREY, lw=0.8, gid="guide")
    ax.barh(places - 0.18, into, 0.32, color=[INTO, INTO, PAID])
    ax.barh(places + 0.18, pays, 0.32, color=[PAID, PAID, DIFFERENCE])
    if found.passed:
        ax.barh(0.18, found.passed, 0.32, left=pays[0], **PASSED)
    ax.set_yticks(places, ["node 2", "node 3", "output"])
    ax.invert_yaxis()
    ax.set_xlabel("cost (nats)")
    ax.grid(axis="y", visible=False)
    handles = [
        Patch(color=INTO, label="edges into the node"),
        Patch(color=PAID, label="output edges"),
        Patch(**PASSED, label="passed on by skip"),
        Patch(color=DIFFERENCE, label="loss − entropy"),
    ]
    ax.figure.legend(handles=handles, loc="outside lower center", ncols=4)


def explore(ops: Sequence[str] = ("sep3", "skip", "max", "dil3", "sep3"), seed: int = 0) -> Explorer:
    """A drop-down for the operation of every edge (short names), and the seed of weights and images."""

    def draw(seed: int, **chosen: str) -> Figure:
        return cell_figure([FULL_NAMES[op] for op in chosen.values()], seed)

    controls = {}
    for number, ((i, j), op) in enumerate(zip(CELL.edges, ops, strict=True)):
        controls[f"edge_{number}"] = choice(f"edge {i} → {j}", WIRING_ORDER, op)
    return Explorer(draw, controls | {"seed": whole_slider("seed", seed, 0, 20)})
