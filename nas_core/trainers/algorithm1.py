"""Algorithm 1 of MixPath: NSGA-II over the children of a supernet, from pymoo's parts; and random search beside it.

A child is its *genes*: the number of the choice of every layer. It is judged twice: its multiply-adds, which are
counted, must be at most ``most_madds`` before it is evaluated at all, and its accuracy, which the supernet estimates,
must be above ``least_accuracy`` before it joins a population.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.random import Generator
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from nas_core.errors import UserError

Genes = tuple[int, ...]
TRIES = 50  # children tried for each wanted one, after which a generation stays smaller; printed is no bound
BY_RANK = "comp_by_rank_and_crowding"  # what decides a tournament


@dataclass(frozen=True)
class Task:
    """What is searched: ``choices`` of every layer, the two judges of a child, and their bounds."""

    choices: tuple[int, ...]
    madds: Callable[[Genes], int]
    accuracy: Callable[[Genes], float]
    most_madds: float
    least_accuracy: float


@dataclass(frozen=True)
class Evaluated:
    """A child that was evaluated; ``generation`` 0 is what the search starts from."""

    genes: Genes
    accuracy: float
    madds: int
    generation: int


def objectives(children: Sequence[Evaluated]) -> np.ndarray:
    """What is minimised, (children, 2): the negative accuracy and the multiply-adds."""
    return np.array([[-child.accuracy, child.madds] for child in children], dtype=float).reshape(-1, 2)


def weighted_crowding(values: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """d(i) = sum_k w_k (f_k(i+1) - f_k(i-1)) / (f_k^max - f_k^min), (points,), of ``values`` (points, objectives).

    "Crowding distance weighted by w" is all that is printed; this is our reading. The ends of a front are at infinity.
    """
    total = np.zeros(len(values))
    for k, weight in enumerate(weights):
        total += weight * calc_crowding_distance(values[:, [k]])
    return total


def first_front(children: Sequence[Evaluated]) -> list[int]:
    """The places of those that no other one dominates, from the cheapest to the most expensive."""
    if not children:
        return []
    front = NonDominatedSorting().do(objectives(children), only_non_dominated_front=True)
    return sorted((int(i) for i in front), key=lambda i: children[i].madds)


def equispaced(madds: Sequence[float], number: int) -> list[int]:
    """The places of ``number`` members, roughly equispaced: the nearest free one to each of as many equidistant costs.

    Where there are fewer members, all of them.
    """
    free = list(range(len(madds)))
    found = []
    for target in np.linspace(min(madds), max(madds), min(number, len(madds))):
        nearest = min(free, key=lambda i: abs(madds[i] - target))
        free.remove(nearest)
        found.append(nearest)
    return sorted(found, key=lambda i: madds[i])


class Search:
    """What both searches share: every child that was evaluated, each once, in order, and how many were tried."""

    def __init__(self, task: Task, size: int, seed: int) -> None:
        self.task, self.size, self.seed = task, size, seed
        self.evaluated: list[Evaluated] = []
        self.known: set[Genes] = set()
        self.generation = 0  # the next one
        self.tried: list[int] = []  # children tried in each generation

    def step(self) -> None:
        """One generation, with randomness of its own, so that nothing but what was evaluated need be remembered."""
        rng = np.random.default_rng((self.seed, self.generation))
        self.tried.append(0)
        self.advance(rng)
        self.generation += 1

    def advance(self, rng: Generator) -> None:
        """One generation."""
        raise NotImplementedError

    def admit(self, genes: Genes) -> int | None:
        """The place of a new child that keeps both bounds; it is evaluated only if it keeps that on multiply-adds."""
        self.tried[-1] += 1
        madds = self.task.madds(genes)
        if genes in self.known or madds > self.task.most_madds:
            return None
        accuracy = self.task.accuracy(genes)
        self.known.add(genes)
        self.evaluated.append(Evaluated(genes, accuracy, madds, self.generation))
        return len(self.evaluated) - 1 if accuracy > self.task.least_accuracy else None

    def drawn(self, number: int, rng: Generator) -> list[int]:
        """The places of ``number`` new children, every layer's choice drawn uniformly, that keep both bounds."""
        found: list[int] = []
        for _ in range(TRIES * number):
            genes = tuple(int(pick) for pick in rng.integers(self.task.choices))
            place = self.admit(genes)
            if place is not None:
                found.append(place)
            if len(found) == number:
                return found
        raise UserError(
            f"{TRIES * number} random children have not given {number} new ones of at most {self.task.most_madds:,.0f} "
            f"multiply-adds and an accuracy above {self.task.least_accuracy:g}; loosen one of the bounds."
        )

    def state(self) -> dict[str, Any]:
        """Everything that later generations depend on."""
        rows = [(list(c.genes), c.accuracy, c.madds, c.generation) for c in self.evaluated]
        return {"evaluated": rows, "generation": self.generation, "tried": list(self.tried)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        self.evaluated = []
        for genes, accuracy, madds, generation in state["evaluated"]:
            self.evaluated.append(Evaluated(tuple(genes), accuracy, madds, generation))
        self.known = {child.genes for child in self.evaluated}
        self.generation, self.tried = state["generation"], list(state["tried"])


class Evolution(Search):
    """Algorithm 1: ``population`` P_i and ``offspring`` Q_i are places in ``evaluated``.

    No mutation is printed, so that what P_0 and Q_0 lack in a layer never comes. Binary tournaments, uniform crossover
    by layer and the bound on tries are our choices.
    """

    def __init__(self, task: Task, size: int, seed: int, weights: Sequence[float] = (1.0, 1.0)) -> None:
        super().__init__(task, size, seed)
        self.weights = tuple(weights)
        self.population: list[int] = []
        self.offspring: list[int] = []
        self.populations: list[list[int]] = []  # P_0, P_1, ...
        self.problem = Problem(n_var=len(task.choices), n_obj=2)
        self.survival = RankAndCrowding(crowding_func=self._crowding)
        self.selection = TournamentSelection(func_comp=binary_tournament)
        self.crossover = UniformCrossover(prob=1.0)

    def _crowding(self, values: np.ndarray, **_: Any) -> np.ndarray:
        return weighted_crowding(values, self.weights)

    def advance(self, rng: Generator) -> None:
        if not self.population:
            self.population = self.drawn(self.size, rng)
            self.offspring = self.drawn(self.size, rng)
        else:
            survivors = self.survivors(rng)
            self.population = [int(place) for place in survivors.get("place")]
            self.offspring = self.mated(survivors, rng)
        self.populations.append(list(self.population))

    def survivors(self, rng: Generator) -> Population:
        """P_{i+1}: of P_i and Q_i the best by front, in the last front by weighted crowding distance."""
        together = [*self.population, *self.offspring]
        children = [self.evaluated[place] for place in together]
        genes = np.array([child.genes for child in children])
        joined = Population.new("X", genes, "F", objectives(children), "place", np.array(together))
        return self.survival.do(self.problem, joined, n_survive=self.size, random_state=rng)

    def mated(self, parents: Population, rng: Generator) -> list[int]:
        """Q_{i+1}: children of tournament winners that are new and keep both bounds; fewer where tries run out."""
        found: list[int] = []
        judge = SimpleNamespace(tournament_type=BY_RANK, random_state=rng)
        while len(found) < self.size and self.tried[-1] < TRIES * self.size:
            pairs = self.selection.do(self.problem, parents, self.size, 2, random_state=rng, algorithm=judge)
            for genes in self.crossover.do(self.problem, pairs, random_state=rng).get("X").tolist():
                place = self.admit(tuple(genes)) if len(found) < self.size else None
                if place is not None:
                    found.append(place)
        return found

    def returned(self, number: int) -> list[int]:
        """The K = ``number`` members of the last population near its front, roughly equispaced in multiply-adds."""
        members = [self.evaluated[place] for place in self.population]
        near: list[int] = []
        for front in NonDominatedSorting().do(objectives(members)):
            near += [int(i) for i in front]
            if len(near) >= number:
                break
        chosen = equispaced([members[i].madds for i in near], number)
        return [self.population[near[i]] for i in chosen]

    def state(self) -> dict[str, Any]:
        return super().state() | {"offspring": list(self.offspring), "populations": [list(p) for p in self.populations]}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.offspring = list(state["offspring"])
        self.populations = [list(places) for places in state["populations"]]
        self.population = list(self.populations[-1]) if self.populations else []


class RandomDraws(Search):
    """Random search with the same bounds and as many new children a generation."""

    def advance(self, rng: Generator) -> None:
        self.drawn(self.size if self.generation else 2 * self.size, rng)
