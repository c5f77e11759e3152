"""The accumulators of local costs and the distribution of architectures."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import NOT_NONE, batch, costs, generator, mixture, network, random_path
from torch import Tensor

from nas_core.cells.operations import CANDIDATES
from nas_core.probes.architecture import entropy, probabilities
from nas_core.probes.costs import CostProbe

LAYERS, EDGES, OPS = 2, 5, 8
SKIP = CANDIDATES.index("skip_connect")


def leaks() -> Tensor:
    marked = torch.zeros(EDGES, OPS, dtype=torch.bool)
    marked[4, SKIP] = True
    return marked


def batches(kind: str, n: int = 7) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Gates, costs and output costs of random batches on the supernet."""
    found = []
    for seed in range(n):
        model = network(layers=LAYERS, seed=seed)
        gates = random_path(model, NOT_NONE, seed) if kind == "paths" else mixture(model, seed)
        if kind == "with none":
            gates = random_path(model, CANDIDATES, seed)
        _, _, cost, output = costs(model, gates, *batch(seed=seed))
        found.append((gates, cost, output))
    return found


@pytest.mark.parametrize("kind", ["paths", "with none", "mixture"])
def test_exact_accumulators_are_direct_sums(kind: str) -> None:
    seen, probe = batches(kind), CostProbe(LAYERS, leaks())
    for gates, cost, output in seen:
        probe.add(gates.clone().requires_grad_(), cost, output)
    arrays = probe.close()
    assert set(arrays) == {"cost_sum", "cost_sq", "cost_n", "edge_cost", "out_cost", "skip_leak"}
    for layer in range(LAYERS):
        outputs = [o[layer].item() for _, _, o in seen]
        assert arrays["out_cost"][layer].item() == pytest.approx(sum(outputs) / len(seen), rel=1e-12)
        leak = sum((z[layer, 4, SKIP] * c[layer, 4, SKIP]).item() for z, c, _ in seen) / len(seen)
        assert arrays["skip_leak"][layer].item() == pytest.approx(leak, rel=1e-12)
        for e in range(EDGES):
            paid = [sum((z[layer, e, k] * c[layer, e, k]).item() for k in range(OPS)) for z, c, _ in seen]
            assert arrays["edge_cost"][layer, e].item() == pytest.approx(sum(paid) / len(seen), rel=1e-9, abs=1e-15)
            for k in range(OPS):
                drawn = [c[layer, e, k].item() for z, c, _ in seen if z[layer, e, k] != 0]
                assert arrays["cost_n"][layer, e, k] == len(drawn)
                assert arrays["cost_sum"][layer, e, k].item() == pytest.approx(sum(drawn), rel=1e-9, abs=1e-15)
                squares = sum(c * c for c in drawn)
                assert arrays["cost_sq"][layer, e, k].item() == pytest.approx(squares, rel=1e-9, abs=1e-20)
    if kind == "paths":
        assert (arrays["cost_n"].sum(-1) == len(seen)).all()


def test_exact_costs_of_what_was_not_drawn_do_not_count() -> None:
    """Gradients reach gates at 0, too, where a relaxation measures all allowed operations."""
    gates = torch.zeros(LAYERS, EDGES, OPS, dtype=torch.float64)
    gates[:, :, SKIP] = 0.5
    probe = CostProbe(LAYERS, leaks())
    probe.add(gates, torch.full_like(gates, 3.0), torch.zeros(LAYERS))
    arrays = probe.close()
    drawn = gates != 0
    for name, value in {"cost_sum": 3.0, "cost_sq": 9.0, "cost_n": 1.0}.items():
        assert (arrays[name][drawn] == value).all(), name
        assert (arrays[name][~drawn] == 0).all(), name
    assert (arrays["edge_cost"] == 1.5).all()
    assert (arrays["skip_leak"] == 1.5).all()


def test_closing_starts_afresh_and_keeps_what_it_gave() -> None:
    (gates, cost, output), *_ = batches("mixture", 1)
    probe = CostProbe(LAYERS, leaks())
    probe.add(gates, cost, output)
    first = probe.close()
    kept = {name: value.clone() for name, value in first.items()}
    probe.add(gates, 2 * cost, 2 * output)
    second = probe.close()
    for name, value in first.items():
        assert torch.equal(value, kept[name])
        factor = {"cost_n": 1, "cost_sq": 4}.get(name, 2)
        torch.testing.assert_close(second[name], factor * kept[name])
    assert all((value == 0).all() for value in probe.close().values())


def test_state_goes_on_in_the_middle_of_an_epoch() -> None:
    seen = batches("paths", 4)
    whole, first, second = (CostProbe(LAYERS, leaks()) for _ in range(3))
    for i, b in enumerate(seen):
        whole.add(*b)
        (first if i < 2 else second).add(*b)
        if i == 1:
            second.totals = first.totals
    assert all(torch.equal(a, b) for a, b in zip(whole.close().values(), second.close().values(), strict=True))


def test_a_mean_needs_no_batch() -> None:
    assert all(v.isfinite().all() for v in CostProbe(LAYERS, leaks()).close().values())


@given(st.integers(1, 4), st.integers(1, 6), st.integers(2, 8), st.floats(0.1, 30), st.integers(0, 100))
def test_property_entropy_and_probabilities(types: int, edges: int, ops: int, scale: float, seed: int) -> None:
    """Entropy in nats, between 0 and ln K, 0 x ln 0 = 0; probabilities in float64, rows sum to 1."""
    logits = (scale * torch.randn(types, edges, ops, generator=generator(seed))).requires_grad_()
    with torch.no_grad():
        logits[0, 0, 1:] = -torch.inf
    p = probabilities(logits)
    assert p.dtype == torch.float64
    assert not p.requires_grad
    torch.testing.assert_close(p.sum(-1), torch.ones(types, edges, dtype=torch.float64))
    h = entropy(p)
    for t in range(types):
        for e in range(edges):
            row = [q for q in p[t, e].tolist() if q > 0]
            assert h[t, e].item() == pytest.approx(-sum(q * math.log(q) for q in row), abs=1e-12)
    assert p[0, 0].tolist() == [1.0] + [0.0] * (ops - 1)
    assert h[0, 0] == 0
    assert (h <= math.log(ops) + 1e-12).all()


def test_exact_entropy_of_equal_logits() -> None:
    assert entropy(probabilities(torch.ones(1, 14, 8))).flatten().tolist() == pytest.approx([math.log(8)] * 14)
