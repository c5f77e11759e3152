"""Estimates and intervals over seeds."""

import numpy as np
import pytest
from scipy import stats

from nas_core.claims.seeds import estimate, interval, resampled


def test_estimates_are_of_the_seeds_that_have_a_number() -> None:
    values = np.array([1.0, np.nan, 2.0, 9.0])
    assert estimate(values, "mean") == 4
    assert estimate(values, "median") == 2
    assert np.isnan(estimate(np.array([np.nan]), "mean"))


def test_wilson_is_for_proportions() -> None:
    """Of 10 seeds all: from 10 / (10 + z^2) to 1 (Wilson 1927)."""
    z = stats.norm.ppf(0.975)
    assert interval(np.ones(10), "proportion") == pytest.approx((10 / (10 + z**2), 1))
    assert interval(np.zeros(10), "proportion") == pytest.approx((0, z**2 / (10 + z**2)))


def test_the_same_seeds_have_the_same_interval_and_equal_ones_none() -> None:
    values = np.array([0.1, 0.4, 0.2, 0.9, 0.3])
    assert interval(values, "mean") == interval(values.copy(), "mean")
    assert interval(np.full(5, 0.3), "mean") is None
    assert set(resampled(np.full(5, 0.3), "mean")) == {0.3}


@pytest.mark.parametrize("seeds", [5, 10, 20])
def test_intervals_of_few_seeds_cover_nearly_as_often_as_they_say(seeds: int) -> None:
    """Shares with a mean of 6/7: 0.91, 0.94 and 0.945; the plain percentiles cover 0.845, 0.885 and 0.92."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        low, high = interval(rng.beta(6, 1, seeds), "mean") or (np.nan, np.nan)
        inside += low <= 6 / 7 <= high
    assert inside / 200 > {5: 0.88, 10: 0.92, 20: 0.93}[seeds]
