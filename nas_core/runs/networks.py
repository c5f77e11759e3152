"""A retrained network to use elsewhere: one file has its weights, its cells, and how its images are standardised."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor, nn

from nas_core.cells.evaluation import EvaluationNetwork
from nas_core.cells.genotype import Genotype
from nas_core.data import SOURCES
from nas_core.errors import UserError
from nas_core.files import write_together, writing
from nas_core.runs.store import Record
from nas_core.trainers.retraining_settings import RetrainingConfig


class TrainedNetwork(nn.Module):
    """A retrained network in evaluation mode: images (n, channels, height, width) of values 0..255 to class logits.

    ``mean`` and ``std``, one a channel in units of 255, standardise the images as in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: EvaluationNetwork, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Class logits, (n, classes)."""
        logits, _ = self.network((images.float() / 255 - self.mean) / self.std)
        return logits

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it into one file, which :meth:`load` and every reader of safetensors opens."""
        about = {
            "genotype": self.network.genotype.to_json(),
            "numbers": json.dumps(self.network.numbers),
            "auxiliary": json.dumps(self.network.tower is not None),
        }
        tensors = {name: value.contiguous() for name, value in self.state_dict().items()}
        with writing(Path(path), remedy="name another file"):
            write_together({Path(path): save(tensors, about)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TrainedNetwork:
        """The network that :meth:`save` wrote; any other file is a :class:`UserError`."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
            network = EvaluationNetwork(
                Genotype.from_json(about["genotype"]),
                **json.loads(about["numbers"]),
                auxiliary=json.loads(about["auxiliary"]),
                generator=Generator(),
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is not a file of a retrained network: {error}.") from error
        channels = range(tensors["mean"].numel())
        found = cls(network, tuple(0.0 for _ in channels), tuple(1.0 for _ in channels))
        found.load_state_dict(tensors)
        return found


def retrained(record: Record) -> TrainedNetwork:
    """The network of a retraining's record, with its final weights."""
    config = record.config
    if not isinstance(config, RetrainingConfig):
        raise UserError(f"{config.run} is no retraining, so its record has no network of its own to use.")
    source = SOURCES[config.data.name]()
    network = EvaluationNetwork(
        record.genotypes["retrained"][0],
        channels=config.network.channels,
        layers=config.network.layers,
        classes=source.classes,
        in_channels=source.splits["train"].images.shape[1],
        generator=Generator(),
        auxiliary=config.network.auxiliary > 0,
        stem=config.network.stem,
    )
    network.load_state_dict(record.weights)
    return TrainedNetwork(network, source.mean, source.std)
