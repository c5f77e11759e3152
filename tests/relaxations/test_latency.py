"""The expected latency."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import random

from nas_core.relaxations.latency import expected_latency


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
