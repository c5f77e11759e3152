"""The claims on chains: every measure on a record whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nas_core.claims import proxyless_chains as claims
from nas_core.experiments.proxyless_chains import MULTIPLICATIVE, SWEEP


def record(**tables: pd.DataFrame) -> SimpleNamespace:
    return SimpleNamespace(table=lambda name: tables[name].copy())


def alone(latencies=(400, 300, 200, 100), accuracies=(0.8, 0.79, 0.78, 0.77), tests=None) -> SimpleNamespace:
    """A sweep in both forms, one chain of REINFORCE, one of the proxy, and two drawn ones at 0.7 and 0.72."""
    tests = tests or accuracies
    rows = []
    for names in (SWEEP, MULTIPLICATIVE):
        for name, latency, valid, test in zip(names, latencies, accuracies, tests, strict=False):
            rows.append({"origin": name, "valid": valid, "test": test, "latency_us": latency})
    for name, accuracy, latency in (("rl", 0.75, 350), ("proxy", 0.78, 360)):
        rows.append({"origin": f"N-PROX-{name}", "valid": accuracy, "test": accuracy, "latency_us": latency})
    for name, accuracy, latency in (("drawn 0", 0.7, 300), ("drawn 1", 0.72, 290)):
        rows.append({"origin": name, "valid": accuracy, "test": accuracy, "latency_us": latency})
    return record(chains=pd.DataFrame(rows))


def test_a_search_is_compared_with_the_mean_of_drawn_chains_in_points() -> None:
    assert claims.searched_beats_random(alone()) == pytest.approx(9)
    assert claims.rewarded_beats_random(alone()) == pytest.approx(4)
    assert claims.direct_beats_transfer(alone()) == pytest.approx(2)


@pytest.mark.parametrize(("latencies", "expected"), [((400, 300, 200, 100), -1), ((1, 2, 3, 4), 1), ((5, 5, 5, 5), 0)])
def test_the_trend_is_the_rank_correlation_with_the_weight(latencies, expected: float) -> None:
    assert claims.latency_falls_with_its_weight(alone(latencies)) == pytest.approx(expected)


def test_the_other_form_begins_with_the_same_search_for_accuracy_alone() -> None:
    assert claims.latency_by_weight(alone(), "multiplicative").tolist() == [400, 400, 300, 200]
    assert claims.latency_falls_in_the_other_form(alone((400, 300, 200, 100))) < -0.9


def test_a_point_is_dominated_by_one_that_is_no_worse_in_both_and_better_in_one() -> None:
    accuracy, latency = np.array([0.9, 0.8, 0.8, 0.9, 0.95]), np.array([10, 5, 6, 10, 20])
    assert claims.non_dominated(accuracy, latency).tolist() == [True, True, False, True, True]


def test_the_front_is_chosen_on_validation_images_and_judged_on_test_images() -> None:
    assert claims.front_is_undominated(alone()) == 1
    turned = alone(tests=(0.8, 0.79, 0.78, 0.785))
    assert claims.front_is_undominated(turned) == pytest.approx(3 / 4)  # the fastest is better than the second fastest
    assert claims.of_drawn(alone()) == 1


def test_the_control_of_the_predictor_is_the_one_that_learned_from_shuffled_latencies() -> None:
    fit = pd.DataFrame({"learned_from": ["measured", "shuffled"], "rank_correlation": [0.95, -0.1]})
    assert claims.predictor_ranks(record(fit=fit)) == 0.95
    assert claims.held_out_rank(record(fit=fit), "shuffled") == -0.1
