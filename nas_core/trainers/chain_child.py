"""One child of S1 learns alone, from scratch: what a search has found, and what a random child of like cost is worth.

The random child is, of many uniform draws, the one whose multiply-adds are closest to those of the found child.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import nn

from nas_core.backends.depthwise_layer import with_fast_depthwise
from nas_core.cells.chain import ChainNetwork, Choice, blocks
from nas_core.cells.chain_counts import ChainCosts
from nas_core.cells.counts import parameters
from nas_core.cells.multipath import read_child, spelled
from nas_core.trainers.chain_child_settings import ChainChildConfig
from nas_core.trainers.fitting import FromScratch
from nas_core.trainers.front_spaces import DRAWS, S1Space
from nas_core.trainers.result import Result
from nas_core.trainers.streams import generators

STREAMS = ("child", "init", "weight_data", "augment")


class ChainChild(FromScratch):
    """The training of a child, which is measured after every epoch.

    Tables ``accuracy`` (on test images, by epoch) and ``network`` (the child, its parameters, its multiply-adds).
    """

    config: ChainChildConfig

    def __init__(self, config: ChainChildConfig, needed: Mapping[str, Result]) -> None:
        self.space = S1Space.of(config.of)
        self.child = self._child(config, needed[config.of.key()])
        super().__init__(config, STREAMS, networks=1)
        self.period = self.per_epoch
        size = parameters(self.fitting.network)
        self.journal.add_row("network", child=spelled(self.child), params=size, madds=self._madds())

    def _child(self, config: ChainChildConfig, search: Result) -> tuple[Choice, ...]:
        """The found child, or the random one closest to it in multiply-adds where it was found."""
        row = search.table("found").iloc[config.place]
        found = read_child(row["child"])
        if config.pick == "found":
            return found
        stream = generators(config.seed, STREAMS)["child"]
        rng = np.random.default_rng(int(stream.initial_seed()))
        drawn = []
        for _ in range(DRAWS):
            genes = rng.integers(len(self.space.choices), size=len(self.space.macro.slots))
            drawn.append(self.space.child(tuple(int(gene) for gene in genes)))
        others = [child for child in drawn if child != found]
        return min(others, key=lambda child: abs(self.space.costs.of_child(child) - row["madds"]))

    def untrained(self, number: int) -> nn.Module:
        network = ChainNetwork(
            self.space.macro,
            blocks(self.space.macro, self.child),
            classes=self.data.source.classes,
            in_channels=self.data.channels,
            generator=self.streams["init"],
        )
        return with_fast_depthwise(network)

    def _madds(self) -> int:
        """Multiply-adds for one image of the data that it learns from."""
        assert self.data.side is not None, "the settings' data sets are square"
        costs = ChainCosts(self.space.macro, self.data.side, self.data.channels, self.data.source.classes)
        return costs.of_child(self.child)

    def close_epoch(self) -> None:
        self.journal.add_row("accuracy", epoch=self.done // self.per_epoch, acc=self.fitting.accuracy("test"))
