"""Networks while their weights learn: what all trainings from scratch have in common, whatever the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_core.cells.counts import Counted, multiply_adds, parameters
from nas_core.data import Dataset, load
from nas_core.probes.accuracy import accuracy
from nas_core.trainers.batches import Batches
from nas_core.trainers.gradients import gradients
from nas_core.trainers.journal import Journal
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.result import Result
from nas_core.trainers.settings import Data, Weights
from nas_core.trainers.streams import generators, load_states, states

EVAL_BATCH = 250  # images a batch in evaluation mode
Network = TypeVar("Network", bound=nn.Module)


class Fitting(Generic[Network]):
    """A network for the images of ``data`` and the optimiser of its weights; the cosine spans ``epochs``.

    ``network`` gives the class logits of images (n, channels, height, width); it is moved to ``device``.
    """

    def __init__(self, network: Network, data: Dataset, weights: Weights, epochs: int, *, device: str) -> None:
        self.data, self.device = data, device
        self.network: Network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
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

    def state(self) -> dict[str, Any]:
        """Weights, statistics and velocities."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state(state["optimiser"])


class FromScratchConfig(Protocol):
    """The settings that every training from scratch has."""

    @property
    def run(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def device(self) -> str: ...

    @property
    def data(self) -> Data: ...

    @property
    def weights(self) -> Weights: ...

    @property
    def epochs(self) -> int: ...

    @property
    def batch(self) -> int: ...


class FromScratch(ABC):
    """``networks`` trainings, one after another, that can be stepped, saved and resumed: each step is a weight step.

    A subclass says which network is trained (:meth:`untrained`), and what is written into the journal when an epoch
    (:meth:`close_epoch`) and when a training (:meth:`close`) ends. ``streams`` names its generators, among them "init",
    "weight_data" and "augment". ``per_epoch`` and ``per_training``: steps; ``period`` is a training.
    """

    config: FromScratchConfig

    def __init__(self, config: FromScratchConfig, streams: Sequence[str], networks: int) -> None:
        self.config = config
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.per_epoch = config.data.train // config.batch
        self.per_training = config.epochs * self.per_epoch
        self.period = self.per_training
        self.done, self.total = 0, networks * self.per_training
        self.journal = Journal()
        self.restart(streams)
        self.fitting = self.begin(0)

    def restart(self, streams: Sequence[str]) -> None:
        """All generators at their start, and batches from the first."""
        self.streams = generators(self.config.seed, streams)
        self.batches = Batches(self.config.data.train, self.config.batch, self.streams["weight_data"])

    @property
    def network(self) -> nn.Module:
        """The network that learns at present."""
        return self.fitting.network

    @abstractmethod
    def untrained(self, number: int) -> nn.Module:
        """The untrained network of training ``number``, from 0."""

    def begin(self, number: int) -> Fitting:
        """The beginning of training ``number``."""
        return Fitting(
            self.untrained(number),
            self.data,
            self.config.weights,
            self.config.epochs,
            device=self.config.device,
        )

    def step(self) -> float:
        """One weight step by the loss of the next batch, which it returns.

        After the last one of an epoch and of a training it is closed, and then the next training begun.
        """
        index = self.batches.next()
        images, labels = self.data.batch("train", index, self.config.device, self.streams["augment"])
        loss = self.fitting.learn(self.loss(self.fitting.network(images), labels))
        self.done += 1
        if self.done % self.per_epoch == 0:
            self.fitting.optimiser.end_epoch()
            self.close_epoch()
        if self.done % self.per_training == 0:
            ended = self.done // self.per_training
            self.close(ended - 1)
            if self.done < self.total:
                self.fitting = self.begin(ended)
        return loss

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What the weights are to lower: the mean cross-entropy of ``logits`` (batch, classes)."""
        return F.cross_entropy(logits, labels)

    def close_epoch(self) -> None:  # noqa: B027 - most write nothing
        """What is measured after an epoch."""

    def close(self, number: int) -> None:  # noqa: B027 - one writes nothing
        """What is measured after training ``number``."""

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            **self.fitting.state(),
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "journal": self.journal.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        last = self.total // self.per_training - 1
        self.fitting = self.begin(min(self.done // self.per_training, last))
        self.fitting.load_state(state)
        self.load_rest(state)

    def load_rest(self, state: dict[str, Any]) -> None:
        """Generators, batches and journal of a state."""
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """The tables of the journal."""
        self.check_done()
        return self.journal.result()

    def check_done(self) -> None:
        """Raise RuntimeError while steps are missing."""
        if self.done != self.total:
            raise RuntimeError(f"{self.config.run} has done {self.done} of {self.total} steps")
