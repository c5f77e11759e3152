"""The log penalty of SNAS's resource constraint."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import generator
from torch import Tensor

from nas_core.cells.operations import CANDIDATES, OPERATIONS
from nas_core.relaxations.resource import log_penalty

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
    return torch.tensor([(c.params, c.flops, c.mac) for c in costs], dtype=torch.float64)


def row(op: str) -> Tensor:
    return torch.eye(len(CANDIDATES), dtype=torch.float64)[CANDIDATES.index(op)]


@pytest.mark.parametrize("op", CANDIDATES)
def test_exact_penalty_of_one_operation(op: str) -> None:
    assert round(log_penalty(row(op)[None], table()[None]).item(), 3) == PRINTED[op]


def test_exact_penalty_adds_edges_and_averages_layers() -> None:
    z = torch.stack([row("skip_connect"), row("sep_conv_5x5"), row("none")])
    one = log_penalty(z, table().expand(3, -1, -1))
    assert round(one.item(), 2) == round(3.466 + 11.028, 2)
    small, large = table(8, 8).expand(3, -1, -1), table(16, 32).expand(3, -1, -1)
    both = log_penalty(z, torch.stack([small, large]))
    torch.testing.assert_close(both, (log_penalty(z, small) + log_penalty(z, large)) / 2)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 100))
def test_property_gradient_of_the_penalty(layers: int, edges: int, seed: int) -> None:
    """By hand: a third of cost_k / (sum_m Z^m cost_m) for every criterion above 1, averaged over layers."""
    draw = generator(seed)
    z = torch.softmax(3 * torch.randn(edges, 8, generator=draw, dtype=torch.float64), -1).requires_grad_()
    scale = torch.rand(layers, edges, 1, 1, generator=draw, dtype=torch.float64) * 1e-2
    costs = table() * scale
    (ours,) = torch.autograd.grad(log_penalty(z, costs), z)
    expected = torch.zeros_like(ours)
    for layer in range(layers):
        for e in range(edges):
            for criterion in range(3):
                column = costs[layer, e, :, criterion]
                total = (z[e] * column).sum().detach()
                if total > 1:
                    expected[e] += column / total / 3 / layers
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)
