"""The second-order gradient of DARTS: on a smooth problem, on a supernet, and in the search loop."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small import METHODS, assert_same, batch, config, mixture, network
from torch import Tensor, nn
from toys import random, smooth_problem

from nas_core.backends import depthwise
from nas_core.backends.fused import FusedSupernet
from nas_core.cells.supernet import Space
from nas_core.cells.topology import darts_cell, minimal_cell
from nas_core.trainers.hypergradient import exact, finite_difference, loss_on
from nas_core.trainers.methods import FiniteDifference
from nas_core.trainers.search import Batch, Search

XI = 0.1
SECOND_ORDER = ("softmax finite difference", "softmax exact")


def slopes(function: object, at: Tensor, h: float) -> Tensor:
    """Central differences of a scalar function in every entry."""
    found = []
    for step in torch.eye(at.numel(), dtype=at.dtype) * h:
        plus, minus = (function(at + sign * step.view_as(at)) for sign in (1, -1))
        found.append((plus - minus) / (2 * h))
    return torch.stack(found).view_as(at)


@given(st.integers(0, 100))
def test_property_exact_is_the_slope_through_the_virtual_step(seed: int) -> None:
    """Central differences of L_val(w - xi (grad_w L_train(w, Z) + d), Z) over Z, with and without a drift d."""
    train, val, w, z = smooth_problem(seed)
    for drift in ((), [random(*p.shape, seed=seed + 7) for p in w]):

        def outer(z: Tensor, drift: object = drift) -> Tensor:
            grads = torch.autograd.grad(train(w, z), w)
            return val([p - XI * (g + d) for p, g, d in zip(w, grads, drift or (0, 0), strict=True)], z).detach()

        expected = slopes(outer, z.detach(), 1e-5)
        torch.testing.assert_close(exact(train, val, w, z, XI, drift), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.claim("T-D1", "T-D1b", "T-D1c", "C-N4")
@pytest.mark.parametrize("seed", range(5))
def test_exact_finite_difference_is_of_second_order(seed: int) -> None:
    """Slope 2 of the error against the radius; at the released radius below 1e-4 and below the first order's error."""
    train, val, w, z = smooth_problem(seed)
    truth = exact(train, val, w, z, XI)

    def error(gradient: Tensor) -> float:
        return ((gradient - truth).norm() / truth.norm()).item()

    radii = np.logspace(-1, -3, 5)
    errors = [error(finite_difference(train, val, w, z, XI, r)) for r in radii]
    assert abs(np.polyfit(np.log(radii), np.log(errors), 1)[0] - 2) <= 0.1
    released = error(finite_difference(train, val, w, z, XI))
    assert released < 1e-4
    assert released < error(torch.autograd.grad(val(w, z), z)[0])


@given(st.integers(0, 50))
def test_property_drift_moves_both_estimates_alike(seed: int) -> None:
    train, val, w, z = smooth_problem(seed)
    drift = [random(*p.shape, seed=seed + 9) for p in w]
    ours = finite_difference(train, val, w, z, XI, 1e-4, drift)
    torch.testing.assert_close(ours, exact(train, val, w, z, XI, drift), rtol=1e-6, atol=1e-8)


def test_a_validation_loss_without_weights_has_no_second_term() -> None:
    """v = 0: the direct gradient alone, not a division by zero."""
    train, _, w, z = smooth_problem()
    gradient = finite_difference(train, lambda w, z: z.square().sum() + 0 * w[1].sum(), w, z, XI)
    assert torch.equal(gradient, 2 * z.detach())


@pytest.mark.claim("T-D3b")
@pytest.mark.parametrize("seed", range(5))
def test_exact_estimates_meet_on_a_supernet_at_a_small_radius(seed: int) -> None:
    """ReLU and batch norm, float64: the Hessian-vector products agree once no ReLU changes its side."""
    model = network(minimal_cell(), seed=seed)
    train, val = (loss_on(model, *batch(16, 8, s + seed)) for s in (100, 200))
    w, z, before = list(model.parameters()), mixture(model, seed).requires_grad_(), copy.deepcopy(model.state_dict())
    truth, grads = exact(train, val, w, z, XI), torch.autograd.grad(train(w, z), w)
    (direct,) = torch.autograd.grad(val([p - XI * g for p, g in zip(w, grads, strict=True)], z), z)
    product = truth - direct
    ours = finite_difference(train, val, w, z, XI, 1e-7) - direct
    assert product.norm() > 1e-3 * truth.norm()
    assert (ours - product).norm() < 1e-5 * product.norm()
    assert_same(model.state_dict(), before)


def doubled(name: str) -> tuple[Search, dict[str, tuple[Tensor, Tensor]]]:
    """A search in float64, and the batches that it last saw."""
    search, seen = Search(config(name, probes=())), {}
    search.model.double()
    search.logits.data = search.logits.double()
    original = search._images

    def images(split: str, index: Tensor) -> Batch:
        batch = original(split, index)
        seen[split] = batch.images.double(), batch.labels
        return Batch(split, *seen[split])

    search._images = images
    return search, seen


