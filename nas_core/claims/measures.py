"""Quantities that several claims share, each of one record."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from nas_core.cells.topology import Topology
from nas_core.runs import Record
from nas_core.trainers.search_settings import SearchConfig


def settings(record: Record) -> SearchConfig:
    """The settings of the search that a record is of."""
    assert isinstance(record.config, SearchConfig), f"{record.config.run} is no search"
    return record.config


def topology(record: Record) -> Topology:
    """The cell's graph."""
    return settings(record).network.topology()


def none_index(record: Record) -> int:
    """Position of ``none`` among the candidates."""
    return settings(record).network.candidates.index("none")


def normal_prob(record: Record) -> np.ndarray:
    """Probabilities of the normal cell, (epochs + 1, edges, ops)."""
    return record.array("prob")[:, 0]


def none_prob(record: Record) -> np.ndarray:
    """P(none) in the normal cell, (epochs + 1, edges)."""
    return normal_prob(record)[..., none_index(record)]


def dropped(record: Record) -> np.ndarray:
    """Whether the argmax of an edge is none, (epochs + 1, edges)."""
    return normal_prob(record).argmax(-1) == none_index(record)


def share_dropped(record: Record, edges: str = "all") -> np.ndarray:
    """D: share of dropped edges among ``all``, ``input`` or ``intermediate`` ones, (epochs + 1,)."""
    graph = topology(record)
    groups = {
        "all": range(len(graph.edges)),
        "input": graph.input_edges,
        "intermediate": graph.intermediate_edges,
    }
    return dropped(record)[:, list(groups[edges])].mean(1)


def first_third(epochs: int) -> slice:
    """Epochs 1 to T/3 of an array over epochs + 1; the start, where 1 in 8 edges is dropped by chance, is left out."""
    return slice(1, 1 + max(1, epochs // 3))


def rank_correlation(values: np.ndarray) -> float:
    """Spearman's rank correlation of a series, (epochs,), with time; 0 for a constant one."""
    if np.ptp(values) == 0:
        return 0.0
    return float(stats.spearmanr(np.arange(len(values)), values).statistic)


def accuracies(record: Record, network: str, split: str, statistics: str = "as trained") -> np.ndarray:
    """Accuracy by epoch, (epochs,), a share, of ``supernet``, ``child (argmax)`` or ``child (darts)``."""
    table = record.table("accuracy")
    wanted = (table.network == network) & (table.split == split) & (table.statistics == statistics)
    rows = table[wanted]
    return rows.sort_values("epoch").acc.to_numpy()


def median_seed(values: Sequence[float]) -> int:
    """Index of the seed whose value is closest to the median of ``values``, (seeds,); of several the first."""
    distance = np.abs(np.asarray(values, dtype=float) - np.nanmedian(values))
    return int(np.nanargmin(distance))


def turning_epoch(series: np.ndarray) -> float:
    """The epoch, 1, 2, ..., from which on a series by epoch, (epochs,), stays below zero; nan if it ends above."""
    last = np.flatnonzero(series >= 0).max(initial=-1)
    return float("nan") if last == len(series) - 1 else float(last + 2)
