"""Claims of "Understanding the wiring evolution in differentiable NAS": P1, P2, P3."""

from nas_core.cells.topology import darts_cell
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
from nas_core.runs import Record


@check("C-W1a", "W-SNAS8")
@check("C-W11a", "W-DSNAS8")
def most_dropped_early(record: Record) -> float:
    """Largest share of dropped edges in the first third."""
    early = first_third(settings(record).epochs)
    return float(share_dropped(record)[early].max())


@check("C-W1b", "W-SNAS8")
@check("C-W11b", "W-DSNAS8")
def recovered(record: Record) -> float:
    """Share of dropped edges at its peak in the first third, minus the share at the end."""
    return most_dropped_early(record) - float(share_dropped(record)[-1])


@check("C-W1c", "W-SNAS8")
@check("C-W11c", "W-DSNAS8")
@check("C-W3c", "W-SNAS8")
@check("C-W12c", "W-DSNAS8")
def width_preference(record: Record) -> float:
    """Share of dropped intermediate edges minus share of dropped input edges, at the end (= width/8 - mid/6)."""
    intermediate = share_dropped(record, "intermediate")[-1]
    inputs = share_dropped(record, "input")[-1]
    return float(intermediate - inputs)


@check("C-W3a", "W-SNAS8")
@check("C-W12a", "W-DSNAS8")
def dropped_at_some_early_time(record: Record) -> float:
    """Share of edges on which none is the argmax at some epoch of the first third."""
    early = first_third(settings(record).epochs)
    return float(dropped(record)[early].any(0).mean())


@check("C-W3b", "W-SNAS8")
@check("C-W12b", "W-DSNAS8")
def input_edges_alive(record: Record) -> float:
    """Share of input edges whose argmax at the end is not none."""
    return float(1 - share_dropped(record, "input")[-1])


@check("C-W3d", "W-SNAS8")
@check("C-W12d", "W-DSNAS8")
def intermediate_edges_lost(record: Record) -> float:
    """Share of intermediate edges on which P(none) exceeds 0.5 at the end."""
    edges = list(topology(record).intermediate_edges)
    at_the_end = none_prob(record)[-1, edges]
    return float((at_the_end > 0.5).mean())


@check("C-W12", "")
def caption_lists_intermediate_edges() -> float:
    """1 if edges 4, 7, 8, 11, 12, 13 are the intermediate edges of the 14-edge cell."""
    return float(darts_cell(4).intermediate_edges == (4, 7, 8, 11, 12, 13))


@check("C-W13a", "W-DARTS8")
@check("C-W14a", "W-DARTS8")
def dropped_at_the_end(record: Record) -> float:
    """Share of edges whose argmax at the end is none."""
    return float(share_dropped(record)[-1])


@check("C-W13b", "W-DARTS8")
def dropping_trend(record: Record) -> float:
    """Rank correlation of the share of dropped edges with the epoch."""
    return rank_correlation(share_dropped(record)[1:])


@check("C-W14b", "W-DARTS8")
def none_grows(record: Record) -> float:
    """Share of edges on which the mean P(none) of the last third exceeds that of the first."""
    none = none_prob(record)[1:]
    third = max(1, len(none) // 3)
    first = none[:third].mean(0)
    last = none[-third:].mean(0)
    return float((last > first).mean())


@check("C-WG", "W-DARTS8")
def intermediate_share_by_darts_rule(record: Record) -> float:
    """Share of intermediate edges among those that DARTS's rule selects at the end."""
    cell = record.genotypes["darts"][-1].normal
    return cell.mid() / len(cell.edges)
