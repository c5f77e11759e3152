"""Runs of DARTS's levels side by side, in the cell of two intermediate nodes with five candidates.

First order, second order by both of its estimators, a single level, REINFORCE and ProxylessNAS by two paths and by all
take as many steps; first order also gets the passes of second order, and both kinds of ProxylessNAS and random search
get the multiply-adds of first order. What they find is trained on its own, alike; of some also by the other rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from nas_core.experiments.recipe import FIVE_OPS, Experiment, Size, darts_search, tiny
from nas_core.trainers.methods import DARTS, AnyMethod, Exact, ProxylessNAS, Reinforce, SecondOrder
from nas_core.trainers.random_search import Cells, RandomSearchConfig
from nas_core.trainers.retraining_settings import AnyCells, Derived, Drawn, Evaluation, RetrainingConfig
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Data, RunConfig, Weights

NODES = 2
REAL_OPS = tuple(op for op in FIVE_OPS if op != "none")
PROBES = ("accuracy", "child")  # costs would take passes of their own
FIRST_ORDER = DARTS(levels="bi-level")
TRAVEL = 5.9  # learning rate times steps of the logits: 3e-4 at 391 steps an epoch for 50 epochs
STEPS = 56  # of the weights: 8 epochs of half the images, or 4 epochs of all
BI_LEVEL = Size(
    train=448,
    search=448,
    channels=8,
    layers=1,
    epochs=8,
    batch=64,
    w_lr=0.1,
    alpha_lr=TRAVEL / STEPS,
    valid=250,
    test=500,
)
# Two passes a step of first order, five of second order: so many steps take as many passes.
LONG = replace(BI_LEVEL, epochs=20, alpha_lr=TRAVEL / (2.5 * STEPS))
ONE_LEVEL = replace(BI_LEVEL, train=896, search=0, epochs=4)
TWO, ALL = ProxylessNAS(), ProxylessNAS(paths="all")


def as_long(epochs: int) -> Size:
    """A search of so many epochs, whose logits can travel as far as in the others."""
    return replace(BI_LEVEL, epochs=epochs, alpha_lr=TRAVEL * BI_LEVEL.epochs / (epochs * STEPS))


# A step of two paths does 1 / 2.4 of the multiply-adds of one of first order at uniform probabilities, of all 1 / 1.9.
TWO_LONG, ALL_LONG = as_long(19), as_long(15)


@dataclass(frozen=True)
class Training:
    """How cells are trained on their own."""

    profile: str  # of the search whose cells they are
    train: int  # images
    valid: int  # images that choose in a random search
    test: int  # images that report
    channels: int
    epochs: int
    batch: int  # images a step
    samples: int = 1  # cells of a random search
    w_lr: float = 0.1

    def weights(self) -> Weights:
        """SGD as in the searches."""
        return Weights(lr=self.w_lr, lr_min=0.0)


ALONE = {
    "smoke": Training("smoke", train=64, valid=0, test=100, channels=4, epochs=1, batch=32),
    "laptop": Training("laptop", train=896, valid=0, test=2000, channels=8, epochs=10, batch=64),
}
# 4 cells x 42 steps do about as many multiply-adds as 56 steps of first order, two passes each, in the supernet.
DRAWS = {
    "smoke": Training("smoke", train=64, valid=100, test=100, channels=4, epochs=1, batch=32, samples=2),
    "laptop": Training("laptop", train=448, valid=448, test=2000, channels=8, epochs=6, batch=64, samples=4),
}


def search(method: AnyMethod, size: Size) -> SearchConfig:
    """A search by ``method``, of which accuracies are recorded."""
    found = darts_search(size, method, reductions=False, nodes=NODES, candidates=FIVE_OPS)
    return found.but(probes=PROBES)


def path_search(method: ProxylessNAS, size: Size) -> SearchConfig:
    """ProxylessNAS on the edges of the cell: Adam without a first moment, logits that start at 0, as released."""
    config = search(method, size)
    return config.but(alpha=config.alpha.but(betas=(0.0, 0.999), decay=0.0, init_mean=0.0, init_std=1e-3))


def random_search(size: Training) -> RandomSearchConfig:
    """Cells drawn as DARTS derives them, each trained on the images that a search has for its weights."""
    return RandomSearchConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name="fashion7", train=size.train, valid=size.valid, test=size.test),
        cells=Cells(nodes=NODES, candidates=REAL_OPS, reductions=False, channels=size.channels, layers=1),
        samples=size.samples,
        weights=size.weights(),
        epochs=size.epochs,
        batch=size.batch,
    )


def trained_alone(cells: AnyCells, run: str, size: Training) -> RetrainingConfig:
    """A cell trained on its own, without regularisation; ``run``: the one that found it, if one did."""
    of = EXPERIMENTS[run].config(run, size.profile) if run else None
    return RetrainingConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        of=of,
        cells=cells,
        data=Data(name="fashion7", train=size.train, test=size.test),
        network=Evaluation(channels=size.channels, layers=1, auxiliary=0.0, drop_path=0.0, cutout=0),
        weights=size.weights(),
        epochs=size.epochs,
        batch=size.batch,
    )


def child(run: str) -> str:
    """The id of the run that trains what ``run`` found, by the rule of DARTS where it is a search of logits."""
    return f"{run.removesuffix('-r')}-child-r"


def argmax_child(run: str) -> str:
    """The id of the run that trains what ``run`` found by the rule of SNAS."""
    return f"{run.removesuffix('-r')}-argmax-child-r"


def _search(method: AnyMethod, size: Size) -> Experiment[Size]:
    smoke = tiny(search=64 if size.search else 0, held_out=100)
    recipe = partial(search, method)
    if isinstance(method, ProxylessNAS):
        recipe = partial(path_search, method)
    return Experiment(recipe, {"smoke": smoke, "laptop": size})


def _training(recipe: Callable[[Training], RunConfig], sizes: dict[str, Training]) -> Experiment[Training]:
    return Experiment(recipe, sizes)


SEARCHES = {
    "N-DARTS1-r": _search(FIRST_ORDER, BI_LEVEL),
    "N-DARTS1-long-r": _search(FIRST_ORDER, LONG),
    "N-DARTS2-r": _search(SecondOrder(), BI_LEVEL),
    "N-DARTS2-exact-r": _search(SecondOrder(estimator=Exact()), BI_LEVEL),
    "N-DARTS-single-r": _search(DARTS(), ONE_LEVEL),
    "N-REINFORCE-r": _search(Reinforce(), BI_LEVEL),
    "N-PROX2-r": _search(TWO, BI_LEVEL),
    "N-PROX2-long-r": _search(TWO, TWO_LONG),
    "N-PROXall-r": _search(ALL, BI_LEVEL),
    "N-PROXall-long-r": _search(ALL, ALL_LONG),
}
BY_BOTH_RULES = ("N-DARTS1-r", "N-DARTS-single-r", "N-REINFORCE-r", "N-PROX2-r", "N-PROXall-r")
RANDOM = "N-RAND-r"
DRAWN = "N-DRAWN-child-r"  # one random cell, trained as the others are

EXPERIMENTS: dict[str, Experiment] = {**SEARCHES, RANDOM: _training(random_search, DRAWS)}
CHILDREN: dict[str, Experiment] = {
    child(run): _training(partial(trained_alone, Derived(rule="darts"), run), ALONE) for run in SEARCHES
}
for _run in BY_BOTH_RULES:
    CHILDREN[argmax_child(_run)] = _training(partial(trained_alone, Derived(rule="argmax"), _run), ALONE)
CHILDREN[child(RANDOM)] = _training(partial(trained_alone, Derived(rule="best"), RANDOM), ALONE)
CHILDREN[DRAWN] = _training(
    partial(trained_alone, Drawn(nodes=NODES, candidates=REAL_OPS, reductions=False), ""), ALONE
)
EXPERIMENTS |= CHILDREN
