"""Runs of MixPath: searches for a front among the children of the supernet with at most four paths a layer."""

from __future__ import annotations

from dataclasses import dataclass

from nas_core.experiments.mixpath import SUPERNETS, PathSize, four_paths
from nas_core.experiments.recipe import Experiment
from nas_core.trainers.front_settings import FrontConfig


@dataclass(frozen=True, kw_only=True)
class FrontSize:
    """What a profile may change of a search; the supernet's size is its own."""

    supernet: PathSize
    valid: int  # images that score a child
    test: int  # images that report the children of the front
    size: int  # n, individuals of a population
    generations: int  # N, after the initial one
    recalibrate: int  # batches of 250 training images
    least_accuracy: float


def front(size: FrontSize, algorithm: str) -> FrontConfig:
    """A search of (2 + N) n evaluations or a few more; the bound on multiply-adds is half way between the extremes."""
    training = four_paths(size.supernet)
    return FrontConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        after=training,
        data=training.data.but(valid=size.valid, test=size.test),
        algorithm=algorithm,
        size=size.size,
        generations=size.generations,
        recalibrate=size.recalibrate,
        budget=0.5,
        least_accuracy=size.least_accuracy,
    )


def evolution(size: FrontSize) -> FrontConfig:
    """Algorithm 1."""
    return front(size, "NSGA-II")


def random(size: FrontSize) -> FrontConfig:
    """As many children drawn at random, within the same bounds."""
    return front(size, "random")


# Twice what chance gives; the paper prints neither bound.
FRONTS = {
    "smoke": FrontSize(
        supernet=SUPERNETS["smoke"], valid=50, test=50, size=4, generations=2, recalibrate=1, least_accuracy=0.0
    ),
    "laptop": FrontSize(
        supernet=SUPERNETS["laptop"], valid=500, test=1000, size=20, generations=10, recalibrate=1, least_accuracy=0.2
    ),
    # n and N are not printed for S1; the search in the space of DARTS took 60 generations.
    "paper": FrontSize(
        supernet=SUPERNETS["paper"], valid=2000, test=8000, size=32, generations=60, recalibrate=40, least_accuracy=0.2
    ),
}

EXPERIMENTS: dict[str, Experiment] = {
    "M-NSGA": Experiment(evolution, FRONTS, seeds=5),
    "M-RAND": Experiment(random, FRONTS, seeds=5),
}
