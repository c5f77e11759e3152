"""Registration of checks, and verdicts: what the numbers of all seeds say about a claim.

A statistical claim holds, or fails, where its 95 % interval lies on one side of the bound, and is inconclusive where
the interval contains it (see :mod:`nas_core.claims.seeds`). Seeds that have no number (nan: there was nothing to
measure) are left out; with fewer than five others the claim is inconclusive. Equal seeds have no interval: they meet
the bound or they do not. An exact claim must hold for every seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nas_core import plugins
from nas_core.claims.nulls import Measure, NullModel, Sample
from nas_core.claims.seeds import ENOUGH, estimate, interval, resampled
from nas_core.claims.verdict import Null, Verdict
from nas_core.errors import choose
from nas_core.experiments import PROFILES
from nas_core.papers import COMPARISONS, claims
from nas_core.registry import Registry
from nas_core.runs import Record

Records = Mapping[str, Sequence[Record]]  # run id -> one record a seed
Measured = Mapping[str, float | Sequence[float]]  # claim -> the number, or one number a seed


@dataclass(frozen=True)
class Check:
    """``measure`` gives the number that is compared with the claim's bound, for one seed: one record per run id."""

    measure: Measure
    runs: tuple[str, ...]
    null: NullModel | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """The runs of the claim and those of its null."""
        further = self.null.runs if self.null else ()
        return tuple(dict.fromkeys([*self.runs, *further]))


CHECKS: Registry[Check] = Registry("check of a claim", {})
NULLS: dict[str, NullModel] = {}  # of claims that are measured without runs; those of the others are in their checks
DECIMALS = 12  # beyond which estimates are round-off
REJECTED = 0.05  # the p-value below which the runs are told apart from the null


def check(claim: str, runs: str, *, null: NullModel | None = None) -> Callable[[Measure], Measure]:
    """Register the measure of ``claim``; ``runs`` are the named runs whose records it takes, in this order.

    ``null``: what the same number would be without the claim's cause; every statistical claim of the papers has one.
    A plugin uses it as the package does, and registers what the claim says in :data:`nas_core.papers.CLAIMS`.
    A claim that needs no run is measured where it is shown: the notebook hands the number to ``Session.save``.
    """

    def register(measure: Measure) -> Measure:
        found = Check(measure, tuple(runs.split()), null)
        ours = measure.__module__.startswith("nas_core.")  # imported by a plugin, perhaps
        if plugins.loading() and not ours:
            CHECKS.register(claim, found)
        else:
            CHECKS[claim] = found
        return measure

    return register


def per_seed(claim: str, *records: Sequence[Record]) -> np.ndarray:
    """The measured number of every seed, (seeds,), from one list of records per run.

    The runs may be other ones than the claim's own; of several runs the seeds that all have count. Raises
    :class:`UserError` for a claim without a check.
    """
    measure = CHECKS[choose("claim with a check", claim, CHECKS)].measure
    numbers = [measure(*of_seed) for of_seed in zip(*paired(records), strict=True)]
    return np.array(numbers, dtype=float)


def paired(of_runs: Sequence[Sequence[Record]]) -> list[list[Record]]:
    """The records of several runs seed by seed: of the seeds that all runs have, in the order of the first run."""
    if len(of_runs) < 2:
        return [list(records) for records in of_runs]
    by_seed: list[dict[int, Record]] = []
    for records in of_runs:
        by_seed.append({record.config.seed: record for record in records})
    common = set(by_seed[0]).intersection(*by_seed[1:])
    seeds = [seed for seed in by_seed[0] if seed in common]
    pairs = []
    for found in by_seed:
        pairs.append([found[seed] for seed in seeds])
    return pairs


def holds(claim: str, value: float) -> bool:
    """Whether a number meets the bound that claims.csv gives to ``claim``; nan never does."""
    row = _row(claim)
    return bool(COMPARISONS[row["comparison"]](value, row["bound"]))


