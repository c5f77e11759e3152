"""Nulls: what a claim's quantity would be if its cause were absent, and how often it would be as extreme as the runs.

Each takes a :class:`Sample` and gives an :class:`Outcome`. p-values are one-sided, towards the claim.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from scipy import stats

from nas_core.claims.seeds import RESAMPLES, estimate
from nas_core.runs import Record

Measure = Callable[..., float]
DRAWS = 500
CLOSE = 1e-12  # round-off between equal estimates
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Sample(NamedTuple):
    """What was measured, and from what."""

    measure: Measure | None  # none where the number was measured without runs
    of_runs: Sequence[Sequence[Record]]  # one list of records, one a seed, for each run that the measure takes
    values: np.ndarray  # (seeds,)
    statistic: str
    upwards: bool  # whether a larger number is more to the claim's liking
    records: Mapping[str, Sequence[Record]]  # those of all runs at hand
    measured: Mapping[str, float | Sequence[float]]  # the numbers that were measured without runs, by claim

    @property
    def estimate(self) -> float:
        """The claim's value."""
        return estimate(self.values, self.statistic)


class Outcome(NamedTuple):
    """``error``: what the draws leave open of ``value``; ``p_value`` None where nothing was drawn."""

    value: float
    p_value: float | None
    error: float = 0.0


class NullModel(Protocol):
    """A null before it has seen any runs."""

    @property
    def words(self) -> str:
        """What it is."""

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that it needs besides those of the claim."""

    def outcome(self, sample: Sample) -> Outcome | None:
        """None if what it needs is not there."""


@dataclass(frozen=True)
class Shuffled:
    """The claim's records with their probabilities and entropies changed by ``change``, :data:`DRAWS` times."""

    words: str
    change: Change
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The mean over draws of the estimate over seeds."""
        assert sample.measure is not None
        rng = np.random.default_rng(0)
        drawn = []
        for _ in range(DRAWS):
            numbers = []
            for of_seed in zip(*sample.of_runs, strict=True):
                altered = [self.altered(record, rng) for record in of_seed]
                numbers.append(sample.measure(*altered))
            drawn.append(estimate(np.array(numbers, dtype=float), sample.statistic))
        return summary(np.array(drawn), sample)

    def altered(self, record: Record, rng: np.random.Generator) -> "Altered":
        """The record as a draw has it."""
        return Altered(record, self.change, rng)


class Altered:
    """A record whose arrays are drawn anew by a change; all else is the record's."""

    def __init__(self, record: Record, change: Change, rng: np.random.Generator) -> None:
        self._record = record
        self._change = change
        self._rng = rng
        self._arrays: dict[str, np.ndarray] = {}

    def array(self, name: str) -> np.ndarray:
        """The array ``name``, changed once."""
        if name not in self._arrays:
            self._arrays[name] = self._change(self._record.array(name), self._rng)
        return self._arrays[name]

    def __getattr__(self, name: str) -> object:
        return getattr(self._record, name)


