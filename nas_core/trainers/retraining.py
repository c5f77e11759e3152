"""Retraining: the evaluation network of a cell learns from scratch (DARTS, Sec. 3.2; SNAS, App. G.2).

SGD with half a cosine, an auxiliary classifier, drop-path and cutout. The cell is the one that another run ended with,
a released one, a random one, or one given as text. A retrained network can be kept in one file with all it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nas_core.cells.exchange import read
from nas_core.cells.genotype import Genotype, released
from nas_core.cells.sizes import Size, counts_with_tower
from nas_core.data import Dataset, load
from nas_core.errors import UserError, choose
from nas_core.trainers.batches import Batches
from nas_core.trainers.classifier import classifier
from nas_core.trainers.fitting import Fitting
from nas_core.trainers.journal import Journal
from nas_core.trainers.result import Result
from nas_core.trainers.retraining_settings import Derived, Drawn, Released, RetrainingConfig
from nas_core.trainers.streams import generators, load_states, states

STREAMS = ("cells", "init", "weight_data", "augment", "cutout", "drop_path")


class Retraining:
    """A retraining that can be stepped, saved and resumed: ``done`` of ``total`` steps, each one weight step."""

    def __init__(self, config: RetrainingConfig, needed: Mapping[str, Result] | None = None) -> None:
        self.config = config
        self.streams = generators(config.seed, STREAMS)
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.genotype = genotype_of(config, needed or {}, self.streams["cells"])
        if config.network.auxiliary:
            _check_tower(config, self.genotype, self.data)
        network = classifier(
            self.genotype,
            self.data,
            generator=self.streams["init"],
            channels=config.network.channels,
            layers=config.network.layers,
            stem=config.network.stem,
            auxiliary=config.network.auxiliary > 0,
        )
        self.fitting = Fitting(network, self.data, config.weights, config.epochs, device=config.device)
        self.batches = Batches(config.data.train, config.batch, self.streams["weight_data"])
        self.journal = Journal()
        self.losses: list[float] = []  # of the steps of this epoch
        self.period = config.steps_per_epoch
        self.done, self.total = 0, config.epochs * self.period
        counts = self.fitting.counts()
        self.journal.add_genotype("retrained", self.genotype)
        self.journal.add_row("network", params=counts.params, madds=counts.madds)

    def step(self) -> float:
        """One weight step; the last one of an epoch measures the network. Returns the loss."""
        config = self.config.network
        images, labels = self.data.batch("train", self.batches.next(), self.config.device, self.streams["augment"])
        images = cut_out(images, config.cutout, self.streams["cutout"])
        network = self.fitting.network.network
        logits, auxiliary = network(images, self.drop_path(), self.streams["drop_path"])
        loss = F.cross_entropy(logits, labels)
        if auxiliary is not None:
            loss = loss + config.auxiliary * F.cross_entropy(auxiliary, labels)
        self.losses.append(self.fitting.learn(loss))
        self.done += 1
        if self.done % self.period == 0:
            self._close_epoch()
        return loss.item()

    def drop_path(self) -> float:
        """The probability of the step that comes next: linear in the epoch, 0 in the first and all of it in the last.

        The released code divides by the number of epochs T instead of T - 1.
        """
        last = self.config.epochs - 1
        return self.config.network.drop_path * (self.done // self.period) / last if last else 0.0

    def _close_epoch(self) -> None:
        epoch = self.done // self.period
        self.fitting.optimiser.end_epoch()
        self.journal.add_row("losses", epoch=epoch, loss=sum(self.losses) / len(self.losses))
        self.losses = []
        for split in ("valid", "test"):
            if getattr(self.config.data, split):
                self.journal.add_row("accuracy", epoch=epoch, split=split, acc=self.fitting.accuracy(split))

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "fitting": self.fitting.state(),
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "journal": self.journal.state(),
            "losses": list(self.losses),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done, self.losses = state["done"], list(state["losses"])
        self.fitting.load_state(state["fitting"])
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Tables ``accuracy`` and ``losses`` (by epoch) and ``network`` (its size), the genotype, the final weights."""
        if self.done != self.total:
            raise RuntimeError(f"the retraining has done {self.done} of {self.total} steps")
        return self.journal.result(self.fitting.network.trained())


def genotype_of(config: RetrainingConfig, needed: Mapping[str, Result], generator: Generator) -> Genotype:
    """The cells that a retraining is of; ``needed``: by key, the results of the runs that it needs."""
    cells = config.cells
    if isinstance(cells, Derived):
        assert config.of is not None, "the settings see to it"
        found = needed[config.of.key()].genotypes
        return found[choose(f"genotypes of {config.of.run}", cells.rule, found)][-1]
    if isinstance(cells, Released):
        return released(cells.arch)
    if isinstance(cells, Drawn):
        for _ in range(cells.number):
            cells.draw(generator)
        return cells.draw(generator)
    return read(cells.genotype)


def cut_out(images: Tensor, side: int, generator: Generator) -> Tensor:
    """Images (n, channels, height, width) in which a square of ``side`` pixels is 0, which is the mean of the data.

    Its centre is drawn from all pixels, so that a part of it may lie outside, as in DARTS's code. 0 cuts nothing.
    """
    if not side:
        return images
    n, _, height, width = images.shape
    inside = []
    for length in (height, width):
        centre = torch.randint(length, (n, 1), generator=generator)
        first = centre - side // 2
        pixel = torch.arange(length)
        inside.append((first <= pixel) & (pixel < first + side))
    rows, columns = inside
    square = rows.view(n, 1, height, 1) & columns.view(n, 1, 1, width)
    return images.masked_fill(square.to(images.device), 0.0)


def _check_tower(config: RetrainingConfig, genotype: Genotype, data: Dataset) -> None:
    """Raise :class:`UserError` where the maps are too small for the auxiliary tower."""
    size = Size(
        channels=config.network.channels,
        layers=config.network.layers,
        classes=data.source.classes,
        side=min(data.size),
        in_channels=data.channels,
        stem=config.network.stem,
    )
    try:
        counts_with_tower(genotype, size)
    except UserError as error:
        raise UserError(f"run {config.run!r}: {error} Set network.auxiliary to 0.") from None
