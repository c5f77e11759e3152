"""Claims of SNAS: search progress, entropy, and what a child is worth without retraining."""

import math

import numpy as np

from nas_core.claims.check import check
from nas_core.claims.measures import accuracies, rank_correlation, settings
from nas_core.claims.nulls import EPOCHS, Control, Exchanged
from nas_core.papers import printed
from nas_core.runs import Record

EXCHANGED = Exchanged("the two methods exchanged")


def mean_entropy(record: Record) -> np.ndarray:
    """Mean over edges, normal and reduction cells, of the edge entropy in nats, (epochs + 1,)."""
    return record.array("arch_entropy").mean((1, 2))


def final_accuracy(record: Record, network: str) -> float:
    """Test accuracy at the end, a share, without retraining."""
    return float(accuracies(record, network, "test")[-1])


def gap(record: Record, child: str) -> float:
    """Test accuracy of the supernet minus that of the child, without retraining, in points."""
    return 100 * (final_accuracy(record, "supernet") - final_accuracy(record, child))


@check("C-SN3c", "S-DARTS1 S-SNAS-mild", null=EXCHANGED)
def darts_ahead_early(darts: Record, snas: Record) -> float:
    """Validation accuracy of DARTS minus that of SNAS, in points, averaged over the first third of the epochs."""
    epochs = min(settings(darts).epochs, settings(snas).epochs)
    early = slice(max(1, epochs // 3))
    ahead = accuracies(darts, "supernet", "valid")[early] - accuracies(snas, "supernet", "valid")[early]
    return 100 * float(ahead.mean())


@check("C-SN4a", "S-DARTS1 S-SNAS-mild")
def initial_entropy(darts: Record, snas: Record) -> float:
    """Largest distance of an edge's entropy from ln K before the first step, in nats."""
    distances = []
    for record in (darts, snas):
        uniform = math.log(len(settings(record).network.candidates))
        distances.append(np.abs(record.array("arch_entropy")[0] - uniform).max())
    return float(np.max(distances))


@check("C-SN4b", "S-DARTS1 S-SNAS-mild", null=EXCHANGED)
def entropy_difference(darts: Record, snas: Record) -> float:
    """Mean edge entropy of DARTS minus that of SNAS at the end, in nats."""
    return float(mean_entropy(darts)[-1] - mean_entropy(snas)[-1])


@check("C-SN4c", "S-SNAS-mild", null=EPOCHS)
def entropy_trend(snas: Record) -> float:
    """Rank correlation of the mean edge entropy of SNAS with the epoch."""
    return rank_correlation(mean_entropy(snas))


@check("C-SNT1r", "")
def printed_gaps() -> float:
    """Largest deviation of the printed gaps from 33.01 and -2.13 points."""
    table = printed("snas_table1")
    gaps = table.search_valid_acc_pct - table.child_net_valid_acc_pct
    return float(np.abs(gaps.to_numpy() - [33.01, -2.13]).max())


@check("C-SNT1a", "S-DARTS1 S-SNAS-mild", null=EXCHANGED)
def gap_difference(darts: Record, snas: Record) -> float:
    """Gap of DARTS minus gap of SNAS, in points."""
    return gap(darts, "child (darts)") - gap(snas, "child (argmax)")


def darts_gap(darts: Record) -> float:
    """Absolute gap of DARTS, in points."""
    return abs(gap(darts, "child (darts)"))


@check("C-SNT1b", "S-SNAS-mild", null=Control("the gap of DARTS", "S-DARTS1", darts_gap))
def snas_gap(snas: Record) -> float:
    """Absolute gap of SNAS, in points."""
    return abs(gap(snas, "child (argmax)"))


@check("C-SNT1c", "S-SNAS-mild S-DARTS1", null=EXCHANGED)
def child_difference(snas: Record, darts: Record) -> float:
    """Test accuracy of the child of SNAS minus that of the child of DARTS, without retraining, in points."""
    return 100 * (final_accuracy(snas, "child (argmax)") - final_accuracy(darts, "child (darts)"))
