"""Pictures of the theory of costs beside the papers' own: tidy tables in, figures out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nas_core.report.diagrams import FACES
from nas_core.report.heat import cost_map, heat_map, signed
from nas_core.report.standard import GUIDE
from nas_core.report.style import FONT, GREY, SERIES, mark, new_figure, op_style, use_style

ONE, OTHER, THIRD, FOURTH, FIFTH = (colour for colour, _, _ in SERIES[:5])
DASHED = SERIES[1][1]
ZERO: dict[str, Any] = {"color": GREY, "lw": 0.8, "gid": GUIDE}


def second_path_table(parts: pd.DataFrame) -> pd.DataFrame:
    """What :func:`second_paths` draws: in panel a the terms of every network, in panel b how many lie in each bin.

    ``parts``: of every network the columns "first path, edge 0", "second path, edge 0" and "second path, edge 1".
    """
    bins = np.linspace(-0.1, 0.1, 41)
    counts = pd.DataFrame({"bin from": bins[:-1], "bin to": bins[1:]})
    for name in ("first path", "second path"):
        clipped = parts[f"{name}, edge 0"].clip(bins[0], bins[-1])
        counts[name] = np.histogram(clipped, bins)[0]
    return pd.concat([parts.assign(panel="a"), counts.assign(panel="b")], ignore_index=True)


@use_style()
def second_paths(table: pd.DataFrame) -> Figure:
    """Draw a :func:`second_path_table`: second-path terms of two edges into a node, and how large both paths are."""
    parts = table[table.panel == "a"]
    counts = table[table.panel == "b"]
    figure, ((left, right),) = new_figure(7.0, 2.9, 1, 2)
    left.axline((0, 0), slope=-1, **ZERO)
    left.plot(parts["second path, edge 0"], parts["second path, edge 1"], "o", ms=3, color=ONE)
    left.set(xlabel="edge 0, second path", ylabel="edge 1, second path", title="(a) opposite numbers")
    edges = [*counts["bin from"], counts["bin to"].iloc[-1]]
    for name, colour in (("first path", OTHER), ("second path", ONE)):
        right.stairs(counts[name], edges, color=colour, lw=1.4, label=name)
    right.set(
        xlabel="part of the cost of edge 0 (clipped at ±0.1)", ylabel="networks", title="(b) zero on average only"
    )
    right.legend(loc="upper left")
    for ax in (left, right):
        ax.locator_params(axis="x", nbins=5)
    return figure


@use_style()
def residuals(by_eps: pd.DataFrame) -> Figure:
    """What edge 4 hands back against eps; rows of ``operation``, ``eps`` and ``relative residual``."""
    figure, ((ax,),) = new_figure(5.0, 2.8)
    for op, part in by_eps.groupby("operation", sort=False):
        ax.loglog(part.eps, part["relative residual"], ls=op_style(str(op)).line, label=op, **mark(str(op)))
    ax.minorticks_off()
    ax.set(xlabel="ε of batch norm", ylabel="residual at node 2 / largest cost")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="on edge 4")
    return figure


@use_style()
def handed_out(table: pd.DataFrame) -> Figure:
    """(a) How the output's cost splits among nodes and edges; (b) the sum over the edges of every cell.

    ``table``: rows of ``panel``, ``what``, ``belongs to`` (output, node 2 or node 3) and ``cost`` in panel a; of
    ``cell`` and ``cost`` in panel b.
    """
    parts = table[table.panel == "a"]
    sums = table[table.panel == "b"]
    figure, ((left, right),) = new_figure(7.0, 2.8, 1, 2, width_ratios=[1.1, 1])
    colours = {"output": FACES["output"], "node 2": OTHER, "node 3": FIFTH}
    places = np.arange(len(parts))
    bars = left.barh(places, parts.cost, color=[colours[owner] for owner in parts["belongs to"]])
    left.bar_label(bars, [signed(cost) for cost in parts.cost], padding=3, size=FONT - 0.5)
    left.axvline(0, **ZERO)
    left.set(yticks=places, yticklabels=parts.what, xlabel="cost", title="(a) the output's cost, handed out")
    left.invert_yaxis()
    left.margins(x=0.3)
    right.plot(sums.cell, sums.cost, "o", ms=4, alpha=0.5, color=ONE)
    right.axhline(0, **ZERO)
    right.set(
        xticks=range(4),
        xlabel="cell (3 is the last)",
        ylabel="sum over its edges",
        title="(b) 40 draws, no skip",
    )
    return figure


@use_style()
def with_skips(table: pd.DataFrame) -> Figure:
    """The sum over the edges of every cell where skips are drawn, and what it equals.

    ``table``: rows of ``cell``, ``edges`` and ``output + skip``.
    """
    figure, ((left, right),) = new_figure(7.0, 2.7, 1, 2)
    left.plot(table.cell, table.edges, "o", ms=4, alpha=0.5, color=ONE)
    left.axhline(0, **ZERO)
    left.set(
        xticks=range(4),
        xlabel="cell (3 is the last)",
        ylabel="sum over its edges",
        title="(a) 40 draws with skips",
    )
    right.axline((0, 0), slope=1, **ZERO)
    right.plot(table["output + skip"], table.edges, "o", ms=3, color=OTHER)
    right.set(xlabel="output + skip on edge 4", ylabel="sum over the edges", title="(b) what it equals")
    return figure


@use_style()
def training_costs(series: pd.DataFrame) -> Figure:
    """Costs along a training; columns ``step``, ``edge costs``, ``L - H`` and ``held-out C``."""
    figure, ((ax,),) = new_figure(5.0, 2.7)
    ax.axhline(0, **ZERO)
    ax.plot(series.step, series["edge costs"], color=ONE, label="fitted images: sum of edge costs")
    ax.plot(
        series.step,
        series["L - H"],
        ".",
        ms=4,
        color="black",
        label="fitted images: L − H",
    )
    ax.plot(series.step, series["held-out C"], color=OTHER, ls=DASHED, label="held-out images: L − H")
    ax.set(xlabel="step", ylabel="cost (nats)")
    ax.legend()
    return figure


@use_style()
def readings(table: pd.DataFrame, step: int) -> Figure:
    """(a) The loss against the scale of the logits, with its slope; (b) the cost of single images.

    ``table``: rows of ``panel``, ``images``, ``curve``, ``x``, ``y``, and ``C`` where the curve is "as it is".
    """
    figure, ((left, right),) = new_figure(7.0, 2.9, 1, 2)
    for name, colour in (("fitted", ONE), ("held out", OTHER)):
        of = dict(list(table[(table.panel == "a") & (table.images == name)].groupby("curve")))
        now = of["as it is"]
        left.semilogx(of["loss"].x, of["loss"].y, color=colour, label=f"{name}, C = {signed(now.C.item(), 2)}")
        left.plot(of["slope C"].x, of["slope C"].y, color=colour, ls=":")
        left.plot(now.x, now.y, "o", color=colour)
    left.set(
        xlabel="s, scale of the logits",
        ylabel="loss (nats)",
        title=f"(a) loss and slope, step {step}",
        ylim=(0, 5.5),
    )
    left.minorticks_off()
    left.set_xticks([0.1, 1, 3], ["0.1", "1", "3"])
    left.legend(loc="upper left")
    for images, marker, colour in (("all", "x", GREY), ("correct", "o", ONE), ("wrong", "s", OTHER)):
        some = table[(table.panel == "b") & (table.images == images)]
        label = "mean over labels" if images == "all" else images
        right.plot(some.x, some.y, marker, ms=3, color=colour, label=label)
    right.axhline(0, **ZERO)
    right.set(xlabel="confidence, largest p", ylabel="cost of the image (nats)", title="(b) held-out images, last step")
    right.legend(loc="upper left")
    return figure


@use_style()
def initial_costs(table: pd.DataFrame) -> Figure:
    """(a) Mean initial costs of edges against the formula; (b) of an edge alone by its operation.

    ``table``: rows of ``panel``, ``mean``, ``low``, ``high``; in panel a ``own node`` and ``all nodes`` (the formula
    with these), in panel b ``operation``.
    """
    edges = table[table.panel == "a"]
    ops = table[table.panel == "b"]
    figure, ((left, right),) = new_figure(7.0, 2.9, 1, 2)
    left.axline((0, 0), slope=1, **ZERO)
    bars = [edges["mean"] - edges.low, edges.high - edges["mean"]]
    left.errorbar(
        edges["all nodes"],
        edges["mean"],
        bars,
        fmt="o",
        ms=4,
        color=ONE,
        label="all nodes",
    )
    left.plot(
        edges["own node"],
        edges["mean"],
        "s",
        ms=5,
        mfc="none",
        color=OTHER,
        label="own node only",
    )
    left.set(xlabel="formula", ylabel="mean cost (± 2 standard errors)", title="(a) 14 edges, 4,000 classifiers")
    left.legend()
    colours = [op_style(op).colour for op in ops.operation]
    bars = [ops["mean"] - ops.low, ops.high - ops["mean"]]
    right.barh(ops.operation, ops["mean"], xerr=bars, color=colours)
    right.set(xlabel="cost of an edge alone (± standard error)", title="(b) 15 networks")
    right.invert_yaxis()
    for ax in (left, right):
        ax.locator_params(axis="x", nbins=5)
    return figure


@use_style()
def style_maps(table: pd.DataFrame, names: Mapping[float, str]) -> Figure:
    """Residuals as powers of ten by normaliser and eps, one map an order of the modules.

    ``table``: rows of ``panel``, ``normaliser``, ``eps``, ``power of ten``; ``names``: how every eps is written.
    """
    orders = list(dict.fromkeys(table.panel))
    figure, axes = new_figure(7.0, 2.5, 1, len(orders), sharey=True)
    for ax, order in zip(axes[0], orders, strict=True):
        of_order = table[table.panel == order]
        grid = of_order.pivot_table("power of ten", "normaliser", "eps", sort=False)
        texts = grid.map(lambda power: f"{power:.0f}".replace("-", "−"))
        heat_map(ax, grid, texts, cmap="YlGnBu", vmin=-18, vmax=-2)
        ax.set_xticks(ax.get_xticks(), [names[value] for value in grid.columns])
        ax.set(title=f"order {order}", xlabel="ε", ylabel="")
    return figure


@use_style()
def cost_maps(table: pd.DataFrame, limit: float, ops: Sequence[str]) -> Figure:
    """Mean costs by edge and operation, one map a panel on one scale, in 10⁻³.

    ``table``: rows of ``panel``, ``edge``, ``operation``, ``mean cost``; ``limit``: the cost of the strongest colours.
    """
    panels = list(dict.fromkeys(table.panel))
    figure, axes = new_figure(7.0, 2.2, 1, len(panels), sharey=True)
    for ax, panel in zip(axes[0], panels, strict=True):
        grid = table[table.panel == panel].pivot_table("mean cost", "edge", "operation", sort=False)
        cost_map(ax, grid[list(ops)].rename_axis(index=None, columns=None), limit)
        ax.set_title(panel)
    return figure


@use_style()
def law_of_sums(sums: pd.DataFrame) -> Figure:
    """Mean (a) and variance (b) of a sum of k features against the law.

    ``sums``: rows of ``panel``, ``k``, ``rho``, ``features`` (exact moments, simulation, trained supernet), ``value``
    and ``law``.
    """
    figure, ((left, right),) = new_figure(7.0, 3.0, 1, 2, width_ratios=[1, 1.25])
    looks: dict[str, dict[str, Any]] = {
        "exact moments": {"marker": "o", "ms": 8, "mfc": "none"},
        "simulation": {"marker": ".", "ms": 5},
        "trained supernet": {"marker": "x", "ms": 3, "mew": 0.6, "alpha": 0.7},
    }
    for k, colour in enumerate((ONE, OTHER, THIRD, FOURTH), start=1):
        for features, look in looks.items():
            part = sums[(sums.k == k) & (sums.features == features)]
            mean = part[part.panel == "a"]
            variance = part[part.panel == "b"]
            left.plot(mean.k, mean.value, ls="", color=colour, **look)
            right.plot(variance.rho, variance.value, ls="", color=colour, **look)
        line = sums[(sums.panel == "b") & (sums.k == k)].sort_values("rho")
        right.plot(line.rho, line.law, color=colour, lw=1)
        place: dict[str, Any] = {"textcoords": "offset points", "size": FONT, "annotation_clip": False}
        right.annotate(f"{k}² = {k**2}", (1, k**2), (7, -3), **place)
    left.plot([1, 4], [1, 4], zorder=0, **ZERO)
    left.set(xlabel="k, paths that are added", ylabel="mean of the sum / mean", title="(a) mean: k")
    left.set(xticks=[1, 2, 3, 4], yticks=[1, 2, 3, 4])
    right.set(xlabel="ρ, correlation of the features", ylabel="variance of the sum / variance", xlim=(-0.03, 1.25))
    right.set(title="(b) variance: k(1 + (k − 1)ρ)", xticks=[0, 0.25, 0.5, 0.75, 1])
    return figure
