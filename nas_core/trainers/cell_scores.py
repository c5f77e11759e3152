"""What a trained supernet of S4 says about every cell, beside what they are worth alone (MixPath, Table 2, Fig. 6).

It scores the 34 distinct cells with the supernet's weights, with the statistics as trained and recalibrated for every
cell, and takes the features of the first cell: of single paths and of sums of several, before and after the norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import pandas as pd
import torch
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from torch import Generator, Tensor

from nas_core.cells.mixpath import S4_NODES, S4_OPERATIONS, Cell, ParallelNetwork, s4_distinct, s4_text
from nas_core.data import load
from nas_core.errors import UserError, choose
from nas_core.trainers.cells_alone import CellsAloneConfig
from nas_core.trainers.journal import Journal
from nas_core.trainers.known import settings_if_json
from nas_core.trainers.multipath import one_shot, trained, untrained
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.result import Result
from nas_core.trainers.settings import TAG, RunConfig

CELLS = tuple(s4_distinct())
IMAGES = 64  # whose features are taken, the first valid ones
STATISTICS = ("as trained", "recalibrated")
SCORED = ("S4", "S4 of 3 cells")  # spaces whose children are cells of S4
SHARED = ("profile", "threads", "device")  # with all runs before it; the seed is shared with the supernet alone


class CellScoresConfig(RunConfig):
    """The scores and features of the supernet that ``after`` has trained; ``truth``: the cells trained alone."""

    trainer: ClassVar[str] = "nas_core.trainers.cell_scores:CellScores"

    kind: Annotated[Literal["cell scores"], TAG] = "cell scores"
    after: Annotated[SerializeAsAny[MultiPathConfig], BeforeValidator(settings_if_json)] = Field(
        description="the training of the supernet, of the same seed"
    )
    truth: tuple[Annotated[SerializeAsAny[CellsAloneConfig], BeforeValidator(settings_if_json)], ...] = Field(
        min_length=1, description="the trainings of all cells alone, the mean of whose accuracies is the ground truth"
    )
    recalibrate: int = Field(gt=0, description="batches of 250 training images for the statistics of each cell")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        choose(f"space that run {self.run!r} can score", self.after.paths.space, SCORED)
        if not self.after.data.valid:
            raise UserError(f"run {self.run!r}: cells are scored on valid images; data.valid is 0")
        if self.after.seed != self.seed:
            raise UserError(f"run {self.run!r} and the training {self.after.run!r} must have the same seed")
        for before in self.needs():
            for name in SHARED:
                if getattr(self, name) != getattr(before, name):
                    raise UserError(f"run {self.run!r} and {before.run!r} before it must have the same {name}")
        return self

    def images(self) -> tuple[Any, ...]:
        """Those of the supernet."""
        return self.after.images()

    def but(self, **changes: Any) -> Self:
        """As of all settings; what it shares with the runs before it changes there, too."""
        shared = {name: value for name, value in changes.items() if name in SHARED}
        of_supernet = {name: value for name, value in changes.items() if name in (*SHARED, "seed")}
        if of_supernet and "after" not in changes:
            changes["after"] = self.after.but(**of_supernet)
        if shared and "truth" not in changes:
            changes["truth"] = tuple(alone.but(**shared) for alone in self.truth)
        return super().but(**changes)

    def cost(self) -> float:
        """Passes times paths times images, in nine cells."""
        paths = sum(len(cell) - cell.count(None) for cell in CELLS) * 9
        return float((2 * self.recalibrate * 250 + 2 * self.after.data.valid) * paths)


class CellScores:
    """The scoring of all cells that can be stepped, saved and resumed: each step is one cell."""

    def __init__(self, config: CellScoresConfig, needed: Mapping[str, Result] | None = None) -> None:
        self.config = config
        data = config.after.data
        self.data = load(data.name, seed=config.seed, **data.model_dump(exclude={"name"}))
        needed = needed or {}
        self.supernet = trained(config.after, self.data, needed)
        self.truth = [needed[alone.key()].table("cells") for alone in config.truth]
        self.journal = Journal()
        self.period = len(CELLS)
        self.done, self.total = 0, len(CELLS)

    def step(self) -> None:
        """Score one cell; after the last one take the features, and write the ground truth beside them."""
        cell = CELLS[self.done]
        for statistics, batches in zip(STATISTICS, (0, self.config.recalibrate), strict=True):
            (found,) = one_shot(self.supernet, [cell], self.data, batches, device=self.config.device)
            self.journal.add_row("scores", cell=s4_text(cell), statistics=statistics, acc=found)
        self.done += 1
        if self.done == self.total:
            self._close_run()

    def _close_run(self) -> None:
        for vector, cell in enumerate(feature_cells()):
            paths = len(cell) - cell.count(None)
            self.journal.add_row("features", vector=vector, operations=s4_text(cell), paths=paths)
        images, _ = self.data.batch("valid", torch.arange(min(IMAGES, self.config.after.data.valid)))
        images = images.to(self.config.device)
        fresh = untrained(self.config.after, self.data, Generator().manual_seed(self.config.seed))
        self.journal.add_arrays(grams(self.supernet, images))
        self.journal.add_arrays({f"untrained_{name}": gram for name, gram in grams(fresh, images).items()})

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {"done": self.done, "journal": self.journal.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        self.done = state["done"]
        self.journal.load_state(state["journal"])

    def result(self) -> Result:
        """Tables and arrays.

        ``scores``: accuracy of every cell inside the supernet, by statistics; ``truth``: ``paths``, ``madds`` for one
        image and the mean accuracies of networks of the cell alone, on test and on valid images; ``features``: which
        operations are summed in a vector of the arrays, and how many paths. Arrays (1, vectors, vectors) of inner
        products, see :func:`grams`.
        """
        if self.done != self.total:
            raise RuntimeError(f"the scoring has done {self.done} of {self.total} cells")
        result = self.journal.result()
        every = pd.concat(self.truth)
        result.tables["truth"] = every.groupby("cell", sort=False).mean().reset_index()
        return result


def feature_cells() -> list[Cell]:
    """What features are taken of: all 12 single paths, then one sum for each of the 31 sets of two to four."""
    singles: list[Cell] = []
    for node in range(S4_NODES):
        for op in S4_OPERATIONS:
            cell: list[str | None] = [None] * S4_NODES
            cell[node] = op
            singles.append(tuple(cell))
    sums = [cell for cell in CELLS if cell.count(None) < S4_NODES - 1]
    return [*singles, *sums]


@torch.no_grad()
def grams(network: ParallelNetwork, images: Tensor) -> dict[str, Tensor]:
    """Inner products of the features of the first cell, (vectors, vectors), each over all ``images`` and positions.

    ``gram_paths``: of the sums of the operations' outputs; ``gram_before``: of what the norm is given; ``gram_after``:
    of what the norm, with its running statistics, and the convolution of the fifth node make of these sums, which the
    ReLU is given. Where the norm is never called, the last two are the same. The vectors are those of
    :func:`feature_cells`; the network is left as it was.
    """
    mode = network.training
    network.eval()
    first: Any = network.cells[0]
    x = network.stem(images)
    features: dict[str, list[Tensor]] = {"gram_paths": [], "gram_before": [], "gram_after": []}
    for cell in feature_cells():
        active = [first.nodes[f"{i}:{op}"] for i, op in enumerate(cell) if op is not None]
        total = sum_of(active, x)
        given, out = first.normalised(total, len(active))
        for name, value in zip(features, (total, given, out), strict=True):
            features[name].append(value.flatten().double())
    network.train(mode)
    return {name: gram_of(vectors) for name, vectors in features.items()}


def sum_of(paths: Sequence[Any], x: Tensor) -> Tensor:
    """The sum of what the paths make of ``x``, (batch, channels, height, width)."""
    outputs = [path(x) for path in paths]
    return sum(outputs[1:], start=outputs[0])


def gram_of(vectors: Sequence[Tensor]) -> Tensor:
    """Inner products, (vectors, vectors), on the CPU."""
    stacked = torch.stack(list(vectors))
    return (stacked @ stacked.T).cpu()
