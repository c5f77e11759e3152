"""One step of the search against the same step written out in plain autograd, optimisers included."""

import math

import pytest
import torch
import torch.nn.functional as F
from small import METHODS, config, generator
from torch import Tensor

from nas_core.cells.supernet import Supernet
from nas_core.data import load
from nas_core.relaxations import gumbel, keep_others
from nas_core.relaxations.resource import log_penalty
from nas_core.trainers.methods import SNAS, Resource
from nas_core.trainers.search import STREAMS, Search
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Network

TWO_LAYERS = Network(nodes=2, channels=4, layers=2, reductions=False, head_bias=False)
STEPS = 3  # enough to see momentum and Adam's averages


def stream(settings: SearchConfig, name: str) -> torch.Generator:
    return generator(settings.seed * len(STREAMS) + STREAMS.index(name))


class ByHand:
    """The same search from the same start, with optimisers written as formulas."""

    def __init__(self, settings: SearchConfig) -> None:
        images = settings.data
        self.config = settings
        self.data = load("fashion7", train=images.train, search=images.search, seed=settings.seed)
        network, init = settings.network, stream(settings, "init")
        self.model = Supernet(
            network.space(), channels=4, layers=2, classes=10, in_channels=1,
            reductions=False, head_bias=False, generator=init,
        )  # fmt: skip
        self.a = (1e-3 * torch.randn(1, 5, 8, generator=init)).requires_grad_()
        self.momentum: dict[int, Tensor] = {}
        self.m, self.v, self.t = torch.zeros_like(self.a), torch.zeros_like(self.a), 0
        self.order = torch.randperm(settings.data.train, generator=stream(settings, "weight_data"))

    def loss(self, z: Tensor, split: str, index: Tensor) -> Tensor:
        images, labels = self.data.batch(split, index)
        return F.cross_entropy(self.model(images, z.expand(2, -1, -1)), labels)

    def weight_batch(self, step: int) -> Tensor:
        return self.order[step * self.config.batch : (step + 1) * self.config.batch]

    def sgd(self, grads: list[Tensor | None]) -> None:
        """Clip the norm at 5, add the decay, momentum 0.9; a weight without gradient rests."""
        w = self.config.weights
        norm = math.sqrt(sum(g.double().square().sum().item() for g in grads if g is not None))
        scale = min(1.0, w.clip / (norm + 1e-6))
        with torch.no_grad():
            for i, (p, g) in enumerate(zip(self.model.parameters(), grads, strict=True)):
                if g is not None:
                    g = scale * g + w.decay * p
                    self.momentum[i] = g if i not in self.momentum else w.momentum * self.momentum[i] + g
                    p -= w.lr * self.momentum[i]

    def adam(self, grad: Tensor) -> None:
        """Adam as published, with the decay in the gradient."""
        settings = self.config.alpha
        b1, b2 = settings.betas
        with torch.no_grad():
            self.t += 1
            grad = grad + settings.decay * self.a
            self.m = b1 * self.m + (1 - b1) * grad
            self.v = b2 * self.v + (1 - b2) * grad**2
            m, v = self.m / (1 - b1**self.t), self.v / (1 - b2**self.t)
            self.a -= settings.lr * m / (v.sqrt() + 1e-8)


def assert_agree(search: Search, hand: ByHand) -> None:
    for (name, ours), theirs in zip(search.model.named_parameters(), hand.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, msg=name)
    # Adam divides by the gradient's size, so its rounding shows here.
    torch.testing.assert_close(search.logits, hand.a.detach(), rtol=1e-4, atol=1e-6)


def test_exact_softmax_single_level() -> None:
    """DARTS on one level: one backward pass through the softmax serves weights and logits."""
    settings = config("softmax single", network=TWO_LAYERS)
    search, hand = Search(settings), ByHand(settings)
    for step in range(STEPS):
        loss = hand.loss(torch.softmax(hand.a, -1), "train", hand.weight_batch(step))
        *grads, a_grad = torch.autograd.grad(loss, [*hand.model.parameters(), hand.a])
        hand.adam(a_grad)
        hand.sgd(grads)
        assert search.step() == pytest.approx(loss.item(), rel=1e-5)
        assert_agree(search, hand)
        hand.a.requires_grad_()


