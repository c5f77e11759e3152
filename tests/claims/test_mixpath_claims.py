"""The measures of MixPath's claims on records whose numbers are made by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nas_core.claims import CHECKS, mixpath

RHO = 0.4
CHANNELS = 7


def look(most: int = 4, rho: float = RHO, **changes: np.ndarray) -> Any:
    """A record of 12 layers that obeys the law to round-off; the last channel is filled up with nan."""
    rng = np.random.default_rng(0)
    n = np.arange(1, most + 1)
    one = rng.normal(size=(12, 2, 1, CHANNELS))
    variance = rng.uniform(0.5, 2, size=(12, 2, 1, CHANNELS))
    one[..., -1] = variance[..., -1] = np.nan
    alike = np.where(np.eye(4, dtype=bool), 1.0, rho)
    arrays = {
        "mean": one * n[:, None],
        "var": variance * (n * (1 + (n - 1) * rho))[:, None],
        "path_cov": variance[:, :, :, None] * alike[..., None],
        **changes,
    }
    config = SimpleNamespace(supernet=SimpleNamespace(paths=SimpleNamespace(most=most)))
    return SimpleNamespace(config=config, array=lambda name: arrays[name][None])


def test_exact_law_gives_no_deviation() -> None:
    for most in (3, 4):
        record = look(most)
        np.testing.assert_allclose(mixpath.correlation(record), RHO)
        np.testing.assert_allclose(
            mixpath.slopes(record, "mean"), np.broadcast_to(np.arange(1, most + 1), (12, 2, most))
        )
        assert mixpath.mean_deviation(record).max() < 1e-12
        assert mixpath.variance_deviation(record).max() < 1e-12
    for claim in ("C-MF3a", "C-MF3b", "C-MF4a", "C-MF4b"):
        assert CHECKS[claim].measure(look(4), look(3)) < 1e-12
    for claim in ("C-ML1b", "T-M2"):
        assert CHECKS[claim].measure(look(4)) < 1e-11


@pytest.mark.parametrize(("layer", "hit"), [(0, {"C-MF3a"}), (5, {"C-MF4a"}), (10, {"C-MF4a"}), (1, set())])
def test_a_mean_that_is_no_multiple_is_found_in_its_layer(layer: int, hit: set[str]) -> None:
    """Of three paths it is 3.3 times that of one, ten percent off."""
    mean = look().array("mean")[0].copy()
    mean[layer, 1, 2] *= 1.1
    found = {claim: CHECKS[claim].measure(look(mean=mean), look(3)) for claim in ("C-MF3a", "C-MF4a")}
    assert {claim for claim, value in found.items() if value > 1e-9} == hit
    assert all(value == pytest.approx(0.1) for value in found.values() if value > 1e-9)
    assert CHECKS["C-ML1b"].measure(look(mean=mean)) == pytest.approx(0.1 / 0.15)


@pytest.mark.parametrize(("layer", "hit"), [(0, {"C-MF3b"}), (5, {"C-MF4b"}), (10, {"C-MF4b"}), (1, set())])
def test_a_variance_off_the_law_is_found_in_its_layer(layer: int, hit: set[str]) -> None:
    variance = look().array("var")[0].copy()
    variance[layer, 0, 3] *= 1.05
    found = {claim: CHECKS[claim].measure(look(var=variance), look(3)) for claim in ("C-MF3b", "C-MF4b")}
    assert {claim for claim, value in found.items() if value > 1e-9} == hit
    assert all(value == pytest.approx(0.05) for value in found.values() if value > 1e-9)
    assert CHECKS["T-M2"].measure(look(var=variance)) == pytest.approx(0.05 / 0.1)


def test_a_variance_outside_of_n_to_n_squared_counts_as_one() -> None:
    for rho in (-0.1, 1.01):
        assert CHECKS["C-MF3b"].measure(look(rho=rho), look(3, rho=rho)) == 1


def test_the_null_takes_the_paths_as_uncorrelated() -> None:
    """The law is n then; the slope of four paths is 4 (1 + 3 rho)."""
    for null in (mixpath.FIRST_APART, mixpath.LATER_APART):
        assert null.measure is not None
        assert null.measure(look()) == pytest.approx(3 * RHO)


def test_channels_count_by_the_square_of_their_variance() -> None:
    """Two channels of variances 1 and 2 with correlations 0 and 1: rho = 4 / 5, as a line through the origin has it."""
    variance = np.array([1.0, 2.0])
    correlation = np.array([0.0, 1.0])
    covariance = np.where(np.eye(4, dtype=bool)[..., None], variance, variance * correlation)
    record = look(path_cov=np.broadcast_to(covariance, (12, 2, 4, 4, 2)))
    np.testing.assert_allclose(mixpath.correlation(record), 0.8)


def clouds(scales: np.ndarray) -> np.ndarray:
    """15 combinations of 64 points: images alike in all of them, times the ``scales`` of their number of paths."""
    rng = np.random.default_rng(1)
    images = 1 + 0.1 * rng.normal(size=(64, 3, 2, 2))
    counts = mixpath.path_counts(4, 4)
    return np.stack([scales[n - 1] * images for n in counts])


def test_features_apart_and_together() -> None:
    apart, together = clouds(np.array([1.0, 5.0, 9.0, 13.0])), clouds(np.ones(4))
    record = look(before=apart, after=together)
    assert CHECKS["C-MF2a"].measure(record) > 0.5
    assert CHECKS["C-MF2b"].measure(record) < 1e-6
    assert CHECKS["C-MF2b"].measure(look(before=together + apart, after=apart)) > 1
    assert mixpath.norm_ratio(record, "before") == pytest.approx(13)
    assert mixpath.norm_ratio(record, "after") == pytest.approx(1)


def test_the_gap_is_a_distance_over_a_spread() -> None:
    """Two groups at 0 and 6, each with points one to the left and one to the right."""
    points = np.array([[-1.0, 1.0], [5.0, 7.0]])[:, :, None, None, None]
    assert mixpath.gap(look(before=points), "before") == pytest.approx(6)


def test_counts_of_paths_follow_the_combinations() -> None:
    assert mixpath.path_counts(4, 4).tolist() == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    assert mixpath.path_counts(4, 3).tolist() == [1] * 4 + [2] * 6 + [3] * 4


@pytest.mark.claim("C-MF2c")
def test_exact_number_of_combinations_and_samples() -> None:
    assert CHECKS["C-MF2c"].measure(look(before=np.zeros((15, 64, 2, 1, 1)))) == 0
    assert CHECKS["C-MF2c"].measure(look(before=np.zeros((14, 60, 2, 1, 1)))) == 5