def operations(prob: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the names of the operations on every edge: (epochs + 1, cell types, edges, ops)."""
    order = rng.permuted(np.broadcast_to(np.arange(prob.shape[-1]), prob.shape[1:]), axis=-1)
    return np.take_along_axis(prob, order[None], axis=-1)


def edges(prob: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle which edge is which: (epochs + 1, cell types, edges, ops)."""
    return prob[:, :, rng.permutation(prob.shape[2])]


def epochs(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the epochs, all but the start: (epochs + 1, ...)."""
    later = 1 + rng.permutation(len(array) - 1)
    return array[np.concatenate([[0], later])]


OPERATIONS = Shuffled("operations shuffled on every edge", operations)
EDGES = Shuffled("kinds of edges shuffled", edges)
EPOCHS = Shuffled("epochs shuffled", epochs)


@dataclass(frozen=True)
class Relabelled:
    """The records of a seed in random order: which run is which means nothing. :data:`DRAWS` orders.

    ``number``: of one record; ``compare``: the claim's measure from the numbers of all records of a seed, (runs,).
    """

    words: str
    number: Callable[[Record], float]
    compare: Callable[[np.ndarray], float]
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The mean over draws of the estimate over seeds."""
        rng = np.random.default_rng(0)
        of_runs = []
        for records in sample.of_runs:
            of_runs.append([self.number(record) for record in records])
        by_seed = np.array(of_runs).T
        drawn = []
        for _ in range(DRAWS):
            of_seeds = [self.compare(rng.permutation(of_seed)) for of_seed in by_seed]
            drawn.append(estimate(np.array(of_seeds), sample.statistic))
        return summary(np.array(drawn), sample)


@dataclass(frozen=True)
class Exchanged:
    """Two methods, or a run and its control, exchanged at random within every seed: signs of differences flipped.

    ``apart``: what the first one has more than the second, in the unit of the claim, for a claim that the first one is
    not much worse: its bound, at which it would just fail.
    """

    words: str
    runs: tuple[str, ...] = ()
    apart: float = 0.0

    def outcome(self, sample: Sample) -> Outcome | None:
        """``apart`` by symmetry; the p-value is that of all sign patterns, or of many drawn ones."""
        values = sample.values[~np.isnan(sample.values)] - self.apart
        found = stats.permutation_test(
            (values,),
            np.mean,
            permutation_type="samples",
            n_resamples=RESAMPLES,
            alternative="greater" if sample.upwards else "less",
            rng=np.random.default_rng(0),
        )
        return Outcome(self.apart, float(found.pvalue))


@dataclass(frozen=True)
class Instead:
    """Another number of the same seeds, ``measure``, in the place of the claim's; both exchanged within every seed.

    ``measure`` takes the records of a seed: those of the claim, and then those of ``runs``.
    """

    words: str
    measure: Measure
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """Its own estimate; the p-value is that of all exchanges, or of many drawn ones."""
        of_runs = list(sample.of_runs)
        for run in self.runs:
            by_seed = {record.config.seed: record for record in sample.records.get(run, ())}
            seeds = [record.config.seed for record in sample.of_runs[0]]
            if not set(seeds) <= set(by_seed):
                return None
            of_runs.append([by_seed[seed] for seed in seeds])
        others = np.array([self.measure(*of_seed) for of_seed in zip(*of_runs, strict=True)], dtype=float)
        if len(others) < 2:
            return None
        found = stats.permutation_test(
            (sample.values - others,),
            np.mean,
            permutation_type="samples",
            n_resamples=RESAMPLES,
            alternative="greater" if sample.upwards else "less",
            rng=np.random.default_rng(0),
        )
        return Outcome(estimate(others, sample.statistic), float(found.pvalue))


@dataclass(frozen=True)
class Control:
    """The same quantity, by ``measure`` or the claim's own, of another run; labels of the runs are permuted."""

    words: str
    run: str
    measure: Measure | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        """The control."""
        return (self.run,)

    def outcome(self, sample: Sample) -> Outcome | None:
        """The control's own estimate."""
        measure = self.measure or sample.measure
        others = sample.records.get(self.run)
        if measure is None or others is None or len(others) < 2:
            return None
        control = np.array([measure(record) for record in others], dtype=float)
        found = stats.permutation_test(
            (sample.values, control),
            lambda ours, theirs: estimate(ours, sample.statistic) - estimate(theirs, sample.statistic),
            n_resamples=RESAMPLES,
            vectorized=False,
            alternative="greater" if sample.upwards else "less",
            rng=np.random.default_rng(0),
        )
        return Outcome(estimate(control, sample.statistic), float(found.pvalue))


@dataclass(frozen=True)
class Chance:
    """Every seed draws its number from a known law: ``numbers`` are equally likely."""

    words: str
    numbers: tuple[float, ...]
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The exact expectation; the p-value is from draws."""
        rng = np.random.default_rng(0)
        drawn = rng.choice(self.numbers, (RESAMPLES, len(sample.values))).mean(1)
        return Outcome(float(np.mean(self.numbers)), _p_value(drawn, sample))


@dataclass(frozen=True)
class Beside:
    """Another claim's number, measured where the cause is absent."""

    words: str
    claim: str
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """That number."""
        if self.claim not in sample.measured:
            return None
        return Outcome(float(np.mean(sample.measured[self.claim])), None)


def summary(drawn: np.ndarray, sample: Sample) -> Outcome | None:
    """The outcome of draws of the estimate, (draws,), of which some may have had nothing to measure."""
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2:
        return None
    error = 3 * float(stats.sem(drawn))
    return Outcome(float(drawn.mean()), _p_value(drawn, sample), error)


def _p_value(drawn: np.ndarray, sample: Sample) -> float:
    """The share of draws as extreme as the runs, which count as one of them."""
    sign = 1 if sample.upwards else -1
    extreme = sign * drawn >= sign * sample.estimate - CLOSE
    return float((1 + extreme.sum()) / (1 + len(drawn)))
