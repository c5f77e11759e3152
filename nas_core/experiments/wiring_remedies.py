"""Runs on the open questions of the wiring paper: can the biases be circumvented, and do others hide?

P1 and P2 stand on DSNAS in the whole cell, P3 on bi-level DARTS in the cell of two intermediate nodes. Beside the plain
method stand remedies that follow from its expected step (:mod:`nas_core.relaxations.remedies`). Cells that both rules
derive are retrained alike, and a random search is given the time of one search and one retraining.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from nas_core.cells.operations import CANDIDATES
from nas_core.experiments.recipe import FIVE_OPS, Experiment, Size, tiny, wiring_search
from nas_core.trainers.drawn_cells import DRAWN
from nas_core.trainers.methods import DARTS, DSNAS, Remedy, Uniform
from nas_core.trainers.random_search import Cells, RandomSearchConfig
from nas_core.trainers.retraining_settings import Derived, Evaluation, RetrainingConfig
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Data, RunConfig, Weights

SEEDS = 6
RULES = ("argmax", "darts")
IN_CELL = Remedy(centre="cell")
ON_EDGE = Remedy(centre="edge")
NONE_LATER = Remedy(none_free=0.5)
CALIBRATED = Remedy(calibrated=True)
SINGLE_PATH = Size(train=4000, channels=8, layers=1, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.02)
SLOW = replace(SINGLE_PATH, w_lr=0.03)  # the ratio of the learning rates as a remedy
BI_LEVEL = Size(train=150, search=2000, channels=16, layers=1, epochs=100, batch=32, w_lr=0.1, alpha_lr=0.01)
SHUFFLED = replace(SINGLE_PATH, data="fashion7-shuffled")
# Base architectures of the cell of two nodes: without the edge between the nodes, and without the second one's inputs.
WIDE = ((4, ("none",)),)
DEEP = ((2, ("none",)), (3, ("none",)))
FOUR_OPS = tuple(op for op in FIVE_OPS if op != "none")
BASE = Size(train=4000, channels=8, layers=1, epochs=8, batch=64, w_lr=0.1, alpha_lr=0.01)


@dataclass(frozen=True)
class Training:
    """How cells are trained on their own."""

    profile: str  # of the search whose cells they are
    train: int  # images
    channels: int
    epochs: int
    batch: int  # images a step
    held_out: int  # images that choose; four times as many report
    w_lr: float = 0.1

    def weights(self) -> Weights:
        """SGD as in the search."""
        return Weights(lr=self.w_lr, lr_min=0.0)


TRAININGS = {
    "smoke": Training("smoke", train=64, channels=4, epochs=1, batch=32, held_out=32),
    "laptop": Training("laptop", train=4000, channels=8, epochs=5, batch=64, held_out=500),
}


def single_path(remedy: Remedy | None, size: Size) -> SearchConfig:
    """DSNAS in the whole cell."""
    return wiring_search(size, DSNAS(cost_clamp=5.0, remedy=remedy))


def bi_level(remedy: Remedy | None, size: Size) -> SearchConfig:
    """DARTS in the cell of two intermediate nodes with five candidates."""
    return wiring_search(size, DARTS(levels="bi-level", remedy=remedy), nodes=2, candidates=FIVE_OPS)


def uniform(allowed: tuple[tuple[int, tuple[str, ...]], ...], size: Size) -> SearchConfig:
    """Single paths drawn uniformly from a base architecture in the cell of two nodes."""
    return wiring_search(size, Uniform(), nodes=2, candidates=CANDIDATES, allowed=allowed)


def found_by(run: str, size: Training) -> SearchConfig:
    """The settings of a search of this file, at the profile of ``size``."""
    config = EXPERIMENTS[run].config(run, size.profile)
    assert isinstance(config, SearchConfig)
    return config


def retrained(run: str, rule: str, size: Training) -> RetrainingConfig:
    """The cell that ``rule`` derives at the end of a search, trained on its own, without regularisation."""
    return RetrainingConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        of=found_by(run, size),
        cells=Derived(rule=rule),
        data=Data(name="fashion7", train=size.train, test=4 * size.held_out),
        network=Evaluation(channels=size.channels, layers=1, auxiliary=0.0, drop_path=0.0, cutout=0),
        weights=size.weights(),
        epochs=size.epochs,
        batch=size.batch,
    )


def random_search(nodes: int, candidates: tuple[str, ...], samples: int, size: Training) -> RandomSearchConfig:
    """Random cells, each trained as a derived one is."""
    return RandomSearchConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name="fashion7", train=size.train, valid=size.held_out, test=4 * size.held_out),
        cells=Cells(nodes=nodes, candidates=candidates, reductions=False, channels=size.channels, layers=1),
        samples=samples,
        weights=size.weights(),
        epochs=size.epochs,
        batch=size.batch,
    )


def child(run: str, rule: str) -> str:
    """The id of the retraining of the cell that ``rule`` derives from ``run``."""
    return f"{run.removesuffix('-r')}-{rule}-r"


def _search(recipe: Callable[[Size], SearchConfig], size: Size, reduces: str) -> Experiment[Size]:
    return Experiment(recipe, {"smoke": tiny(search=64 if size.search else 0), "laptop": size}, SEEDS, reduces)


def _training(recipe: Callable[[Training], RunConfig], reduces: str) -> Experiment[Training]:
    return Experiment(recipe, TRAININGS, SEEDS, reduces)


DSNAS_RUNS = {
    "W-DSNAS8-plain-r": _search(partial(single_path, None), SINGLE_PATH, "W-DSNAS8"),
    "W-DSNAS8-cell-r": _search(partial(single_path, IN_CELL), SINGLE_PATH, "W-DSNAS8"),
    "W-DSNAS8-edge-r": _search(partial(single_path, ON_EDGE), SINGLE_PATH, "W-DSNAS8"),
    "W-DSNAS8-warm-r": _search(partial(single_path, NONE_LATER), SINGLE_PATH, "W-DSNAS8"),
    "W-DSNAS8-slow-r": _search(partial(single_path, None), SLOW, "W-DSNAS8"),
}
DARTS_RUNS = {
    "W-DARTS8-plain-r": _search(partial(bi_level, None), BI_LEVEL, "W-DARTS8"),
    "W-DARTS8-cell-r": _search(partial(bi_level, IN_CELL), BI_LEVEL, "W-DARTS8"),
    "W-DARTS8-edge-r": _search(partial(bi_level, ON_EDGE), BI_LEVEL, "W-DARTS8"),
    "W-DARTS8-warm-r": _search(partial(bi_level, NONE_LATER), BI_LEVEL, "W-DARTS8"),
    "W-DARTS8-cal-r": _search(partial(bi_level, CALIBRATED), BI_LEVEL, "W-DARTS8"),
}
# Random cells, as many as are trained in the time of one search and one retraining.
RANDOM_RUNS = {
    "W-RAND8-r": _training(partial(random_search, 4, DRAWN, 5), "S-RAND"),
    "W-RAND5-r": _training(partial(random_search, 2, FOUR_OPS, 4), "S-RAND"),
}
OTHER_BIASES = {
    "W-DSNAS8-shuffled-r": _search(partial(single_path, ON_EDGE), SHUFFLED, "W-DSNAS8"),
    "W-BASE-full-r": _search(partial(uniform, ()), BASE, "W-DSNAS8"),
    "W-BASE-wide-r": _search(partial(uniform, WIDE), BASE, "W-DSNAS8"),
    "W-BASE-deep-r": _search(partial(uniform, DEEP), BASE, "W-DSNAS8"),
}
CHILDREN = {}
for run, rule in product((*DSNAS_RUNS, *DARTS_RUNS), RULES):
    CHILDREN[child(run, rule)] = _training(partial(retrained, run, rule), "W-DSNAS8")

EXPERIMENTS: dict[str, Experiment] = {**DSNAS_RUNS, **DARTS_RUNS, **RANDOM_RUNS, **OTHER_BIASES, **CHILDREN}
