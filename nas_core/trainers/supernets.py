"""The supernet of a run, as its settings say."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from nas_core.backends.formulations import FORMULATIONS
from nas_core.data import Dataset
from nas_core.trainers.settings import Network


def supernet(network: Network, formulation: str, data: Dataset, *, device: str, generator: Generator) -> Any:
    """The network of a ``formulation`` for the images of ``data``, on ``device``; ``generator`` draws its weights."""
    model = FORMULATIONS[formulation](
        network.space(),
        channels=network.channels,
        layers=network.layers,
        classes=data.source.classes,
        in_channels=data.channels,
        reductions=network.reductions,
        head_bias=network.head_bias,
        generator=generator,
    )
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