def test_exact_softmax_bilevel() -> None:
    """First order: the logits step on a search batch with the old weights, then the weights with the new logits."""
    settings = config("softmax bi-level", network=TWO_LAYERS)
    search, hand = Search(settings), ByHand(settings)
    draw = stream(settings, "alpha_data")
    for step in range(STEPS):
        # The old weights at the search images, but the batch statistics of those passes are used for nothing else.
        chosen = torch.randperm(settings.data.search, generator=draw)[: settings.batch]
        (a_grad,) = torch.autograd.grad(hand.loss(torch.softmax(hand.a, -1), "search", chosen), hand.a)
        hand.adam(a_grad)
        loss = hand.loss(torch.softmax(hand.a.detach(), -1), "train", hand.weight_batch(step))
        hand.sgd(list(torch.autograd.grad(loss, list(hand.model.parameters()))))
        assert search.step() == pytest.approx(loss.item(), rel=1e-5)
        assert_agree(search, hand)


@pytest.mark.parametrize("weight", [0.0, 0.05])
def test_exact_concrete(weight: float) -> None:
    """SNAS: one backward pass through the relaxation, of the loss plus the weighted resource penalty."""
    method = SNAS(temperature=(0.7, 0.7), resource=Resource(weight=weight) if weight else None)
    settings = config("concrete single", network=TWO_LAYERS, method=method)
    search, hand = Search(settings), ByHand(settings)
    draw = stream(settings, "gates")
    for step in range(STEPS):
        z = torch.softmax((hand.a + gumbel(hand.a.detach(), draw)) / 0.7, -1)
        loss = hand.loss(z, "train", hand.weight_batch(step))
        total = loss + weight * log_penalty(z.expand(2, -1, -1), search.architecture.resources).sum(-1).mean()
        *grads, a_grad = torch.autograd.grad(total, [*hand.model.parameters(), hand.a])
        hand.adam(a_grad)
        hand.sgd(grads)
        assert search.step() == pytest.approx(loss.item(), rel=1e-5)
        assert_agree(search, hand)


@pytest.mark.parametrize("clamp", [None, 1e-3])
def test_exact_one_hot(clamp: float | None) -> None:
    """DSNAS: the score of the drawn path times its cost, summed over the layers and then clamped, edge by edge."""
    settings = config("one-hot", network=TWO_LAYERS, method=METHODS["one-hot"].but(cost_clamp=clamp))
    search, hand = Search(settings), ByHand(settings)
    draw = stream(settings, "gates")
    for step in range(STEPS):
        drawn = (hand.a.detach() + gumbel(hand.a, draw)).argmax(-1)
        z = F.one_hot(drawn, 8).float().expand(2, -1, -1).clone().requires_grad_()
        images, labels = hand.data.batch("train", hand.weight_batch(step))
        loss = F.cross_entropy(hand.model(images, z), labels)
        grads = torch.autograd.grad(loss, [*hand.model.parameters(), z], allow_unused=True)
        cost = (grads[-1] * z.detach()).sum(-1).sum(0)
        if clamp is not None:
            assert cost.abs().max() > clamp
            cost = cost.clamp(-clamp, clamp)
        log_p = torch.log_softmax(hand.a, -1).gather(-1, drawn[..., None])[0, :, 0]
        (a_grad,) = torch.autograd.grad((log_p * cost).sum(), hand.a)
        hand.adam(a_grad)
        hand.sgd(list(grads[:-1]))
        assert search.step() == pytest.approx(loss.item(), rel=1e-5)
        assert_agree(search, hand)


def test_exact_clipped_gradients() -> None:
    """Both levels obey their bounds on the gradient norm."""
    settings = config("softmax single", network=TWO_LAYERS)
    settings = settings.but(
        weights=settings.weights.but(clip=1e-3), alpha=settings.alpha.but(clip=1e-6, betas=(0.0, 0.0))
    )
    search, hand = Search(settings), ByHand(settings)
    loss = hand.loss(torch.softmax(hand.a, -1), "train", hand.weight_batch(0))
    *grads, a_grad = torch.autograd.grad(loss, [*hand.model.parameters(), hand.a])
    assert a_grad.norm() > 1e-3
    hand.adam(a_grad * 1e-6 / (a_grad.norm() + 1e-6))
    hand.sgd(grads)
    search.step()
    assert_agree(search, hand)


