"""ProxylessNAS: the law of the gates, BinaryConnect, two paths and REINFORCE against enumeration."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from small import generator
from torch import Tensor
from toys import largest_z, random

from nas_core.relaxations import (
    RELAXATIONS,
    binary_gradient,
    keep_others,
    one_hot_draw,
    one_hot_gradient,
    through_softmax,
    two_paths,
)

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(2, 8))
ONE_HOTS = torch.eye(3, dtype=torch.float64)


@pytest.mark.claim("T-P1", "C-N10")
@given(SHAPES, st.integers(0, 100))
def test_property_binary_connect_is_the_softmax_jacobian(shape: tuple[int, int, int], seed: int) -> None:
    """sum_j g_j p_j (delta_ij - p_i), summed as printed, = (diag(p) - p p^T) g = ours; Z itself has no say."""
    a = random(*shape, seed=seed)
    g = random(*shape, seed=seed + 1)
    p = a.softmax(-1)
    printed = torch.zeros_like(p)
    for j, delta in enumerate(torch.eye(shape[-1])):
        printed += g[..., [j]] * p[..., [j]] * (delta - p)
    jacobian = torch.diag_embed(p) - p[..., None] * p[..., None, :]
    product = (jacobian @ g[..., None]).squeeze(-1)
    z = one_hot_draw(a, generator(seed), 1.0)
    ours = binary_gradient(a, z, g, 1.0)
    assert (ours - printed).abs().max() < 1e-14
    assert (ours - product).abs().max() < 1e-14


def bias(a: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The mean BinaryConnect gradient over the three gates, and the derivative of the expected loss sum p_k L(e_k)."""
    logits = a.clone().requires_grad_()
    losses = torch.stack([loss(e) for e in ONE_HOTS])
    (truth,) = torch.autograd.grad(logits.softmax(-1) @ losses, logits)
    mean = torch.zeros(3, dtype=torch.float64)
    for p, e in zip(a.softmax(-1), ONE_HOTS, strict=True):
        z = e.clone().requires_grad_()
        (cost,) = torch.autograd.grad(loss(z), z)
        mean += p * binary_gradient(a, e, cost, 1.0)
    return mean, truth


@pytest.mark.claim("T-P4", "T-P4b", "C-N10b", "C-N10c")
@given(st.integers(0, 100))
def test_property_binary_connect_is_exact_for_a_linear_loss_only(seed: int) -> None:
    a = random(3, seed=seed)
    c = random(3, seed=seed + 1)
    m = random(3, 3, seed=seed + 2)
    mean, truth = bias(a, lambda z: c @ z)
    assert (mean - truth).abs().max() < 1e-14
    mean, truth = bias(a, lambda z: (m @ z).square().sum())
    assert (mean - truth).norm() > 1e-3 * truth.norm()


@pytest.mark.claim("C-N9")
def test_exact_each_path_is_drawn_as_often_as_it_should() -> None:
    a = random(1, 4, 8, seed=3)
    drawn = one_hot_draw(a.expand(20_000, -1, -1, -1), generator(1), 1.0).sum((0, 1))
    for row, p in zip(drawn, a[0].softmax(-1), strict=True):
        assert stats.chisquare(row, 20_000 * p).pvalue > 1e-3


@pytest.mark.claim("C-N9")
def test_exact_pairs_are_drawn_without_replacement() -> None:
    """P({i, j}) = p_i p_j / (1 - p_i) + p_j p_i / (1 - p_j); then j is active as often as p_j / (p_i + p_j)."""
    a, n = random(1, 1, 5, seed=4), 20_000
    many = a.expand(n, -1, -1, -1)
    pair = two_paths(many, draw := generator(2))
    assert (pair.isfinite().sum(-1) == 2).all()
    assert torch.equal(pair[pair.isfinite()], many[pair.isfinite()])
    p = a.softmax(-1).flatten()
    chosen = pair.isfinite()
    observed, expected = [], []
    for i, j in itertools.combinations(range(5), 2):
        observed.append(int((chosen[..., i] & chosen[..., j]).sum()))
        either_order = 1 / (1 - p[i]) + 1 / (1 - p[j])
        expected.append(float(p[i] * p[j] * either_order))
    assert sum(expected) == pytest.approx(1)
    assert stats.chisquare(observed, n * np.array(expected)).pvalue > 1e-3
    active = one_hot_draw(pair, draw, 1.0).argmax(-1)
    q = pair.softmax(-1)
    for k in range(5):
        assert largest_z((active == k).double().flatten() - q[..., k].flatten()) < 4


