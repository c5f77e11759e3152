"""Claims of the wiring paper on its ablations: what the three edges of a small cell cost (Figs 9, 27 and 28).

Edges 0, 1 and 2 of both cells are (0, 1), (0, 2) and (1, 2).
"""

import numpy as np

from nas_core.claims.check import check
from nas_core.claims.nulls import Exchanged, Shuffled, edges
from nas_core.runs import Record

SIMPLIFIED = "W-SIMP-a W-SIMP-b W-SIMP-c W-SIMP-d W-SIMP-e W-SIMP-f"
MODIFIED = "W-MOD-a W-MOD-b W-MOD-c W-MOD-d"
FIXED = "W-MOD-c W-MOD-d"
INTO_1, DIRECT, OVER_1 = range(3)  # edges (0, 1), (0, 2) and (1, 2)
EXCHANGED = Shuffled("edges exchanged in every run", edges)


def edge_costs(record: Record) -> np.ndarray:
    """Costs of the edges of the last cell, means over the batches of an epoch: (epochs, edges); none costs 0."""
    return record.array("edge_cost")[:, -1]


def mean_costs(record: Record) -> np.ndarray:
    """Costs of the edges, averaged over the training: (edges,)."""
    return np.asarray(edge_costs(record).mean(0))


def gap(record: Record) -> float:
    """Cost of (1, 2) minus that of (0, 2), averaged over the training."""
    mean = mean_costs(record)
    return float(mean[OVER_1] - mean[DIRECT])


def size(record: Record, edge: int) -> float:
    """Absolute cost of an edge: the root of its mean square over all batches, those included where it drew none."""
    squares = record.array("cost_sq")[:, -1, edge].sum()
    batches = record.array("cost_n")[:, -1, edge].sum()
    return float(np.sqrt(squares / batches))


@check("C-W9a", SIMPLIFIED, null=EXCHANGED)
@check("C-PO8", SIMPLIFIED, null=EXCHANGED)
def smallest_gap(*settings: Record) -> float:
    """Smallest cost of (1, 2) minus that of (0, 2) over the settings."""
    return min(map(gap, settings))


@check("C-W9b", FIXED, null=EXCHANGED)
@check("C-PO9", FIXED, null=EXCHANGED)
def inverted_and_positive(*settings: Record) -> float:
    """The smaller of minus the gap and the cost of (0, 2) in the last epoch, over the settings."""
    inverted = [-gap(record) for record in settings]
    at_the_end = [float(edge_costs(record)[-1, DIRECT]) for record in settings]
    return min(*inverted, *at_the_end)


@check("C-W9c", "W-SIMP-g-r", null=EXCHANGED)
def gap_with_01_fixed(record: Record) -> float:
    """The gap in the simplified cell in which (0, 1) alone is fixed."""
    return gap(record)


@check("C-W9d", "W-SIMP-a W-SIMP-g-r", null=Exchanged("run and control exchanged"))
def gap_of_sampling(sampled: Record, fixed: Record) -> float:
    """How much larger the gap is where (0, 1) is sampled."""
    return gap(sampled) - gap(fixed)


@check("C-W27a", SIMPLIFIED, null=EXCHANGED)
def settings_in_which_it_costs_most(*settings: Record) -> float:
    """In how many settings (1, 2) has the largest cost."""
    largest = [mean_costs(record).argmax() == OVER_1 for record in settings]
    return float(sum(largest))


@check("C-W28a", "W-MOD-a W-MOD-b", null=EXCHANGED)
def smallest_lead(*settings: Record) -> float:
    """Smallest cost of (1, 2) minus the larger cost of the other two edges, over the settings."""
    means = [mean_costs(record) for record in settings]
    return min(float(mean[OVER_1] - mean[:OVER_1].max()) for mean in means)


@check("C-W28b", MODIFIED, null=EXCHANGED)
def settings_as_stated(*settings: Record) -> float:
    """Share of the four settings in which (1, 2) has the lowest cost, of those with (0, 1) fixed, or has it not."""
    stated = (False, False, True, True)
    lowest = [mean_costs(record).argmin() == OVER_1 for record in settings]
    as_stated = [found == said for found, said in zip(lowest, stated, strict=True)]
    return float(np.mean(as_stated))


@check("C-W28c", "W-MOD-d")
def cost_into_1(record: Record) -> float:
    """Absolute cost of (0, 1) over that of (0, 2)."""
    return size(record, INTO_1) / size(record, DIRECT)


@check("C-W28d", "W-MOD-c")
def cost_beside_leak(record: Record) -> float:
    """Cost of (0, 1) minus the skip leak, absolute and averaged over the epochs, over the absolute cost of (0, 2)."""
    difference = edge_costs(record)[:, INTO_1] - record.array("skip_leak")[:, -1]
    return float(np.abs(difference).mean() / size(record, DIRECT))


@check("C-W28e", "W-MOD-c-skip-r W-MOD-c", null=Exchanged("operations exchanged"))
def inverted_by_the_operation(skip: Record, sep5: Record) -> float:
    """How much lower the gap is with sep5 on (0, 1) than with skip."""
    return gap(skip) - gap(sep5)
