"""Claims of ours on where MixPath's shadow batch norm stands: what that does to rankings and to lengths of features.

All supernets are judged by the same ground truth as in :mod:`nas_core.claims.mixpath_cells`: networks of a cell alone,
whose batch norm stands after the projection.
"""

from __future__ import annotations

import numpy as np

from nas_core.claims.check import check
from nas_core.claims.mixpath_cells import tau, unevenness
from nas_core.claims.nulls import Instead, Relabelled
from nas_core.runs import Record

PLACED = "M-S4p M-S4sump M-S4uncalledp"  # after the projection, after the sum, never called
TRAINED, RECALIBRATED = "as trained", "recalibrated"


def tau_as_trained(record: Record) -> float:
    """Kendall's tau of the scores with the statistics of training."""
    return tau(record, TRAINED)


def lead_of_called(numbers: np.ndarray) -> float:
    """The smaller of the first two of ``numbers``, (placements,), minus the third."""
    return float(min(numbers[:2]) - numbers[2])


@check("C-SM1a", PLACED, null=Relabelled("the three placements exchanged", tau_as_trained, lead_of_called))
def ranks_better_where_called(*records: Record) -> float:
    """Kendall's tau as trained, the smaller one of both places, minus that of a norm that is never called."""
    return lead_of_called(np.array([tau_as_trained(record) for record in records]))


def apart(*records: Record) -> float:
    """How far apart the last of the ``records`` is from the first one in Kendall's tau, as trained."""
    return abs(tau_as_trained(records[-1]) - tau_as_trained(records[0]))


ONE_NORM = Instead("one batch norm instead of the shadow norms after the sum", apart, ("M-S4bnp",))


@check("C-SM1b", "M-S4p M-S4sump", null=ONE_NORM)
def ranks_alike_in_both_places(projection: Record, after_sum: Record) -> float:
    """How far apart both places are in Kendall's tau, as trained."""
    return apart(projection, after_sum)


def spread_of_tau(records: tuple[Record, ...], statistics: str) -> float:
    """The largest Kendall's tau of the ``records`` minus the smallest."""
    found = [tau(record, statistics) for record in records]
    return max(found) - min(found)


def spread_as_trained(*records: Record) -> float:
    """That of the scores as trained."""
    return spread_of_tau(records, TRAINED)


@check("C-SM1c", PLACED, null=Instead("the statistics as trained", spread_as_trained))
def recalibration_levels(*records: Record) -> float:
    """The largest minus the smallest Kendall's tau of the three placements, statistics recalibrated."""
    return spread_of_tau(records, RECALIBRATED)


def unevenness_of_called(numbers: np.ndarray) -> float:
    """The larger one of the first two of ``numbers``, (placements,), over the third."""
    return float(max(numbers[:2]) / numbers[2])


@check("C-SM1d", PLACED, null=Relabelled("the three placements exchanged", unevenness, unevenness_of_called))
def lengths_even_where_called(*records: Record) -> float:
    """The ratio of lengths by number of paths, the larger one of both places over that of a norm never called."""
    return unevenness_of_called(np.array([unevenness(record) for record in records]))
