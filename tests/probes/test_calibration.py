"""The loss at other scales of the logits, and what it says of C and of confidence."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small import generator

from nas_core.probes.calibration import BINS, OCTAVES, SCALES, CalibrationProbe, best_scale, reliability, scaled_terms
from nas_core.probes.losses import loss_terms


def batch(seed: int, spread: float = 1.0, n: int = 50, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, classes) in float64 that know something of the labels (n,)."""
    random = generator(seed)
    labels = torch.randint(classes, (n,), generator=random)
    noise = torch.randn(n, classes, generator=random, dtype=torch.float64)
    return spread * (noise + F.one_hot(labels, classes)), labels


@given(st.integers(0, 1000), st.floats(0.1, 5))
def test_property_c_is_the_slope_of_the_loss_in_the_logarithm_of_the_scale(seed: int, spread: float) -> None:
    logits, labels = batch(seed, spread)
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    F.cross_entropy(log_scale.exp() * logits, labels).backward()
    _, _, cost, _ = loss_terms(logits, labels)
    assert log_scale.grad is not None
    assert cost.mean().item() == pytest.approx(log_scale.grad.item(), abs=1e-12)


@given(st.integers(0, 1000), st.floats(0.1, 5))
def test_property_over_confident_means_that_the_best_scale_is_below_one(seed: int, spread: float) -> None:
    """C > 0 exactly where log s* < 0, since the loss is convex in s."""
    logits, labels = batch(seed, spread)
    _, cost = scaled_terms(logits, labels)
    at_one = cost[SCALES.tolist().index(1.0)].item()
    assert np.sign(at_one) == -np.sign(best_scale(cost.numpy()))


def test_the_best_scale_has_the_least_loss() -> None:
    """Between two scales of the grid to an eighth of an octave, and scaled logits move it by their scale."""
    logits, labels = batch(0, spread=2.0)
    _, cost = scaled_terms(logits, labels)
    found = best_scale(cost.numpy())
    fine = np.linspace(-2, 2, 401)
    losses = [F.cross_entropy(2.0**octave * logits, labels).item() for octave in fine]
    assert found == pytest.approx(fine[int(np.argmin(losses))], abs=0.02)
    _, doubled = scaled_terms(2 * logits, labels)
    assert best_scale(doubled.numpy()) == pytest.approx(found - 1, abs=1e-12)


def test_ends_of_the_grid_stand_for_what_lies_beyond() -> None:
    sure = torch.tensor([[5.0, 0.0]], dtype=torch.float64)
    for label, end in ((0, OCTAVES[-1]), (1, OCTAVES[0])):
        _, cost = scaled_terms(sure, torch.tensor([label]))
        assert best_scale(cost.numpy()) == end


def test_exact_reliability_is_counted_by_hand() -> None:
    """Confidences 0.95, 0.95, 0.5 and 1: two of the four in the last bin and right, the last one wrong."""
    p = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.5, 0.5], [1 - 1e-17, 1e-17]], dtype=torch.float64)
    found = reliability(p.log(), torch.tensor([0, 1, 0, 1]))
    expected = torch.zeros(BINS, 3, dtype=torch.float64)
    expected[9] = torch.tensor([3, 0.95 + 0.95 + 1, 1])
    expected[5] = torch.tensor([1, 0.5, 1])
    assert torch.allclose(found, expected)


def test_an_epoch_is_the_mean_over_its_images_by_split() -> None:
    probe = CalibrationProbe()
    parts = [("train", batch(0, n=10)), ("train", batch(1, n=30)), ("search", batch(2, n=20))]
    for split, (logits, labels) in parts:
        probe.add(split, logits, labels)
    arrays = probe.close()
    logits = torch.cat([parts[0][1][0], parts[1][1][0]])
    labels = torch.cat([parts[0][1][1], parts[1][1][1]])
    loss, cost = scaled_terms(logits, labels)
    assert torch.allclose(arrays["train_L_by_scale"], loss / 40)
    assert torch.allclose(arrays["train_C_by_scale"], cost / 40)
    assert torch.allclose(arrays["train_reliability"], reliability(logits, labels))
    assert arrays["search_reliability"][:, 0].sum() == 20
    assert probe.close() == {}
