"""Training of a supernet of several paths, and one-shot scores of its children (MixPath, Sec. 3 and Algorithm 1).

In every layer the number m' ~ U{1..m} of active paths is drawn, then m' paths without replacement; only these are
computed, and the batch norm of m' paths normalises their sum. Which layers and paths there are is the supernet's
affair: :mod:`nas_core.cells.multipath`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nas_core.backends.depthwise_layer import with_fast_depthwise
from nas_core.cells.multipath import SPACES
from nas_core.data import Dataset, load
from nas_core.trainers.batches import Batches
from nas_core.trainers.fitting import EVAL_BATCH
from nas_core.trainers.gradients import gradients
from nas_core.trainers.journal import Journal
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.result import Result
from nas_core.trainers.retraining import cut_out
from nas_core.trainers.streams import generators, load_states, states

STREAMS = ("init", "weight_data", "augment", "cutout", "paths")


class MultiPathTraining:
    """A training that can be stepped, saved and resumed: ``done`` of ``total`` steps, each on a child of its own."""

    def __init__(self, config: MultiPathConfig) -> None:
        self.config = config
        self.streams = generators(config.seed, STREAMS)
        self.data = dataset(config)
        self.supernet = untrained(config, self.data, self.streams["init"])
        self.optimiser = WeightOptimiser(list(self.supernet.parameters()), config.weights, config.epochs)
        self.batches = Batches(config.data.train, config.batch, self.streams["weight_data"])
        self.journal = Journal()
        self.losses: list[float] = []  # of the steps of this epoch
        self.period = config.steps_per_epoch
        self.done, self.total = 0, config.epochs * self.period

    def step(self) -> float:
        """One weight step on one drawn child. Returns the loss.

        A weight that the child does not use stays as it is, without decay and momentum.
        """
        images, labels = self.data.batch("train", self.batches.next(), self.config.device, self.streams["augment"])
        images = cut_out(images, self.config.cutout, self.streams["cutout"])
        child = self.supernet.draw(self.streams["paths"])
        loss = F.cross_entropy(self.supernet(images, child), labels)
        self.optimiser.step(gradients(loss, self.optimiser.weights))
        self.losses.append(loss.item())
        self.done += 1
        if self.done % self.period == 0:
            self._close_epoch()
        return loss.item()

    def _close_epoch(self) -> None:
        self.optimiser.end_epoch()
        mean = sum(self.losses) / len(self.losses)
        self.journal.add_row("losses", epoch=self.done // self.period, loss=mean)
        self.losses = []

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "supernet": self.supernet.state_dict(),
            "optimiser": self.optimiser.state(),
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "losses": list(self.losses),
            "journal": self.journal.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done, self.losses = state["done"], list(state["losses"])
        self.supernet.load_state_dict(state["supernet"])
        self.optimiser.load_state(state["optimiser"])
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """The table ``losses`` (by epoch), and the supernet's final weights and statistics for later runs."""
        if self.done != self.total:
            raise RuntimeError(f"the training has done {self.done} of {self.total} steps")
        kept = {name: value.clone() for name, value in self.supernet.state_dict().items()}
        return self.journal.result(kept)


def dataset(config: MultiPathConfig) -> Dataset:
    """The images of a run, those that train and those that are kept apart."""
    return load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))


def untrained(config: MultiPathConfig, data: Dataset, generator: Generator) -> Any:
    """The supernet of the settings, a :class:`nas_core.cells.multipath.MultiPath`; ``generator`` draws its weights."""
    supernet = SPACES[config.paths.space](
        channels=config.paths.channels,
        most=config.paths.most,
        norms=config.paths.norms,
        classes=data.source.classes,
        in_channels=data.channels,
        generator=generator,
        **config.paths.placed,
    )
    return with_fast_depthwise(supernet).to(config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def trained(config: MultiPathConfig, data: Dataset, needed: Mapping[str, Result]) -> Any:
    """The supernet as the run ``config`` left it; ``needed``: by key, the results of the runs that are needed."""
    supernet = untrained(config, data, Generator().manual_seed(0))
    supernet.load_state_dict(needed[config.key()].weights)
    return supernet


def one_shot(
    supernet: Any,
    children: Sequence[Any],
    data: Dataset,
    recalibrate: int = 0,
    *,
    split: str = "valid",
    device: str = "cpu",
) -> list[float]:
    """Accuracy of every child with the supernet's weights, a share of the images of ``split``.

    ``recalibrate``: the batch-norm statistics of each child are computed anew as the average over so many batches of
    250 training images, the first ones, with that child fixed (Algorithm 1); 0 takes those of the supernet. The
    supernet is left as it was, its mode included.
    """
    fitting = _first_batches(data, recalibrate, device)
    judging = list(data.batches(split, EVAL_BATCH, device))
    found = []
    for child in children:
        with kept_statistics(supernet):
            if recalibrate:
                recalibrate_on(supernet, child, fitting)
            found.append(_accuracy(supernet, child, judging))
    return found


@torch.no_grad()
def recalibrate_on(supernet: Any, child: Any, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Make all batch-norm statistics the averages over ``batches`` of images and labels in the ``child``."""
    with averaging(supernet):
        for images, _ in batches:
            supernet(images, child)


@contextmanager
def averaging(network: nn.Module) -> Iterator[None]:
    """Training mode, in which the statistics start afresh and become averages of all batches; then the mode before."""
    mode = network.training
    momenta = {}
    for norm in batch_norms(network):
        momenta[norm] = norm.momentum
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to say: the average of all batches
    network.train()
    try:
        yield
    finally:
        network.train(mode)
        for norm, momentum in momenta.items():
            norm.momentum = momentum


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """What happens to the statistics of the batch norms within is undone in the end."""
    saved = []
    for norm in batch_norms(network):
        saved.append((norm, {name: value.clone() for name, value in norm.named_buffers()}))
    try:
        yield
    finally:
        for norm, buffers in saved:
            for name, value in buffers.items():
                norm.get_buffer(name).copy_(value)


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """All batch norms, in the order of the network's modules."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def _accuracy(supernet: Any, child: Any, batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    mode = supernet.training
    supernet.eval()
    hits = [supernet(images, child).argmax(1) == labels for images, labels in batches]
    supernet.train(mode)
    return torch.cat(hits).double().mean().item()


def _first_batches(data: Dataset, count: int, device: str) -> list[tuple[Tensor, Tensor]]:
    """The first ``count`` batches of training images, unchanged by augmentation."""
    found = []
    for index in torch.arange(len(data.splits["train"])).split(EVAL_BATCH)[:count]:
        found.append(data.batch("train", index, device))
    return found
