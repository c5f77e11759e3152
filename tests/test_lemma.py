"""Lemma 3.1 of MixPath: mean and variance of a sum of k features of equal mean, variance and pairwise correlation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st


def exact_features(n: int, k: int, mu: float, sigma: float, rho: float, seed: int) -> np.ndarray:
    """n samples of k features whose *empirical* mean, variance and pairwise correlation are exactly those asked for."""
    draw = np.random.default_rng(seed).standard_normal((n, k))
    white, _ = np.linalg.qr(draw - draw.mean(0))
    correlation = np.full((k, k), rho)
    np.fill_diagonal(correlation, 1)
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(values.clip(0))
    standard = np.sqrt(n) * white @ root @ vectors.T
    return mu + sigma * standard


def variance_of_sum(k: int, rho: float, variance: float) -> float:
    """k (1 + (k - 1) rho) sigma^2."""
    return k * (1 + (k - 1) * rho) * variance


@pytest.mark.claim("C-ML1a")
@given(
    k=st.integers(1, 6),
    rho=st.floats(0, 1),
    mu=st.floats(-5, 5),
    sigma=st.floats(0.1, 5),
    seed=st.integers(0, 100),
)
def test_property_law_of_sums(k: int, rho: float, mu: float, sigma: float, seed: int) -> None:
    """Mean k mu and variance k (1 + (k - 1) rho) sigma^2, to round-off."""
    total = exact_features(500, k, mu, sigma, rho, seed).sum(1)
    mean = k * mu
    assert abs(total.mean() - mean) < 1e-12 * max(1, abs(mean))
    variance = variance_of_sum(k, rho, sigma**2)
    assert abs(total.var() - variance) < 1e-12 * max(1, variance)


@pytest.mark.claim("C-ML1a")
def test_exact_lemma_is_the_limit_of_equal_features() -> None:
    """rho = 1: 2E and 4Var as printed; for any correlation below 1 the variance of two is less than 4Var."""
    equal = exact_features(500, 2, 1.5, 2.0, 1.0, 0)
    np.testing.assert_allclose(equal[:, 0], equal[:, 1], atol=1e-6)
    total = equal.sum(1)
    assert total.mean() == pytest.approx(2 * 1.5, abs=1e-12)
    assert total.var() == pytest.approx(4 * 4.0, rel=1e-12)
    half_correlated = exact_features(500, 2, 1.5, 2.0, 0.5, 0).sum(1)
    assert half_correlated.var() == pytest.approx(3 * 4.0, rel=1e-12)


@pytest.mark.claim("T-M1")
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("k", [2, 3, 4])
def test_exact_law_in_simulation(k: int, rho: float) -> None:
    """Skewed features with a common part, 400,000 samples: within 1 percent, whatever their distribution."""
    draw = np.random.default_rng(k)
    common = draw.gamma(2.0, size=(400_000, 1))
    own = draw.gamma(2.0, size=(400_000, k))
    shared, apart = np.sqrt(rho), np.sqrt(1 - rho)
    total = (shared * common + apart * own).sum(1)
    mu = 2 * (shared + apart)
    assert total.mean() == pytest.approx(k * mu, rel=0.01)
    assert total.var() == pytest.approx(variance_of_sum(k, rho, 2.0), rel=0.01)
