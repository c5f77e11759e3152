"""Claims of SNAS: search progress, entropy, collapse to skips, and what a child is worth without retraining."""

import math

import numpy as np

from nas_core.cells.genotype import DERIVE_RULES
from nas_core.claims.check import check
from nas_core.claims.measures import accuracies, rank_correlation, settings
from nas_core.claims.nulls import EPOCHS, OPERATIONS, Control, Exchanged
from nas_core.papers import printed
from nas_core.runs import Record
from nas_core.trainers.settings import Network

EXCHANGED = Exchanged("the two methods exchanged")


def mean_entropy(record: Record) -> np.ndarray:
    """Mean over edges, normal and reduction cells, of the edge entropy in nats, (epochs + 1,)."""
    return record.array("arch_entropy").mean((1, 2))


def final_accuracy(record: Record, network: str) -> float:
    """Test accuracy at the end, a share, without retraining."""
    return float(accuracies(record, network, "test")[-1])


def validation(record: Record) -> np.ndarray:
    """Validation accuracy of the supernet after every epoch, in percent, (epochs,)."""
    return 100 * accuracies(record, "supernet", "valid")


def epochs_to(curve: np.ndarray, accuracy: float) -> int:
    """The first epoch, counted from 1, whose accuracy in ``curve``, (epochs,), is at least ``accuracy``.

    One more than there are epochs where none is.
    """
    reached = np.flatnonzero(curve >= accuracy)
    return int(reached[0]) + 1 if len(reached) else len(curve) + 1


def operation_share(record: Record, op: str, rule: str) -> np.ndarray:
    """Share of ``op`` among the edges that ``rule`` keeps, in both cells together, (epochs + 1,).

    That of ``none`` is the share of all edges that are dropped; an epoch without any kept edge has nan for the others.
    """
    network: Network = getattr(record.config, "network")  # noqa: B009 - of searches by logits and by a controller
    graph = network.topology()
    shares = []
    for of_cells in record.array("prob"):
        kept = []
        for prob in of_cells:
            cell = DERIVE_RULES[rule](prob, network.candidates, graph)
            kept += [name for _, _, name in cell.edges]
        edges = len(of_cells) * len(graph.edges)
        if op == "none":
            shares.append(1 - len(kept) / edges)
        elif kept:
            shares.append(kept.count(op) / len(kept))
        else:
            shares.append(float("nan"))
    return np.array(shares)


def gap(record: Record, child: str) -> float:
    """Test accuracy of the supernet minus that of the child, without retraining, in points."""
    return 100 * (final_accuracy(record, "supernet") - final_accuracy(record, child))


@check("C-SN3a", "S-SNAS-mild S-ENAS", null=EXCHANGED)
def above_enas(snas: Record, enas: Record) -> float:
    """Validation accuracy of SNAS minus that of ENAS at the end, in points."""
    return float(validation(snas)[-1] - validation(enas)[-1])


def epochs_ahead_of_itself(enas: Record) -> float:
    """Epochs of ENAS minus those that ENAS itself takes to its own final accuracy: what chance gives."""
    curve = validation(enas)
    return float(len(curve) - epochs_to(curve, curve[-1]))


@check("C-SN3b", "S-SNAS-mild S-ENAS", null=Control("ENAS against itself", "S-ENAS", epochs_ahead_of_itself))
def epochs_ahead_of_enas(snas: Record, enas: Record) -> float:
    """Epochs of ENAS minus those that SNAS takes to the final accuracy of ENAS."""
    curve = validation(enas)
    return float(len(curve) - epochs_to(validation(snas), curve[-1]))