class ByHand:
    """One architecture step written out with whole models, from the state of a search before it."""

    def __init__(self, search: Search, seen: dict[str, tuple[Tensor, Tensor]]) -> None:
        self.start, self.a, self.seen = copy.deepcopy(search.model), search.logits.clone(), seen
        self.settings, self.xi = search.config.weights, search.optimiser.lr
        state = search.optimiser.sgd.state
        self.velocity = [state[p].get("momentum_buffer", torch.zeros_like(p)).clone() for p in search.weights]

    def loss(self, model: nn.Module, a: Tensor, split: str) -> Tensor:
        images, labels = self.seen[split]
        return F.cross_entropy(model(images, a.softmax(-1)), labels)

    def moved(self, step: list[Tensor], size: Tensor | float) -> nn.Module:
        model = copy.deepcopy(self.start)
        with torch.no_grad():
            for p, g in zip(model.parameters(), step, strict=True):
                p += size * g
        return model

    def virtual(self, a: Tensor) -> nn.Module:
        """w - xi (mu m + grad + rho w), as SGD would step."""
        model, w = copy.deepcopy(self.start), self.settings
        grads = torch.autograd.grad(self.loss(model, a, "train"), list(model.parameters()))
        pairs = zip(model.parameters(), grads, self.velocity, strict=True)
        return self.moved([w.momentum * m + g + w.decay * p.detach() for p, g, m in pairs], -self.xi)

    def slope(self, direction: Tensor, h: float = 1e-7) -> float:
        ends = (self.a + sign * h * direction for sign in (1, -1))
        plus, minus = (self.loss(self.virtual(a), a, "search").item() for a in ends)
        return (plus - minus) / (2 * h)

    def finite_difference(self) -> Tensor:
        model, a = self.virtual(self.a), self.a.clone().requires_grad_()
        direct, *v = torch.autograd.grad(self.loss(model, a, "search"), [a, *model.parameters()])
        eps = 0.01 / math.sqrt(sum(g.square().sum() for g in v))
        plus, minus = (torch.autograd.grad(self.loss(self.moved(v, s * eps), a, "train"), a)[0] for s in (1, -1))
        return direct - self.xi * (plus - minus) / (2 * eps)


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("name", SECOND_ORDER)
def test_exact_second_order_in_the_loop(name: str, steps: int) -> None:
    """Before there is momentum and after: by central differences through the virtual step, and by the formula."""
    search, seen = doubled(name)
    for _ in range(steps):
        search.step()
    hand = ByHand(search, seen)
    search.step()
    if name == "softmax exact":
        for direction in random(6, *search.logits.shape, seed=steps):
            assert (search.logits.grad * direction).sum().item() == pytest.approx(hand.slope(direction), rel=1e-4)
    else:
        torch.testing.assert_close(search.logits.grad, hand.finite_difference(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_leaves_statistics_and_momentum_alone(name: str) -> None:
    """The virtual and the perturbed networks are copies; only the logits move."""
    search = Search(config(name))
    search.step()
    before, logits = copy.deepcopy(search.model.state_dict()), search.logits.clone()
    momentum = copy.deepcopy(search.state()["optimiser"])
    search._architecture_step(search._images("search", torch.arange(20)), search._images("train", torch.arange(20)))
    assert_same(search.model.state_dict(), before)
    assert_same(search.state()["optimiser"], momentum)
    assert not torch.equal(search.logits, logits)


def test_second_order_differs_from_first() -> None:
    """And a smaller radius from a larger one: the settings reach the step."""
    finite = METHODS["softmax finite difference"]
    gradients = []
    for method in (
        METHODS["softmax bi-level"],
        METHODS["softmax exact"],
        finite,
        finite.but(estimator=FiniteDifference(radius=1.0)),
    ):
        search = Search(config("softmax bi-level", method=method))
        search.step()
        gradients.append(search.logits.grad)
    assert all(not torch.allclose(a, b, rtol=1e-3) for a, b in itertools.combinations(gradients, 2))


def test_a_finite_difference_computes_each_gradient_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters' gradients in the virtual step and of the loss behind it, and none where only the gates' are wanted."""
    calls: list[Tensor] = []
    original = depthwise.weight_gradient
    monkeypatch.setattr(depthwise, "weight_gradient", lambda *a: (calls.append(a[0]), original(*a))[1])
    model = FusedSupernet(
        Space(darts_cell(2)), channels=4, layers=1, classes=10, in_channels=1, reductions=False, head_bias=True,
        generator=torch.Generator().manual_seed(0),
    ).double()  # fmt: skip
    loss, gates = loss_on(model, *batch()), mixture(model).requires_grad_()
    plain = network(darts_cell(2), head_bias=True)
    plain.load_state_dict(model.state_dict())
    ours = finite_difference(loss, loss, list(model.parameters()), gates, XI, radius=1e-4)
    assert len(calls) == 2 * 12  # two stages of six depthwise convolutions
    theirs = loss_on(plain, *batch())
    expected = finite_difference(theirs, theirs, list(plain.parameters()), gates, XI, radius=1e-4)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
