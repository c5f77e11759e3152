"""What searches say of every member of a small space of chains, beside what the members are worth alone.

Nothing is trained here: the searches of one seed are laid beside the ground truth, which is the same for all seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import pandas as pd
import torch
from pydantic import BeforeValidator, Field, model_validator

from nas_core.cells.checks import different
from nas_core.cells.latency import codes, members, one_hot, target
from nas_core.errors import UserError
from nas_core.trainers.chain_settings import ChainSearchConfig, ChainTrainingConfig
from nas_core.trainers.journal import Journal
from nas_core.trainers.known import settings_if_json
from nas_core.trainers.result import Result
from nas_core.trainers.settings import TAG, RunConfig

SHARED = ("profile", "threads", "device")  # with all runs before it; the seed is shared with the searches alone


class ChainRanksConfig(RunConfig):
    """The searches of one seed beside the ground truth."""

    trainer: ClassVar[str] = "nas_core.trainers.chain_ranks:ChainRanks"

    kind: Annotated[Literal["chain ranks"], TAG] = "chain ranks"
    of: tuple[Annotated[ChainSearchConfig, BeforeValidator(settings_if_json)], ...] = Field(
        min_length=1, description="searches of the same seed"
    )
    truth: tuple[Annotated[ChainTrainingConfig, BeforeValidator(settings_if_json)], ...] = Field(
        min_length=1, description="trainings of all members alone, the mean of whose accuracies is the ground truth"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        space = self.truth[0].network
        for alone in self.truth:
            if not alone.every:
                raise UserError(f"run {self.run!r}: {alone.run} does not train every member of {space.name!r}")
        runs: list[ChainSearchConfig | ChainTrainingConfig] = [*self.of, *self.truth]
        if any(before.network != space for before in runs):
            raise UserError(f"run {self.run!r} and all runs before it must be about the chain {space.name!r}")
        for before in self.needs():
            for name in SHARED:
                if getattr(self, name) != getattr(before, name):
                    raise UserError(f"run {self.run!r} and {before.run!r} before it must have the same {name}")
        if any(search.seed != self.seed for search in self.of):
            raise UserError(f"run {self.run!r} and its searches must have the same seed")
        different(f"the searches of run {self.run!r}", [search.run for search in self.of])
        different(f"the seeds of the ground truth of run {self.run!r}", [alone.seed for alone in self.truth])
        return self

    def images(self) -> tuple[Any, ...]:
        """Those of the ground truth and of the first search."""
        return (*self.truth[0].images(), *self.of[0].images())

    def but(self, **changes: Any) -> Self:
        """As of all settings; what it shares with the runs before it changes there, too."""
        shared = {name: value for name, value in changes.items() if name in SHARED}
        of_searches = {name: value for name, value in changes.items() if name in (*SHARED, "seed")}
        if of_searches and "of" not in changes:
            changes["of"] = tuple(search.but(**of_searches) for search in self.of)
        if shared and "truth" not in changes:
            changes["truth"] = tuple(alone.but(**shared) for alone in self.truth)
        return super().but(**changes)

    def cost(self) -> float:
        """Next to nothing."""
        return float(len(self.of))


class ChainRanks:
    """A single step, which lays the results of the runs before it side by side."""

    def __init__(self, config: ChainRanksConfig, needed: Mapping[str, Result] | None = None) -> None:
        self.config, self.needed = config, needed or {}
        self.space = target(config.truth[0].network.name)
        self.journal = Journal()
        self.period = 1
        self.done, self.total = 0, 1

    def step(self) -> None:
        """Write everything down."""
        self._write_truth()
        for search in self.config.of:
            self._write_search(search)
        self.done += 1

    def _write_truth(self) -> None:
        """``truth``: a row for every member and seed."""
        for alone in self.config.truth:
            for number, row in enumerate(self.needed[alone.key()].table("chains").itertuples()):
                self.journal.add_row(
                    "truth",
                    member=number,
                    choices=row.choices,
                    madds=row.madds,
                    latency_us=row.latency_us,
                    truth_seed=alone.seed,
                    valid=row.valid,
                    test=row.test,
                )

    def _write_search(self, search: ChainSearchConfig) -> None:
        """``found``: the member that it ends with; ``members``: its probability of each, and its one-shot accuracy."""
        result = self.needed[search.key()]
        choices = str(result.table("chain")["choices"].iloc[-1])
        names = [codes(chain) for chain in members(self.space)]
        self.journal.add_row("found", search=search.run, member=names.index(choices), choices=choices)
        prob = torch.from_numpy(result.array("prob")[-1, 0])
        per_slot = (one_hot(self.space).double() * prob).sum(-1)  # (members, slots)
        for number, probability in enumerate(per_slot.prod(-1).tolist()):
            self.journal.add_row("members", search=search.run, member=number, probability=probability)
        for place, epoch in enumerate(search.enumerated):
            for number, score in enumerate(result.array("hits")[place].mean(1).tolist()):
                self.journal.add_row("scores", search=search.run, epoch=epoch, member=number, score=score)

    def state(self) -> dict[str, Any]:
        """What was written."""
        return {"done": self.done, "journal": self.journal.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        self.done = state["done"]
        self.journal.load_state(state["journal"])

    def result(self) -> Result:
        """Tables ``truth``, ``found``, ``members`` and ``scores``; accuracies and scores are shares."""
        if self.done != self.total:
            raise RuntimeError("nothing was written yet")
        result = self.journal.result()
        result.tables.setdefault("scores", pd.DataFrame(columns=["search", "epoch", "member", "score"]))
        return result
