"""Runs of ProxylessNAS on a chain: three estimators, a sweep of the weight of latency in two forms, and a proxy task.

The searches are told apart by their names: N-PROX-l0 is the search for accuracy alone (two paths), N-PROX-l1 to -l3
weigh latency more and more, N-PROX-m1 to -m3 do so in the multiplicative form. They name the committed table of
latencies; :func:`by_table` makes them runs by another one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from nas_core.cells.latency import committed
from nas_core.experiments.recipe import FLOOR, Experiment
from nas_core.trainers.chain_settings import (
    ChainSearchConfig,
    ChainTrainingConfig,
    LatencyTerm,
    PredictorConfig,
    SearchedChain,
)
from nas_core.trainers.methods import ProxylessNAS, Reinforce
from nas_core.trainers.settings import Alpha, Data, RunConfig, Weights

AnyMethod = ProxylessNAS | Reinforce
Form = Literal["additive", "multiplicative"]
TABLE = committed().digest
ADDITIVE = {"N-PROX-l1": 0.02, "N-PROX-l2": 0.1, "N-PROX-l3": 0.5}
MULTIPLICATIVE = {"N-PROX-m1": 0.5, "N-PROX-m2": 2.0, "N-PROX-m3": 8.0}
SWEEP = ("N-PROX-l0", *ADDITIVE)


@dataclass(frozen=True, kw_only=True)
class ChainSize:
    """What a profile may change of a search."""

    chain: str
    train: int  # images for the weights
    search: int  # images for the logits
    epochs: int  # the warm-up among them
    warm_up: int  # epochs
    interval: int  # steps of the weights for one of the logits
    batch: int  # images a step of the weights
    search_batch: int  # images a step of the logits
    w_lr: float
    w_decay: float
    alpha_lr: float
    reference: float  # microseconds for a batch
    samples: int = 10  # networks drawn for a step of REINFORCE
    label_smoothing: float = 0.0  # in the loss of the weights
    data: str = "fashion7"


@dataclass(frozen=True, kw_only=True)
class AloneSize:
    """What a profile may change of the training of chains."""

    train: int
    valid: int
    test: int
    epochs: int
    batch: int
    w_lr: float
    w_decay: float
    drawn: int  # chains drawn uniformly
    data: str = "fashion7"


def search(size: ChainSize, method: AnyMethod, latency: LatencyTerm | None = None) -> ChainSearchConfig:
    """A search by ``method``, for accuracy alone or with a latency in its loss."""
    return ChainSearchConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=size.train, search=size.search),
        network=SearchedChain(name=size.chain),
        method=method,
        table=TABLE,
        latency=latency,
        weights=Weights(lr=size.w_lr, lr_min=FLOOR * size.w_lr, decay=size.w_decay),
        alpha=Alpha(lr=size.alpha_lr, betas=(0.0, 0.999), decay=0.0),
        warm_up=size.warm_up,
        epochs=size.epochs,
        interval=size.interval,
        batch=size.batch,
        search_batch=size.search_batch,
        label_smoothing=size.label_smoothing,
    )


def weighed(form: Form, weight: float) -> Callable[[ChainSize], ChainSearchConfig]:
    """The recipe of a search by two paths whose loss has the latency in it."""

    def recipe(size: ChainSize) -> ChainSearchConfig:
        return search(size, TWO, LatencyTerm(form=form, weight=weight, reference=size.reference))

    return recipe


def sweep(form: Form, weights: Mapping[str, float]) -> dict[str, Experiment]:
    """A search for every weight of the latency, by name."""
    return {run: Experiment(weighed(form, weight), SIZES, seeds=SEEDS) for run, weight in weights.items()}


def by_table(config: RunConfig, digest: str) -> RunConfig:
    """The run by the table of latencies ``digest``; one that looks at no latency stays as it is."""
    if isinstance(config, ChainTrainingConfig):
        return config.but(table=digest, of=tuple(by_table(search, digest) for search in config.of))
    looks = isinstance(config, ChainSearchConfig) and config.latency is not None
    return config.but(table=digest) if looks or isinstance(config, PredictorConfig) else config


def alone(size: AloneSize, profile: str) -> ChainTrainingConfig:
    """The chains of all searches of a profile, and drawn ones, trained alone on the target's images."""
    found = []
    for run in SEARCHES:
        config = EXPERIMENTS[run].config(run, profile)
        assert isinstance(config, ChainSearchConfig)
        found.append(config)
    return ChainTrainingConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        of=tuple(found),
        data=Data(name=size.data, train=size.train, valid=size.valid, test=size.test),
        network=found[0].network,
        table=TABLE,
        drawn=size.drawn,
        weights=Weights(lr=size.w_lr, lr_min=FLOOR * size.w_lr, decay=size.w_decay),
        epochs=size.epochs,
        batch=size.batch,
        label_smoothing=found[0].label_smoothing,
    )


