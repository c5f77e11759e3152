"""Runs of "Understanding the wiring evolution in differentiable NAS": the three patterns P1, P2 and P3.

P1 and P2 need weights that move fast before the logits are gone; P3 needs few training images, which the weights
overfit, and many search images. How far each depends on such settings is varied in
:mod:`nas_core.experiments.wiring_robustness`.
"""

from dataclasses import replace

from nas_core.experiments.recipe import FIVE_OPS, Experiment, Size, cifar, tiny, wiring_search
from nas_core.trainers.methods import DARTS, DSNAS, SNAS
from nas_core.trainers.search_settings import SearchConfig

ANNEALED = SNAS(temperature=(1.0, 0.03))
ONE_HOT = DSNAS(cost_clamp=5.0)
BI_LEVEL = DARTS(levels="bi-level")
SINGLE_LEVEL = DARTS()
FEW = 150  # images for the weights of DARTS
MANY = 2000  # images for its logits


def snas(size: Size) -> SearchConfig:
    """SNAS in the whole cell."""
    return wiring_search(size, ANNEALED)


def minimal_snas(size: Size) -> SearchConfig:
    """SNAS in minimal cells: two intermediate nodes, five edges."""
    return wiring_search(size, ANNEALED, nodes=2)


def dsnas(size: Size) -> SearchConfig:
    """DSNAS in the whole cell."""
    return wiring_search(size, ONE_HOT)


def minimal_dsnas(size: Size) -> SearchConfig:
    """DSNAS in minimal cells."""
    return wiring_search(size, ONE_HOT, nodes=2)


def bi_level(size: Size) -> SearchConfig:
    """DARTS in the whole cell: the logits learn from images of their own."""
    return wiring_search(size, BI_LEVEL)


def single_level(size: Size) -> SearchConfig:
    """Its control: weights and logits learn from the same images."""
    return wiring_search(size, SINGLE_LEVEL)


def reduced_bi_level(size: Size) -> SearchConfig:
    """DARTS in the cell of two intermediate nodes with five candidates."""
    return wiring_search(size, BI_LEVEL, nodes=2, candidates=FIVE_OPS)


def reduced_single_level(size: Size) -> SearchConfig:
    """Its control."""
    return wiring_search(size, SINGLE_LEVEL, nodes=2, candidates=FIVE_OPS)


def whole_darts(search: int) -> Size:
    """The size of DARTS in the whole cell: 320 steps."""
    return Size(train=FEW, search=search, channels=8, layers=1, epochs=80, batch=32, w_lr=0.5, alpha_lr=0.05)


def reduced_darts(search: int) -> Size:
    """The size of DARTS in the reduced cell: 400 steps, in which the logits travel as far as in the paper."""
    return Size(train=FEW, search=search, channels=16, layers=1, epochs=100, batch=32, w_lr=0.1, alpha_lr=0.01)


SNAS_SIZE = Size(train=1000, channels=8, layers=1, epochs=24, batch=64, w_lr=2.0, alpha_lr=0.05)

EXPERIMENTS = {
    "W-SNAS8": Experiment(snas, {"smoke": tiny(), "laptop": SNAS_SIZE, "paper": cifar(150, 96)}, seeds=20),
    "W-DSNAS8": Experiment(
        dsnas,
        {
            "smoke": tiny(),
            "laptop": Size(train=8000, channels=8, layers=1, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.01),
            "paper": cifar(150, 96),
        },
    ),
    "W-DSNAS8m": Experiment(
        minimal_dsnas,
        {
            "smoke": tiny(layers=2),
            "laptop": Size(train=2000, channels=8, layers=1, epochs=32, batch=64, w_lr=0.3, alpha_lr=0.003),
            "paper": cifar(150, 96),
        },
        seeds=20,
    ),
    "W-DARTS8": Experiment(
        bi_level, {"smoke": tiny(search=64), "laptop": whole_darts(MANY), "paper": cifar(50, 96, search=25_000)}
    ),
    # The control of W-DARTS8 has the images of its weights alone.
    "W-DARTS8sl": Experiment(
        single_level,
        {"smoke": tiny(), "laptop": whole_darts(0), "paper": replace(cifar(50, 96, search=25_000), search=0)},
    ),
    # No claim rests on these; they stand beside the others.
    "W-SNAS8r": Experiment(minimal_snas, {"smoke": tiny(), "laptop": SNAS_SIZE}, seeds=5, reduces="W-SNAS8"),
    "W-DARTS8r": Experiment(
        reduced_bi_level, {"smoke": tiny(search=64), "laptop": reduced_darts(MANY)}, seeds=5, reduces="W-DARTS8"
    ),
    "W-DARTSslr": Experiment(
        reduced_single_level, {"smoke": tiny(), "laptop": reduced_darts(0)}, seeds=5, reduces="W-DARTS8"
    ),
}
