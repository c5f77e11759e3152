"""One edge with three operations: what each method draws, and the gradient of the logits that it makes of a cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Generator, Tensor

from nas_core.explore.live import Explorer, log_slider, signed, slider
from nas_core.relaxations import RELAXATIONS, through_softmax
from nas_core.report.style import GREY, SERIES, new_figure, op_style, use_style

OPS = ("none", "skip", "sep3")
METHODS = {
    "DARTS": "softmax",
    "SNAS": "concrete",
    "DSNAS": "one-hot",
    "REINFORCE": "reinforce",
    "ProxylessNAS, all paths": "binary",
    "ProxylessNAS, two paths": "two-path",
}
DRAWS = 2000
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # of the triangle, one an operation


@dataclass(frozen=True)
class Sample:
    """Draws of the edge variable and the gradients of the logits that they give, both (draws, ops)."""

    z: np.ndarray
    gradients: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The mean gradient over draws, (ops,)."""
        return self.gradients.mean(0)

    @property
    def spread(self) -> np.ndarray:
        """The standard deviation of the gradient of one draw, (ops,)."""
        return self.gradients.std(0)


def sample(method: str, logits: Tensor, cost: Tensor, temperature: float, draws: int = DRAWS) -> Sample:
    """``draws`` steps of one of ``METHODS`` on an edge with ``logits`` and constant costs, both (ops,) in float64.

    A constant cost means that the loss is linear in Z. REINFORCE has the mean loss as its baseline. The same seed every
    time, so what moves between two pictures is what was changed.
    """
    relaxation = RELAXATIONS[METHODS[method]]
    generator = Generator().manual_seed(0)
    many = logits.expand(1, draws, -1)
    if relaxation.restrict is not None:
        many = relaxation.restrict(many, generator)
    if relaxation.costs == "reward":
        cost = cost - mean_cost(logits, cost)
    z = relaxation.draw(many, generator, temperature)
    gradients = relaxation.logit_gradient(many, z, cost.expand_as(many), temperature)
    return Sample(z[0].numpy(), gradients[0].numpy())


def mean_cost(logits: Tensor, cost: Tensor) -> float:
    """The mean cost of the edge, sum_k p^k C^k; ``logits`` and ``cost``: (ops,)."""
    return float((logits.softmax(-1) * cost).sum())


def disagreement(methods: Sequence[str], logits: Sequence[float], cost: Sequence[float]) -> float:
    """The largest distance of a mean gradient from the exact law p^k (C^k - sum_m p^m C^m), in standard errors.

    A method that does not draw at random has none; there, 1e-12 stands for one.
    """
    a = torch.tensor(logits, dtype=torch.float64)
    c = torch.tensor(cost, dtype=torch.float64)
    exact = through_softmax(a.softmax(-1), c).numpy()
    worst = 0.0
    for method in methods:
        found = sample(method, a, c, temperature=1.0)
        error = np.maximum(found.spread / np.sqrt(DRAWS), 1e-12)
        worst = max(worst, float((np.abs(found.mean - exact) / error).max()))
    return worst


def none_moves(logits: Tensor, cost: Tensor) -> tuple[str, str]:
    """How a small step of gradient descent on the mean loss moves the logit of ``none`` and its probability."""
    p = logits.softmax(-1)
    step = -p * (cost - (p * cost).sum())
    growth = step[0] - (p * step).sum()  # of log p
    return _direction(float(step[0])), _direction(float(growth))


def _direction(change: float) -> str:
    if abs(change) < 1e-12:
        return "stays"
    return "rises" if change > 0 else "falls"


