"""A small network that predicts the latency of a block from what it is (ProxylessNAS, Sec. 3.3).

The text gives no architecture: ours reads kernel, expansion, stride and shortcut as they are and the sizes by their
logarithms, has two hidden layers, and learns the logarithm of the latency, so that short blocks count as much.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Generator, Tensor, nn

from nas_core.cells.chain import ZERO, Choice, Slot
from nas_core.cells.latency import code, table_of, target
from nas_core.trainers.chain_settings import PredictorConfig
from nas_core.trainers.journal import Journal
from nas_core.trainers.result import Result

FEATURES = 10


def described(slot: Slot, side: int, choice: Choice) -> list[float]:
    """What a block is, in numbers: :data:`FEATURES` of them; ``side``: of its input map, in pixels."""
    (kernel,) = choice.kernels
    kinds = [float(kernel == each) for each in (3, 5, 7)]
    sizes = [math.log(slot.inputs), math.log(slot.outputs), math.log(choice.expansion * slot.inputs), math.log(side)]
    return [*kinds, float(choice.expansion), float(slot.stride), float(slot.residual), *sizes]


def block_table(name: str, digest: str) -> tuple[list[str], Tensor, Tensor]:
    """Every different block of a chain once: its name, (blocks,), features (blocks, features), latency (blocks,)."""
    chain, latency = target(name), table_of(digest).of_slots(name)
    names, features, times = [], [], []
    seen = set()
    for index, (slot, side) in enumerate(chain.shapes()):
        for k, choice in enumerate(chain.held(index)):
            if choice == ZERO or (slot, side, choice) in seen:
                continue
            seen.add((slot, side, choice))
            names.append(f"{slot.inputs} to {slot.outputs}, stride {slot.stride}, {side} pixels, {code(choice)}")
            features.append(described(slot, side, choice))
            times.append(latency[index, k].item())
    return names, torch.tensor(features, dtype=torch.float64), torch.tensor(times, dtype=torch.float64)


class Predictor(nn.Module):
    """log latency in microseconds from features; both are standardised by the blocks that it learns from."""

    mean: Tensor
    std: Tensor
    level: Tensor
    scale: Tensor

    def __init__(self, features: Tensor, latency: Tensor, hidden: int, generator: Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        ).double()
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.zeros_(layer.bias)
        logs = latency.log()
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("std", features.std(0).clamp_min(1e-6))
        self.register_buffer("level", logs.mean())
        self.register_buffer("scale", logs.std())

    def forward(self, features: Tensor) -> Tensor:
        """log latency, (blocks,), of ``features`` (blocks, features)."""
        standard = (features - self.mean) / self.std
        return self.layers(standard).squeeze(-1) * self.scale + self.level

    def predict(self, features: Tensor) -> Tensor:
        """Latency in microseconds, (blocks,)."""
        return self(features).exp()


class PredictorTraining:
    """A training that can be stepped, saved and resumed; beside it the control learns from shuffled latencies."""

    def __init__(self, config: PredictorConfig) -> None:
        self.config = config
        self.names, self.features, self.latency = block_table(config.network.name, config.table)
        generator = Generator().manual_seed(config.seed)
        order = torch.randperm(len(self.names), generator=generator)
        held_out = round(config.held_out * len(self.names))
        self.held_out, self.learned = order[:held_out], order[held_out:]
        shuffled = self.learned[torch.randperm(len(self.learned), generator=generator)]
        self.targets = {"measured": self.latency[self.learned], "shuffled": self.latency[shuffled]}
        self.predictors = {}
        self.optimisers = {}
        for kind, latency in self.targets.items():
            predictor = Predictor(self.features[self.learned], latency, config.hidden, generator)
            self.predictors[kind] = predictor
            self.optimisers[kind] = torch.optim.Adam(predictor.parameters(), config.lr)
        self.done, self.total, self.period = 0, config.steps, config.steps

    def step(self) -> float:
        """One step of both. Returns the mean squared error of log latency on the blocks that are learned from."""
        losses = {}
        for kind, predictor in self.predictors.items():
            loss = F.mse_loss(predictor(self.features[self.learned]), self.targets[kind].log())
            self.optimisers[kind].zero_grad()
            loss.backward()
            self.optimisers[kind].step()
            losses[kind] = loss.item()
        self.done += 1
        return losses["measured"]

    def state(self) -> dict[str, Any]:
        """Weights and moments."""
        return {
            "done": self.done,
            "predictors": {kind: each.state_dict() for kind, each in self.predictors.items()},
            "optimisers": {kind: _moments(each) for kind, each in self.optimisers.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        self.done = state["done"]
        for kind, predictor in self.predictors.items():
            predictor.load_state_dict(state["predictors"][kind])
            for parameter, moments in zip(predictor.parameters(), state["optimisers"][kind], strict=True):
                copied = {name: value.clone() for name, value in moments.items()}
                self.optimisers[kind].state[parameter] = copied

    def result(self) -> Result:
        """Table ``blocks``: each with its latency, measured and predicted, and ``fit`` on the blocks held out."""
        if self.done != self.total:
            raise RuntimeError(f"the predictor has done {self.done} of {self.total} steps")
        journal = Journal()
        with torch.no_grad():
            predicted = {kind: each.predict(self.features).numpy() for kind, each in self.predictors.items()}
        measured = self.latency.numpy()
        held_out = set(self.held_out.tolist())
        for i, name in enumerate(self.names):
            journal.add_row(
                "blocks",
                block=name,
                held_out=i in held_out,
                measured_us=float(measured[i]),
                predicted_us=float(predicted["measured"][i]),
                by_control_us=float(predicted["shuffled"][i]),
            )
        at = self.held_out.numpy()
        for kind, values in predicted.items():
            rank = stats.spearmanr(measured[at], values[at]).statistic
            error = np.sqrt(np.mean((measured[at] - values[at]) ** 2))
            fit = {"rank_correlation": float(rank), "rmse_us": float(error)}
            journal.add_row("fit", learned_from=kind, blocks=len(at), **fit)
        return journal.result()


def _moments(optimiser: torch.optim.Adam) -> list[dict[str, Tensor]]:
    """Adam's state, one a parameter; before the first step there is none."""
    return [dict(optimiser.state[each]) for each in optimiser.param_groups[0]["params"]]
