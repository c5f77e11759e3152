"""Placements of MixPath's shadow norm: what the claims measure, on records made by hand."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_mixpath_cells import TRUTH, lengths, scored

from nas_core.claims import evaluate

SEEDS = range(5)
RUNS = ("M-S4p", "M-S4sump", "M-S4uncalledp")


def swapped(count: int, seed: int) -> np.ndarray:
    """The ground truth as scores, ``count`` neighbours of which are exchanged: each costs 2/561 of Kendall's tau."""
    values = TRUTH.copy()
    first = 2 * np.random.default_rng(seed).permutation(len(TRUTH) // 2)[:count]
    values[first], values[first + 1] = TRUTH[first + 1], TRUTH[first]
    return values


def tau_of(values: np.ndarray) -> float:
    return float(stats.kendalltau(values, TRUTH).statistic)


def records(trained: tuple[Any, ...], new: tuple[Any, ...] = (TRUTH,) * 3, runs: tuple[str, ...] = RUNS) -> Any:
    """Of every run and seed the scores as trained and recalibrated, alike for all seeds but for one exchange."""
    found = {}
    for run, before, after in zip(runs, trained, new, strict=True):
        found[run] = [scored(run, seed, trained=before, new=after) for seed in SEEDS]
    return found


def test_a_norm_that_is_called_must_rank_better_in_both_places() -> None:
    holds: Any = evaluate("C-SM1a", records((TRUTH, swapped(5, 0), -TRUTH)))
    assert holds.verdict == "holds"
    assert holds.value == pytest.approx(tau_of(swapped(5, 0)) + 1)
    assert holds.null.value < holds.value
    assert not holds.null.reaches
    fails: Any = evaluate("C-SM1a", records((TRUTH, -TRUTH, swapped(5, 0))))
    assert fails.verdict == "fails"
    assert fails.value == pytest.approx(-1 - tau_of(swapped(5, 0)))


def test_both_places_rank_alike_within_a_tenth_and_one_norm_instead_does_not() -> None:
    after_sum = (swapped(8, 0), TRUTH)
    judged: Any = evaluate(
        "C-SM1b",
        records((TRUTH, after_sum[0], -TRUTH)) | records((-TRUTH,), (TRUTH,), ("M-S4bnp",)),
    )
    assert judged.verdict == "holds"
    assert judged.value == pytest.approx(1 - tau_of(after_sum[0]))
    assert judged.null.value == pytest.approx(2)
    assert not judged.null.meets
    assert judged.p_value == pytest.approx(1 / 32)
    lacking = records((TRUTH, after_sum[0], -TRUTH)) | records((-TRUTH,), (TRUTH,), ("M-S4bnp",))
    lacking["M-S4bnp"].pop()
    assert evaluate("C-SM1b", lacking).null is None  # a seed of what the null needs is not there
    worse: Any = evaluate("C-SM1b", records((swapped(16, 0), -TRUTH, TRUTH)))
    assert worse.verdict == "fails"
    assert worse.null is None  # the run that the null needs is not there


def test_recalibrated_the_placements_are_compared_with_themselves_as_trained() -> None:
    judged: Any = evaluate("C-SM1c", records((TRUTH, -TRUTH, TRUTH), (TRUTH, swapped(5, 0), swapped(8, 0))))
    assert judged.verdict == "holds"
    assert judged.value == pytest.approx(1 - tau_of(swapped(8, 0)))
    assert judged.null.value == pytest.approx(2)
    apart: Any = evaluate("C-SM1c", records((TRUTH,) * 3, (TRUTH, TRUTH, -TRUTH)))
    assert apart.verdict == "fails"
    assert apart.null.value == 0


@pytest.mark.parametrize(
    ("projection", "after_sum", "verdict"), [(1.1, 1.3, "holds"), (1.1, 4.0, "fails"), (4.0, 1.1, "fails")]
)
def test_lengths_are_even_only_if_both_places_are_evener(projection: float, after_sum: float, verdict: str) -> None:
    largest = dict(zip(RUNS, (projection, after_sum, 2.0), strict=True))
    of_runs: Any = {}
    for run, value in largest.items():
        grown = lengths((1.0, 1.0, 1.0, value))
        of_runs[run] = [scored(run, seed, gram_after=grown) for seed in SEEDS]
    judged: Any = evaluate("C-SM1d", of_runs)
    assert judged.verdict == verdict
    assert judged.value == pytest.approx(max(projection, after_sum) / 2)
