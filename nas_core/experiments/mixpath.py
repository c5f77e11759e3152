"""Runs of MixPath: supernets of S1 with shadow batch norms and with one batch norm, and looks into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nas_core.experiments.recipe import Experiment
from nas_core.trainers.multipath_settings import MultiPathConfig, Paths
from nas_core.trainers.settings import Data, Weights
from nas_core.trainers.shadow_norms import ShadowNormsConfig

LR_MIN = 1e-8  # where the released code ends its cosine


@dataclass(frozen=True, kw_only=True)
class PathSize:
    """What a profile may change of a supernet's training; all 12 layers, kernels and expansions of S1 stay."""

    train: int  # images for the weights
    valid: int  # images on which children are scored and paths are looked at
    channels: int  # of the stem; 32 as printed
    epochs: int
    batch: int  # images a step
    w_lr: float
    cutout: int = 0  # side of the square, in pixels
    data: str = "fashion7"


@dataclass(frozen=True, kw_only=True)
class LookSize:
    """What a profile may change of a look into a supernet."""

    supernet: PathSize
    cycles: int  # of batches, one for every combination of paths, whose statistics are averaged
    probed: int  # batches on which every path is computed alone
    children: int  # scored for each number of paths


Training = Callable[[PathSize], MultiPathConfig]


def supernet(size: PathSize, run: str, most: int, norms: str) -> MultiPathConfig:
    """The supernet of S1 with at most ``most`` paths a layer."""
    return MultiPathConfig(
        run=run,
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=size.train, valid=size.valid),
        paths=Paths(space="S1", channels=size.channels, most=most, norms=norms),
        weights=Weights(lr=size.w_lr, lr_min=LR_MIN),
        epochs=size.epochs,
        batch=size.batch,
        cutout=size.cutout,
    )


def four_paths(size: PathSize) -> MultiPathConfig:
    """m = 4."""
    return supernet(size, "M-S1m4", 4, "shadow")


def three_paths(size: PathSize) -> MultiPathConfig:
    """m = 3."""
    return supernet(size, "M-S1m3", 3, "shadow")


def one_norm(size: PathSize) -> MultiPathConfig:
    """m = 4, the control: one batch norm for all numbers of paths."""
    return supernet(size, "M-S1m4bn", 4, "plain")


def look(size: LookSize, training: Training, state: Literal["trained", "untrained"] = "trained") -> ShadowNormsConfig:
    """A look into the supernet that ``training`` gives; before it learns, nothing is scored."""
    return ShadowNormsConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        supernet=training(size.supernet),
        state=state,
        cycles=size.cycles,
        probed=size.probed,
        children=size.children if state == "trained" else 0,
    )


def look_at_four(size: LookSize) -> ShadowNormsConfig:
    """Into the supernet with m = 4."""
    return look(size, four_paths)


def look_at_three(size: LookSize) -> ShadowNormsConfig:
    """Into the supernet with m = 3."""
    return look(size, three_paths)


def look_at_one_norm(size: LookSize) -> ShadowNormsConfig:
    """Into the control."""
    return look(size, one_norm)


def look_before(size: LookSize) -> ShadowNormsConfig:
    """Into the supernet with m = 4 before it learns."""
    return look(size, four_paths, "untrained")


SUPERNETS = {
    "smoke": PathSize(train=64, valid=64, channels=4, epochs=2, batch=32, w_lr=0.1),
    "laptop": PathSize(train=3200, valid=1000, channels=8, epochs=8, batch=64, w_lr=0.1),
    "paper": PathSize(
        train=50_000, valid=2000, channels=32, epochs=200, batch=96, w_lr=0.025, cutout=16, data="cifar10"
    ),
}
LOOKS = {
    "smoke": LookSize(supernet=SUPERNETS["smoke"], cycles=1, probed=2, children=1),
    "laptop": LookSize(supernet=SUPERNETS["laptop"], cycles=3, probed=15, children=5),
    "paper": LookSize(supernet=SUPERNETS["paper"], cycles=10, probed=20, children=20),
}

EXPERIMENTS: dict[str, Experiment] = {
    "M-S1m4": Experiment(four_paths, SUPERNETS, seeds=5),
    "M-S1m3": Experiment(three_paths, SUPERNETS, seeds=5),
    "M-S1m4bn": Experiment(one_norm, SUPERNETS, seeds=5),
    "M-S1m4n": Experiment(look_at_four, LOOKS, seeds=5),
    "M-S1m3n": Experiment(look_at_three, LOOKS, seeds=5),
    "M-S1m4bnn": Experiment(look_at_one_norm, LOOKS, seeds=5),
    "M-S1m4i": Experiment(look_before, LOOKS, seeds=5),
}
