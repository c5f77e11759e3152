"""Claims of our own on ProxylessNAS where the ground truth is known: what is found, and what REINFORCE needs.

The ground truth of a chain is its mean test accuracy over trainings of it alone, in points. A lead is the ground truth
of a found chain minus the mean of all chains of the space: what a search adds to choosing at random.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nas_core.cells.latency import one_hot, target
from nas_core.claims.check import check
from nas_core.claims.nulls import DRAWS, Exchanged, Outcome, Sample, summary
from nas_core.claims.seeds import estimate
from nas_core.experiments.proxyless_truth import RANKS, REWARDED, SCORED, SPACE
from nas_core.probes.rewards import Estimator, cosines, found, noise, walk
from nas_core.runs import Record

REPLICAS = 32  # walks of a seed of the shared weights
LAST = -1  # of the epochs after which all chains are scored
USED = REWARDED["laptop"]
FIRST = Estimator(images=USED.search_batch, samples=USED.samples)  # as in 18_proxyless_chains
STEPS = (USED.epochs - USED.warm_up) * (USED.train // USED.batch) // USED.interval


@dataclass(frozen=True)
class Variation:
    """REINFORCE while the weights rest, as first set but for one thing, which ``words`` say."""

    words: str
    settings: Estimator = FIRST
    steps: int = STEPS
    place: int = LAST  # which of the epochs that have scores


VARIATIONS = (
    Variation("as first set"),
    Variation("64 images", replace(FIRST, images=64)),
    Variation("all 1,280 images", replace(FIRST, images=1280)),
    Variation("2 networks", replace(FIRST, samples=2)),
    Variation("32 networks", replace(FIRST, samples=32)),
    Variation("128 networks", replace(FIRST, samples=128)),
    Variation("4 times the steps", steps=4 * STEPS),
    Variation("16 times the steps", steps=16 * STEPS),
    Variation("baseline a slow average", replace(FIRST, momentum=0.1)),
    Variation("baseline the first mean", replace(FIRST, momentum=0.0)),
    Variation("no baseline", replace(FIRST, momentum=None)),
    Variation("entropy, weight 0.01", replace(FIRST, entropy=0.01)),
    Variation("entropy, weight 0.1", replace(FIRST, entropy=0.1)),
    Variation("learning rate 0.03", replace(FIRST, lr=0.03)),
    Variation("learning rate 0.3", replace(FIRST, lr=0.3)),
    Variation("weights of the first epoch", place=0),
    Variation("weights of the fourth epoch", place=1),
)


def truth(record: Record) -> pd.Series:
    """The ground truth of every member, in points."""
    return 100 * record.table("truth").groupby("member")["test"].mean()


def multiply_adds(record: Record) -> pd.Series:
    """Of every member, for an image."""
    return record.table("truth").groupby("member")["madds"].first()


def by_truth_seed(record: Record) -> np.ndarray:
    """Test accuracies in points, (members, seeds of the ground truth)."""
    table = record.table("truth").pivot_table(index="member", columns="truth_seed", values="test")
    return 100 * table.to_numpy(dtype=float)


def ceiling(accuracies: np.ndarray) -> float:
    """Mean Kendall's tau of two seeds of the ground truth; ``accuracies``: (members, seeds)."""
    pairs = combinations(accuracies.T, 2)
    return float(np.mean([tau(one, other) for one, other in pairs]))


def tau(one: np.ndarray | pd.Series, other: np.ndarray | pd.Series) -> float:
    """Kendall's tau-b; 0 where one of them has equal values only."""
    value = stats.kendalltau(np.asarray(one, dtype=float), np.asarray(other, dtype=float)).statistic
    return 0.0 if np.isnan(value) else float(value)


def found_by(record: Record, search: str) -> int:
    """The member that a search ends with."""
    member: Any = record.table("found").set_index("search").loc[search, "member"]
    return int(member)


def probability(record: Record, search: str) -> pd.Series:
    """The probability that a search ends with for every member."""
    table = record.table("members")
    return table[table["search"] == search].set_index("member")["probability"]


