"""Runs of the wiring paper's open question: can the biases be circumvented? Remedies beside the method as it is.

P1 and P2 stand on DSNAS in the whole cell, P3 on bi-level DARTS in the cell of two intermediate nodes.
"""

from nas_core.experiments.recipe import FIVE_OPS, Experiment, Size, wiring_search
from nas_core.trainers.methods import DARTS, DSNAS, Remedy
from nas_core.trainers.search_settings import SearchConfig

SEEDS = 6
IN_CELL = Remedy(centre="cell")
ON_EDGE = Remedy(centre="edge")
WARMED = Remedy(none_free=0.5)
CALIBRATED = Remedy(calibrated=True)
EXPERIMENTS: dict[str, Experiment] = {}
DSNAS_SIZE = Size(train=4000, channels=8, layers=1, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.02)
DARTS_SIZE = Size(
    train=150, search=2000, channels=16, layers=1, epochs=100, batch=32, w_lr=0.1, alpha_lr=0.01
)


def single_path(size: Size, remedy: Remedy | None) -> SearchConfig:
    """DSNAS in the whole cell."""
    return wiring_search(size, DSNAS(cost_clamp=5.0, remedy=remedy))


def bi_level(size: Size, remedy: Remedy | None) -> SearchConfig:
    """DARTS in the cell of two intermediate nodes with five candidates."""
    return wiring_search(size, DARTS(levels="bi-level", remedy=remedy), nodes=2, candidates=FIVE_OPS)
