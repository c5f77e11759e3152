"""Registration and evaluation of checks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from nas_core import plugins
from nas_core.claims.verdict import Verdict
from nas_core.errors import choose
from nas_core.experiments import PROFILES
from nas_core.papers import COMPARISONS, claims
from nas_core.registry import Registry
from nas_core.runs import Record

Measure = Callable[..., float]
Records = Mapping[str, Sequence[Record]]  # run id -> one record a seed
Measured = Mapping[str, float | Sequence[float]]  # claim -> the number, or one number a seed


@dataclass(frozen=True)
class Check:
    """``measure`` gives the number that is compared with the claim's bound, for one seed: one record per run id."""

    measure: Measure
    runs: tuple[str, ...]


CHECKS: Registry[Check] = Registry("check of a claim", {})


def check(claim: str, runs: str) -> Callable[[Measure], Measure]:
    """Register the measure of ``claim``; ``runs`` are the named runs whose records it takes, in this order.

    A plugin uses it as the package does, and registers what the claim says in :data:`nas_core.papers.CLAIMS`.
    A claim that needs no run is measured where it is shown: the notebook hands the number to ``Session.save``.
    """

    def register(measure: Measure) -> Measure:
        found = Check(measure, tuple(runs.split()))
        ours = measure.__module__.startswith("nas_core.")  # imported by a plugin, perhaps
        if plugins.loading() and not ours:
            CHECKS.register(claim, found)
        else:
            CHECKS[claim] = found
        return measure

    return register


def per_seed(claim: str, *records: Sequence[Record]) -> np.ndarray:
    """The measured number of every seed, (seeds,), from one list of records per run.

    The runs may be other ones than the claim's own. Raises :class:`UserError` for a claim without a check.
    """
    measure = CHECKS[choose("claim with a check", claim, CHECKS)].measure
    numbers = [measure(*of_seed) for of_seed in zip(*records, strict=True)]
    return np.array(numbers, dtype=float)


def holds(claim: str, value: float) -> bool:
    """Whether a number meets the bound that claims.csv gives to ``claim``; nan never does."""
    row = _row(claim)
    return COMPARISONS[row["comparison"]](value, row["bound"])


def evaluate(claim: str, records: Records, measured: Measured | None = None) -> Verdict:
    """The verdict on ``claim``, whatever it is; ``measured`` has the numbers that were measured without any run.

    An exact claim (X) must hold for every seed. A statistical one (S) must hold for the mean over seeds and for more
    than half of them; below the smallest profile that its row in claims.csv names it is not judged. A claim without a
    check, or without its records, is not run. Raises :class:`UserError` for an unknown claim.
    """
    measured = measured or {}
    if _row(claim)["grade"] == "R":
        return Verdict(claim, "reference")
    if claim not in CHECKS and claim not in measured:
        return Verdict(claim, "not run", note="no check yet")
    runs = CHECKS[claim].runs if claim in CHECKS else ()
    missing = [run for run in runs if not records.get(run)]
    if missing:
        return Verdict(claim, "not run", note=f"needs {', '.join(missing)}")
    of_runs = [records[run] for run in runs]
    if claim in measured:
        values = np.atleast_1d(np.asarray(measured[claim], dtype=float))
    elif of_runs:
        values = per_seed(claim, *of_runs)
    else:
        values = np.array([CHECKS[claim].measure()])
    return _judge(claim, values, of_runs[0] if of_runs else ())


def _row(claim: str) -> dict[str, Any]:
    """What claims.csv says about ``claim``."""
    table = claims()
    return dict(table.loc[choose("claim", claim, table.index)])


def _judge(claim: str, values: np.ndarray, records: Sequence[Record]) -> Verdict:
    """The verdict from the number of every seed, (seeds,); ``records`` are those of one run, if one was needed."""
    row = _row(claim)
    threshold = f"{row['comparison']} {row['bound']:g}"
    seeds = tuple(record.config.seed for record in records)
    mean = float(values.mean())
    profile = records[0].config.profile if records else PROFILES[-1]
    if PROFILES.index(profile) < PROFILES.index(row["profile"]):
        note = f"applies from {row['profile']} on"
        return Verdict(claim, "not at this scale", mean, threshold, seeds, note=note)
    met = [holds(claim, value) for value in values]
    good = holds(claim, mean) and sum(met) > len(met) / 2
    if row["grade"] == "X":
        good = all(met)
    note = ""
    if len(met) > 1:
        note = f"{sum(met)} of {len(met)} seeds"
    elif seeds:
        note = "single seed"
    verdict = "holds" if good else "fails"
    return Verdict(claim, verdict, mean, threshold, seeds, _interval(values), note)


def _interval(values: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean of ``values``, (seeds,), by Student's t; none for one seed, equal ones and nan."""
    if len(values) < 2 or np.ptp(values) == 0 or np.isnan(values).any():
        return None
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return float(low), float(high)
