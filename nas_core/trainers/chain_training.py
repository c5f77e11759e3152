"""Chains trained alone: those that searches found, and some drawn uniformly, all with the same images and settings.

Every chain starts from the same state of all generators, so that two equal chains have equal accuracies and a
difference is that of the chains. A chain that was trained already is not trained again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Generator, Tensor

from nas_core.cells.chain import ChainNetwork, Choice, blocks
from nas_core.cells.latency import codes, decoded, draw_chain, members, table_of, target
from nas_core.trainers.chain_settings import ChainTrainingConfig
from nas_core.trainers.fitting import Fitting, FromScratch
from nas_core.trainers.result import Result

STREAMS = ("init", "weight_data", "augment")
DRAWN = "drawn"  # in the place of the search that found a chain
MEMBER = "member"


class ChainTraining(FromScratch):
    """The training of every chain, one after another.

    Table ``chains``: where each comes from, accuracies (shares), size, latency by the table in microseconds.
    """

    config: ChainTrainingConfig

    def __init__(self, config: ChainTrainingConfig, needed: Mapping[str, Result] | None = None) -> None:
        self.target, self.table = target(config.network.name), table_of(config.table)
        self.origins = self._origins(config, needed or {})
        self.chains = list(dict.fromkeys(self.origins.values()))  # each once
        super().__init__(config, STREAMS, networks=len(self.chains))

    def _origins(self, config: ChainTrainingConfig, needed: Mapping[str, Result]) -> dict[str, tuple[Choice, ...]]:
        """The chains by the search that found them, or by their number among the drawn ones or all members."""
        found = {}
        for search in config.of:
            table = needed[search.key()].tables["chain"]
            found[search.run] = decoded(str(table["choices"].iloc[-1]))
        generator = Generator().manual_seed(config.seed)
        for number in range(config.drawn):
            found[f"{DRAWN} {number}"] = draw_chain(self.target, generator)
        if config.every:
            for number, chain in enumerate(members(self.target)):
                found[f"{MEMBER} {number}"] = chain
        return found

    def begin(self, number: int) -> Fitting:
        """The beginning of a training, with all generators at their start."""
        self.restart(STREAMS)
        return super().begin(number)

    def untrained(self, number: int) -> ChainNetwork:
        return ChainNetwork(
            self.target.macro,
            blocks(self.target.macro, self.chains[number]),
            classes=self.data.source.classes,
            in_channels=self.data.channels,
            generator=self.streams["init"],
        )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)

    def close(self, number: int) -> None:
        """Measure the chain, and write a row for each search that found it."""
        trained = self.chains[number]
        valid, test = self.fitting.accuracy("valid"), self.fitting.accuracy("test")
        counts = self.fitting.counts()
        for origin, chain in self.origins.items():
            if chain == trained:
                self.journal.add_row(
                    "chains",
                    origin=origin,
                    choices=codes(chain),
                    valid=valid,
                    test=test,
                    params=counts.params,
                    madds=counts.madds,
                    latency_us=self.table.of_network(self.config.network.name, chain),
                )
