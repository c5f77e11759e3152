"""One child of S1 learns alone, from scratch: what a search has found, and what a random child of like cost is worth.

The random child is, of many uniform draws, the one whose multiply-adds are closest to those of the found child.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F

from nas_core.backends.depthwise_layer import with_fast_depthwise
from nas_core.cells.chain import ChainNetwork, Choice, blocks
from nas_core.cells.chain_counts import ChainCosts
from nas_core.cells.counts import parameters
from nas_core.cells.multipath import read_child, spelled
from nas_core.data import load
from nas_core.probes.accuracy import accuracy
from nas_core.trainers.batches import Batches
from nas_core.trainers.chain_child_settings import ChainChildConfig
from nas_core.trainers.fitting import EVAL_BATCH
from nas_core.trainers.front_spaces import DRAWS, S1Space
from nas_core.trainers.gradients import gradients
from nas_core.trainers.journal import Journal
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.result import Result
from nas_core.trainers.streams import generators, load_states, states

STREAMS = ("child", "init", "weight_data", "augment")


class ChainChild:
    """A training that can be stepped, saved and resumed: ``done`` of ``total`` steps, each one weight step."""

    def __init__(self, config: ChainChildConfig, needed: Mapping[str, Result]) -> None:
        self.config = config
        self.streams = generators(config.seed, STREAMS)
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.space = S1Space.of(config.of)
        self.child = self._child(needed[config.of.key()])
        network = ChainNetwork(
            self.space.macro,
            blocks(self.space.macro, self.child),
            classes=self.data.source.classes,
            in_channels=self.data.channels,
            generator=self.streams["init"],
        )
        fast = with_fast_depthwise(network).to(config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = cast(ChainNetwork, fast)
        self.optimiser = WeightOptimiser(list(self.network.parameters()), config.weights, config.epochs)
        self.batches = Batches(config.data.train, config.batch, self.streams["weight_data"])
        self.journal = Journal()
        self.period = config.steps_per_epoch
        self.done, self.total = 0, config.epochs * self.period
        self.journal.add_row("network", child=spelled(self.child), params=parameters(self.network), madds=self._madds())

    def _child(self, search: Result) -> tuple[Choice, ...]:
        """The found child, or the random one closest to it in multiply-adds where it was found."""
        row = search.table("found").iloc[self.config.place]
        found = read_child(row["child"])
        if self.config.pick == "found":
            return found
        rng = np.random.default_rng(int(self.streams["child"].initial_seed()))
        drawn = []
        for _ in range(DRAWS):
            genes = rng.integers(len(self.space.choices), size=len(self.space.macro.slots))
            drawn.append(self.space.child(tuple(int(gene) for gene in genes)))
        others = [child for child in drawn if child != found]
        return min(others, key=lambda child: abs(self.space.costs.of_child(child) - row["madds"]))

    def _madds(self) -> int:
        """Multiply-adds for one image of the data that it learns from."""
        assert self.data.side is not None, "the settings' data sets are square"
        costs = ChainCosts(self.space.macro, self.data.side, self.data.channels, self.data.source.classes)
        return costs.of_child(self.child)

    def step(self) -> float:
        """One weight step; the last one of an epoch measures the network. Returns the loss."""
        index = self.batches.next()
        images, labels = self.data.batch("train", index, self.config.device, self.streams["augment"])
        loss = F.cross_entropy(self.network(images), labels)
        self.optimiser.step(gradients(loss, self.optimiser.weights))
        self.done += 1
        if self.done % self.period == 0:
            self.optimiser.end_epoch()
            share = accuracy(self.network, self.data.batches("test", EVAL_BATCH, self.config.device))
            self.journal.add_row("accuracy", epoch=self.done // self.period, acc=share)
        return loss.item()

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
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state(state["optimiser"])
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Tables ``accuracy`` (on test images, by epoch) and ``network`` (the child, its parameters, multiply-adds)."""
        if self.done != self.total:
            raise RuntimeError(f"the training has done {self.done} of {self.total} steps")
        return self.journal.result()
