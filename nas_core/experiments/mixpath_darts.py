"""Runs of MixPath in the space of DARTS: a supernet of several paths, its searches, and what they find, alone."""

from __future__ import annotations

from dataclasses import dataclass

from nas_core.experiments.mixpath import LR_MIN
from nas_core.experiments.mixpath_front import SearchSize, front_after
from nas_core.experiments.recipe import Experiment
from nas_core.experiments.snas_cells import PAPER as ALONE_AS_PRINTED
from nas_core.experiments.snas_cells import RetrainSize, retrained_from
from nas_core.trainers.front_settings import FrontConfig
from nas_core.trainers.multipath_settings import MultiPathConfig, Paths
from nas_core.trainers.settings import Data, Weights

MOST = 3  # m, as printed
SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class CellsSize(SearchSize):
    """What a profile may change of the supernet and of a search in it; four nodes and seven operations stay."""

    space: str
    train: int  # images for the weights
    channels: int
    epochs: int
    batch: int  # images a step
    w_lr: float
    cutout: int = 0  # side of the square, in pixels
    data: str = "fashion7"


def supernet(size: CellsSize) -> MultiPathConfig:
    """The supernet with at most three paths on an edge."""
    return MultiPathConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=size.train, valid=size.valid),
        paths=Paths(space=size.space, channels=size.channels, most=MOST),
        weights=Weights(lr=size.w_lr, lr_min=LR_MIN),
        epochs=size.epochs,
        batch=size.batch,
        cutout=size.cutout,
    )


def front(size: CellsSize, algorithm: str) -> FrontConfig:
    """A search among the children of that supernet."""
    return front_after(supernet(size).but(run="M-DSP"), size, algorithm)


def evolution(size: CellsSize) -> FrontConfig:
    """Algorithm 1."""
    return front(size, "NSGA-II")


def random(size: CellsSize) -> FrontConfig:
    """As many children drawn at random, within the same bounds."""
    return front(size, "random")


# What a child must exceed is twice what chance gives; the paper prints neither bound.
SIZES = {
    "smoke": CellsSize(
        space="DARTS of 3 cells",
        train=64,
        valid=50,
        test=50,
        channels=4,
        epochs=2,
        batch=32,
        w_lr=0.1,
        size=4,
        generations=2,
        recalibrate=1,
        least_accuracy=0.0,
    ),
    "laptop": CellsSize(
        space="DARTS of 3 cells",
        train=3200,
        valid=500,
        test=1000,
        channels=8,
        epochs=12,
        batch=64,
        w_lr=0.05,
        size=20,
        generations=8,
        recalibrate=1,
        least_accuracy=0.2,
    ),
    # 60 generations are printed, n is not. Training as in DARTS's search, with the length of MixPath's other supernets.
    "paper": CellsSize(
        space="DARTS",
        train=50_000,
        valid=2000,
        test=8000,
        channels=16,
        epochs=200,
        batch=96,
        w_lr=0.025,
        size=32,
        generations=60,
        recalibrate=40,
        least_accuracy=0.2,
        cutout=16,
        data="cifar10",
    ),
}
# A child alone at paper: as DARTS trains its cells, 20 of 36 channels.
ALONE = {
    "smoke": RetrainSize(
        train=64, test=50, channels=4, layers=3, epochs=1, batch=32, w_lr=0.1, auxiliary=0.0, drop_path=0.0, cutout=0
    ),
    "laptop": RetrainSize(
        train=3200,
        test=2000,
        channels=8,
        layers=3,
        epochs=6,
        batch=64,
        w_lr=0.1,
        auxiliary=0.0,
        drop_path=0.0,
        cutout=0,
    ),
    "paper": ALONE_AS_PRINTED,
}

SEARCHES: dict[str, Experiment] = {
    "M-DSPn": Experiment(evolution, SIZES, SEEDS),
    "M-DSPrand": Experiment(random, SIZES, SEEDS),
}
EXPERIMENTS: dict[str, Experiment] = {
    "M-DSP": Experiment(supernet, SIZES, SEEDS),
    **SEARCHES,
    # The last, most accurate child of the front, and a random child of its cost.
    "M-DSPf": retrained_from(SEARCHES, "M-DSPn", "front", ALONE),
    "M-DSPd": retrained_from(SEARCHES, "M-DSPn", "random", ALONE),
}
