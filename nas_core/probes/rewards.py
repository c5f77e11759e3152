"""What REINFORCE sees of a chain whose members can be counted: exact gradients, the noise of its estimates, its walk.

The weights rest. ``hits`` says which member classifies which image rightly, bool, (members, images); a reward is the
mean over a batch of images, and its expectation, gradient and noise are sums over members. ``z``: the one-hot Z of
every member, (members, slots, candidates); logits have the shape (..., slots, candidates), -inf where a slot has no
such candidate. All is in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ADAM = (0.999, 1e-8)  # second moment and eps; ProxylessNAS has no first moment


@dataclass(frozen=True)
class Estimator:
    """REINFORCE as it is set: how many ``images`` a reward is measured on and ``samples`` are drawn for a step.

    ``momentum``: way of the baseline to the mean reward of a step; None: there is no baseline. ``entropy``: weight of
    the architecture's entropy; ``lr``: of Adam on the logits.
    """

    images: int
    samples: int
    momentum: float | None = 0.99
    entropy: float = 0.0
    lr: float = 0.1


def softmax(logits: np.ndarray) -> np.ndarray:
    """The probability of every candidate, of the shape of ``logits``."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def member_prob(logits: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The probability of every member, (..., members): the product over its slots."""
    p = softmax(logits)
    log_p = np.log(p, where=p > 0, out=np.zeros_like(p))
    missing = np.tensordot(p <= 0, z, axes=([-2, -1], [-2, -1]))  # a member with a candidate that is never drawn
    found = np.exp(np.tensordot(log_p, z, axes=([-2, -1], [-2, -1])))
    return np.where(missing > 0, 0.0, found)


def exact_gradient(logits: np.ndarray, z: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """dE[R]/da = sum_m P_m R_m (Z_m - p), (slots, candidates); ``rewards``: (members,)."""
    weighted = member_prob(logits, z) * rewards
    return np.tensordot(weighted, z - softmax(logits), axes=1)


def entropy_gradient(p: np.ndarray) -> np.ndarray:
    """dH/da of the summed entropies of all slots, -p (log p + H), of the shape of ``p``."""
    surprise = -p * np.log(p, where=p > 0, out=np.zeros_like(p))
    return surprise - p * surprise.sum(-1, keepdims=True)


def batch_rewards(hits: np.ndarray, images: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """The rewards of all members on batches of ``images`` drawn without replacement, (draws, members)."""
    total = hits.shape[1]
    if images >= total:
        return np.broadcast_to(hits.mean(1), (draws, len(hits))).copy()
    order = rng.random((draws, total)).argpartition(images, axis=1)[:, :images]
    chosen = np.zeros((draws, total))
    np.put_along_axis(chosen, order, 1 / images, axis=1)
    return chosen @ hits.T.astype(float)


@dataclass(frozen=True)
class Noise:
    """Traces of covariances of the estimate, against the squared length ``signal`` of the exact gradient.

    ``of_images``: what is left if every member were drawn as often as it is probable; ``of_draw``: what one drawn
    member adds, to be divided by their number. The baseline is the expected reward on the batch.
    """

    signal: float
    of_images: float
    of_draw: float


def noise(
    logits: np.ndarray, z: np.ndarray, hits: np.ndarray, images: int, rng: np.random.Generator, batches: int = 400
) -> Noise:
    """By enumeration of the members, and over drawn batches of ``images``."""
    prob, score = member_prob(logits, z), (z - softmax(logits)).reshape(len(z), -1)
    rewards = batch_rewards(hits, images, batches, rng)
    advantages = rewards - (rewards @ prob)[:, None]
    gradients = (advantages * prob) @ score  # of each batch, all members weighed by their probability
    second = (advantages**2 * prob) @ (score**2).sum(1)
    truth = exact_gradient(logits, z, hits.mean(1)).ravel()
    return Noise(
        signal=float((truth**2).sum()),
        of_images=float(((gradients - truth) ** 2).sum(1).mean()),
        of_draw=float((second - (gradients**2).sum(1)).mean()),
    )


def cosines(
    logits: np.ndarray, z: np.ndarray, hits: np.ndarray, settings: Estimator, rng: np.random.Generator, draws: int = 400
) -> np.ndarray:
    """Cosine of drawn first steps with the exact gradient, (draws,); 0 where a step is zero."""
    truth = exact_gradient(logits, z, hits.mean(1)).ravel()
    everywhere = np.broadcast_to(logits, (draws, *logits.shape))
    steps, _ = estimates(everywhere, z, hits, settings, None, rng)
    flat = steps.reshape(draws, -1)
    lengths = np.linalg.norm(flat, axis=1) * np.linalg.norm(truth)
    return np.divide(flat @ truth, lengths, out=np.zeros(draws), where=lengths > 0)


def estimates(
    logits: np.ndarray,
    z: np.ndarray,
    hits: np.ndarray,
    settings: Estimator,
    baseline: np.ndarray | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Independent estimates of dE[R]/da, (draws, slots, candidates), and where their baselines are then, (draws,).

    ``logits``: (draws, slots, candidates); ``baseline``: before the step, None at the start.
    """
    p = softmax(logits)
    members = drawn_members(member_prob(logits, z), settings.samples, rng)
    rewards = batch_rewards(hits, settings.images, len(logits), rng)
    of_drawn = np.take_along_axis(rewards, members, axis=1)
    return from_rewards(p, z[members], of_drawn, settings, baseline)


def from_rewards(
    p: np.ndarray, drawn: np.ndarray, rewards: np.ndarray, settings: Estimator, baseline: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """(1/M) sum_m (R_m - b) (Z_m - p), the part of the entropy added, and the baseline b, which has moved first.

    ``drawn``: (draws, samples, slots, candidates); ``rewards``: (draws, samples).
    """
    mean = rewards.mean(1)
    moved = np.zeros_like(mean)
    if settings.momentum is not None:
        start = mean if baseline is None else baseline
        moved = start + settings.momentum * (mean - start)
    advantage = rewards - moved[:, None]
    score = drawn - p[:, None]
    step = (advantage[..., None, None] * score).mean(1)
    return step + settings.entropy * entropy_gradient(p), moved


def drawn_members(prob: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Members drawn by their probabilities, (draws, samples); ``prob``: (draws, members)."""
    ends = prob.cumsum(1)
    ends /= ends[:, -1:]
    at = rng.random((len(prob), samples))
    return (at[:, :, None] > ends[:, None, :]).sum(2)


def walk(
    logits: np.ndarray, z: np.ndarray, hits: np.ndarray, settings: Estimator, steps: int, rng: np.random.Generator
) -> np.ndarray:
    """The logits after so many steps of Adam on estimates, of the shape of ``logits``: (draws, slots, candidates)."""
    a, second, baseline = logits.copy(), np.zeros_like(logits), None
    decay, eps = ADAM
    for step in range(1, steps + 1):
        gradient, baseline = estimates(a, z, hits, settings, baseline, rng)
        second = decay * second + (1 - decay) * gradient**2
        a = a + settings.lr * gradient / (np.sqrt(second / (1 - decay**step)) + eps)
    return a


def found(logits: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The member that argmax derives in every slot, (draws,); ``logits``: (draws, slots, candidates)."""
    picked = logits.argmax(-1)[:, None, :]
    return (z.argmax(-1)[None] == picked).all(-1).argmax(1)
