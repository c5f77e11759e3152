"""L, H and C of class logits, per sample and averaged."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from small import batch, costs, generator, mixture, network
from torch import Tensor

from nas_core.probes.losses import LossProbe, loss_terms


def samples(n: int, scale: float, seed: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    draw = generator(seed)
    logits = scale * torch.randn(n, classes, generator=draw, dtype=torch.float64)
    labels = torch.randint(classes, (n,), generator=draw)
    labels[::3] = logits[::3].argmax(1)  # so that there are always correct ones
    return logits, labels


def by_hand(logits: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    """The definitions in NumPy, one sample at a time."""
    rows: dict[str, list[float]] = {"L": [], "H": [], "C": [], "acc": []}
    for y, label in zip(logits.numpy(), labels.tolist(), strict=True):
        p = softmax(y)
        expected = sum(q * v for q, v in zip(p, y, strict=True))
        rows["L"].append(-math.log(p[label]))
        rows["H"].append(-sum(q * math.log(q) for q in p))
        rows["C"].append(expected - y[label])
        rows["acc"].append(float(y.argmax() == label))
    return {name: np.array(values) for name, values in rows.items()}


@given(st.integers(1, 20), st.floats(0.1, 10), st.integers(0, 100))
def test_property_terms_are_the_definitions(n: int, scale: float, seed: int) -> None:
    logits, labels = samples(n, scale, seed)
    expected = by_hand(logits, labels)
    for name, value in zip(("L", "H", "C", "acc"), loss_terms(logits, labels), strict=True):
        np.testing.assert_allclose(value.double().numpy(), expected[name], rtol=1e-9, atol=1e-11)


@given(st.integers(1, 30), st.floats(0.01, 50), st.integers(0, 100), st.integers(2, 12))
def test_property_theorem_2_per_sample(n: int, scale: float, seed: int, classes: int) -> None:
    """C = L - H; and T-W8 (a): a correctly classified sample never has a positive cost."""
    logits, labels = samples(n, scale, seed, classes)
    loss, uncertainty, cost, correct = loss_terms(logits, labels)
    torch.testing.assert_close(cost, loss - uncertainty, rtol=0, atol=1e-13 * max(1, scale) * classes)
    assert (cost[correct] <= 0).all()


@given(st.integers(1, 30), st.floats(0.01, 20), st.integers(0, 100), st.integers(2, 12))
def test_property_cost_over_uniform_labels(n: int, scale: float, seed: int, classes: int) -> None:
    """T-W8 (b): over all labels the mean cost is KL(u, p) + KL(p, u), hence not negative."""
    logits, _ = samples(n, scale, seed, classes)
    of_labels = []
    for label in range(classes):
        _, _, cost, _ = loss_terms(logits, torch.full((n,), label))
        of_labels.append(cost)
    mean = torch.stack(of_labels).mean(0)
    p, u = torch.softmax(logits, 1), 1 / classes
    kl_u_p = (u * (u / p).log()).sum(1)
    kl_p_u = (p * (p / u).log()).sum(1)
    jeffreys = kl_u_p + kl_p_u
    torch.testing.assert_close(mean, jeffreys, rtol=1e-9, atol=1e-12)
    assert (mean >= -1e-13).all()


def test_exact_cost_of_the_logits_is_that_of_the_output_gate() -> None:
    model, (images, labels) = network(), batch()
    _, logits, _, output = costs(model, mixture(model), images, labels)
    assert (loss_terms(logits, labels)[2].mean() - output[-1]).abs() < 1e-14


def test_terms_stay_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[2000.0, -2000.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    loss, uncertainty, cost, correct = loss_terms(logits, torch.tensor([1, 0]))
    assert loss.tolist() == pytest.approx([4000, math.log(3)])
    assert uncertainty.tolist() == pytest.approx([0, math.log(3)])
    assert cost.tolist() == pytest.approx([4000, 0])
    assert correct.tolist() == [False, True]


def test_exact_rows_weigh_by_samples() -> None:
    """Two splits, batches of unequal size: every row is the mean over the samples of its group."""
    probe, seen = LossProbe(), {}
    for split, sizes in (("train", (7, 30, 1)), ("search", (12,))):
        parts = [samples(n, 3.0, seed) for seed, n in enumerate(sizes)]
        for logits, labels in parts:
            probe.add(split, logits.float().double(), labels)
        all_logits = torch.cat([logits for logits, _ in parts])
        all_labels = torch.cat([labels for _, labels in parts])
        seen[split] = by_hand(all_logits.float().double(), all_labels)
    rows = probe.close(4)
    order = itertools.product(("train", "search"), ("all", "correct", "wrong"))
    assert [(row["split"], row["group"]) for row in rows] == list(order)
    for row in rows:
        values = seen[row["split"]]
        right = values["acc"] == 1
        groups = {"all": values["acc"] >= 0, "correct": right, "wrong": ~right}
        chosen = groups[row["group"]]
        assert row["epoch"] == 4
        assert row["n"] == chosen.sum() > 0
        for name in ("L", "H", "C", "acc"):
            assert row[name] == pytest.approx(values[name][chosen].mean(), rel=1e-9)
        assert row["C"] == pytest.approx(row["L"] - row["H"], rel=1e-9)


def test_an_empty_group_has_no_mean_and_closing_starts_afresh() -> None:
    probe = LossProbe()
    probe.add("train", torch.tensor([[3.0, 0.0]], requires_grad=True), torch.tensor([0]))
    rows = {r["group"]: r for r in probe.close(1)}
    assert rows["wrong"]["n"] == 0
    assert math.isnan(rows["wrong"]["L"])
    assert rows["correct"]["acc"] == 1
    assert probe.close(2) == []
