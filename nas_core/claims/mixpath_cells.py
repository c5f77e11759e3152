"""Claims of MixPath on the reduced NAS-Bench-101 (space S4): what a supernet picks, how it ranks, what its norms do.

The ground truth of a cell is the mean test accuracy of networks of it alone, over the seeds of these, so it is the same
for all seeds of the searches; the intervals are those of the searches. A supernet's score is the accuracy of the cell
inside it on validation images, which no network of the ground truth was measured on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nas_core.claims.check import check
from nas_core.claims.nulls import DRAWS, Control, Exchanged, Outcome, Sample, summary
from nas_core.claims.seeds import estimate
from nas_core.runs import Record

NEAR = 0.5  # points of accuracy from the best cell
EVEN = 1.2  # ratio of feature norms
PICKING, RANKING = "recalibrated", "as trained"


def ranking(record: Record, statistics: str) -> pd.DataFrame:
    """One row a cell: ``score`` inside the supernet and ``truth`` alone, in points, beside ``paths`` and ``madds``."""
    scores = record.table("scores")
    of_statistics = scores[scores["statistics"] == statistics].set_index("cell")
    table = record.table("truth").set_index("cell")
    return table.assign(score=100 * of_statistics["acc"], truth=100 * table["acc_test"])


def tau(record: Record, statistics: str) -> float:
    """Kendall's tau-b of scores and ground truth over the 34 cells; 0 where all scores are equal."""
    table = ranking(record, statistics)
    found = stats.kendalltau(table["score"], table["truth"]).statistic
    return 0.0 if np.isnan(found) else float(found)


def picked(record: Record, statistics: str = PICKING) -> str:
    """The cell with the best score in the supernet; of equal ones the first, which has fewer paths."""
    return str(ranking(record, statistics)["score"].idxmax())


def derived(record: Record, rule: str = "argmax") -> str:
    """The cell that DARTS ends with."""
    table = record.table("derived").set_index("rule")
    return str(table.loc[rule, "cell"])


def score_of_picks(truth: pd.Series, ours: str, theirs: str) -> float:
    """The smaller of 0.5 minus the distance of ``ours`` to the best cell, and its lead over ``theirs``, points."""
    distance = truth.max() - truth[ours]
    return float(min(NEAR - distance, truth[ours] - truth[theirs]))


@dataclass(frozen=True)
class AnyCell:
    """A cell drawn at random takes the place of MixPath's, :data:`DRAWS` times."""

    words: str = "a random cell in the place of MixPath's"
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The mean over draws of the estimate over seeds."""
        rng = np.random.default_rng(0)
        of_seeds = []
        for scored, searched in zip(*sample.of_runs, strict=True):
            truth = ranking(scored, PICKING)["truth"]
            other = derived(searched)
            of_seeds.append([score_of_picks(truth, cell, other) for cell in truth.index])
        drawn = []
        for _ in range(DRAWS):
            numbers = [rng.choice(values) for values in of_seeds]
            drawn.append(estimate(np.array(numbers), sample.statistic))
        return summary(np.array(drawn), sample)


@check("C-MT2a", "M-S4p M-S4DARTS", null=AnyCell())
def picks_well(scored: Record, searched: Record) -> float:
    """The smaller of 0.5 minus the distance of MixPath's cell to the best, and its lead over DARTS's cell, points.

    MixPath's cell is the best one by score with recalibrated statistics, as Algorithm 1 recommends.
    """
    return score_of_picks(ranking(scored, PICKING)["truth"], picked(scored), derived(searched))


@check("C-MT2b", "M-S4p M-S4bnp", null=Exchanged("the two supernets exchanged"))
def ranks_better(shadow: Record, plain: Record) -> float:
    """Kendall's tau with shadow batch norms minus that with one batch norm, statistics as trained.

    As trained, since recalibration replaces the very statistics that the two supernets differ in.
    """
    return tau(shadow, RANKING) - tau(plain, RANKING)


# ------------------------------------------------------------------------------------------------ features, MP-F6


def gram(record: Record, stage: str, prefix: str = "") -> np.ndarray:
    """Inner products of the features of the first cell, (vectors, vectors): ``stage`` is paths, before or after."""
    return record.array(f"{prefix}gram_{stage}")[0]


def cosines(products: np.ndarray) -> np.ndarray:
    """Cosine similarities from inner products, (vectors, vectors); 0 where a feature is zero everywhere."""
    lengths = np.sqrt(np.diag(products))
    scale = np.outer(lengths, lengths)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def likeness(record: Record, stage: str = "before", prefix: str = "") -> tuple[float, float]:
    """Mean cosine of single paths of different operations, and of single paths and sums of several."""
    features = record.table("features")
    found = cosines(gram(record, stage, prefix))
    single = features["paths"].to_numpy() == 1
    names = features["operations"].to_numpy()
    different = names[:, None] != names[None, :]
    both = np.outer(single, single) & different
    mixed = np.outer(single, ~single)
    return float(found[both].mean()), float(found[mixed].mean())


def alike_before_training(record: Record) -> float:
    """The same number of the supernet before its training."""
    return min(likeness(record, prefix="untrained_"))


@check("C-MF6a", "M-S4p", null=Control("the supernet before its training", "M-S4p", alike_before_training))
def features_alike(record: Record) -> float:
    """The smaller of the mean cosines of different operations and of single paths and sums, before the norm."""
    return min(likeness(record))


def norms_by_count(record: Record, stage: str) -> np.ndarray:
    """Mean length of the features by number of paths, (4,)."""
    lengths = np.sqrt(np.diag(gram(record, stage)))
    paths = record.table("features")["paths"].to_numpy()
    return np.array([lengths[paths == n].mean() for n in np.unique(paths)])


def unevenness(record: Record, stage: str = "after") -> float:
    """The largest mean length over the smallest one, by number of paths."""
    found = norms_by_count(record, stage)
    return float(found.max() / found.min())


def itself(record: Record) -> float:
    """The measure where the supernet with one batch norm stands in both places."""
    return unevenness(record) / min(EVEN, unevenness(record))


@check("C-MF6b", "M-S4p M-S4bnp", null=Control("one batch norm in both places", "M-S4bnp", itself))
def norms_even(shadow: Record, plain: Record) -> float:
    """The ratio of norms after shadow batch norm over the smaller of 1.2 and that after one batch norm."""
    return unevenness(shadow) / min(EVEN, unevenness(plain))