def evaluate(claim: str, records: Records, measured: Measured | None = None) -> Verdict:
    """The verdict on ``claim``, whatever it is; ``measured`` has the numbers that were measured without any run.

    Below the smallest profile that its row in claims.csv names a claim is not judged. A claim without a check, or
    without its records, is not run. Raises :class:`UserError` for an unknown claim.
    """
    measured = measured or {}
    row = _row(claim)
    if row["grade"] == "R":
        return Verdict(claim, "reference")
    if claim not in CHECKS and claim not in measured:
        return Verdict(claim, "not run", note="no check yet")
    check = CHECKS.get(claim)
    runs = check.runs if check else ()
    missing = [run for run in runs if not records.get(run)]
    if missing:
        return Verdict(claim, "not run", note=f"needs {', '.join(missing)}")
    of_runs = paired([records[run] for run in runs])
    if runs and not of_runs[0]:
        return Verdict(claim, "not run", note=f"no seed is common to {' and '.join(runs)}")
    if claim in measured:
        values = np.atleast_1d(np.asarray(measured[claim], dtype=float))
    elif of_runs:
        values = per_seed(claim, *of_runs)
    else:
        values = np.array([CHECKS[claim].measure()])
    of_claim = of_runs[0] if of_runs else ()
    profile = of_claim[0].config.profile if of_claim else PROFILES[-1]
    verdict = Verdict(
        claim,
        "not at this scale",
        estimate(values, row["statistic"] or "mean"),
        f"{row['comparison']} {row['bound']:g}",
        tuple(record.config.seed for record in of_claim),
        met=sum(holds(claim, value) for value in values),
        n=len(values),
        note=f"applies from {row['profile']} on",
    )
    if PROFILES.index(profile) < PROFILES.index(row["profile"]):
        return verdict
    if row["grade"] == "X":
        return _exact(verdict, values)
    judged = _statistical(verdict, values, row["statistic"])
    sample = Sample(
        measure=check.measure if check else None,
        of_runs=of_runs,
        values=values,
        statistic=row["statistic"],
        upwards=row["comparison"] in (">", ">="),
        records=records,
        measured=measured,
    )
    return _beside_null(judged, check.null if check else NULLS.get(claim), sample)


def _row(claim: str) -> dict[str, Any]:
    """What claims.csv says about ``claim``."""
    table = claims()
    return dict(table.loc[choose("claim", claim, table.index)])


def _exact(verdict: Verdict, values: np.ndarray) -> Verdict:
    """It must hold for every seed, so its value is that of the worst one, (seeds,)."""
    upwards = verdict.threshold.startswith(">")
    worst = values.min() if upwards else values.max()
    answer = "holds" if verdict.met == len(values) else "fails"
    return replace(verdict, verdict=answer, value=float(worst), note="")


def _statistical(verdict: Verdict, values: np.ndarray, statistic: str) -> Verdict:
    """The answer of the interval over seeds, (seeds,); of one number that sums up many draws, its own."""
    finite = values[~np.isnan(values)]
    if statistic == "number":
        return replace(verdict, verdict="holds" if verdict.met == len(values) else "fails", note="")
    without = len(values) - len(finite)
    note = f"nothing to measure in {without} of {len(values)} seeds" if without else ""
    if len(finite) < ENOUGH:
        return replace(verdict, verdict="inconclusive", note=note or f"fewer than {ENOUGH} seeds")
    assert verdict.value is not None
    ends = interval(finite, statistic)
    sides = _meets(verdict.id, np.array(ends or [verdict.value]))
    answer = "inconclusive"
    if sides.all() or not sides.any():
        answer = "holds" if sides.all() else "fails"
    p_holds = _meets(verdict.id, resampled(finite, statistic)).mean()
    return replace(verdict, verdict=answer, interval=ends, p_holds=float(p_holds), note=note)


def _meets(claim: str, estimates: np.ndarray) -> np.ndarray:
    """Which of the estimates meet the bound of a statistical claim; round-off in a mean does not decide."""
    row = _row(claim)
    return COMPARISONS[row["comparison"]](estimates.round(DECIMALS), row["bound"])


def _beside_null(verdict: Verdict, null: NullModel | None, sample: Sample) -> Verdict:
    """The verdict with what its null gives, if there is one and there are seeds enough to tell them apart."""
    judged = verdict.p_holds is not None or sample.statistic == "number"
    outcome = null.outcome(sample) if null and judged else None
    if null is None or outcome is None:
        return verdict
    slack = -outcome.error if sample.upwards else outcome.error  # the draws leave so much open
    reaches = holds(verdict.id, outcome.value + slack)
    apart = outcome.p_value is not None and outcome.p_value < REJECTED
    told = Null(null.words, outcome.value, reaches and not apart, reaches)
    return replace(verdict, null=told, p_value=outcome.p_value)