@pytest.mark.claim("T-P2", "C-N11")
@given(SHAPES, st.integers(0, 100))
def test_property_rescaling_keeps_all_other_probabilities(shape: tuple[int, int, int], seed: int) -> None:
    """Whatever an optimiser did to any logit; the mass of the pair and its new odds are kept, too."""
    old, change = random(*shape, seed=seed), 0.5 * random(*shape, seed=seed + 1)
    pair = two_paths(old, generator(seed)).isfinite()
    new = keep_others(old, old + change, pair)
    p, q = old.softmax(-1), new.softmax(-1)
    assert (p - q)[~pair].abs().sum() < 1e-14
    assert ((p - q) * pair).sum(-1).abs().max() < 1e-14
    assert torch.equal(new[~pair], old[~pair])
    kept = new.masked_fill(~pair, -torch.inf).softmax(-1)
    wanted = (old + change).masked_fill(~pair, -torch.inf).softmax(-1)
    torch.testing.assert_close(kept, wanted, rtol=1e-12, atol=1e-14)


def test_a_pair_of_an_edge_with_fewer_operations() -> None:
    """One allowed operation is a pair of its own and never moves; two are always the pair."""
    a = random(1, 3, 4, seed=0)
    a[0, 0, 1:] = -torch.inf
    a[0, 1, 2:] = -torch.inf
    pair = two_paths(a, generator())
    assert pair.isfinite().sum(-1).tolist() == [[1, 2, 2]]
    moved = keep_others(a, a + random(1, 3, 4, seed=1), pair.isfinite())
    assert moved[0, 0, 0].item() == pytest.approx(a[0, 0, 0].item(), abs=1e-15)
    assert torch.equal(two_paths(a[..., :1], generator()), a[..., :1])


def test_exact_two_path_is_binary_on_the_pair() -> None:
    """The BinaryConnect formula over the pair with q = p / (p_i + p_j), zero elsewhere."""
    a, cost = random(1, 6, 8, seed=5), random(1, 6, 8, seed=6)
    pair = two_paths(a, generator(3))
    z = one_hot_draw(pair, generator(4), 1.0)
    ours = RELAXATIONS["two-path"].logit_gradient(pair, z, cost, 1.0)
    for e, row in enumerate(pair[0].isfinite()):
        i, j = row.nonzero().flatten().tolist()
        weights = a[0, e].exp()
        q = weights[i] / (weights[i] + weights[j])
        expected = torch.zeros(8, dtype=torch.float64)
        expected[i] = q * (1 - q) * (cost[0, e, i] - cost[0, e, j])
        expected[j] = -expected[i]
        torch.testing.assert_close(ours[0, e], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.claim("T-P3", "C-N12")
@given(st.integers(2, 8), st.integers(0, 100))
def test_property_reinforce_is_the_gradient_of_the_expected_reward(ops: int, seed: int) -> None:
    """sum_i p_i R_i (delta_ik - p_k) = dJ/da by autograd, with any baseline: the score form with cost -(R - b)."""
    a, reward = random(ops, seed=seed).requires_grad_(), random(ops, seed=seed + 1)
    p = a.softmax(-1)
    (expected,) = torch.autograd.grad((p * reward).sum(), a)
    a, p = a.detach(), p.detach()
    for baseline in (0.0, 0.7):
        mean = torch.zeros(ops, dtype=torch.float64)
        for i, z in enumerate(torch.eye(ops, dtype=torch.float64)):
            mean -= p[i] * one_hot_gradient(a, z, torch.full_like(z, baseline - reward[i].item()), 1.0)
        assert (mean - expected).abs().max() < 1e-14


@pytest.mark.claim("T-P3b", "T-P3c", "C-N12b")
def test_exact_sampled_reinforce() -> None:
    """1e5 draws: the mean is the gradient (absolute z below 4), and M draws together have a variance 1/M as large."""
    a = random(4, seed=1)
    reward = random(4, seed=2)
    z = one_hot_draw(a.expand(100_000, -1), generator(5), 1.0)
    cost = -(z @ reward)[:, None].expand(-1, 4)
    g = -one_hot_gradient(a, z, cost, 1.0)
    assert largest_z(g, through_softmax(a.softmax(-1), reward)) < 4
    for m in (4, 16):
        together = g.reshape(-1, m, 4).mean(1)
        ratio = m * together.var(0) / g.var(0)
        assert (ratio - 1).abs().max() < 0.1