def predictor(steps: int) -> PredictorConfig:
    """A predictor of the latencies of the ImageNet space's blocks."""
    return PredictorConfig(
        run="unnamed", profile="unnamed", seed=0, network=SearchedChain(name="imagenet"), table=TABLE, steps=steps
    )


TWO, ALL = ProxylessNAS(), ProxylessNAS(paths="all")
SMOKE = ChainSize(
    chain="small",
    train=64,
    search=64,
    epochs=3,
    warm_up=1,
    interval=1,
    batch=32,
    search_batch=32,
    w_lr=0.1,
    w_decay=3e-4,
    alpha_lr=0.05,
    reference=2000.0,
    samples=3,
)
LAPTOP = ChainSize(
    chain="small",
    train=1280,
    search=1280,
    epochs=14,
    warm_up=4,
    interval=1,
    batch=64,
    search_batch=64,
    w_lr=0.1,
    w_decay=3e-4,
    alpha_lr=0.1,
    reference=2000.0,
)
# As released for ImageNet, on the images of CIFAR-10 and with a stem of stride 1.
PAPER = ChainSize(
    chain="cifar",
    train=45_000,
    search=5000,
    epochs=160,
    warm_up=40,
    interval=5,
    batch=256,
    search_batch=256,
    w_lr=0.025,
    w_decay=4e-5,
    alpha_lr=1e-3,
    reference=10_000.0,
    label_smoothing=0.1,
    data="cifar10",
)
SIZES = {"smoke": SMOKE, "laptop": LAPTOP, "paper": PAPER}
# REINFORCE takes a step less often, from more images and networks.
REWARDED = {
    "smoke": SMOKE,
    "laptop": replace(LAPTOP, interval=4, search_batch=250, samples=8),
    "paper": PAPER,
}
# All that the proxy has, for as many steps.
PROXIES = {
    "smoke": replace(SMOKE, data="digits"),
    "laptop": replace(LAPTOP, data="digits", train=448, search=448, epochs=40, warm_up=11),
    "paper": replace(PAPER, data="fashion14", train=5000, search=5000, batch=128, search_batch=128),
}
SEARCHES = (*SWEEP, *MULTIPLICATIVE, "N-PROX-all", "N-PROX-rl", "N-PROX-proxy")
SEEDS = 5

EXPERIMENTS: dict[str, Experiment] = {
    "N-PROX-l0": Experiment(partial(search, method=TWO), SIZES, seeds=SEEDS),
    **sweep("additive", ADDITIVE),
    **sweep("multiplicative", MULTIPLICATIVE),
    "N-PROX-all": Experiment(partial(search, method=ALL), SIZES, seeds=SEEDS),
    "N-PROX-rl": Experiment(lambda size: search(size, Reinforce(samples=size.samples)), REWARDED, seeds=SEEDS),
    "N-PROX-proxy": Experiment(partial(search, method=TWO), PROXIES, seeds=SEEDS),
    "N-PROX-alone": Experiment(
        lambda size: alone(*size),
        {
            "smoke": (
                AloneSize(train=64, valid=64, test=64, epochs=1, batch=32, w_lr=0.1, w_decay=3e-4, drawn=2),
                "smoke",
            ),
            "laptop": (
                AloneSize(
                    train=2000,
                    valid=1000,
                    test=4000,
                    epochs=6,
                    batch=64,
                    w_lr=0.1,
                    w_decay=3e-4,
                    drawn=4,
                ),
                "laptop",
            ),
            "paper": (
                AloneSize(
                    train=50_000,
                    valid=2000,
                    test=8000,
                    epochs=300,
                    batch=256,
                    w_lr=0.05,
                    w_decay=4e-5,
                    drawn=5,
                    data="cifar10",
                ),
                "paper",
            ),
        },
        seeds=SEEDS,
    ),
    "N-LAT": Experiment(predictor, {"smoke": 20, "laptop": 400, "paper": 400}, seeds=10),
}
