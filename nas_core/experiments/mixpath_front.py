"""Runs of MixPath: searches for a front among the children of the supernet with at most four paths a layer."""

from __future__ import annotations

from dataclasses import dataclass

from nas_core.experiments.mixpath import SUPERNETS, PathSize, four_paths
from nas_core.experiments.recipe import Experiment
from nas_core.trainers.chain_child_settings import ChainChildConfig
from nas_core.trainers.front_settings import FrontConfig
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.settings import Data, Weights


@dataclass(frozen=True, kw_only=True)
class SearchSize:
    """What a profile may change of a search, whatever its supernet."""

    valid: int  # images that score a child
    test: int  # images that report the children of the front
    size: int  # n, individuals of a population
    generations: int  # N, after the initial one
    recalibrate: int  # batches of 250 training images
    least_accuracy: float


@dataclass(frozen=True, kw_only=True)
class FrontSize(SearchSize):
    """The supernet's size is its own."""

    supernet: PathSize


def front_after(training: MultiPathConfig, size: SearchSize, algorithm: str) -> FrontConfig:
    """A search of (2 + N) n evaluations or a few more; the bound on multiply-adds is half way between the extremes."""
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


def front(size: FrontSize, algorithm: str) -> FrontConfig:
    """A search among the children of the supernet with at most four paths."""
    return front_after(four_paths(size.supernet), size, algorithm)


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


@dataclass(frozen=True, kw_only=True)
class ChildSize:
    """What a profile may change of the training of a child alone."""

    search: FrontSize
    data: str
    train: int
    test: int
    epochs: int
    batch: int
    w_lr: float


def child(size: ChildSize, pick: str) -> ChainChildConfig:
    """The middle one of three found children, or a random child of its cost."""
    return ChainChildConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        of=evolution(size.search).but(run="M-NSGA"),
        place=1,
        pick=pick,
        data=Data(name=size.data, train=size.train, test=size.test),
        weights=Weights(lr=size.w_lr),
        epochs=size.epochs,
        batch=size.batch,
    )


def found_child(size: ChildSize) -> ChainChildConfig:
    """The found one."""
    return child(size, "found")


def random_child(size: ChildSize) -> ChainChildConfig:
    """The random one."""
    return child(size, "random")


def digits(search: FrontSize) -> ChildSize:
    """The transfer of what ``search`` has found."""
    return ChildSize(search=search, data="digits", train=1000, test=400, epochs=12, batch=32, w_lr=0.1)


def sizes(laptop: ChildSize, paper: ChildSize) -> dict[str, ChildSize]:
    """Those of all profiles."""
    tiny = ChildSize(search=FRONTS["smoke"], data=laptop.data, train=64, test=50, epochs=1, batch=32, w_lr=laptop.w_lr)
    return {"smoke": tiny, "laptop": laptop, "paper": paper}


CIFAR = ChildSize(search=FRONTS["paper"], data="cifar10", train=50_000, test=8000, epochs=200, batch=96, w_lr=0.025)
ALONE = sizes(
    ChildSize(search=FRONTS["laptop"], data="fashion7", train=3200, test=2000, epochs=6, batch=64, w_lr=0.1), CIFAR
)
# The paper transfers from ImageNet to CIFAR-10; here the second data set is a small one at every profile.
TRANSFERRED = sizes(digits(FRONTS["laptop"]), digits(FRONTS["paper"]))

EXPERIMENTS: dict[str, Experiment] = {
    "M-NSGA": Experiment(evolution, FRONTS, seeds=5),
    "M-RAND": Experiment(random, FRONTS, seeds=5),
    "M-FOUND": Experiment(found_child, ALONE, seeds=5),
    "M-DRAWN": Experiment(random_child, ALONE, seeds=5),
    "M-FOUNDt": Experiment(found_child, TRANSFERRED, seeds=5),
    "M-DRAWNt": Experiment(random_child, TRANSFERRED, seeds=5),
}
