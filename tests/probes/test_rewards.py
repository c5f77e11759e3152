"""What REINFORCE sees of a space that can be counted: by enumeration, by automatic differentiation, by the search."""

import numpy as np
import pytest
import torch

from nas_core.cells.latency import one_hot, target
from nas_core.experiments import configs
from nas_core.probes import rewards
from nas_core.probes.architecture import entropy, entropy_gradient, probabilities
from nas_core.probes.rewards import Estimator
from nas_core.trainers.chain_search import ChainSearch

SPACE = target("small-27")
Z = one_hot(SPACE).double().numpy()
LOGITS = np.where(Z.any(0), np.random.default_rng(1).normal(size=Z.shape[1:]), -np.inf)
VALUE = np.random.default_rng(2).random(len(Z))
HITS = np.random.default_rng(3).random((len(Z), 300)) < VALUE[:, None]


def expected_reward(logits: torch.Tensor, values: np.ndarray) -> torch.Tensor:
    """E[R] over all members, differentiable in the logits."""
    p = torch.softmax(logits, -1)
    per_slot = (torch.from_numpy(Z) * p).sum(-1)
    return (per_slot.prod(-1) * torch.from_numpy(values)).sum()


@pytest.mark.claim("C-GT2b")
def test_exact_the_sum_over_members_is_the_gradient_of_the_expected_reward() -> None:
    leaf = torch.from_numpy(LOGITS).requires_grad_()
    (automatic,) = torch.autograd.grad(expected_reward(leaf, VALUE), leaf)
    ours = rewards.exact_gradient(LOGITS, Z, VALUE)
    assert np.abs(ours - automatic.numpy()).max() < 1e-14
    assert np.abs(ours).max() > 1e-3  # there is something to compare


@pytest.mark.claim("C-GT2a")
def test_exact_the_gradient_of_the_entropy_is_that_of_automatic_differentiation() -> None:
    finite = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (automatic,) = torch.autograd.grad(entropy(torch.softmax(finite, -1)).sum(), finite)
    p = probabilities(finite)
    assert (entropy_gradient(p) - automatic).abs().max() < 1e-14
    assert np.abs(rewards.entropy_gradient(p.numpy()) - automatic.numpy()).max() < 1e-14
    masked = rewards.entropy_gradient(rewards.softmax(LOGITS))
    assert np.isfinite(masked).all()
    assert (masked[~np.isfinite(LOGITS)] == 0).all()


def test_exact_probabilities_of_members_are_products_and_sum_to_one() -> None:
    p = rewards.softmax(LOGITS)
    by_hand = [np.prod([p[slot, z[slot].argmax()] for slot in range(len(z))]) for z in Z]
    assert rewards.member_prob(LOGITS, Z) == pytest.approx(by_hand, rel=1e-12)
    assert rewards.member_prob(np.stack([LOGITS] * 2), Z).sum(1) == pytest.approx([1, 1])
    without = LOGITS.copy()
    without[2, 0] = -np.inf  # a candidate that is never drawn
    assert (rewards.member_prob(without, Z)[Z[:, 2, 0] == 1] == 0).all()


@pytest.mark.parametrize(("momentum", "entropy_weight"), [(0.99, 0.0), (0.1, 0.3), (0.0, 0.0)])
def test_exact_a_step_of_the_walk_is_a_step_of_the_search(momentum: float, entropy_weight: float) -> None:
    """Two steps with the same draws and rewards: gradient, baseline and Adam as the search has them."""
    config = configs("N-GT-rl-r", "smoke", [3])[0]
    search = ChainSearch(config.but(method=config.method.but(baseline_momentum=momentum, entropy=entropy_weight)))
    architecture = search.architecture
    architecture.logits.copy_(torch.from_numpy(np.where(np.isfinite(LOGITS), LOGITS, 0.0))[None])
    settings = Estimator(32, 3, momentum, entropy_weight, config.alpha.lr)
    a, second, baseline = architecture.masked().double().numpy(), np.zeros((1, *LOGITS.shape)), None
    for step, drawn in enumerate(([0, 5, 21], [26, 5, 14]), start=1):
        values = VALUE[drawn]
        gradient, baseline = rewards.from_rewards(rewards.softmax(a), Z[drawn][None], values[None], settings, baseline)
        torch_z = [torch.from_numpy(Z[member]).float()[None] for member in drawn]
        theirs = architecture.from_rewards(architecture.masked(), torch_z, values.tolist(), 1.0)
        assert np.abs(gradient + theirs.numpy()).max() < 1e-6  # logits are in float32 there; they go down
        architecture.step(architecture.masked(), theirs)
        second = rewards.ADAM[0] * second + (1 - rewards.ADAM[0]) * gradient**2
        a = a + settings.lr * gradient / (np.sqrt(second / (1 - rewards.ADAM[0] ** step)) + rewards.ADAM[1])
        masked = architecture.masked().numpy()
        assert a[np.isfinite(masked)] == pytest.approx(masked[np.isfinite(masked)], abs=1e-4)


def test_members_are_drawn_as_often_as_they_are_probable() -> None:
    prob = rewards.member_prob(LOGITS, Z)
    drawn = rewards.drawn_members(prob[None], 40_000, np.random.default_rng(0))
    shares = np.bincount(drawn[0], minlength=len(Z)) / drawn.size
    assert np.abs(shares - prob).max() < 5 * np.sqrt(prob.max() / drawn.size)


