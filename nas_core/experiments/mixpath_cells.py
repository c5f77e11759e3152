"""Runs of MixPath in the reduced NAS-Bench-101 space S4: supernets, their scores, cells alone, and DARTS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nas_core.experiments.recipe import FLOOR, Experiment
from nas_core.trainers.cell_scores import CellScoresConfig
from nas_core.trainers.cells_alone import CellsAloneConfig
from nas_core.trainers.multipath_settings import MultiPathConfig, Paths
from nas_core.trainers.parallel_search import ParallelSearchConfig
from nas_core.trainers.parallel_settings import Parallel
from nas_core.trainers.settings import Alpha, Data, Weights

TRUTH_SEEDS = 5  # networks of every cell, the mean of whose accuracies is its ground truth


@dataclass(frozen=True, kw_only=True)
class CellSize:
    """What a profile may change: images, width, depth, length, batch and learning rates."""

    train: int  # images for the weights; of DARTS, half of them are for the logits
    valid: int  # images that the supernet scores cells by
    test: int  # images that the cells alone are measured on
    channels: int
    cells: int  # cells stacked, 9 in the paper
    epochs: int
    batch: int  # images a step
    w_lr: float
    lr_min: float  # where the cosine of the weights ends
    alpha_lr: float = 3e-4
    cutout: int = 0
    recalibrate: int = 2  # batches of 250 images for the statistics of a cell
    data: str = "fashion7"

    @property
    def space(self) -> str:
        """The name of the supernet."""
        return "S4" if self.cells == 9 else f"S4 of {self.cells} cells"


def supernet(size: CellSize, norms: str) -> MultiPathConfig:
    """The supernet of several paths; ``norms``: shadow, or plain for the control."""
    return MultiPathConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=size.train, valid=size.valid),
        paths=Paths(space=size.space, channels=size.channels, most=4, norms=norms),
        weights=Weights(lr=size.w_lr, lr_min=size.lr_min),
        epochs=size.epochs,
        batch=size.batch,
        cutout=size.cutout,
    )


def alone(size: CellSize) -> CellsAloneConfig:
    """All distinct cells alone."""
    return CellsAloneConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=size.train, valid=size.valid, test=size.test),
        network=Parallel(channels=size.channels, cells=size.cells),
        weights=Weights(lr=size.w_lr, lr_min=size.lr_min),
        epochs=size.epochs,
        batch=size.batch,
    )


def darts(size: CellSize) -> ParallelSearchConfig:
    """DARTS on the same images, a half of them for the logits; the learning rates of DARTS's release."""
    half = size.train // 2
    return ParallelSearchConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=half, search=half, valid=size.valid),
        network=Parallel(channels=size.channels, cells=size.cells),
        weights=Weights(lr=size.w_lr, lr_min=FLOOR * size.w_lr),
        alpha=Alpha(lr=size.alpha_lr),
        epochs=size.epochs,
        batch=size.batch,
    )


@dataclass(frozen=True, kw_only=True)
class ScoreSize:
    """Sizes of the runs that a scoring needs."""

    supernet: CellSize
    alone: CellSize
    seeds: int = TRUTH_SEEDS  # of the cells alone


def scores(size: ScoreSize, run: str, norms: str) -> CellScoresConfig:
    """The scores of the supernet ``run``, beside the cells alone of all seeds."""
    truth = alone(size.alone).but(run="M-S4GT")
    return CellScoresConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        after=supernet(size.supernet, norms).but(run=run),
        truth=tuple(truth.but(seed=seed) for seed in range(size.seeds)),
        recalibrate=size.supernet.recalibrate,
    )


TINY = CellSize(train=64, valid=64, test=64, channels=2, cells=3, epochs=1, batch=32, w_lr=0.1, lr_min=0.0)
# Trained 200 epochs with a cosine to 1e-8; DARTS 50 epochs, the cells alone 108, as in NAS-Bench-101.
PRINTED = CellSize(
    train=50_000,
    valid=2000,
    test=8000,
    channels=128,
    cells=9,
    epochs=200,
    batch=96,
    w_lr=0.025,
    lr_min=1e-8,
    cutout=16,
    recalibrate=40,
    data="cifar10",
)
SUPERNET = {
    "smoke": replace(TINY, epochs=2),
    "laptop": CellSize(
        train=6400, valid=2000, test=4000, channels=8, cells=3, epochs=20, batch=64, w_lr=0.1, lr_min=0.0
    ),
    "paper": PRINTED,
}
ALONE = {
    "smoke": TINY,
    "laptop": replace(SUPERNET["laptop"], epochs=3),
    "paper": replace(PRINTED, epochs=108),
}
# Learning rate times steps of the logits is 6, as in DARTS's release.
MIXTURE = {
    "smoke": TINY,
    "laptop": replace(SUPERNET["laptop"], epochs=8, alpha_lr=0.015),
    "paper": replace(PRINTED, epochs=50, batch=64),
}


def score_sizes() -> Mapping[str, ScoreSize]:
    """By profile; of tests, two networks of every cell are enough."""
    found = {}
    for profile, size in SUPERNET.items():
        seeds = 2 if profile == "smoke" else TRUTH_SEEDS
        found[profile] = ScoreSize(supernet=size, alone=ALONE[profile], seeds=seeds)
    return found


EXPERIMENTS: dict[str, Experiment] = {
    "M-S4GT": Experiment(alone, ALONE, seeds=TRUTH_SEEDS),
    "M-S4": Experiment(lambda size: supernet(size, "shadow"), SUPERNET, seeds=5),
    "M-S4bn": Experiment(lambda size: supernet(size, "plain"), SUPERNET, seeds=5),
    "M-S4p": Experiment(lambda size: scores(size, "M-S4", "shadow"), score_sizes(), seeds=5),
    "M-S4bnp": Experiment(lambda size: scores(size, "M-S4bn", "plain"), score_sizes(), seeds=5),
    "M-S4DARTS": Experiment(darts, MIXTURE, seeds=5),
}
