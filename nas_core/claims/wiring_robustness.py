"""Claims of the study of robustness: where P1, P2, P3 show, how they follow the weights' rate, what foretells P1.

The patterns are judged by the bounds of the paper's own claims, so that nothing is chosen here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from nas_core.claims.check import check
from nas_core.claims.measures import none_index, settings
from nas_core.claims.nulls import DRAWS, EDGES, OPERATIONS, Exchanged, Outcome, Relabelled, Sample, summary
from nas_core.claims.seeds import estimate
from nas_core.claims.wiring import dropped_at_the_end, most_dropped_early, recovered, width_preference
from nas_core.experiments.wiring_robustness import (
    BI_LEVEL_DOSE,
    NAMED_BY_THE_PAPER,
    SINGLE_LEVEL_DOSE,
    SNAS_DOSE,
    SNAS_TEMPERATURE,
    VARIATIONS,
)
from nas_core.papers import COMPARISONS, claims
from nas_core.runs import Record

ALL = " ".join(f"{each.single_level} {each.bi_level}" for each in VARIATIONS)
SINGLE_LEVEL = " ".join(each.single_level for each in VARIATIONS)
BI_LEVEL = " ".join(each.bi_level for each in VARIATIONS)
OF_THE_PAPER = " ".join(f"{each.single_level} {each.bi_level}" for each in NAMED_BY_THE_PAPER)
ONE_LEVEL = " ".join([SINGLE_LEVEL, *SNAS_DOSE.values(), *SNAS_TEMPERATURE])
Scores = Callable[..., tuple[np.ndarray, np.ndarray]]  # of the records of a seed: what foretells, and the outcome


# ---------------------------------------------------------------------------------------------------- the map


@cache
def bound(claim: str) -> tuple[str, float]:
    """The comparison and the bound of a claim, read once: nulls ask for them many thousand times."""
    row = claims().loc[claim]
    return str(row["comparison"]), float(str(row["bound"]))


def holds(claim: str, value: float) -> bool:
    """Whether a number meets the bound of a claim."""
    comparison, limit = bound(claim)
    return bool(COMPARISONS[comparison](value, limit))


def shows_p1(record: Record) -> bool:
    """Whether most edges are dropped in the first third, and fewer at the end: the bounds of C-W11a and C-W11b."""
    return holds("C-W11a", most_dropped_early(record)) and holds("C-W11b", recovered(record))


def shows_p2(record: Record) -> bool:
    """Whether intermediate edges are dropped more often than input edges at the end: the bound of C-W11c."""
    return holds("C-W11c", width_preference(record))


def shows_p3(record: Record) -> bool:
    """Whether none wins on every edge at the end: the bound of C-W13a."""
    return holds("C-W13a", dropped_at_the_end(record))


@check("C-WPrb", OF_THE_PAPER, null=OPERATIONS)
def all_patterns_show(*records: Record) -> float:
    """Share of variations in which P1 and P2 show in the run of DSNAS and P3 in that of DARTS; both, one by one."""
    shown = []
    for single_level, bi_level in zip(records[::2], records[1::2], strict=True):
        shown.append(shows_p1(single_level) and shows_p2(single_level) and shows_p3(bi_level))
    return float(np.mean(shown))


@check("C-SP1a", SINGLE_LEVEL, null=OPERATIONS)
def share_with_p1(*records: Record) -> float:
    """Share of the settings in which P1 shows."""
    return float(np.mean([shows_p1(record) for record in records]))


@check("C-SP1b", SINGLE_LEVEL, null=EDGES)
def share_with_p2(*records: Record) -> float:
    """Share of the settings in which P2 shows."""
    return float(np.mean([shows_p2(record) for record in records]))


@check("C-SP1c", BI_LEVEL, null=OPERATIONS)
def share_with_p3(*records: Record) -> float:
    """Share of the settings in which P3 shows."""
    return float(np.mean([shows_p3(record) for record in records]))


# ---------------------------------------------------------------------------------------------------- the dose

def rank_correlation_with_order(values: Sequence[float] | np.ndarray) -> float:
    """Spearman's rank correlation with 0, 1, 2, ...; 0 where nothing varies."""
    if np.ptp(values) == 0:
        return 0.0
    order = np.arange(len(values))
    return float(stats.spearmanr(order, values).statistic)


