"""Chains trained alone: those that searches found, and some drawn uniformly, all with the same images and settings.

Every chain starts from the same state of all generators, so that two equal chains have equal accuracies and a
difference is that of the chains. A chain that was trained already is not trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator

from nas_core.cells.chain import ChainNetwork, Choice, blocks
from nas_core.cells.counts import multiply_adds, parameters
from nas_core.cells.latency import codes, decoded, draw_chain, members, table_of, target
from nas_core.data import load
from nas_core.probes.accuracy import accuracy
from nas_core.trainers.batches import Batches
from nas_core.trainers.chain_settings import ChainTrainingConfig
from nas_core.trainers.fitting import EVAL_BATCH
from nas_core.trainers.gradients import gradients
from nas_core.trainers.journal import Journal
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.result import Result
from nas_core.trainers.streams import generators, load_states, states

STREAMS = ("init", "weight_data", "augment")
DRAWN = "drawn"  # in the place of the search that found a chain
MEMBER = "member"


class ChainTraining:
    """Trainings that can be stepped, saved and resumed: each step is a weight step of the present chain."""

    def __init__(self, config: ChainTrainingConfig, needed: Mapping[str, Result] | None = None) -> None:
        self.config = config
        self.target, self.table = target(config.network.name), table_of(config.table)
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.origins = self._origins(needed or {})
        self.chains = list(dict.fromkeys(self.origins.values()))  # each once
        self.journal = Journal()
        self.period = config.steps_per_chain
        self.done, self.total = 0, len(self.chains) * self.period
        self._start()

    def _origins(self, needed: Mapping[str, Result]) -> dict[str, tuple[Choice, ...]]:
        """The chains by the search that found them, or by their number among the drawn ones or all members."""
        found = {}
        for search in self.config.of:
            table = needed[search.key()].tables["chain"]
            found[search.run] = decoded(str(table["choices"].iloc[-1]))
        generator = Generator().manual_seed(self.config.seed)
        for number in range(self.config.drawn):
            found[f"{DRAWN} {number}"] = draw_chain(self.target, generator)
        if self.config.every:
            for number, chain in enumerate(members(self.target)):
                found[f"{MEMBER} {number}"] = chain
        return found

    @property
    def present(self) -> tuple[Choice, ...]:
        """The chain that is trained."""
        return self.chains[self.done // self.period]

    def _start(self) -> None:
        """The present chain, untrained, and all generators at their start."""
        self.streams = generators(self.config.seed, STREAMS)
        network = ChainNetwork(
            self.target.macro,
            blocks(self.target.macro, self.present),
            classes=self.data.source.classes,
            in_channels=self.data.channels,
            generator=self.streams["init"],
        )
        self.network = network.to(self.config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = WeightOptimiser(list(self.network.parameters()), self.config.weights, self.config.epochs)
        self.batches = Batches(self.config.data.train, self.config.batch, self.streams["weight_data"])

    def step(self) -> float:
        """One weight step; after the last one of a chain it is measured and the next one begins. Returns the loss."""
        index = self.batches.next()
        images, labels = self.data.batch("train", index, self.config.device, self.streams["augment"])
        loss = F.cross_entropy(self.network(images), labels)
        self.optimiser.step(gradients(loss, self.optimiser.weights))
        last = (self.done + 1) % self.period == 0
        if (self.done + 1) % (self.period // self.config.epochs) == 0:
            self.optimiser.end_epoch()
        if last:
            self._close_chain()
        self.done += 1
        if last and self.done < self.total:
            self._start()
        return loss.item()

    def _close_chain(self) -> None:
        """Measure the chain, and write a row for each search that found it."""
        measured = {}
        for split in ("valid", "test"):
            measured[split] = accuracy(self.network, self.data.batches(split, EVAL_BATCH, self.config.device))
        images = torch.zeros(1, self.data.channels, *self.data.size)
        for origin, chain in self.origins.items():
            if chain == self.present:
                self.journal.add_row(
                    "chains",
                    origin=origin,
                    choices=codes(chain),
                    valid=measured["valid"],
                    test=measured["test"],
                    params=parameters(self.network),
                    madds=multiply_adds(self.network, images),
                    latency_us=self.table.of_network(self.config.network.name, chain),
                )

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state(),
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "journal": self.journal.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        if self.done < self.total:
            self._start()
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state(state["optimiser"])
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Table ``chains``: where each comes from, accuracies (shares), size, latency by the table in microseconds."""
        if self.done != self.total:
            raise RuntimeError(f"the trainings have done {self.done} of {self.total} steps")
        return self.journal.result()
