"""From the cost C = dL/dZ to the gradient of the logits: the papers' formulas against autograd and enumeration."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small import batch, darts, generator, network
from torch import Tensor

from nas_core.relaxations import (
    RELAXATIONS,
    concrete_draw,
    concrete_gradient,
    gumbel,
    no_gradient,
    one_hot_gradient,
    softmax_draw,
    softmax_gradient,
    uniform_draw,
)

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(2, 8))


def random(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(seed))


def smooth_loss(z: Tensor) -> Tensor:
    """Some nonlinear function of all edge variables together."""
    mix = random((z.numel(), 6), seed=9)
    return torch.tanh(z.flatten() @ mix).exp().sum()


def cost_of(z: Tensor) -> Tensor:
    leaf = z.detach().clone().requires_grad_()
    return torch.autograd.grad(smooth_loss(leaf), leaf)[0]


@given(SHAPES, st.integers(0, 100))
def test_property_softmax_gradient_is_autograd(shape: tuple[int, int, int], seed: int) -> None:
    a = random(shape, seed).requires_grad_()
    z = torch.softmax(a, -1)
    (expected,) = torch.autograd.grad(smooth_loss(z), a)
    assert torch.equal(softmax_draw(a, generator(), 0.5), z)
    ours = softmax_gradient(a.detach(), z.detach(), cost_of(z), 0.5)
    torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-13)


@given(SHAPES, st.integers(0, 100), st.floats(0.1, 3))
def test_property_concrete_gradient_is_autograd(shape: tuple[int, int, int], seed: int, temperature: float) -> None:
    """The same noise, written out: Z = softmax((a + G) / lam)."""
    a = random(shape, seed).requires_grad_()
    z = torch.softmax((a + gumbel(a, generator(seed))) / temperature, -1)
    (expected,) = torch.autograd.grad(smooth_loss(z), a)
    drawn = concrete_draw(a.detach(), generator(seed), temperature)
    torch.testing.assert_close(drawn, z.detach(), rtol=1e-12, atol=1e-14)
    ours = concrete_gradient(a.detach(), drawn, cost_of(drawn), temperature)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.claim("T-D2")
def test_exact_cost_form_on_the_supernet() -> None:
    """T-D2: dL/da = Z^k (C^k - sum_m Z^m C^m); three cells share the logits, C sums their gates' gradients."""
    model, (images, labels) = network(darts(3), layers=3), batch()
    a = random((9, 8), seed=4).requires_grad_()
    z = torch.softmax(a, -1)
    (expected,) = torch.autograd.grad(F.cross_entropy(model(images, z.expand(3, -1, -1)), labels), a)
    gates = z.detach().expand(3, -1, -1).clone().requires_grad_()
    (cost,) = torch.autograd.grad(F.cross_entropy(model(images, gates), labels), gates)
    ours = softmax_gradient(a.detach(), z.detach(), cost.sum(0), 1.0)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-14)


def one_hots(edges: int, ops: int) -> list[Tensor]:
    """All one-hot edge variables of shape (1, edges, ops)."""
    rows = torch.eye(ops, dtype=torch.float64)
    return [torch.stack([rows[k] for k in pick])[None] for pick in itertools.product(range(ops), repeat=edges)]


@given(st.integers(1, 2), st.integers(2, 4), st.integers(0, 100))
def test_property_one_hot_gradient_in_expectation(edges: int, ops: int, seed: int) -> None:
    """Over all paths: E[g^k] = p^k (C^k - sum_m p^m C^m), which is the gradient of the expected cost sum_k p^k C^k."""
    a, cost = random((1, edges, ops), seed).requires_grad_(), random((1, edges, ops), seed + 1)
    p = torch.softmax(a, -1)
    (expected,) = torch.autograd.grad((p * cost).sum(), a)
    p = p.detach()
    mean = torch.zeros_like(p)
    for z in one_hots(edges, ops):
        probability = (z * p).sum(-1).prod()
        mean += probability * one_hot_gradient(a.detach(), z, z * cost, 1.0)
    torch.testing.assert_close(mean, expected, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(mean, p * (cost - (p * cost).sum(-1, keepdim=True)), rtol=1e-10, atol=1e-13)


@given(st.integers(1, 4), st.integers(2, 6), st.integers(0, 100))
def test_property_one_hot_gradient_is_the_score_times_the_cost(edges: int, ops: int, seed: int) -> None:
    """grad_a log p(Z), the logarithm taken edge by edge, times the cost of the drawn operation."""
    a, cost = random((1, edges, ops), seed).requires_grad_(), random((1, edges, ops), seed + 1)
    z = F.one_hot(torch.randint(ops, (1, edges), generator=generator(seed)), ops).double()
    log_p = (torch.log_softmax(a, -1) * z).sum(-1)
    (expected,) = torch.autograd.grad((log_p * (z * cost).sum(-1)).sum(), a)
    torch.testing.assert_close(one_hot_gradient(a.detach(), z, cost, 1.0), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["softmax", "concrete", "one-hot"])
def test_exact_gradient_sums_to_zero_over_an_edge(name: str) -> None:
    """Adding a constant to an edge's logits changes nothing."""
    a, cost = random((2, 5, 8), 0), random((2, 5, 8), 1)
    z = RELAXATIONS[name].draw(a, generator(), 0.7)
    total = RELAXATIONS[name].logit_gradient(a, z, cost, 0.7).sum(-1)
    assert total.abs().max() < 1e-13
    shifted = RELAXATIONS[name].draw(a + 3, generator(), 0.7)
    torch.testing.assert_close(z, shifted)


@pytest.mark.parametrize("name", RELAXATIONS)
def test_forbidden_operations_stay_out(name: str) -> None:
    """With logit -inf, Z and the gradient are 0 and nothing becomes NaN; an edge with one operation does not move."""
    a = random((1, 3, 4), 0)
    a[0, 0, 1:] = -torch.inf
    a[0, 1, ::2] = -torch.inf
    r, draw = RELAXATIONS[name], generator()
    for _ in range(50):
        z = r.draw(a, draw, 0.1)
        assert (z[a == -torch.inf] == 0).all()
        torch.testing.assert_close(z.sum(-1), torch.ones(1, 3, dtype=torch.float64))
        g = r.logit_gradient(a, z, random((1, 3, 4), 1), 0.1)
        assert g.isfinite().all()
        assert (g[a == -torch.inf] == 0).all()
        assert (g[0, 0] == 0).all()


def test_uniform_sampling_has_no_gradient() -> None:
    a, cost = random((1, 3, 4), 0), random((1, 3, 4), 1)
    assert torch.equal(no_gradient(a, uniform_draw(a, generator(), 1.0), cost, 1.0), torch.zeros_like(a))
    assert RELAXATIONS["uniform"].logit_gradient is no_gradient
