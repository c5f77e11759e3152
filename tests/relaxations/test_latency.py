"""The expected latency, and the losses that have it in them."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import random

from nas_core.relaxations.latency import (
    FORMS,
    additive,
    discounted,
    expected_latency,
    multiplicative,
    with_latency,
)


@pytest.mark.claim("T-P5", "C-N14")
@pytest.mark.parametrize("learned", [False, True])
@given(st.integers(1, 3), st.integers(1, 5), st.integers(2, 8), st.integers(0, 100))
def test_property_gradient_of_the_expected_latency(learned: bool, types: int, edges: int, ops: int, seed: int) -> None:
    """p_k (F_k - sum_m p_m F_m), F from a table or from a small network that reads what an operation is."""
    a, table = random(types, edges, ops, seed=seed).requires_grad_(), random(types, edges, ops, seed=seed + 1).exp()
    if learned:
        hidden = torch.relu(random(types, edges, ops, 5, seed=seed + 2) @ random(5, 16, seed=seed + 3))
        table = (hidden @ random(16, seed=seed + 4)) / 16
    total = expected_latency(a, table, constant=3.0)
    (ours,) = torch.autograd.grad(total, a)
    p = a.detach().softmax(-1)
    assert total.item() == pytest.approx((p * table).sum().item() + 3, rel=1e-12)
    assert (ours - p * (table - (p * table).sum(-1, keepdim=True))).abs().max() < 1e-14


def test_forbidden_operations_take_no_time() -> None:
    a = torch.tensor([[0.0, -torch.inf, 0.0]])
    assert expected_latency(a, torch.tensor([[2.0, 100.0, 4.0]])).item() == 3


@given(st.sampled_from(sorted(FORMS)), st.integers(2, 6), st.integers(0, 100))
def test_property_the_gradient_of_a_loss_with_latency_is_that_of_automatic_differentiation(
    name: str, ops: int, seed: int
) -> None:
    """Where the gradient of the cross-entropy by the logits is known, no estimate is needed to compare with."""
    a, table = random(3, ops, seed=seed), 50 + random(3, ops, seed=seed + 1).exp()
    form = partial(FORMS[name], reference=120.0, weight=2.0)

    def cross_entropy(logits: torch.Tensor) -> torch.Tensor:
        return logits.square().sum() + 0.1

    def latency(logits: torch.Tensor) -> torch.Tensor:
        return expected_latency(logits, table, constant=5.0)

    logits = a.clone().requires_grad_()
    (expected,) = torch.autograd.grad(form(cross_entropy(logits), latency(logits)), logits)
    ours = with_latency(form, 2 * a, cross_entropy(a).item(), latency, a)
    assert ours == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_logits_out_of_the_pair_feel_no_latency() -> None:
    """Two paths: the expectation is that of the pair, and the others have no gradient."""
    a = torch.tensor([[0.3, -torch.inf, 0.1]], dtype=torch.float64)
    table = torch.tensor([[20.0, 1000.0, 40.0]], dtype=torch.float64)
    form = partial(additive, reference=10.0, weight=1.0)
    ours = with_latency(form, torch.zeros_like(a), 1.0, lambda logits: expected_latency(logits, table), a)
    p = a.softmax(-1)
    assert ours[0, 1] == 0
    assert ours[0, 2].item() == pytest.approx((p[0, 0] * p[0, 2] * 20 / 10).item(), rel=1e-12)


def test_at_the_reference_neither_form_changes_the_loss() -> None:
    loss, latency = torch.tensor(2.0), torch.tensor(300.0)
    for form in (additive, multiplicative):
        assert form(loss, latency, 300.0, 0.7).item() == pytest.approx(2.0)
        assert form(loss, 2 * latency, 300.0, 0.7).item() > 2


def test_the_reward_of_a_slow_network_is_discounted() -> None:
    assert discounted(0.8, 200.0, 100.0, 0.1) == pytest.approx(0.8 * 0.5**0.1)
    assert discounted(0.8, 100.0, 100.0, 0.1) == 0.8
