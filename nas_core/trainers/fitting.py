"""One evaluation network while its weights learn: what random search and retraining have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn

from nas_core.cells.counts import Counted, multiply_adds, parameters
from nas_core.cells.evaluation import EvaluationNetwork
from nas_core.cells.genotype import Genotype
from nas_core.data import Dataset
from nas_core.probes.accuracy import accuracy
from nas_core.trainers.gradients import gradients
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.settings import Weights

EVAL_BATCH = 250  # images a batch in evaluation mode


class Classifier(nn.Module):
    """An evaluation network by its class logits alone."""

    def __init__(self, network: EvaluationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits, _ = self.network(images)
        return logits


class Fitting:
    """The network of ``genotype`` for the images of ``data``, untrained, and the optimiser of its weights.

    ``generator`` draws the first weights; ``further`` are the other numbers of an :class:`EvaluationNetwork`.
    """

    def __init__(
        self,
        genotype: Genotype,
        data: Dataset,
        weights: Weights,
        epochs: int,
        *,
        device: str,
        generator: Generator,
        **further: Any,
    ) -> None:
        self.data, self.device = data, device
        network = EvaluationNetwork(
            genotype,
            classes=data.source.classes,
            in_channels=data.channels,
            generator=generator,
            **further,
        )
        self.network = Classifier(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = WeightOptimiser(list(self.network.parameters()), weights, epochs)

    def learn(self, loss: Tensor) -> float:
        """One step of the weights down the gradient of ``loss``, a scalar, which is returned."""
        self.optimiser.step(gradients(loss, self.optimiser.weights))
        return loss.item()

    def accuracy(self, split: str) -> float:
        """Share of the images of ``split`` that are classified correctly, with running statistics."""
        return accuracy(self.network, self.data.batches(split, EVAL_BATCH, self.device))

    def counts(self) -> Counted:
        """Parameters, and multiply-adds for one image; a tower counts in the former and does nothing in the latter."""
        images = torch.zeros(1, self.data.channels, *self.data.size)
        return Counted(parameters(self.network), multiply_adds(self.network, images))

    def trained(self) -> dict[str, Tensor]:
        """A copy of the evaluation network's state, by the names that it has there."""
        return {name: value.clone() for name, value in self.network.network.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """Weights, statistics and velocities."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state(state["optimiser"])
