"""Lemma 3.1 of MixPath: mean and variance of a sum of k features of equal mean, variance and pairwise correlation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st


def exact_features(n: int, k: int, mu: float, sigma: float, rho: float, seed: int) -> np.ndarray:
    """n samples of k features whose *empirical* mean, variance and pairwise correlation are exactly those asked for."""
    draw = np.random.default_rng(seed).standard_normal((n, k))
    white, _ = np.linalg.qr(draw - draw.mean(0))
    values, vectors = np.linalg.eigh(np.full((k, k), rho) + (1 - rho) * np.eye(k))
    return mu + sigma * np.sqrt(n) * white @ (vectors * np.sqrt(values.clip(0))) @ vectors.T


@pytest.mark.claim("C-ML1a")
@given(st.integers(1, 6), st.floats(0, 1), st.floats(-5, 5), st.floats(0.1, 5), st.integers(0, 100))
def test_property_law_of_sums(k: int, rho: float, mu: float, sigma: float, seed: int) -> None:
    """Mean k mu and variance k (1 + (k - 1) rho) sigma^2, to round-off."""
    y = exact_features(500, k, mu, sigma, rho, seed)
    assert abs(y.sum(1).mean() - k * mu) < 1e-12 * max(1, k * abs(mu))
    variance = k * (1 + (k - 1) * rho) * sigma**2
    assert abs(y.sum(1).var() - variance) < 1e-12 * max(1, variance)


@pytest.mark.claim("C-ML1a")
def test_exact_lemma_is_the_limit_of_equal_features() -> None:
    """rho = 1: 2E and 4Var as printed; for any correlation below 1 the variance of two is less than 4Var."""
    y = exact_features(500, 2, 1.5, 2.0, 1.0, 0)
    np.testing.assert_allclose(y[:, 0], y[:, 1], atol=1e-6)
    assert y.sum(1).mean() == pytest.approx(2 * 1.5, abs=1e-12)
    assert y.sum(1).var() == pytest.approx(4 * 4.0, rel=1e-12)
    assert exact_features(500, 2, 1.5, 2.0, 0.5, 0).sum(1).var() == pytest.approx(3 * 4.0, rel=1e-12)


@pytest.mark.claim("T-M1")
@pytest.mark.parametrize(("k", "rho"), list(itertools.product([2, 3, 4], [0.0, 0.5, 0.9])))
def test_exact_law_in_simulation(k: int, rho: float) -> None:
    """Skewed features with a common part, 400,000 samples: within 1 percent, whatever their distribution."""
    draw = np.random.default_rng(k)
    common, own = draw.gamma(2.0, size=(400_000, 1)), draw.gamma(2.0, size=(400_000, k))
    y = np.sqrt(rho) * common + np.sqrt(1 - rho) * own
    mu = 2 * (np.sqrt(rho) + np.sqrt(1 - rho))
    assert y.sum(1).mean() == pytest.approx(k * mu, rel=0.01)
    assert y.sum(1).var() == pytest.approx(k * (1 + (k - 1) * rho) * 2.0, rel=0.01)
