"""SNAS: the law of a concrete sample, its score, and the search gradient against the policy gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import generator
from torch import Tensor
from toys import largest_z, random

from nas_core.relaxations import concrete_draw, concrete_gradient, concrete_score, gumbel, one_hot_score

N = 200_000


@pytest.mark.claim("T-S1", "T-S1b")
@pytest.mark.parametrize("temperature", [0.03, 0.7, 5.0])
def test_exact_law_of_the_largest_entry(temperature: float) -> None:
    """The argmax follows p at every temperature; the mean of the sample does not at a finite one."""
    a = random(5, seed=1)
    p, z = a.softmax(-1), concrete_draw(a.expand(N, -1), generator(2), temperature)
    largest = torch.nn.functional.one_hot(z.argmax(-1), 5).double()
    assert largest_z(largest, p) < 4
    if temperature > 0.5:
        assert largest_z(z, p) > 4


@pytest.mark.claim("T-S2")
@given(st.integers(2, 8), st.floats(0.1, 3), st.integers(0, 100))
def test_property_printed_search_gradient(ops: int, temperature: float, seed: int) -> None:
    """SNAS eq. 6 by alpha, with its factor 1 / (lam alpha), and by logits without it, against autograd."""
    alpha, g, outputs = random(ops, seed=seed).exp().requires_grad_(), random(6, seed=seed + 1), random(ops, 6, seed=3)
    noise = gumbel(alpha.detach(), generator(seed))
    z = ((alpha.log() + noise) / temperature).softmax(-1)
    (expected,) = torch.autograd.grad(z @ outputs @ g, alpha)
    z, alpha = z.detach(), alpha.detach()
    credit = outputs @ g
    printed = sum(credit[m] * ((m == torch.arange(ops)).double() - z[m]) * z for m in range(ops)) / temperature / alpha
    by_logit = concrete_gradient(alpha.log(), z, credit, temperature)
    scale = max(1.0, expected.abs().max().item())
    assert (printed - expected).abs().max() < 1e-13 * scale
    assert (by_logit / alpha - expected).abs().max() < 1e-13 * scale


def log_density(a: Tensor, z: Tensor, temperature: float) -> Tensor:
    """log of (K-1)! lam^(K-1) prod_k alpha_k z_k^(-lam-1) / (sum_k alpha_k z_k^-lam)^K, up to a constant."""
    total = (a.exp() * z**-temperature).sum(-1)
    return (a - (temperature + 1) * z.log()).sum(-1) - a.shape[-1] * total.log()


@given(st.integers(2, 6), st.floats(0.3, 2), st.integers(0, 100))
def test_property_concrete_score_is_the_derivative_of_the_density(ops: int, temperature: float, seed: int) -> None:
    a = random(3, ops, seed=seed).requires_grad_()
    z = concrete_draw(a.detach(), generator(seed), temperature)
    (expected,) = torch.autograd.grad(log_density(a, z, temperature).sum(), a)
    torch.testing.assert_close(concrete_score(a.detach(), z, temperature), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.03, 0.7])
def test_exact_mean_of_the_scores_is_zero(temperature: float) -> None:
    """Also at the lowest temperature, where the sample is nearly one-hot; forbidden operations have none."""
    a = random(5, seed=1)
    a[3] = -torch.inf
    z = concrete_draw(a.expand(N, -1), generator(3), temperature)
    score = concrete_score(a, z, temperature)
    assert score.isfinite().all()
    assert (score[:, 3] == 0).all()
    assert largest_z(score[:, [0, 1, 2, 4]]) < 4
    torch.testing.assert_close(one_hot_score(a, z, 1.0).sum(-1), torch.zeros(N, dtype=torch.float64))


@pytest.mark.claim("T-S4", "T-S4b")
@pytest.mark.parametrize("linear", [True, False])
def test_exact_search_and_policy_gradient(linear: bool) -> None:
    """Pathwise v(Z) through the sample against score times credit v.Z: equal means only if v is constant."""
    a, v, m, temperature = random(5, seed=4), random(5, seed=5), random(5, 5, seed=6), 0.7
    z = concrete_draw(a.expand(N, -1), generator(7), temperature)
    credit = v.expand(N, -1) if linear else z @ (m + m.T)  # the gradient of v.z and of z.Mz
    pathwise = concrete_gradient(a, z, credit, temperature)
    policy = concrete_score(a, z, temperature) * (z * credit).sum(-1, keepdim=True)
    difference = largest_z(pathwise - policy)
    assert difference < 4 if linear else difference > 20


def test_the_score_is_finite_where_a_relaxed_sample_underflows() -> None:
    """The operation at 0 gets all of the share: 1 - K, and the others 1."""
    z = torch.tensor([[0.0, 0.25, 0.75]], dtype=torch.float64)
    score = concrete_score(torch.zeros_like(z), z, 1.0)
    torch.testing.assert_close(score, torch.tensor([[-2.0, 1.0, 1.0]], dtype=torch.float64))
