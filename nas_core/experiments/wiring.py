"""Runs of "Understanding the wiring evolution in differentiable NAS": the three patterns P1, P2 and P3.

P3 stands on few training images, which the weights overfit, and many search images. What it depends on is varied in
the reduced network: the weights' decay, how far the logits may travel (their learning rate times 400 steps; 3.9 in the
paper), and whether the logits see images of their own.
"""

from functools import partial

from nas_core.experiments.recipe import FIVE_OPS, Experiment, Size, cifar, tiny, wiring_search
from nas_core.trainers.methods import DARTS, DSNAS, SNAS
from nas_core.trainers.search_settings import SearchConfig

ANNEALED = SNAS(temperature=(1.0, 0.03))
ONE_HOT = DSNAS(cost_clamp=5.0)
BI_LEVEL = DARTS(levels="bi-level")
PAPERS_TRAVEL = 0.01  # learning rate of the logits in 400 steps
PAPERS_DECAY = 3e-4


def reduced_darts(
    alpha_lr: float, w_decay: float, *, train: int = 150, search: int = 2000, epochs: int = 100
) -> dict[str, Size]:
    """The sizes of reduced DARTS: 400 steps, however many images there are."""
    laptop = Size(
        train=train,
        search=search,
        channels=16,
        layers=1,
        epochs=epochs,
        batch=32,
        w_lr=0.1,
        alpha_lr=alpha_lr,
        w_decay=w_decay,
    )
    return {"smoke": tiny(search=64 if search else 0), "laptop": laptop}


def reduced_bi_level(size: Size) -> SearchConfig:
    """DARTS in the cell of two intermediate nodes with five candidates."""
    return wiring_search(size, BI_LEVEL, nodes=2, candidates=FIVE_OPS)


def reduced_single_level(size: Size) -> SearchConfig:
    """The same where weights and logits learn from the same images."""
    return wiring_search(size, DARTS(), nodes=2, candidates=FIVE_OPS)


def full_bi_level(size: Size) -> SearchConfig:
    """DARTS in the whole cell, with all candidates."""
    return wiring_search(size, BI_LEVEL)


def full_darts(alpha_lr: float) -> Size:
    """The size of DARTS in the whole cell: 320 steps."""
    return Size(train=150, search=2000, channels=8, layers=1, epochs=80, batch=32, w_lr=0.1, alpha_lr=alpha_lr)


# A reduced run beside that of DARTS.
reduced = partial(Experiment, reduces="W-DARTS8")

EXPERIMENTS = {
    "W-SNAS8": Experiment(
        lambda size: wiring_search(size, ANNEALED),
        {
            "smoke": tiny(),
            "laptop": Size(train=2000, channels=8, layers=1, epochs=12, batch=64, w_lr=0.3, alpha_lr=0.03),
            "paper": cifar(150, 96),
        },
    ),
    "W-DSNAS8": Experiment(
        lambda size: wiring_search(size, ONE_HOT),
        {
            "smoke": tiny(),
            "laptop": Size(train=8000, channels=8, layers=1, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.01),
            "paper": cifar(150, 96),
        },
        seeds=20,
    ),
    "W-DARTS8": Experiment(
        full_bi_level,
        {
            "smoke": tiny(search=64),
            "laptop": full_darts(alpha_lr=0.05),
            "paper": cifar(50, 96, search=25_000),
        },
        seeds=20,
    ),
    "W-SNAS8r": Experiment(
        lambda size: wiring_search(size, SNAS(temperature=(0.3, 0.03)), nodes=2, candidates=FIVE_OPS),
        {
            "smoke": tiny(),
            "laptop": Size(train=3000, channels=8, layers=1, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.005),
        },
        reduces="W-SNAS8",
    ),
    "W-DSNAS8r": Experiment(
        lambda size: wiring_search(size, ONE_HOT, nodes=2),
        {
            "smoke": tiny(layers=2),
            "laptop": Size(train=8000, channels=8, layers=2, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.003),
        },
        reduces="W-DSNAS8",
    ),
    "W-DARTS8r": reduced(reduced_bi_level, reduced_darts(PAPERS_TRAVEL, PAPERS_DECAY)),
    # The controls of P3, on one level: with the weights' images of W-DARTS8r, and with all of its images.
    "W-DARTSslr": reduced(reduced_single_level, reduced_darts(PAPERS_TRAVEL, PAPERS_DECAY, search=0), seeds=20),
    "W-DARTSslu-r": reduced(
        reduced_single_level, reduced_darts(PAPERS_TRAVEL, PAPERS_DECAY, train=2150, search=0, epochs=6)
    ),
    # What P3 depends on: travel 8 and 16 (t8, t16), no decay (d0), and the whole cell at the paper's travel.
    "W-DARTS8-t8-r": reduced(reduced_bi_level, reduced_darts(2 * PAPERS_TRAVEL, PAPERS_DECAY), seeds=5),
    "W-DARTS8-t16-r": reduced(reduced_bi_level, reduced_darts(4 * PAPERS_TRAVEL, PAPERS_DECAY), seeds=5),
    "W-DARTS8-t4-d0-r": reduced(reduced_bi_level, reduced_darts(PAPERS_TRAVEL, 0.0), seeds=5),
    "W-DARTS8-t8-d0-r": reduced(reduced_bi_level, reduced_darts(2 * PAPERS_TRAVEL, 0.0), seeds=5),
    "W-DARTS8-t16-d0-r": reduced(reduced_bi_level, reduced_darts(4 * PAPERS_TRAVEL, 0.0), seeds=5),
    "W-DARTS8-t4-r": reduced(full_bi_level, {"smoke": tiny(search=64), "laptop": full_darts(alpha_lr=0.0125)}, seeds=5),
}
