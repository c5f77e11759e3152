"""SGD on the weights of a network, with the schedule of the papers, saved and resumed bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from nas_core.trainers.settings import Weights


class WeightOptimiser:
    """SGD with momentum and decay; the learning rate is half a cosine over ``epochs``, the gradient's norm bounded."""

    def __init__(self, weights: Sequence[Tensor], settings: Weights, epochs: int) -> None:
        self.weights, self.settings = list(weights), settings
        self.sgd = torch.optim.SGD(self.weights, settings.lr, settings.momentum, weight_decay=settings.decay)
        self.schedule = CosineAnnealingLR(self.sgd, epochs, settings.lr_min)

    @property
    def lr(self) -> float:
        """The learning rate of this epoch."""
        return self.sgd.param_groups[0]["lr"]

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """One step; a weight without a gradient (no drawn path touched it) stays as it is."""
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(self.weights, self.settings.clip)
        self.sgd.step()

    def drift(self) -> list[Tensor]:
        """What the next step adds to the gradients: decay times weight plus momentum times velocity, one a weight."""
        drifts = []
        for weight in self.weights:
            velocity = self._momentum(weight)
            if velocity is None:
                velocity = torch.zeros_like(weight)
            drifts.append(self.settings.decay * weight.detach() + self.settings.momentum * velocity)
        return drifts

    def end_epoch(self) -> None:
        """Go on to the next epoch's learning rate."""
        self.schedule.step()

    def state(self) -> dict[str, Any]:
        """Velocities and schedule."""
        return {"momentum": [self._momentum(w) for w in self.weights], "schedule": self.schedule.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        for weight, momentum in zip(self.weights, state["momentum"], strict=True):
            self.sgd.state.pop(weight, None)
            if momentum is not None:
                self.sgd.state[weight]["momentum_buffer"] = torch.empty_like(weight).copy_(momentum)
        self.schedule.load_state_dict(copy.deepcopy(state["schedule"]))
        self.sgd.param_groups[0]["lr"] = self.schedule.get_last_lr()[0]

    def _momentum(self, weight: Tensor) -> Tensor | None:
        return self.sgd.state[weight].get("momentum_buffer")
