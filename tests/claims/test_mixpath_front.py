"""Claims on the search of MixPath, on records made by hand."""

import numpy as np
import pandas as pd
import pytest
from test_claims import Fake

from nas_core.claims import CHECKS, evaluate, per_seed
from nas_core.claims.mixpath_front import dominated, hypervolume, hypervolume_curve, hypervolume_on_test
from nas_core.experiments import configs

BOUNDS = pd.DataFrame([{"madds": 300.0, "acc": 0.2, "smallest": 100, "largest": 500}])
SEEDS = range(5)


def children(*rows):
    """``rows``: (multiply-adds, accuracy) of every evaluation."""
    return pd.DataFrame(rows, columns=["madds", "acc"])


def record(run, evaluated, front=None, seed=0, **tables):
    front = evaluated if front is None else front
    every = {"evaluated": evaluated, "front": front, "bounds": BOUNDS} | tables
    return Fake(configs(run, "laptop", [seed])[0], tables=every)


def measured(claim, *of_runs):
    """The number of one seed."""
    return float(per_seed(claim, *[[of_run] for of_run in of_runs])[0])


def test_hypervolume_is_the_dominated_share_of_the_square_of_bounds():
    """Costs 0 and 0.5, errors 0.75 and 0.25: (1 - 0)(1 - 0.75) + (1 - 0.5)(0.75 - 0.25)."""
    found = record("M-NSGA", children((200, 0.8), (100, 0.4), (250, 0.5)))
    assert hypervolume(found) == pytest.approx(0.25 + 0.25)
    assert hypervolume(found, 1) == pytest.approx(0.5 * 0.75)
    assert hypervolume_curve(found) == pytest.approx([0.375, 0.5, 0.5])
    assert hypervolume_curve(found, cheapest=150) == pytest.approx([0.375] * 3)


def test_who_breaks_a_bound_adds_nothing():
    found = record("M-NSGA", children((350, 0.9), (150, 0.2)))
    assert hypervolume(found) == 0
    assert hypervolume_curve(found).tolist() == [0, 0]


def test_on_test_images_the_front_counts():
    evaluated = children((200, 0.8), (100, 0.9))
    found = record("M-NSGA", evaluated, front=evaluated.head(1).assign(test=0.6))
    assert hypervolume_on_test(found) == pytest.approx(0.5 * 0.5)


def test_searches_are_compared_at_equal_evaluations():
    """The better search has one evaluation more, which does not count."""
    ours = record("M-NSGA", children((200, 0.6), (100, 1.0)))
    theirs = record("M-RAND", children((200, 0.6)))
    assert measured("C-MF1a", ours, theirs) == 0
    longer = record("M-RAND", children((200, 0.6), (250, 0.2)))
    assert measured("C-MF1a", ours, longer) == pytest.approx(1 - 0.25)


def test_the_better_front_is_recognised_beside_exchanged_searches():
    def records(lead):
        found = {"M-NSGA": [], "M-RAND": []}
        for seed in SEEDS:
            found["M-NSGA"].append(record("M-NSGA", children((200 - seed, 0.6 + lead)), seed=seed))
            found["M-RAND"].append(record("M-RAND", children((200, 0.6)), seed=seed))
        return found

    better = evaluate("C-MF1a", records(0.1))
    assert better.verdict == "holds"
    assert better.p_value < 0.05
    assert evaluate("C-MF1a", records(-0.1)).verdict == "fails"


@pytest.mark.claim("C-MF1b")
def test_exact_faults_of_fronts_are_counted():
    front = children((100, 0.4), (200, 0.6), (250, 0.7))
    assert dominated(front) == 0
    assert measured("C-MF1b", record("M-NSGA", front), record("M-RAND", front)) == 0
    worse = children((100, 0.4), (200, 0.6), (250, 0.6), (310, 0.9), (90, 0.2))
    assert dominated(worse) == 1
    assert measured("C-MF1b", record("M-NSGA", front), record("M-RAND", worse)) == 3


def test_broken_bounds_of_the_algorithm_are_counted():
    evaluated = children((200, 0.6), (100, 0.1), (310, 0.7))
    populations = pd.DataFrame({"generation": [0, 0, 1], "place": [0, 1, 1]})
    found = record("M-NSGA", evaluated, populations=populations)
    assert measured("C-MA1b", found) == 1 + 2
    kept = record("M-NSGA", evaluated.head(2), populations=populations.head(1))
    assert measured("C-MA1b", kept) == 0


def test_sizes_of_populations_are_compared_with_the_settings():
    config = configs("M-NSGA", "laptop", [0])[0]
    rows = []
    for generation in range(config.generations + 1):
        rows += [{"generation": generation, "place": place} for place in range(config.size)]
    whole = pd.DataFrame(rows)
    evaluated = children((200, 0.6))
    assert measured("C-MA1c", record("M-NSGA", evaluated, populations=whole)) == 0
    assert measured("C-MA1c", record("M-NSGA", evaluated, populations=whole.iloc[3:])) == 3
    twice = whole.assign(place=np.maximum(whole["place"], 1))
    assert measured("C-MA1c", record("M-NSGA", evaluated, populations=twice)) == 1
    shorter = whole[whole["generation"] > 1]
    assert measured("C-MA1c", record("M-NSGA", evaluated, populations=shorter)) == 2


@pytest.mark.parametrize("claim", ["C-MF5a", "C-MF5b"])
def test_children_alone_are_compared_at_the_end_of_training(claim):
    def alone(run, *accuracies):
        return Fake(configs(run, "laptop", [0])[0], tables={"accuracy": pd.DataFrame({"acc": accuracies})})

    found, drawn = CHECKS[claim].runs
    assert measured(claim, alone(found, 0.9, 0.8), alone(drawn, 0.1, 0.75)) == pytest.approx(5)


@pytest.mark.parametrize("lead", [0.1, -0.1])
def test_searches_among_cells_are_compared_by_hypervolume_and_by_their_best_child(lead):
    """The best child is that of the highest score, the last of the front, and counts by its test accuracy."""
    found = {"M-DSPn": [], "M-DSPrand": []}
    for seed in SEEDS:
        ours = children((150, 0.5), (200 - seed, 0.6 + lead))
        theirs = children((150, 0.5), (200, 0.6))
        for run, evaluated, test in (("M-DSPn", ours, 0.7 + lead), ("M-DSPrand", theirs, 0.7)):
            front = evaluated.assign(test=[0.9, test])
            found[run].append(record(run, evaluated, front=front, seed=seed))
    assert measured("C-MDb", found["M-DSPn"][0], found["M-DSPrand"][0]) == pytest.approx(100 * lead)
    for claim in ("C-MDa", "C-MDb"):
        verdict = evaluate(claim, found)
        assert verdict.verdict == ("holds" if lead > 0 else "fails")
        assert verdict.null is not None
        assert not verdict.null.meets


def test_cells_alone_are_compared_at_the_end_of_training():
    def alone(run, seed, *accuracies):
        return Fake(configs(run, "laptop", [seed])[0], tables={"accuracy": pd.DataFrame({"acc": accuracies})})

    assert measured("C-MDc", alone("M-DSPf", 0, 0.9, 0.8), alone("M-DSPd", 0, 0.1, 0.75)) == pytest.approx(5)
    records = {"M-DSPf": [alone("M-DSPf", seed, 0.8 + seed / 100) for seed in SEEDS]}
    records["M-DSPd"] = [alone("M-DSPd", seed, 0.75) for seed in SEEDS]
    assert evaluate("C-MDc", records).verdict == "holds"
