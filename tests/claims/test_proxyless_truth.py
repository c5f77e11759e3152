"""ProxylessNAS against a known ground truth: what the claims measure, on records made by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_claims import Fake

from nas_core.cells.latency import codes, members, target
from nas_core.claims import evaluate, per_seed
from nas_core.claims import proxyless_truth as claims
from nas_core.experiments import configs
from nas_core.experiments.proxyless_truth import RANKS, SCORED, SEARCHES, SPACE
from nas_core.probes.rewards import Estimator
from nas_core.trainers.chain_search import ChainSearch

SEEDS = range(5)
NAMES = [codes(chain) for chain in members(target(SPACE))]
WORTH = np.linspace(0.7, 0.8, 27)  # the last member is the best
MADDS = np.arange(27)[::-1]  # and the one with the fewest multiply-adds


def ranks(seed: int = 0, alike: bool = True, **found: int) -> Any:
    """A record of ranks: the member that each search has found, 0 if it is not given, with all its probability."""
    rng = np.random.default_rng(0)
    truth = []
    for truth_seed in SEEDS:
        worth = WORTH if alike else rng.permutation(WORTH)
        of_seed = {"member": range(27), "choices": NAMES, "madds": MADDS, "truth_seed": truth_seed, "test": worth}
        truth.append(pd.DataFrame(of_seed))
    picked = [found.get(search.split("-")[2], 0) for search in SEARCHES]
    parts = []
    for search, member in zip(SEARCHES, picked, strict=True):
        parts.append(pd.DataFrame({"search": search, "member": range(27), "probability": np.arange(27) == member}))
    tables = {
        "truth": pd.concat(truth),
        "found": pd.DataFrame({"search": SEARCHES, "member": picked}),
        "members": pd.concat(parts).astype({"probability": float}),
    }
    return Fake(configs(RANKS, "laptop", [seed])[0], tables=tables)


def scored(values: np.ndarray, seed: int = 0, images: int = 1280, noise: float = 0.0) -> Any:
    """A record of scores: member m classifies a share ``values[m]`` of the images rightly, the same easy ones.

    ``noise``: share of the answers that are drawn anew for every member and image.
    """
    rng = np.random.default_rng(seed)
    hits = np.arange(images)[None] < images * values[:, None]
    redrawn = rng.random(hits.shape) < noise
    hits = np.where(redrawn, rng.random(hits.shape) < 0.5, hits)
    return Fake(configs(SCORED, "laptop", [seed])[0], {"hits": hits[None]})


def judged(claim: str, **records: Any) -> Any:
    return evaluate(claim, {RANKS if run == "ranks" else SCORED: found for run, found in records.items()})


# ------------------------------------------------------------------------------------------------ what is found


@pytest.mark.parametrize(
    ("claim", "search"), [("C-GT1b", "two"), ("C-GT1c", "all"), ("C-GT1d", "rl"), ("C-GT1e", "rli")]
)
@pytest.mark.parametrize(("member", "verdict"), [(26, "holds"), (0, "fails")])
def test_a_search_leads_by_what_its_chain_is_worth_above_the_mean(
    claim: str, search: str, member: int, verdict: str
) -> None:
    found = judged(claim, ranks=[ranks(seed, **{search: member}) for seed in SEEDS])
    assert found.verdict == verdict
    assert found.value == pytest.approx(5 if verdict == "holds" else -5)
    assert found.null.value == pytest.approx(0, abs=0.5)
    assert found.null.reaches == (verdict == "fails") or not found.null.reaches


def test_trainings_agree_where_they_rank_alike_and_shuffled_ones_do_not() -> None:
    alike = judged("C-GT1a", ranks=[ranks(seed) for seed in SEEDS])
    assert (alike.verdict, alike.value) == ("holds", pytest.approx(1))
    assert alike.null.value == pytest.approx(0, abs=0.1)
    apart = judged("C-GT1a", ranks=[ranks(seed, alike=False) for seed in SEEDS])
    assert apart.verdict != "holds"
    assert abs(apart.value) < 0.2


def test_a_training_of_the_ground_truth_counts_once_however_many_searches_there_are() -> None:
    """Eight records with the same five trainings: five numbers, whose mean is that of all ten pairs."""
    records = [ranks(seed, alike=False) for seed in range(8)]
    numbers = per_seed("C-GT1a", records)
    assert np.isnan(numbers).tolist() == [False] * 5 + [True] * 3
    assert numbers[:5].mean() == pytest.approx(claims.ceiling(claims.by_truth_seed(records[0])))
    assert len(set(numbers[:5])) == 5


def test_probabilities_rank_against_a_count_of_multiply_adds() -> None:
    """The count ranks all chains the wrong way round here, so that any search is better by about 1."""
    record = ranks(two=26)
    expected = claims.tau(np.arange(27) == 26, WORTH) + 1
    assert per_seed("C-GT1f", [record]) == pytest.approx(expected)
    assert claims.tau(np.ones(27), WORTH) == 0


def test_more_images_are_compared_with_fewer() -> None:
    found = judged("C-GT2f", ranks=[ranks(seed, rl=0, rli=26) for seed in SEEDS])
    assert (found.verdict, found.value) == ("holds", pytest.approx(10))
    assert judged("C-GT2f", ranks=[ranks(seed, rl=26, rli=0) for seed in SEEDS]).verdict == "fails"


# ------------------------------------------------------------------------------------------------ REINFORCE

SLOTS = claims.all_z()[:, [2, 4, 6]].argmax(-1)  # which candidate every member has in the open slots
ADDITIVE = 0.5 + 0.06 * SLOTS.sum(1)


def test_the_noise_of_the_draw_against_that_of_the_images() -> None:
    """Where chains answer alike a batch moves all rewards together; where they do not, it decides what is better."""
    apart = [scored(ADDITIVE, seed) for seed in SEEDS]
    assert judged("C-GT2c", scored=apart).verdict == "holds"
    few = Estimator(images=8, samples=10_000)
    assert claims.ratio_of_noises(scored(np.full(27, 0.6), noise=0.9), few) < 0


def test_walks_are_set_as_the_search_that_they_stand_for() -> None:
    """As many steps as it takes with the logits, each of its images, networks, baseline and rate."""
    search = ChainSearch(configs("N-GT-rl-r", "laptop", [0])[0])
    learnt = 0
    for done in range(search.total):
        search.done = done
        learnt += search.learns()
    assert learnt == claims.STEPS
    config, first = search.chain, claims.FIRST
    assert (first.images, first.samples) == (config.search_batch, config.method.samples)
    assert (first.momentum, first.lr) == (config.method.baseline_momentum, config.alpha.lr)


def test_walks_see_the_weights_of_their_epoch_and_differ_by_seed() -> None:
    early, late = (scored(values).array("hits")[0] for values in (ADDITIVE[::-1], ADDITIVE))
    records = []
    for seed in (0, 1):
        records.append(Fake(configs(SCORED, "laptop", [seed])[0], {"hits": np.stack([early, late])}))
    settings = Estimator(1280, 64)
    for place, best in ((0, 0), (1, 26), (-1, 26)):
        assert (claims.reached(records[0], settings, 150, place) == best).mean() > 0.9
    short = [claims.reached(record, Estimator(64, 4), 5).tolist() for record in records]
    assert short[0] != short[1]


def test_images_or_networks_straighten_a_step_by_what_is_noisier() -> None:
    """Where chains answer each in its own way, images do; where they differ by much and alike, networks do."""
    noisy = judged("C-GT2d", scored=[scored(0.6 + 0.3 * (ADDITIVE - 0.6), seed, noise=0.6) for seed in SEEDS])
    assert (noisy.verdict, noisy.value > 0) == ("holds", True)
    clear = judged("C-GT2d", scored=[scored(ADDITIVE, seed) for seed in SEEDS])
    assert (clear.verdict, clear.value < 0) == ("fails", True)
    cosine = claims.straightness(scored(ADDITIVE), Estimator(1280, 400))
    assert cosine > 0.9


def test_a_slow_baseline_keeps_the_noise_of_the_batch() -> None:
    """Chains that differ by little and answer alike: the batch moves all rewards by more than that."""
    found = judged("C-GT2e", scored=[scored(0.6 + 0.05 * (ADDITIVE - 0.6), seed) for seed in SEEDS])
    assert found.verdict == "holds"
    assert found.value > 0.1


def test_the_share_of_the_way_is_0_for_the_mean_and_1_for_the_best() -> None:
    values = np.array([0.0, 1.0, 2.0])
    assert claims.closed(values, np.array([2, 2])) == 1
    assert claims.closed(values, np.array([0, 2])) == 0
    assert claims.closed(values, np.array([0])) == -1
    assert claims.closed(np.ones(3), np.array([0])) == 0
    record = scored(ADDITIVE)
    assert claims.share(record, Estimator(1280, 64), steps=150) > 0.95
    assert claims.share(record, Estimator(1280, 1), steps=2) < 0.7


def test_walks_are_judged_by_the_reward_and_against_random_ends() -> None:
    found = judged("C-GT2g", scored=[scored(ADDITIVE, seed) for seed in SEEDS])
    assert found.verdict == "holds"
    assert found.value > 0.9
    assert found.null.value == pytest.approx(0, abs=0.1)
    assert not found.null.reaches


def test_the_best_reward_is_looked_up_in_the_ground_truth() -> None:
    for best, verdict in ((26, "holds"), (0, "fails")):
        records = [ranks(seed) for seed in SEEDS]
        for record in records:
            score = np.where(np.arange(27) == best, 0.9, 0.5)
            early = {"search": SCORED, "epoch": 1, "member": range(27), "score": 1 - score}
            late = {"search": SCORED, "epoch": 14, "member": range(27), "score": score}
            other = late | {"search": "N-GT-two-r", "score": 1 - score}
            record.tables["scores"] = pd.concat([pd.DataFrame(rows) for rows in (early, late, other)])
            assert claims.last_scores(record).tolist() == score.tolist()
        assert judged("C-GT2h", ranks=records).verdict == verdict