def early_cost(record: Record) -> float:
    """C = L - H in nats on the images that the logits learn from, mean over the first third of the epochs."""
    config = settings(record)
    split = "search" if config.method.levels == "bi-level" else "train"
    table = record.table("losses")
    last = max(1, config.epochs // 3)
    of_split = table[(table.split == split) & (table.group == "all")]
    early = of_split[of_split.epoch <= last]
    return float(early.C.mean())


def rates_reassigned(number: Callable[[Record], float]) -> Relabelled:
    """Null: which rate a record belongs to means nothing."""
    return Relabelled("learning rates reassigned", number, rank_correlation_with_order)


@check("C-SP2a", " ".join(SNAS_DOSE.values()), null=rates_reassigned(most_dropped_early))
@check("C-SP2b", " ".join(SINGLE_LEVEL_DOSE.values()), null=rates_reassigned(most_dropped_early))
@check("C-SP2c", " ".join(BI_LEVEL_DOSE.values()), null=rates_reassigned(most_dropped_early))
def dropped_early_by_rate(*records: Record) -> float:
    """Rank correlation of the largest share dropped early with the learning rate of the weights, lowest first."""
    return rank_correlation_with_order([most_dropped_early(record) for record in records])


@check("C-SP2d", " ".join(SNAS_DOSE.values()), null=rates_reassigned(early_cost))
@check("C-SP2e", " ".join(SINGLE_LEVEL_DOSE.values()), null=rates_reassigned(early_cost))
def overconfidence_by_rate(*records: Record) -> float:
    """Rank correlation of the early cost with the learning rate of the weights, lowest first."""
    return rank_correlation_with_order([early_cost(record) for record in records])


# ---------------------------------------------------------------------------------------------------- what foretells P1


def clearness(record: Record) -> float:
    """How clearly costs are positive in the first third: sqrt(N) x mean / rms, in N steps, mean over edges.

    The costs are those of operations other than none. Adam moves a logit by about its learning rate times mean over
    rms of its gradient a step, so that this number times rate times sqrt(N) is how far none gets ahead.
    """
    config = settings(record)
    epochs = max(1, config.epochs // 3)
    steps = epochs * config.steps_per_epoch
    total = _over_others(record, "cost_sum", epochs)
    square = _over_others(record, "cost_sq", epochs)
    count = _over_others(record, "cost_n", epochs)
    mean = ratio(total, count).sum(0)  # over cells, which share the logits
    rms = np.sqrt(ratio(square, count).sum(0))
    return float(np.sqrt(steps) * ratio(mean, rms).mean())


def _over_others(record: Record, name: str, epochs: int) -> np.ndarray:
    """The sum of an array over the first ``epochs`` and all operations but none, (normal cells, edges)."""
    candidates = settings(record).network.candidates
    others = [k for k in range(len(candidates)) if k != none_index(record)]
    early = record.array(name)[:epochs]
    of_normal_cells = early[:, _normal_cells(record)]
    return of_normal_cells[..., others].sum((0, 3))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The quotients; 0 where nothing was drawn or nothing cost anything."""
    zero = np.zeros_like(above)
    return np.divide(above, below, out=zero, where=below > 0)


def _normal_cells(record: Record) -> list[int]:
    """The layers that are normal cells."""
    network = settings(record).network
    layers = list(range(network.layers))
    if not network.reductions:
        return layers
    reducing = {network.layers // 3, 2 * network.layers // 3}
    return [layer for layer in layers if layer not in reducing]


def collapses(record: Record) -> bool:
    """Whether at least 80 percent of the edges are dropped at an epoch of the first third: the bound of C-W11a."""
    return holds("C-W11a", most_dropped_early(record))


def clear_and_collapsed(*records: Record) -> tuple[np.ndarray, np.ndarray]:
    """Of every run, how clearly its costs are positive and whether its edges collapse."""
    clear = [clearness(record) for record in records]
    collapsed = [collapses(record) for record in records]
    return np.array(clear), np.array(collapsed)


def told_apart(scores: np.ndarray, outcomes: np.ndarray) -> float:
    """Area under the ROC curve: how often a run with the outcome scores above one without; nan if all are alike."""
    if outcomes.all() or not outcomes.any():
        return float("nan")
    having, lacking = scores[outcomes], scores[~outcomes]
    above = stats.mannwhitneyu(having, lacking).statistic
    pairs = len(having) * len(lacking)
    return float(above / pairs)


@dataclass(frozen=True)
class Mispaired:
    """What foretells and the outcome from different runs of a seed."""

    words: str
    scores: Scores
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The mean over draws of the estimate over seeds."""
        rng = np.random.default_rng(0)
        by_seed = zip(*sample.of_runs, strict=True)
        found = [self.scores(*of_seed) for of_seed in by_seed]
        drawn = []
        for _ in range(DRAWS):
            numbers = [told_apart(rng.permutation(scores), outcomes) for scores, outcomes in found]
            drawn.append(estimate(np.array(numbers), sample.statistic))
        return summary(np.array(drawn), sample)


@check("C-SP3a", ONE_LEVEL, null=Mispaired("runs mispaired", clear_and_collapsed))
def foretold_by_clearness(*records: Record) -> float:
    """How well clearly positive costs tell runs that collapse from those that do not."""
    return told_apart(*clear_and_collapsed(*records))


@check("C-SP3b", ONE_LEVEL, null=Exchanged("the two measures exchanged"))
def better_than_size(*records: Record) -> float:
    """The same minus how well the size of the early cost tells them apart."""
    clear, outcomes = clear_and_collapsed(*records)
    sizes = np.array([early_cost(record) for record in records])
    return told_apart(clear, outcomes) - told_apart(sizes, outcomes)