def scores(record: Record, epoch: int) -> pd.Series:
    """One-shot accuracies of all members, shares, by weights trained on paths drawn uniformly for so many epochs."""
    table = record.table("scores")
    return table[(table["search"] == SCORED) & (table["epoch"] == epoch)].set_index("member")["score"]


def last_scores(record: Record) -> pd.Series:
    """Those of the last epoch that has some."""
    return scores(record, int(record.table("scores")["epoch"].max()))


def lead(record: Record, member: int) -> float:
    """The ground truth of a member minus the mean of all, in points."""
    values = truth(record)
    return float(values[member] - values.mean())


@dataclass(frozen=True)
class AnyMember:
    """A chain drawn at random takes the place of the found one, :data:`DRAWS` times."""

    words: str = "a random chain in its place"
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The mean over draws of the estimate over seeds."""
        rng = np.random.default_rng(0)
        leads = [truth(record).to_numpy() - truth(record).mean() for record in sample.of_runs[0]]
        drawn = []
        for _ in range(DRAWS):
            numbers = [rng.choice(of_seed) for of_seed in leads]
            drawn.append(estimate(np.array(numbers), sample.statistic))
        return summary(np.array(drawn), sample)


@dataclass(frozen=True)
class ShuffledMembers:
    """The order of the members in one seed of the ground truth says nothing about that in another."""

    words: str = "chains shuffled in every training"
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The mean over draws; all searches share the ground truth, so one record stands for all."""
        rng = np.random.default_rng(0)
        accuracies = by_truth_seed(sample.of_runs[0][0])
        drawn = [ceiling(rng.permuted(accuracies, axis=0)) for _ in range(DRAWS)]
        return summary(np.array(drawn), sample)


@check("C-GT1a", RANKS, null=ShuffledMembers())
def trainings_agree(record: Record) -> float:
    """Mean Kendall's tau of the training with the record's seed and each of the others; their mean is over all pairs.

    All records have the same ground truth, so those whose seed it does not have would only repeat it: nan.
    """
    accuracies = by_truth_seed(record)
    own = record.config.seed
    if own >= accuracies.shape[1]:
        return float("nan")
    others = np.delete(accuracies, own, axis=1)
    return float(np.mean([tau(accuracies[:, own], other) for other in others.T]))


@check("C-GT1b", RANKS, null=AnyMember())
def two_paths_lead(record: Record) -> float:
    """Lead of the chain that two paths find, in points."""
    return lead(record, found_by(record, "N-GT-two-r"))


@check("C-GT1c", RANKS, null=AnyMember())
def all_paths_lead(record: Record) -> float:
    """Of the chain that all paths find."""
    return lead(record, found_by(record, "N-GT-all-r"))


@check("C-GT1d", RANKS, null=AnyMember())
def reinforce_leads(record: Record) -> float:
    """Of the chain that REINFORCE finds as in 18_proxyless_chains."""
    return lead(record, found_by(record, "N-GT-rl-r"))


@check("C-GT1e", RANKS, null=AnyMember())
def reinforce_on_more_images_leads(record: Record) -> float:
    """Of the chain that REINFORCE finds by rewards on four times the images."""
    return lead(record, found_by(record, "N-GT-rli-r"))


@check("C-GT1f", RANKS, null=Exchanged("search and count exchanged"))
def search_ranks_better_than_a_count(record: Record) -> float:
    """Kendall's tau with the ground truth: of the probabilities of two paths minus that of multiply-adds."""
    values = truth(record)
    return tau(probability(record, "N-GT-two-r"), values) - tau(multiply_adds(record), values)


# ------------------------------------------------------------------------------------------------ REINFORCE


def start() -> np.ndarray:
    """Equal logits of the space, (slots, candidates), -inf where a slot has no such candidate."""
    z = all_z()
    return np.where(z.any(0), 0.0, -np.inf)


@lru_cache(maxsize=1)
def all_z() -> np.ndarray:
    """Z of every member, (members, slots, candidates)."""
    return one_hot(target(SPACE)).double().numpy()


def hits(record: Record, place: int = LAST) -> np.ndarray:
    """Which images every member classifies rightly, (members, images), at one of the epochs that have it."""
    return record.array("hits")[place]


