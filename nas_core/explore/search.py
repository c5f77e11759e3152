"""A search, scrubbed over its epochs: topology, probabilities, costs by kind of edge, and L, H, C together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.topology import Topology
from nas_core.explore.live import Explorer, choice, whole_slider
from nas_core.report.diagrams import draw_cell
from nas_core.report.style import GREY, SERIES, WIRING_ORDER, new_figure, op_handles, op_style, short, use_style
from nas_core.runs.find import find
from nas_core.trainers.result import Result
from nas_core.trainers.search_settings import SearchConfig

NEEDED = ("losses", "costs")  # probes


@dataclass(frozen=True)
class Evolution:
    """The first type of cell over the epochs of one search.

    ``prob``: (epochs + 1, edges, ops), before the first epoch and after each; ``cost``: (epochs, edges), the mean cost
    of every edge in an epoch, summed over layers; ``leak``: (epochs,), what skips on intermediate edges pass on;
    ``losses``: columns epoch, L, H; ``cells``: (epochs + 1), by the argmax rule.
    """

    topology: Topology
    ops: tuple[str, ...]
    prob: np.ndarray
    cost: np.ndarray
    leak: np.ndarray
    losses: pd.DataFrame
    cells: tuple[CellGenotype, ...]

    @property
    def epochs(self) -> int:
        """How many epochs there are."""
        return len(self.cost)

    @classmethod
    def of(cls, config: SearchConfig, result: Result) -> Evolution:
        """The evolution in what a search has recorded."""
        losses = result.table("losses")
        split = "search" if "search" in set(losses["split"]) else "train"  # where the logits learn
        losses = losses[(losses["split"] == split) & (losses["group"] == "all")]
        return cls(
            config.network.topology(),
            config.network.candidates,
            result.array("prob")[:, 0],
            result.array("edge_cost").sum(1),
            result.array("skip_leak").sum(1),
            losses[["epoch", "L", "H"]].reset_index(drop=True),
            tuple(genotype.normal for genotype in result.genotypes["argmax"]),
        )


def stored() -> dict[str, Evolution]:
    """Every search in the store that has recorded losses and costs, by the key of its record."""
    found = {}
    for record in find():
        config = record.config
        if isinstance(config, SearchConfig) and set(NEEDED) <= set(config.probes):
            found[config.key()] = Evolution.of(config, record.result)
    return found


@use_style()
def evolution_figure(evolution: Evolution, epoch: int) -> Figure:
    """The state after ``epoch`` epochs, above the curves of the whole search, on which a line marks the epoch.

    An epoch beyond the last one means the last one.
    """
    epoch = min(epoch, evolution.epochs)
    figure, axes = new_figure(7.0, 5.4, 2, 2, height_ratios=(1.25, 1), width_ratios=(1.1, 1))
    cell = evolution.cells[epoch]
    draw_cell(axes[0, 0], evolution.topology, cell)
    kept = f"{len(cell.edges)} of {len(evolution.topology.edges)} edges kept"
    axes[0, 0].set_title(f"after epoch {epoch}: {kept}", size=8)
    _probabilities(axes[0, 1], evolution, epoch)
    _costs(axes[1, 0], evolution)
    _losses(axes[1, 1], evolution)
    for ax in axes[1]:
        ax.axvline(epoch, color=GREY, lw=1.2, ls=":", gid="guide")
        ax.set(xlabel="epoch", xlim=(0, evolution.epochs))
    names = {short(name) for name in evolution.ops}
    order = [op for op in WIRING_ORDER if op in names]
    figure.legend(handles=_squares(order), loc="outside lower center", ncols=len(order))
    figure.set_label(f"A search after epoch {epoch} of {evolution.epochs}: {kept}.")
    return figure


def _squares(ops: list[str]) -> list[Line2D]:
    """Legend entries of operations as filled squares."""
    handles = op_handles(ops, solid=True)
    for handle in handles:
        handle.set(ls="", marker="s", ms=7)
    return handles


def _probabilities(ax: Axes, evolution: Evolution, epoch: int) -> None:
    """One bar an edge, divided by the probabilities of its operations."""
    places = np.arange(len(evolution.topology.edges))
    start = np.zeros(len(places))
    for k in sorted(range(len(evolution.ops)), key=lambda k: WIRING_ORDER.index(short(evolution.ops[k]))):
        share = evolution.prob[epoch, :, k]
        ax.barh(places, share, 0.8, left=start, color=op_style(evolution.ops[k]).colour, lw=0)
        start = start + share
    names = [f"{i} → {j}" for i, j in evolution.topology.edges]
    ax.set_yticks(places, names, size=7)
    for label, (i, _) in zip(ax.get_yticklabels(), evolution.topology.edges, strict=True):
        label.set_fontweight("normal" if i < evolution.topology.inputs else "bold")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="probability (bold: intermediate edges)")
    ax.grid(visible=False)


def _costs(ax: Axes, evolution: Evolution) -> None:
    """The costs of all edges of a kind, added."""
    epochs = np.arange(1, evolution.epochs + 1)
    kinds = {"input edges": evolution.topology.input_edges, "intermediate edges": evolution.topology.intermediate_edges}
    ax.axhline(0, color=GREY, lw=0.8, gid="guide")
    for index, (kind, edges) in enumerate(kinds.items()):
        colour, line, marker = SERIES[index]
        ax.plot(epochs, evolution.cost[:, list(edges)].sum(1), color=colour, ls=line, marker=marker, ms=3, label=kind)
    ax.set_ylabel("cost (nats)")
    ax.legend()


def _losses(ax: Axes, evolution: Evolution) -> None:
    """Loss, entropy and their difference, beside the sum of the edges' costs that Theorem 2 makes equal to it."""
    losses = evolution.losses
    total = evolution.cost.sum(1) - evolution.leak
    ax.axhline(0, color=GREY, lw=0.8, gid="guide")
    curves = {"loss L": losses["L"], "entropy H": losses["H"], "L − H": losses["L"] - losses["H"]}
    for index, (name, values) in enumerate(curves.items(), start=2):
        colour, line, _ = SERIES[index]
        ax.plot(losses["epoch"], values, color=colour, ls=line, lw=1.6, label=name)
    epochs = np.arange(1, evolution.epochs + 1)
    ax.plot(epochs, total, ls="", marker="x", ms=4, color="black", label="cost of all edges")
    ax.set_ylabel("nats")
    ax.legend()


def explore(evolutions: Mapping[str, Evolution], epoch: int = 0) -> Explorer:
    """A drop-down of searches by name, and a slider over their epochs; ``epoch`` 0 begins before the first one."""
    longest = max(evolution.epochs for evolution in evolutions.values())
    first = next(iter(evolutions))

    def draw(search: str, epoch: int) -> Figure:
        return evolution_figure(evolutions[search], epoch)

    controls = {
        "search": choice("search", list(evolutions), first),
        "epoch": whole_slider("epoch", epoch, 0, longest),
    }
    controls["search"].layout.width = "32em"
    return Explorer(draw, controls, columns=2)
