"""Claims on detectors (MixPath, Table 3)."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from nas_core.claims.check import check
from nas_core.claims.nulls import Outcome, Sample
from nas_core.claims.seeds import estimate
from nas_core.runs import Record

RUNS = "M-DETv3 M-DETmn M-DETch"
POINTS = 100  # of a share


def precision(record: Record, answer: str, column: str = "AP50") -> float:
    """A number of the table of precisions, a share; ``answer``: trained, untrained or constant boxes."""
    of_answer = record.table("precision").set_index("answer")[column]
    return float(of_answer[answer])


def margin(record: Record, answer: str) -> float:
    """AP50 of an answer minus the larger one of the untrained detector's and the constant boxes', in points."""
    baseline = max(precision(record, "untrained"), precision(record, "constant boxes"))
    return POINTS * (precision(record, answer) - baseline)


@dataclass(frozen=True)
class Untrained:
    """The same detectors before their first step; they and the trained ones are exchanged at random within a seed."""

    words: str = "the same detectors untrained"
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """Their own margins; the p-value is that of all exchanges."""
        before = [
            min(margin(record, "untrained") for record in of_seed) for of_seed in zip(*sample.of_runs, strict=True)
        ]
        gains = sample.values - np.array(before)
        if len(gains) < 2:
            return None
        found = stats.permutation_test(
            (gains,), np.mean, permutation_type="samples", alternative="greater", rng=np.random.default_rng(0)
        )
        return Outcome(estimate(np.array(before), sample.statistic), float(found.pvalue))


@check("C-MT3b", RUNS, null=Untrained())
def smallest_margin(*records: Record) -> float:
    """The smallest margin that training brings, over the backbones, in points of AP50."""
    return min(margin(record, "trained") for record in records)