@use_style()
def edge_figure(logits: tuple[float, ...], cost: tuple[float, ...], temperature: float) -> Figure:
    """Draws of SNAS, DARTS and DSNAS in the triangle of all Z, and the gradients of every method beside it."""
    a = torch.tensor(logits, dtype=torch.float64)
    c = torch.tensor(cost, dtype=torch.float64)
    samples = {method: sample(method, a, c, temperature) for method in METHODS}
    figure, axes = new_figure(7.0, 3.5, 1, 2, width_ratios=(1, 1.5))
    _triangle(axes[0, 0], samples, temperature)
    _gradients(axes[0, 1], samples)
    logit, probability = none_moves(a, c)
    axes[0, 1].set_title(
        f"mean cost of the edge {signed(mean_cost(a, c))}:\n"
        f"a step on it: the logit of none {logit}, its probability {probability}",
        size=8,
    )
    shares = samples["DSNAS"].z.mean(0)
    drawn = ", ".join(f"{op} {share:.0%}" for op, share in zip(OPS, shares, strict=True))
    figure.set_label(f"Draws of the edge variable at temperature {temperature:.2g} ({drawn}) and gradients by method.")
    return figure


def _triangle(ax: Axes, samples: dict[str, Sample], temperature: float) -> None:
    """All Z of three operations form a triangle, whose corners are the operations."""
    ax.set_axis_off()
    ax.set(aspect="equal", xlim=(-0.2, 1.2), ylim=(-0.22, 1.08))
    ax.fill(*CORNERS.T, fc="none", ec=GREY, lw=0.8)
    points = samples["SNAS"].z[:400] @ CORNERS
    ax.plot(*points.T, ls="", marker=".", ms=3, mew=0, alpha=0.4, color=SERIES[1][0], gid="SNAS")
    shares = samples["DSNAS"].z.mean(0)
    for op, share, corner in zip(OPS, shares, CORNERS, strict=True):
        style = op_style(op)
        ax.plot(*corner, marker="o", ms=2 + 18 * np.sqrt(share), mfc="none", mec=SERIES[2][0], mew=1.5, gid="DSNAS")
        below = -0.17 if corner[1] == 0 else 0.13
        words = f"{style.label}\ndrawn {share:.0%}"
        ax.text(corner[0], corner[1] + below, words, ha="center", va="center", size=8, color=style.colour)
    centre = samples["DARTS"].z[0] @ CORNERS
    ax.plot(*centre, marker="*", ms=12, mfc=SERIES[0][0], mec="white", gid="DARTS")
    ax.set_title(f"where Z lies, temperature {temperature:.2g}", size=8)


def _gradients(ax: Axes, samples: dict[str, Sample]) -> None:
    """Mean gradients with the standard deviation of one draw; one group an operation, one marker a method."""
    ax.axhline(0, color=GREY, lw=0.8, gid="guide")
    handles = []
    for index, (method, found) in enumerate(samples.items()):
        colour, _, marker = SERIES[index]
        places = np.arange(len(OPS)) + 0.13 * (index - 2.5)
        ax.errorbar(places, found.mean, found.spread, fmt=marker, ms=5, color=colour, lw=1.2, mec="white", mew=0.4)
        handles.append(Line2D([], [], color=colour, marker=marker, ls="", label=method))
    ax.set_xticks(range(len(OPS)), OPS)
    ax.set_ylabel("gradient ∂L/∂a: mean ± one draw")
    ax.grid(axis="x", visible=False)
    ax.figure.legend(handles=handles, loc="outside lower center", ncols=3)


def explore(temperature: float = 0.5) -> Explorer:
    """Sliders for three logits, two costs and the temperature; ``none`` costs nothing."""

    def draw(none: float, skip: float, sep3: float, skip_cost: float, sep3_cost: float, lam: float) -> Figure:
        return edge_figure((none, skip, sep3), (0.0, skip_cost, sep3_cost), lam)

    controls = {
        "none": slider("logit none", 0.0, -4, 4),
        "skip": slider("logit skip", 0.5, -4, 4),
        "sep3": slider("logit sep3", 1.0, -4, 4),
        "lam": log_slider("temperature", temperature, -1.5, 1),
        "skip_cost": slider("cost skip", 0.5, -3, 3),
        "sep3_cost": slider("cost sep3", -1.0, -3, 3),
    }
    return Explorer(draw, controls)