@check("C-SN3c", "S-DARTS2 S-SNAS-mild", null=EXCHANGED)
def darts_ahead_early(darts: Record, snas: Record) -> float:
    """Validation accuracy of DARTS minus that of SNAS, in points, averaged over the first third of the epochs."""
    epochs = min(settings(darts).epochs, settings(snas).epochs)
    third = max(1, epochs // 3)
    of_darts = accuracies(darts, "supernet", "valid")[:third]
    of_snas = accuracies(snas, "supernet", "valid")[:third]
    ahead = of_darts - of_snas
    return 100 * float(ahead.mean())


@check("C-SN3d", "S-ENAS", null=Exchanged("controller and frozen copy exchanged"))
def controller_ahead(enas: Record) -> float:
    """Accuracy that the learning controller earns minus that of its frozen copy, in points, over the last third."""
    earned = enas.table("controller").pivot(index="epoch", columns="controller", values="acc")
    ahead = 100 * (earned["learning"] - earned["frozen"])
    third = max(1, len(ahead) // 3)
    return float(ahead.iloc[-third:].mean())


@check("C-SN4a", "S-DARTS2 S-SNAS-mild")
def initial_entropy(darts: Record, snas: Record) -> float:
    """Largest distance of an edge's entropy from ln K before the first step, in nats."""
    distances = []
    for record in (darts, snas):
        uniform = math.log(len(settings(record).network.candidates))
        at_the_start = record.array("arch_entropy")[0]
        distances.append(np.abs(at_the_start - uniform).max())
    return float(np.max(distances))


@check("C-SN4b", "S-DARTS2 S-SNAS-mild", null=EXCHANGED)
def entropy_difference(darts: Record, snas: Record) -> float:
    """Mean edge entropy of DARTS minus that of SNAS at the end, in nats."""
    return float(mean_entropy(darts)[-1] - mean_entropy(snas)[-1])


@check("C-SN4c", "S-SNAS-mild", null=EPOCHS)
def entropy_trend(snas: Record) -> float:
    """Rank correlation of the mean edge entropy of SNAS with the epoch."""
    return rank_correlation(mean_entropy(snas))


@check("C-SN4d", "S-DARTS2", null=OPERATIONS)
def skips_beyond_chance(darts: Record) -> float:
    """Share of skip connections among the edges that the rule of DARTS selects at the end, minus 1/7."""
    real = [op for op in settings(darts).network.candidates if op != "none"]
    share = operation_share(darts, "skip_connect", "darts")[-1]
    return float(share - 1 / len(real))


@check("C-SN4e", "S-DARTS2 S-SNAS-mild", null=EXCHANGED)
def skips_of_darts_beyond_snas(darts: Record, snas: Record) -> float:
    """Share of skip connections in the cells of DARTS minus that in the cells of SNAS, at the end."""
    of_darts = operation_share(darts, "skip_connect", "darts")[-1]
    of_snas = operation_share(snas, "skip_connect", "argmax")[-1]
    return float(of_darts - of_snas)


@check("C-SNT1r", "")
def printed_gaps() -> float:
    """Largest deviation of the printed gaps from 33.01 and -2.13 points."""
    table = printed("snas_table1")
    gaps = table.search_valid_acc_pct - table.child_net_valid_acc_pct
    return float(np.abs(gaps.to_numpy() - [33.01, -2.13]).max())


@check("C-SNT1a", "S-DARTS2 S-SNAS-mild", null=EXCHANGED)
def gap_difference(darts: Record, snas: Record) -> float:
    """Gap of DARTS minus gap of SNAS, in points."""
    return gap(darts, "child (darts)") - gap(snas, "child (argmax)")


def darts_gap(darts: Record) -> float:
    """Absolute gap of DARTS, in points."""
    return abs(gap(darts, "child (darts)"))


@check("C-SNT1b", "S-SNAS-mild", null=Control("the gap of DARTS", "S-DARTS2", darts_gap))
def snas_gap(snas: Record) -> float:
    """Absolute gap of SNAS, in points."""
    return abs(gap(snas, "child (argmax)"))


@check("C-SNT1c", "S-SNAS-mild S-DARTS2", null=EXCHANGED)
def child_difference(snas: Record, darts: Record) -> float:
    """Test accuracy of the child of SNAS minus that of the child of DARTS, without retraining, in points."""
    of_snas = final_accuracy(snas, "child (argmax)")
    of_darts = final_accuracy(darts, "child (darts)")
    return 100 * (of_snas - of_darts)