def reached(record: Record, settings: Estimator, steps: int = STEPS, place: int = LAST) -> np.ndarray:
    """The members that walks of REINFORCE from equal logits end with while the weights rest, (REPLICAS,)."""
    logits = np.broadcast_to(start(), (REPLICAS, *start().shape))
    rng = np.random.default_rng(record.config.seed)
    return found(walk(logits, all_z(), hits(record, place), settings, steps, rng), all_z())


def closed(values: np.ndarray, members: np.ndarray) -> float:
    """Mean share of the way from the mean of ``values``, (members,), to the best that the given members are."""
    gap = values.max() - values.mean()
    return float((values[members].mean() - values.mean()) / gap) if gap else 0.0


def share(record: Record, settings: Estimator, steps: int = STEPS, place: int = LAST) -> float:
    """:func:`closed` in the reward itself."""
    return closed(hits(record, place).mean(1), reached(record, settings, steps, place))


def ratio_of_noises(record: Record, settings: Estimator = FIRST) -> float:
    """log10 of the noise of the draw over that of the images, in a first step; nan where a batch has all images."""
    if settings.images >= hits(record).shape[1]:
        return float("nan")
    parts = noise(start(), all_z(), hits(record), settings.images, np.random.default_rng(0))
    return float(np.log10(parts.of_draw / settings.samples / parts.of_images))


def straightness(record: Record, settings: Estimator) -> float:
    """Mean cosine of a first step with the exact gradient."""
    return float(cosines(start(), all_z(), hits(record), settings, np.random.default_rng(0)).mean())


@check("C-GT2c", SCORED, null=Exchanged("the two noises exchanged"))
def draw_is_noisier(record: Record) -> float:
    """log10 of the two noises at the first settings."""
    return ratio_of_noises(record)


@check("C-GT2d", SCORED, null=Exchanged("images and networks exchanged"))
def images_before_networks(record: Record) -> float:
    """Mean cosine with four times the images minus that with four times the networks."""
    small = replace(FIRST, images=64)
    images, networks = replace(small, images=256), replace(small, samples=4 * FIRST.samples)
    return straightness(record, images) - straightness(record, networks)


@check("C-GT2e", SCORED, null=Exchanged("the two baselines exchanged"))
def own_batch_as_baseline(record: Record) -> float:
    """Share of the way to the best reward: with the mean of the batch as baseline, minus that with a slow average."""
    return share(record, FIRST) - share(record, replace(FIRST, momentum=0.1))


@dataclass(frozen=True)
class AnyReward:
    """A chain drawn at random takes the place of every walk's end, :data:`DRAWS` times."""

    words: str = "a random chain in its place"
    runs: tuple[str, ...] = ()

    def outcome(self, sample: Sample) -> Outcome | None:
        """The mean over draws of the estimate over seeds."""
        rng = np.random.default_rng(0)
        rewards = [hits(record).mean(1) for record in sample.of_runs[0]]
        drawn = []
        for _ in range(DRAWS):
            numbers = [closed(of_seed, rng.integers(len(of_seed), size=REPLICAS)) for of_seed in rewards]
            drawn.append(estimate(np.array(numbers), sample.statistic))
        return summary(np.array(drawn), sample)


@check("C-GT2g", SCORED, null=AnyReward())
def noise_is_overcome(record: Record) -> float:
    """Share of the way to the best reward that REINFORCE gets as first set."""
    return share(record, FIRST)


@check("C-GT2h", RANKS, null=AnyMember())
def rewards_know(record: Record) -> float:
    """Lead of the chain with the best one-shot accuracy, in points."""
    best: Any = last_scores(record).idxmax()
    return lead(record, int(best))


@check("C-GT2f", RANKS, null=Exchanged("the two settings exchanged"))
def more_images_find_better(record: Record) -> float:
    """Ground truth of the chain that REINFORCE finds by four times the images, minus that as first set, in points."""
    return lead(record, found_by(record, "N-GT-rli-r")) - lead(record, found_by(record, "N-GT-rl-r"))
