"""An evaluation network as something that tells classes apart."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor, nn

from nas_core.cells.evaluation import EvaluationNetwork
from nas_core.cells.genotype import Genotype
from nas_core.data import Dataset


class Classifier(nn.Module):
    """An evaluation network by its class logits alone."""

    def __init__(self, network: EvaluationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits, _ = self.network(images)
        return logits

    def trained(self) -> dict[str, Tensor]:
        """A copy of the evaluation network's state, by the names that it has there."""
        return {name: value.clone() for name, value in self.network.state_dict().items()}


def classifier(genotype: Genotype, data: Dataset, *, generator: Generator, **further: Any) -> Classifier:
    """The network of ``genotype`` for the images of ``data``, untrained.

    ``generator`` draws its weights; ``further`` are the other numbers of an :class:`EvaluationNetwork`.
    """
    network = EvaluationNetwork(
        genotype,
        classes=data.source.classes,
        in_channels=data.channels,
        generator=generator,
        **further,
    )
    return Classifier(network)
