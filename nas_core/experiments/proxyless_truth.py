"""Runs of our study of ProxylessNAS against an own ground truth: 27 chains alone, and the searches that are judged.

All chains are trained alone on one half of the embedded training images; the searches see the other half, and the
test images measure only the chains alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nas_core.experiments import proxyless_chains
from nas_core.experiments.proxyless_chains import ALL, TABLE, TWO, ChainSize, search
from nas_core.experiments.recipe import FLOOR, Experiment
from nas_core.trainers.chain_ranks import ChainRanksConfig
from nas_core.trainers.chain_settings import ChainSearchConfig, ChainTrainingConfig, SearchedChain
from nas_core.trainers.methods import ProxylessNAS, Reinforce
from nas_core.trainers.settings import Data, Weights

SPACE = "small-27"
TRUTH_SEEDS = 5  # of every chain alone, the mean of whose accuracies is its ground truth
SEEDS = 8
UNIFORM = ProxylessNAS(update_alpha=False)  # its paths are drawn uniformly to the end
TRUTH, RANKS, SCORED = "N-GT-alone-r", "N-GT-ranks-r", "N-GT-uniform-r"


@dataclass(frozen=True, kw_only=True)
class TruthSize:
    """What a profile may change of the trainings alone."""

    train: int
    valid: int
    test: int
    epochs: int
    batch: int
    w_lr: float
    w_decay: float = 3e-4
    data: str = "fashion7-other"


def alone(size: TruthSize) -> ChainTrainingConfig:
    """All chains of the space alone."""
    return ChainTrainingConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=size.train, valid=size.valid, test=size.test),
        network=SearchedChain(name=SPACE),
        table=TABLE,
        every=True,
        weights=Weights(lr=size.w_lr, lr_min=FLOOR * size.w_lr, decay=size.w_decay),
        epochs=size.epochs,
        batch=size.batch,
    )


@dataclass(frozen=True, kw_only=True)
class ScoredSize:
    """A search, and the epochs after which all chains are scored by the shared weights."""

    size: ChainSize
    enumerated: tuple[int, ...]


def uniform(size: ScoredSize) -> ChainSearchConfig:
    """Weights alone, on paths drawn uniformly, with scores of all chains on the way."""
    return search(size.size, UNIFORM).but(enumerated=size.enumerated)


def reinforce(size: ChainSize) -> ChainSearchConfig:
    """REINFORCE with the number of networks that the size says."""
    return search(size, Reinforce(samples=size.samples))


def ranks(profile: str) -> ChainRanksConfig:
    """All searches of a seed beside the ground truth."""
    seeds = range(2 if profile == "smoke" else TRUTH_SEEDS)
    searches: list[Any] = [EXPERIMENTS[run].config(run, profile) for run in SEARCHES]
    alone: Any = EXPERIMENTS[TRUTH].config(TRUTH, profile)
    return ChainRanksConfig(
        run="unnamed",
        profile=profile,
        seed=0,
        of=tuple(searches),
        truth=tuple(alone.but(seed=seed) for seed in seeds),
    )


def ours(size: ChainSize) -> ChainSize:
    """A size of 18_proxyless_chains in this space, on the images that are the searches' own."""
    return replace(size, chain=SPACE, data="fashion7-one")


SMOKE, LAPTOP = ours(proxyless_chains.SMOKE), ours(proxyless_chains.LAPTOP)
SIZES = {"smoke": SMOKE, "laptop": LAPTOP}
REWARDED = {"smoke": SMOKE, "laptop": ours(proxyless_chains.REWARDED["laptop"])}
# Four times the images for a reward.
IMAGES = {"smoke": SMOKE, "laptop": replace(REWARDED["laptop"], search_batch=1000)}
SEARCHES = ("N-GT-two-r", "N-GT-all-r", "N-GT-rl-r", "N-GT-rli-r", SCORED)

EXPERIMENTS: dict[str, Experiment] = {
    TRUTH: Experiment(
        alone,
        {
            "smoke": TruthSize(train=64, valid=64, test=64, epochs=1, batch=64, w_lr=0.1),
            "laptop": TruthSize(train=3840, valid=250, test=4000, epochs=6, batch=128, w_lr=0.2),
        },
        seeds=TRUTH_SEEDS,
    ),
    "N-GT-two-r": Experiment(partial(search, method=TWO), SIZES, seeds=SEEDS, reduces="N-PROX-l0"),
    "N-GT-all-r": Experiment(partial(search, method=ALL), SIZES, seeds=SEEDS, reduces="N-PROX-all"),
    "N-GT-rl-r": Experiment(reinforce, REWARDED, seeds=SEEDS, reduces="N-PROX-rl"),
    "N-GT-rli-r": Experiment(reinforce, IMAGES, seeds=SEEDS, reduces="N-PROX-rl"),
    SCORED: Experiment(
        uniform,
        {
            "smoke": ScoredSize(size=SMOKE, enumerated=(1, 3)),
            "laptop": ScoredSize(size=LAPTOP, enumerated=(1, 4, 14)),
        },
        seeds=SEEDS,
        reduces="N-PROX-l0",
    ),
    RANKS: Experiment(ranks, {"smoke": "smoke", "laptop": "laptop"}, seeds=SEEDS),
}
