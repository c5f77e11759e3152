"""What all runs in MixPath's reduced NAS-Bench-101 space S4 share: the size of the network."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Generator

from nas_core.cells.mixpath import STAGES, ParallelNetwork
from nas_core.data import Dataset
from nas_core.errors import UserError
from nas_core.trainers.settings import Settings


class Parallel(Settings):
    """The network of S4: cells of parallel nodes that all make the same choice (paper: 9 cells, C = 128)."""

    channels: int = Field(gt=0, description="channels C of the first third of the cells; they double twice")
    cells: int = Field(9, gt=0, description="cells stacked, a third of them at each size of the map")

    @model_validator(mode="after")
    def _thirds(self) -> Parallel:
        if self.cells % STAGES:
            raise UserError(f"Parallel.cells: {self.cells} cells do not fall into {STAGES} equal stages.")
        return self


def parallel_network(
    settings: Parallel,
    data: Dataset,
    *,
    most: int,
    device: str,
    generator: Generator,
    build: type[ParallelNetwork] = ParallelNetwork,
) -> Any:
    """The network for the images of ``data``; ``most``: batch norms of a cell, one for each number of paths.

    ``generator`` draws its weights; ``build`` is :class:`ParallelNetwork`, or its form under gates.
    """
    model = build(
        channels=settings.channels,
        cells=settings.cells,
        classes=data.source.classes,
        in_channels=data.channels,
        most=most,
        generator=generator,
    )
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
