"""SNAS's resource constraint: two penalties, and three estimators of the gradient of their expectation."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import generator
from torch import Tensor
from toys import largest_z, random

from nas_core.cells.operations import CANDIDATES, OPERATIONS
from nas_core.relaxations import concrete_draw, concrete_gradient, concrete_score, one_hot_draw, one_hot_score
from nas_core.relaxations.resource import (
    PENALTIES,
    alone,
    expected,
    linear_penalty,
    log_penalty,
    reparametrised,
    score,
)

PRINTED = {
    "none": 0.0,
    "skip_connect": 3.466,
    "max_pool_3x3": 7.433,
    "avg_pool_3x3": 7.433,
    "dil_conv_3x3": 10.004,
    "dil_conv_5x5": 10.335,
    "sep_conv_3x3": 10.697,
    "sep_conv_5x5": 11.028,
}


def table(channels: int = 16, side: int = 32) -> Tensor:
    """(ops, 3): parameters, multiply-adds, memory accesses."""
    costs = [OPERATIONS[op].cost(channels, side, 1) for op in CANDIDATES]
    return torch.tensor([(c.params, c.madds, c.accesses) for c in costs], dtype=torch.float64)


def row(op: str) -> Tensor:
    return torch.eye(len(CANDIDATES), dtype=torch.float64)[CANDIDATES.index(op)]


@pytest.mark.parametrize("op", CANDIDATES)
def test_exact_penalty_of_one_operation(op: str) -> None:
    assert round(log_penalty(row(op)[None], table()[None]).item(), 3) == PRINTED[op]


def test_exact_linear_penalty_of_one_operation() -> None:
    """0.43 (2 size + flops / 4000 + mac / 100): skip 0.43 * 327.68, sep3 0.43 (1600 + 204.8 + 1318.72)."""
    of = {op: linear_penalty(row(op)[None], table()[None]).item() for op in CANDIDATES}
    assert of["none"] == 0
    assert of["skip_connect"] == pytest.approx(0.43 * 327.68)
    assert of["max_pool_3x3"] == pytest.approx(0.43 * (147456 / 4000 + 327.68))
    assert of["sep_conv_3x3"] == pytest.approx(0.43 * (1600 + 204.8 + 1318.72))


@pytest.mark.parametrize("penalty", PENALTIES.values())
def test_exact_penalty_is_that_of_each_edge(penalty: object) -> None:
    """Edges and layers do not mix; an operation by itself is averaged over the layers."""
    ops = ("skip_connect", "sep_conv_5x5", "none")
    small, large = table(8, 8).expand(3, -1, -1), table(16, 32).expand(3, -1, -1)
    both = torch.stack([small, large])
    value = penalty(torch.stack([row(op) for op in ops]), both)
    assert value.shape == (2, 3)
    single = torch.stack([torch.stack([penalty(row(op)[None], t[:1])[0] for op in ops]) for t in (small, large)])
    torch.testing.assert_close(value, single)
    by_itself = alone(penalty, both)
    assert by_itself.shape == (3, 8)
    torch.testing.assert_close(by_itself[0, CANDIDATES.index("skip_connect")], single[:, 0].mean())


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 100))
def test_property_gradient_of_the_penalty(layers: int, edges: int, seed: int) -> None:
    """By hand: a third of cost_k / (sum_m Z^m cost_m) for every criterion above 1, averaged over layers."""
    draw = generator(seed)
    z = torch.softmax(3 * torch.randn(edges, 8, generator=draw, dtype=torch.float64), -1).requires_grad_()
    scale = torch.rand(layers, edges, 1, 1, generator=draw, dtype=torch.float64) * 1e-2
    costs = table() * scale
    (ours,) = torch.autograd.grad(log_penalty(z, costs).sum(-1).mean(), z)
    expected = torch.zeros_like(ours)
    for layer in range(layers):
        for e in range(edges):
            for criterion in range(3):
                column = costs[layer, e, :, criterion]
                total = (z[e] * column).sum().detach()
                if total > 1:
                    expected[e] += column / total / 3 / layers
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def costs_of(edges: int) -> Tensor:
    """Two layers of different sizes: (layers, edges, ops, 3)."""
    return torch.stack([table(8, 8), table(16, 32)])[:, None].expand(-1, edges, -1, -1)


@pytest.mark.claim("T-S7")
@pytest.mark.parametrize("penalty", PENALTIES.values())
def test_exact_expected_penalty_of_one_hot_samples(penalty: object) -> None:
    """Over all 8 x 8 children of two edges, sum p(Z) P(Z) = sum p.P and its gradient; the score form has that mean."""
    a, costs = random(2, 8, seed=1).requires_grad_(), costs_of(2)
    p = a.softmax(-1)
    paths = [torch.eye(8, dtype=torch.float64)[list(pick)] for pick in itertools.product(range(8), repeat=2)]
    chances = [(z * p).sum(-1).prod() for z in paths]
    total = sum(chance * penalty(z, costs).sum(-1).mean() for z, chance in zip(paths, chances, strict=True))
    (truth,) = torch.autograd.grad(total, a)
    by_hand = (p * alone(penalty, costs)).sum()
    assert abs(total - by_hand) < 1e-12 * by_hand
    a, scale = a.detach(), truth.abs().max()
    assert (expected(penalty, a, costs) - truth).abs().max() < 1e-12 * scale
    scores = (score(penalty, one_hot_score, a, z, costs, 1.0) for z in paths)
    mean = sum(chance.detach() * g for g, chance in zip(scores, chances, strict=True))
    assert (mean - truth).abs().max() < 1e-12 * scale


@pytest.mark.claim("T-S7b")
def test_exact_penalty_of_a_relaxed_sample_is_biased() -> None:
    """For the linear penalty the bias is (E[Z] - p).P."""
    a, n = random(8, seed=2), 100_000
    z, p, costs = concrete_draw(a.expand(n, 1, -1), generator(3), 0.7), a.softmax(-1), table()[None]
    value, each = linear_penalty(z, costs)[:, 0], alone(linear_penalty, costs[None])[0]
    assert largest_z(value, (p @ each).item()) > 4
    torch.testing.assert_close(value.mean() - p @ each, (z.mean((0, 1)) - p) @ each)


@pytest.mark.parametrize("penalty", PENALTIES.values())
def test_exact_pathwise_and_score_estimates_agree(penalty: object) -> None:
    """Of a concrete sample's penalty: both are unbiased for one derivative; of one-hot ones: score and analytic."""
    a, n, costs = random(1, 8, seed=4), 20_000, costs_of(1)
    z = concrete_draw(a.expand(n, -1, -1), generator(5), 1.0)
    through = torch.stack([concrete_gradient(a, x, reparametrised(penalty, x, costs), 1.0) for x in z])
    by_score = torch.stack([score(penalty, concrete_score, a, x, costs, 1.0) for x in z])
    assert largest_z(through - by_score) < 4
    z = one_hot_draw(a.expand(n, -1, -1), generator(6), 1.0)
    by_score = torch.stack([score(penalty, one_hot_score, a, x, costs, 1.0) for x in z])
    assert largest_z(by_score, expected(penalty, a, costs)) < 4
