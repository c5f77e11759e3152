"""Search for accurate and cheap children of a trained supernet (MixPath, Algorithm 1), and random search beside it.

A child's accuracy is one-shot: the supernet's weights, batch-norm statistics recalibrated for the child, images that
trained nothing. Its multiply-adds are exact. Within a run every child is evaluated once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nas_core.data import load
from nas_core.trainers.algorithm1 import Evaluated, Evolution, Genes, RandomDraws, Search, Task, equispaced, first_front
from nas_core.trainers.front_settings import FrontConfig
from nas_core.trainers.front_spaces import SPACES
from nas_core.trainers.multipath import one_shot, trained
from nas_core.trainers.result import Result

SEARCHES = {"NSGA-II": Evolution, "random": RandomDraws}


class FrontSearch:
    """A search that can be stepped, saved and resumed: each step is a generation, the first one fills P_0 and Q_0."""

    def __init__(self, config: FrontConfig, needed: Mapping[str, Result]) -> None:
        self.config = config
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.supernet = trained(config.after, self.data, needed)
        self.space = SPACES[config.after.paths.space](config)
        least, most = self.space.extremes()
        self.bound = least + config.budget * (most - least)
        task = Task(
            choices=self.space.counts,
            madds=self.space.madds,
            accuracy=self._accuracy,
            most_madds=self.bound,
            least_accuracy=config.least_accuracy,
        )
        further = (config.crowding,) if config.algorithm == "NSGA-II" else ()
        self.search: Search = SEARCHES[config.algorithm](task, config.size, config.seed, *further)
        self.period = 1
        self.done, self.total = 0, 1 + config.generations

    def _accuracy(self, genes: Genes, split: str = "valid") -> float:
        """One-shot accuracy, a share of the images of ``split``."""
        child = self.space.child(genes)
        config = self.config
        (share,) = one_shot(self.supernet, [child], self.data, config.recalibrate, split=split, device=config.device)
        return share

    def step(self) -> float:
        """One generation. Returns the best accuracy so far."""
        self.search.step()
        self.done += 1
        return max(child.accuracy for child in self.search.evaluated)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of plain values."""
        return {"done": self.done, "search": self.search.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        self.search.load_state(state["search"])

    def result(self) -> Result:
        """Tables ``evaluated``, ``front`` and ``found`` (children, the last two with test accuracies), and ``bounds``.

        ``front``: those of all evaluated children within the bounds that none dominates. ``found``: K of them; those
        of Algorithm 1 are the members of its last population that it returns. NSGA-II also has ``populations`` (places
        in ``evaluated``) and both ``tried``, the children tried by generation. Where children are cells, there are the
        genotypes of the ``front`` and, for each of them, of a ``random`` child of like cost.
        """
        if self.done != self.total:
            raise RuntimeError(f"the search has done {self.done} of {self.total} generations")
        search = self.search
        front = self.front()
        if isinstance(search, Evolution):
            found = search.returned(self.config.found)
        else:
            madds = [search.evaluated[place].madds for place in front]
            found = [front[i] for i in equispaced(madds, self.config.found)]
        least, most = self.space.extremes()
        tables = {
            "evaluated": pd.DataFrame([self._row(child) for child in search.evaluated]),
            "front": self._reported(front),
            "found": self._reported(found),
            "tried": pd.DataFrame({"generation": range(len(search.tried)), "children": search.tried}),
            "bounds": pd.DataFrame(
                [{"madds": self.bound, "acc": self.config.least_accuracy, "smallest": least, "largest": most}]
            ),
        }
        if isinstance(search, Evolution):
            rows = []
            for generation, places in enumerate(search.populations):
                rows += [{"generation": generation, "place": place} for place in places]
            tables["populations"] = pd.DataFrame(rows)
        rng = np.random.default_rng((self.config.seed, search.generation))  # of the generation that never came
        genotypes = self.space.genotypes([search.evaluated[place].genes for place in front], rng)
        return Result(tables=tables, genotypes=genotypes)

    def front(self) -> list[int]:
        """The places of the non-dominated children among those that keep the bounds, from the cheapest on."""
        kept = []
        for place, child in enumerate(self.search.evaluated):
            if child.accuracy > self.config.least_accuracy:
                kept.append(place)
        return [kept[i] for i in first_front([self.search.evaluated[place] for place in kept])]

    def _row(self, child: Evaluated) -> dict[str, Any]:
        choices = self.space.spelled(child.genes)
        return {"generation": child.generation, "child": choices, "madds": child.madds, "acc": child.accuracy}

    def _reported(self, places: list[int]) -> pd.DataFrame:
        """The children at ``places`` with their accuracies on test images."""
        rows = []
        for place in places:
            child = self.search.evaluated[place]
            test = self._accuracy(child.genes, "test")
            rows.append({"place": place, **self._row(child), "test": test})
        return pd.DataFrame(rows)
