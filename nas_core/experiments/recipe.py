"""How a run of a paper becomes settings: its recipe, at the size that a profile gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nas_core.trainers.methods import DARTS, AnyMethod, SecondOrder
from nas_core.trainers.observer import PROBES
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Alpha, Data, Network, RunConfig, Weights

S = TypeVar("S")  # the type of a size
FIVE_OPS = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
FLOOR = 0.04  # of the weights' cosine, as a share of its start: 0.001 / 0.025 in the released codes


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a profile may change: images, width, depth, length, batch and learning rates."""

    train: int  # images for the weights
    search: int = 0  # images for the logits; none when single-level
    channels: int
    layers: int  # cells
    epochs: int
    batch: int  # images a step
    w_lr: float
    alpha_lr: float  # Adam moves a logit by about this much a step at most: keep alpha_lr x steps
    w_decay: float = 3e-4
    valid: int = 0  # images for the accuracy curves
    test: int = 0  # images for the reported accuracies
    data: str = "fashion7"


@dataclass(frozen=True)
class Experiment(Generic[S]):
    """A run of a paper: ``recipe`` holds what makes it that run at any size, ``sizes`` one size a profile.

    A run without a size of its own at ``paper`` is a reduced one, which stays there as it is at ``laptop``.
    ``seeds``: how many are reported at ``laptop``: 10 where one takes about 10 seconds or less, 20 where the interval
    of a claim contains its bound, and 5 where one takes longer. ``reduces``: the named run that a reduced one stands
    beside.
    """

    recipe: Callable[[S], RunConfig]
    sizes: Mapping[str, S]
    seeds: int = 10
    reduces: str = ""

    def config(self, run: str, profile: str) -> RunConfig:
        """Its settings for seed 0."""
        size = self.sizes.get(profile, self.sizes["laptop"])
        return self.recipe(size).but(run=run, profile=profile)


def tiny(search: int = 0, layers: int = 1, held_out: int = 0) -> Size:
    """The size of tests: it proves that the path runs."""
    return Size(
        train=64,
        search=search,
        channels=4,
        layers=layers,
        epochs=3,
        batch=32,
        w_lr=0.1,
        alpha_lr=0.05,
        valid=held_out,
        test=held_out,
    )


def cifar(epochs: int, batch: int, *, search: int = 0, layers: int = 8) -> Size:
    """The papers' size on the 50,000 training images of CIFAR-10, ``search`` of them for the logits."""
    return Size(
        train=50_000 - search,
        search=search,
        channels=16,
        layers=layers,
        epochs=epochs,
        batch=batch,
        w_lr=0.025,
        alpha_lr=3e-4,
        data="cifar10",
    )


def wiring_search(size: Size, method: AnyMethod, **network: Any) -> SearchConfig:
    """A search of the wiring paper: a classifier without bias (Theorem 2), clipped gradients of the logits.

    ``network``: further fields of :class:`nas_core.trainers.settings.Network`.
    """
    return _search(
        size, method, alpha_clip=10.0, probes=("losses", "costs"), reductions=False, head_bias=False, **network
    )


def darts_search(size: Size, method: AnyMethod, **network: Any) -> SearchConfig:
    """A search as in DARTS and SNAS: a classifier with bias, and accuracies recorded; ``network`` as above."""
    return _search(size, method, alpha_clip=None, probes=PROBES, head_bias=True, **network)


def _search(
    size: Size, method: AnyMethod, *, alpha_clip: float | None, probes: tuple[str, ...], **network: Any
) -> SearchConfig:
    # Logits start at N(1, 0.01^2) in the released SNAS and DSNAS codes and at 0.001 N(0, 1) in that of DARTS.
    mean, std = 1.0, 1e-2
    if isinstance(method, DARTS | SecondOrder):
        mean, std = 0.0, 1e-3
    return SearchConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=size.train, search=size.search, valid=size.valid, test=size.test),
        network=Network(channels=size.channels, layers=size.layers, **network),
        method=method,
        weights=Weights(lr=size.w_lr, lr_min=FLOOR * size.w_lr, decay=size.w_decay),
        alpha=Alpha(lr=size.alpha_lr, clip=alpha_clip, init_mean=mean, init_std=std),
        epochs=size.epochs,
        batch=size.batch,
        probes=probes,
    )
