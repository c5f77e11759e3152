"""Claims of "Understanding the wiring evolution in differentiable NAS": P1, P2, P3."""

from itertools import combinations, product

import numpy as np

from nas_core.cells.topology import Topology, darts_cell
from nas_core.claims.check import check
from nas_core.claims.measures import (
    dropped,
    first_third,
    none_prob,
    rank_correlation,
    settings,
    share_dropped,
    topology,
)
from nas_core.claims.nulls import EDGES, EPOCHS, OPERATIONS, Chance, Control, Exchanged
from nas_core.runs import Record


def chance_by_darts_rule(graph: Topology) -> tuple[float, ...]:
    """Share of intermediate edges in every selection of two edges per node that DARTS's rule can make."""
    choices = [combinations(graph.incoming[node], 2) for node in graph.intermediate]
    shares = []
    for pairs in product(*choices):
        selected = [edge for pair in pairs for edge in pair]
        intermediate = set(selected) & set(graph.intermediate_edges)
        shares.append(len(intermediate) / len(selected))
    return tuple(shares)


ONE_LEVEL = Control("the single-level control", "W-DARTS8sl")
SINGLE_LEVEL = "W-SNAS8 W-DSNAS8"  # of both of which the poster speaks


@check("C-W1a", "W-SNAS8", null=OPERATIONS)
@check("C-W11a", "W-DSNAS8", null=OPERATIONS)
def most_dropped_early(record: Record) -> float:
    """Largest share of dropped edges in the first third."""
    early = first_third(settings(record).epochs)
    return float(share_dropped(record)[early].max())


@check("C-W1b", "W-SNAS8", null=EPOCHS)
@check("C-W11b", "W-DSNAS8", null=EPOCHS)
def recovered(record: Record) -> float:
    """Share of dropped edges at t0, where it is largest in the first third, minus the share at the end."""
    share = share_dropped(record)
    t0 = 1 + int(share[first_third(settings(record).epochs)].argmax())
    return float(share[t0] - share[-1])


@check("C-W1c", "W-SNAS8", null=EDGES)
@check("C-W11c", "W-DSNAS8", null=EDGES)
@check("C-W3c", "W-SNAS8", null=EDGES)
@check("C-W12c", "W-DSNAS8", null=EDGES)
def width_preference(record: Record) -> float:
    """Share of dropped intermediate edges minus share of dropped input edges, at the end (= width/8 - mid/6)."""
    intermediate = share_dropped(record, "intermediate")[-1]
    inputs = share_dropped(record, "input")[-1]
    return float(intermediate - inputs)


@check("C-W3a", "W-SNAS8", null=OPERATIONS)
@check("C-W12a", "W-DSNAS8", null=OPERATIONS)
def dropped_at_some_early_time(record: Record) -> float:
    """Share of edges on which none is the argmax at some epoch of the first third."""
    early = first_third(settings(record).epochs)
    return float(dropped(record)[early].any(0).mean())


@check("C-W3b", "W-SNAS8", null=OPERATIONS)
@check("C-W12b", "W-DSNAS8", null=OPERATIONS)
def input_edges_back(record: Record) -> float:
    """Of the input edges that were dropped in the first third, the share that is not dropped at the end; nan if none.

    An edge that was never dropped does not recover.
    """
    none_wins = dropped(record)[:, list(topology(record).input_edges)]
    early = none_wins[first_third(settings(record).epochs)].any(0)
    if not early.any():
        return float("nan")
    return float(1 - none_wins[-1, early].mean())


@check("C-W3d", "W-SNAS8", null=EDGES)
@check("C-W12d", "W-DSNAS8", null=EDGES)
def intermediate_edges_lost(record: Record) -> float:
    """Share of intermediate edges on which P(none) exceeds 0.5 at the end."""
    edges = list(topology(record).intermediate_edges)
    at_the_end = none_prob(record)[-1, edges]
    return float((at_the_end > 0.5).mean())