def test_rewards_of_a_batch_are_means_over_its_images_and_those_of_all_images_are_exact() -> None:
    rng = np.random.default_rng(0)
    of_batches = rewards.batch_rewards(HITS, 50, 200, rng)
    assert of_batches.mean(0) == pytest.approx(HITS.mean(1), abs=0.03)
    assert (of_batches * 50) == pytest.approx(np.rint(of_batches * 50))
    assert rewards.batch_rewards(HITS, 300, 2, rng)[1] == pytest.approx(HITS.mean(1))


def test_the_noises_are_those_of_many_drawn_steps() -> None:
    """With the expected reward of the batch as baseline, by drawing batches and members."""
    rng = np.random.default_rng(0)
    found = rewards.noise(LOGITS, Z, HITS, 40, rng, batches=3000)
    prob, p = rewards.member_prob(LOGITS, Z), rewards.softmax(LOGITS)
    of_batches = rewards.batch_rewards(HITS, 40, 3000, rng)
    members = rewards.drawn_members(np.broadcast_to(prob, of_batches.shape), 2, rng)
    advantage = np.take_along_axis(of_batches, members, 1) - (of_batches @ prob)[:, None]
    steps = (advantage[..., None, None] * (Z[members] - p)).mean(1).reshape(3000, -1)
    truth = rewards.exact_gradient(LOGITS, Z, HITS.mean(1)).ravel()
    total = ((steps - truth) ** 2).sum(1).mean()
    assert found.of_images + found.of_draw / 2 == pytest.approx(total, rel=0.1)
    assert found.signal == pytest.approx((truth**2).sum())
    assert rewards.noise(LOGITS, Z, HITS, 300, rng).of_images == pytest.approx(0, abs=1e-12)


def test_exact_the_noise_of_the_draw_is_the_variance_over_members() -> None:
    """On all images: sum_m P_m |(R_m - E R) (Z_m - p) - g|^2, g the exact gradient."""
    prob, reward = rewards.member_prob(LOGITS, Z), HITS.mean(1)
    steps = ((reward - prob @ reward)[:, None, None] * (Z - rewards.softmax(LOGITS))).reshape(len(Z), -1)
    apart = steps - rewards.exact_gradient(LOGITS, Z, reward).ravel()
    found = rewards.noise(LOGITS, Z, HITS, 300, np.random.default_rng(0))
    assert found.of_draw == pytest.approx(prob @ (apart**2).sum(1), rel=1e-9)


def test_exact_the_noise_of_the_images_is_about_the_gradient_on_all_of_them() -> None:
    """Of a single batch: the squared distance of its exact gradient."""
    (batch,) = rewards.batch_rewards(HITS, 40, 1, np.random.default_rng(0))
    apart = rewards.exact_gradient(LOGITS, Z, batch) - rewards.exact_gradient(LOGITS, Z, HITS.mean(1))
    found = rewards.noise(LOGITS, Z, HITS, 40, np.random.default_rng(0), batches=1)
    assert found.of_images == pytest.approx((apart**2).sum(), rel=1e-9)


def test_exact_a_walk_is_that_of_adam_and_its_baseline_goes_on() -> None:
    """PyTorch's Adam without a first moment, on the same estimates."""
    settings = Estimator(40, 3, momentum=0.5)
    start = np.stack([LOGITS] * 4)
    walked = rewards.walk(start, Z, HITS, settings, 3, np.random.default_rng(0))
    rng, baseline = np.random.default_rng(0), None
    logits = torch.from_numpy(start.copy()).requires_grad_()
    adam = torch.optim.Adam([logits], lr=0.1, betas=(0.0, 0.999), eps=1e-8, maximize=True)
    for _ in range(3):
        gradient, baseline = rewards.estimates(logits.detach().numpy(), Z, HITS, settings, baseline, rng)
        logits.grad = torch.from_numpy(gradient)
        adam.step()
    kept = np.isfinite(start)
    assert walked[kept] == pytest.approx(logits.detach().numpy()[kept], rel=1e-9)


def test_more_members_straighten_a_step() -> None:
    rng = np.random.default_rng(0)
    few, many = (rewards.cosines(LOGITS, Z, HITS, Estimator(300, n), rng).mean() for n in (2, 200))
    assert 0 < few < many - 0.3
    assert many > 0.8


def test_a_walk_ends_with_a_good_member_and_without_a_reward_anywhere() -> None:
    start = np.broadcast_to(np.where(np.isfinite(LOGITS), 0.0, -np.inf), (40, *LOGITS.shape))
    additive = (Z[:, 2, 1] + Z[:, 4, 2] + Z[:, 6, 0]) / 3  # the best member is known
    clear = np.arange(90)[None] < 90 * additive[:, None]
    best = int(additive.argmax())
    ends = rewards.found(
        rewards.walk(start, Z, clear, Estimator(90, 16), 120, np.random.default_rng(0)), Z
    )
    assert (ends == best).mean() > 0.9
    flat = np.ones_like(clear)
    ends = rewards.found(rewards.walk(start, Z, flat, Estimator(90, 4, None), 50, np.random.default_rng(0)), Z)
    assert len(set(ends.tolist())) > 10


def test_entropy_keeps_a_walk_undecided() -> None:
    start = np.broadcast_to(np.where(np.isfinite(LOGITS), 0.0, -np.inf), (20, *LOGITS.shape))
    free, held = (
        rewards.walk(start, Z, HITS, Estimator(300, 8, entropy=weight), 100, np.random.default_rng(0))
        for weight in (0.0, 1.0)
    )
    largest = [rewards.softmax(a)[:, [2, 4, 6]].max(-1).mean() for a in (free, held)]
    assert largest[1] < largest[0] - 0.2