def test_exact_resource_gradient_averages_cells_of_a_type() -> None:
    """One normal and two reduction cells: each type's penalty is the mean over its cells; the types add up."""
    network = Network(nodes=2, channels=4, layers=3, reductions=True, head_bias=True)
    search = Search(config("concrete single", network=network))
    assert search.model.cell_type == [0, 1, 1]
    z = torch.softmax(torch.randn(2, 5, 8, generator=generator()), -1).requires_grad_()
    table = search.architecture.resources
    assert table.shape == (3, 5, 8, 3)
    total = 0
    for layer, weight in ((0, 1.0), (1, 0.5), (2, 0.5)):
        kind = search.model.cell_type[layer]
        for e in range(5):
            for criterion in range(3):
                total = total + weight / 3 * (z[kind, e] * table[layer, e, :, criterion]).sum().clamp(min=1).log()
    (expected,) = torch.autograd.grad(total, z)
    torch.testing.assert_close(search.architecture.resource_gradient(search.masked_logits(), z.detach(), 1.0), expected)


@pytest.mark.parametrize("name", ["binary", "two-path"])
def test_exact_binary_gates(name: str) -> None:
    """BinaryConnect on a search batch, over all operations or over a pair; then one path on a training batch."""
    settings = config(name, network=TWO_LAYERS)
    search, hand = Search(settings), ByHand(settings)
    chosen, draw = stream(settings, "alpha_data"), stream(settings, "gates")
    for step in range(STEPS):
        old = hand.a.detach().clone()
        among = torch.ones_like(old, dtype=torch.bool)
        if name == "two-path":
            pair = (old + gumbel(old, draw)).argsort(-1, descending=True)[..., :2]
            among = F.one_hot(pair, 8).sum(-2) == 1
        a = old.masked_fill(~among, -torch.inf)
        gates = F.one_hot((a + gumbel(a, draw)).argmax(-1), 8).float().expand(2, -1, -1).clone().requires_grad_()
        images, labels = hand.data.batch("search", torch.randperm(40, generator=chosen)[: settings.batch])
        loss = F.cross_entropy(hand.model(images, gates, observed=among.expand(2, -1, -1)), labels)
        g, p = torch.autograd.grad(loss, gates)[0].sum(0), a.softmax(-1)
        assert ((g != 0) == (among & (torch.arange(8) != 0)))[0].float().mean() > 0.9  # also where the gate is 0
        hand.adam(sum(g[:, j, None] * p[0, :, j, None] * (torch.eye(8)[j] - p[0]) for j in range(8))[None])
        with torch.no_grad():
            hand.a.copy_(keep_others(old, hand.a, among) if name == "two-path" else hand.a)
        a = hand.a.detach()
        z = F.one_hot((a + gumbel(a, draw)).argmax(-1), 8).float()
        loss = hand.loss(z, "train", hand.weight_batch(step))
        hand.sgd(list(torch.autograd.grad(loss, list(hand.model.parameters()), allow_unused=True)))
        assert search.step() == pytest.approx(loss.item(), rel=1e-5)
        assert_agree(search, hand)


@pytest.mark.parametrize("momentum", [0.99, 0.3])
def test_exact_reinforce(momentum: float) -> None:
    """-(1/M) sum (R - b) grad log p(Z), R the accuracy of a drawn network on the batch, b from the first mean on."""
    method = METHODS["reinforce"].but(baseline_momentum=momentum, samples=4)
    settings = config("reinforce", network=TWO_LAYERS, method=method)
    search, hand = Search(settings), ByHand(settings)
    chosen, draw, b = stream(settings, "alpha_data"), stream(settings, "gates"), None
    for step in range(STEPS):
        images, labels = hand.data.batch("search", torch.randperm(40, generator=chosen)[: settings.batch])
        rewards, log_p, exact = [], [], hand.a.detach().double().requires_grad_()
        for _ in range(4):
            drawn = (hand.a.detach() + gumbel(hand.a, draw)).argmax(-1)
            with torch.no_grad():
                right = hand.model(images, F.one_hot(drawn, 8).float().expand(2, -1, -1)).argmax(1) == labels
            rewards.append(right.double().mean().item())
            log_p.append(torch.log_softmax(exact, -1).gather(-1, drawn[..., None]).sum())
        mean = sum(rewards) / 4
        b = mean if b is None else b + momentum * (mean - b)
        total = -sum((r - b) * l for r, l in zip(rewards, log_p, strict=True)) / 4
        hand.adam(torch.autograd.grad(total, exact)[0].float())
        a = hand.a.detach()
        z = F.one_hot((a + gumbel(a, draw)).argmax(-1), 8).float()
        loss = hand.loss(z, "train", hand.weight_batch(step))
        hand.sgd(list(torch.autograd.grad(loss, list(hand.model.parameters()), allow_unused=True)))
        assert search.step() == pytest.approx(loss.item(), rel=1e-5)
        assert search.architecture.baseline == pytest.approx(b)
        assert_agree(search, hand)
