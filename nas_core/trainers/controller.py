"""The controller of ENAS: a law over networks that names one operation after the other, and how it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from nas_core.trainers.enas_settings import ControllerSettings

Choose = Callable[[int, Tensor], Tensor]  # from an edge and probabilities (draws, ops) to picks (draws,)


@dataclass(frozen=True)
class Walk:
    """Some networks that a controller drew, or was asked about.

    ``picks``: the operation of every edge, (draws, decisions); ``log_prob``: log pi(a) = sum_t log pi(a_t | a_<t) and
    ``entropy``: the sum of the entropies of the factors, both (draws,); ``prob``: the factors' probabilities, (draws,
    decisions, ops).
    """

    picks: Tensor
    log_prob: Tensor
    entropy: Tensor
    prob: Tensor


class Controller(nn.Module):
    """An LSTM that names an operation for one edge after the other, each seen by those that follow.

    ``allowed``: which operation a decision may take, bool, (decisions, ops).
    """

    def __init__(self, settings: ControllerSettings, allowed: Tensor, generator: Generator) -> None:
        super().__init__()
        self.settings = settings
        self.allowed = allowed
        decisions, ops = allowed.shape
        self.start = nn.Parameter(torch.empty(settings.size))
        self.embedding = nn.Embedding(decisions * ops, settings.size)
        self.lstm = nn.LSTM(settings.size, settings.size, settings.layers, batch_first=True)
        self.head = nn.Linear(settings.size, ops)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -settings.init, settings.init, generator=generator)

    def walk(self, draws: int, choose: Choose) -> Walk:
        """Decide edge by edge; ``choose`` takes the picks of all ``draws`` from their probabilities."""
        inputs, memory = self.start.expand(draws, -1), None
        picks, log_probs, entropies, probs = [], [], [], []
        for edge, allowed in enumerate(self.allowed):
            out, memory = self.lstm(inputs[:, None], memory)
            squashed = self.settings.tanh * torch.tanh(self.head(out[:, 0]) / self.settings.temperature)
            prob = torch.softmax(squashed.masked_fill(~allowed, -torch.inf), -1)
            pick = choose(edge, prob.detach())
            picks.append(pick)
            log_probs.append(prob.gather(-1, pick[:, None])[:, 0].log())
            entropies.append(entropy_of(prob))
            probs.append(prob.detach())
            inputs = self.embedding(edge * len(allowed) + pick)
        return Walk(
            picks=torch.stack(picks, 1),
            log_prob=torch.stack(log_probs, 1).sum(1),
            entropy=torch.stack(entropies, 1).sum(1),
            prob=torch.stack(probs, 1),
        )

    def sample(self, draws: int, generator: Generator) -> Walk:
        """Networks drawn from pi."""
        return self.walk(draws, lambda edge, prob: torch.multinomial(prob, 1, generator=generator)[:, 0])

    def score(self, picks: Tensor) -> Walk:
        """What pi says of given networks, (draws, decisions)."""
        return self.walk(len(picks), lambda edge, prob: picks[:, edge])


def entropy_of(prob: Tensor) -> Tensor:
    """Entropy in nats of probabilities (..., ops), (...); zeros count as nothing and have no gradient."""
    return -torch.xlogy(prob, prob.clamp_min(torch.finfo(prob.dtype).tiny)).sum(-1)


def advantages(rewards: Tensor, baseline: float | None, decay: float) -> tuple[Tensor, float]:
    """R - b for every reward in turn, (draws,), and the last b: b <- b - (1 - decay) (b - R) before R is compared.

    The first reward of all is its own baseline.
    """
    found = []
    for reward in rewards.tolist():
        baseline = reward if baseline is None else baseline - (1 - decay) * (baseline - reward)
        found.append(reward - baseline)
    assert baseline is not None, "no reward"
    return torch.tensor(found, dtype=rewards.dtype), baseline


def surrogate(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Its gradient is REINFORCE: -(1/M) sum_m (R_m - b) grad log pi(a_m). Both (draws,)."""
    return -(advantage.to(log_prob) * log_prob).mean()