@check("C-PO2", SINGLE_LEVEL, null=OPERATIONS)
def both_dropped_early(snas: Record, dsnas: Record) -> float:
    """The smaller share of SNAS and DSNAS, as in C-W3a."""
    return min(dropped_at_some_early_time(snas), dropped_at_some_early_time(dsnas))


@check("C-PO2b", SINGLE_LEVEL, null=OPERATIONS)
def both_have_input_edges_back(snas: Record, dsnas: Record) -> float:
    """The smaller share of SNAS and DSNAS, as in C-W3b; nan if one of them has nothing to measure."""
    return float(np.min([input_edges_back(snas), input_edges_back(dsnas)]))


@check("C-PO2c", SINGLE_LEVEL, null=EDGES)
def both_prefer_width(snas: Record, dsnas: Record) -> float:
    """The smaller difference of SNAS and DSNAS, as in C-W3c."""
    return min(width_preference(snas), width_preference(dsnas))


@check("C-PO2d", SINGLE_LEVEL, null=EDGES)
def both_lose_intermediate_edges(snas: Record, dsnas: Record) -> float:
    """The smaller share of SNAS and DSNAS, as in C-W3d."""
    return min(intermediate_edges_lost(snas), intermediate_edges_lost(dsnas))


@check("C-W12", "")
def caption_lists_intermediate_edges() -> float:
    """1 if edges 4, 7, 8, 11, 12, 13 are the intermediate edges of the 14-edge cell."""
    return float(darts_cell(4).intermediate_edges == (4, 7, 8, 11, 12, 13))


@check("C-W13a", "W-DARTS8", null=ONE_LEVEL)
@check("C-W14a", "W-DARTS8", null=ONE_LEVEL)
@check("C-PO2e", "W-DARTS8", null=ONE_LEVEL)
def dropped_at_the_end(record: Record) -> float:
    """Share of edges whose argmax at the end is none."""
    return float(share_dropped(record)[-1])


@check("C-W13b", "W-DARTS8 W-DARTS8sl", null=Exchanged("run and control exchanged"))
def dropping_trend(record: Record, control: Record) -> float:
    """Rank correlation of the share of dropped edges with the epoch, minus that of the single-level control."""
    return drop_correlation(record) - drop_correlation(control)


def drop_correlation(record: Record) -> float:
    """Rank correlation of the share of dropped edges with the epoch; 0 where the share never changes."""
    return rank_correlation(share_dropped(record)[1:])


@check("C-W13c", "W-DARTS8", null=OPERATIONS)
def dropped_early_on(record: Record) -> float:
    """Share of dropped edges, mean over the first third."""
    early = first_third(settings(record).epochs)
    return float(share_dropped(record)[early].mean())


@check("C-W14b", "W-DARTS8", null=ONE_LEVEL)
@check("C-PO2f", "W-DARTS8", null=ONE_LEVEL)
def none_grows(record: Record) -> float:
    """Share of edges on which the mean P(none) of the last third exceeds that of the first."""
    none = none_prob(record)[1:]
    third = max(1, len(none) // 3)
    first = none[:third].mean(0)
    last = none[-third:].mean(0)
    return float((last > first).mean())


CHANCE = Chance("a random choice by DARTS's rule", chance_by_darts_rule(darts_cell(4)))


@check("C-WG", "W-DARTS8", null=CHANCE)
def intermediate_share_by_darts_rule(record: Record) -> float:
    """Share of intermediate edges among those that DARTS's rule selects at the end."""
    cell = record.genotypes["darts"][-1].normal
    return cell.mid() / len(cell.edges)


@check("C-WP2x", "W-DSNAS8m", null=OPERATIONS)
def intermediate_edge_back(record: Record) -> float:
    """1 if an intermediate edge that was dropped at some epoch is not dropped at the end, otherwise 0."""
    none_wins = dropped(record)[1:, list(topology(record).intermediate_edges)]
    back = none_wins.any(0) & ~none_wins[-1]
    return float(back.any())
