"""Registration and evaluation of checks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from nas_core.experiments import PROFILES
from nas_core.claims.verdict import Verdict
from nas_core.errors import choose
from nas_core.papers import COMPARISONS, claims
from nas_core.runs import Record

Measure = Callable[..., float]
Records = Mapping[str, Sequence[Record]]  # run id -> one record a seed
Measured = Mapping[str, float | Sequence[float]]  # claim -> the number, or one number a seed


@dataclass(frozen=True)
class Check:
    """``measure`` gives the number that is compared with the claim's bound, for one seed: one record per run id."""

    measure: Measure
    runs: tuple[str, ...]


CHECKS: dict[str, Check] = {}


def check(claim: str, runs: str) -> Callable[[Measure], Measure]:
    """Register the measure of ``claim``; ``runs`` are the catalogue runs whose records it takes, in this order.

    A claim that needs no run is measured where it is shown: the notebook hands the number to ``Session.save``.
    """

    def register(measure: Measure) -> Measure:
        CHECKS[claim] = Check(measure, tuple(runs.split()))
        return measure

    return register


def per_seed(claim: str, *records: Sequence[Record]) -> np.ndarray:
    """The measured number of every seed, from one list of records per run; also of runs other than the claim's own."""
    measure = CHECKS[choose("claim with a check", claim, CHECKS)].measure
    return np.array([measure(*of_seed) for of_seed in zip(*records, strict=True)], dtype=float)


def holds(claim: str, value: float) -> bool:
    """Whether a number meets the bound that claims.csv gives to ``claim``; nan never does."""
    row = claims().to_dict("index")[choose("claim", claim, claims().index)]
    return COMPARISONS[row["comparison"]](value, row["bound"])


def evaluate(claim: str, records: Records, measured: Measured | None = None) -> Verdict:
    """The verdict on ``claim``, whatever it is; ``measured`` has the numbers that were measured without any run.

    An exact claim (X) must hold for every seed. A statistical one (S) must hold for the mean over seeds and for more
    than half of them; below the smallest profile that its row in claims.csv names it is not judged. A claim without a
    check, or without its records, is not run.
    """
    row = claims().loc[choose("claim", claim, claims().index)]
    if row.grade == "R":
        return Verdict(claim, "reference")
    runs, given = CHECKS[claim].runs if claim in CHECKS else (), measured or {}
    if claim not in CHECKS and claim not in given:
        return Verdict(claim, "not run", note="no check yet")
    if missing := [run for run in runs if not records.get(run)]:
        return Verdict(claim, "not run", note=f"needs {', '.join(missing)}")
    of_runs = [records[run] for run in runs]
    if claim in given:
        values = np.atleast_1d(np.asarray(given[claim], dtype=float))
    else:
        values = per_seed(claim, *of_runs) if of_runs else np.array([CHECKS[claim].measure()])
    threshold = f"{row.comparison} {row.bound:g}"
    seeds = tuple(record.config.seed for record in of_runs[0]) if of_runs else ()
    mean, met = float(values.mean()), [holds(claim, v) for v in values]
    profile = of_runs[0][0].config.profile if of_runs else PROFILES[-1]
    if PROFILES.index(profile) < PROFILES.index(row.profile):
        return Verdict(claim, "not at this scale", mean, threshold, seeds, note=f"applies from {row.profile} on")
    good = all(met) if row.grade == "X" else holds(claim, mean) and sum(met) > len(met) / 2
    note = f"{sum(met)} of {len(met)} seeds" if len(met) > 1 else "single seed" if seeds else ""
    return Verdict(claim, "holds" if good else "fails", mean, threshold, seeds, _interval(values), note)


def _interval(values: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean over seeds (Student's t)."""
    if len(values) < 2 or np.ptp(values) == 0 or np.isnan(values).any():
        return None
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return float(low), float(high)
