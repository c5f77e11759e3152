"""Operations that are observed without being drawn: what they cost, and that nothing else hears of them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small import batch, generator, network, path, random_path

from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import darts_cell, minimal_cell


@pytest.mark.claim("C-N9b")
@pytest.mark.parametrize("reductions", [False, True])
@given(seed=st.integers(0, 100))
def test_property_observed_operations_change_nothing(reductions: bool, seed: int) -> None:
    """Logits, costs of the drawn and gradients of the weights are those of the drawn path alone, bit for bit."""
    model = network(darts_cell(2), layers=2, reductions=reductions, seed=seed)
    (images, labels), gates = batch(4, 6), random_path(model, CANDIDATES, seed).requires_grad_()
    results = []
    for observed in (None, torch.rand(gates.shape, generator=generator(seed)) < 0.7):
        logits = model(images, gates, observed=observed)
        loss = F.cross_entropy(logits, labels)
        cost, *grads = torch.autograd.grad(
            loss, [gates, *model.parameters()], allow_unused=True, materialize_grads=True
        )
        results.append([logits, cost * gates, *grads])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("reductions", [False, True])
def test_exact_cost_of_an_operation_that_is_not_drawn(reductions: bool) -> None:
    """The gate's gradient at 0 is <dL/dX, O(x)>: the slope of the loss if a little of the operation were added."""
    model = network(minimal_cell(), layers=2, reductions=reductions)
    images, labels = batch()
    gates = random_path(model, CANDIDATES, seed=1)
    everything = torch.ones_like(gates, dtype=torch.bool)
    leaf = gates.clone().requires_grad_()
    (cost,) = torch.autograd.grad(F.cross_entropy(model(images, leaf, observed=everything), labels), leaf)
    assert (cost[..., CANDIDATES.index("none")] == 0).all()
    h = 1e-7
    for place in [(0, 0, 4), (0, 4, 1), (1, 2, 3), (1, 3, 6), (1, 4, 7)]:
        step = torch.zeros_like(gates)
        step[place] = h
        with torch.no_grad():
            ends = [F.cross_entropy(model(images, gates + s * step), labels) for s in (1, -1)]
        torch.testing.assert_close(cost[place], (ends[0] - ends[1]) / (2 * h), rtol=1e-4, atol=1e-7)


def test_an_observed_operation_has_no_graph() -> None:
    """It is computed once, and neither its weights nor its input hear of it."""
    model, calls = network(minimal_cell()), []
    for edge in model.cells[0].operations:
        for k, op in enumerate(edge):
            op.register_forward_hook(lambda m, args, out, k=k: calls.append((k, out.requires_grad)))
    gates = path(model, *["sep_conv_3x3"] * 5).requires_grad_()
    observed = torch.zeros_like(gates, dtype=torch.bool)
    observed[..., CANDIDATES.index("dil_conv_5x5")] = True
    loss = F.cross_entropy(model(batch()[0], gates, observed=observed), batch()[1])
    assert (
        sorted(calls)
        == [(CANDIDATES.index("sep_conv_3x3"), True)] * 5 + [(CANDIDATES.index("dil_conv_5x5"), False)] * 5
    )
    loss.backward()
    touched = {n.split(".")[4] for n, p in model.named_parameters() if "operations" in n and p.grad is not None}
    assert touched == {str(CANDIDATES.index("sep_conv_3x3"))}
