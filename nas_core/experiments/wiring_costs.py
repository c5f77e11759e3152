"""Runs of the wiring paper on its costs: weights trained on uniform paths, and costs measured before and after.

A run whose id ends in ``i`` measures untrained networks, one that ends in ``c`` the network that the run without a
letter has trained.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nas_core.cells.operations import CANDIDATES
from nas_core.experiments.recipe import Experiment, Size, cifar, tiny, wiring_search
from nas_core.trainers.cost_probe import CostProbeConfig
from nas_core.trainers.methods import Uniform
from nas_core.trainers.search_settings import SearchConfig

PROBES = ("losses", "costs", "identities")
NOT_SKIP = tuple(op for op in CANDIDATES if op != "skip_connect")
SEVERAL = 10  # networks that a probe before training measures, each drawn anew

SMALL = 1e-8  # eps where single batches are held against an identity

Training = Callable[[Any], SearchConfig]


def trained_on_uniform_paths(size: Size, **network: Any) -> SearchConfig:
    """A search in which nothing but the weights learns, on paths drawn uniformly; the weights stay for a probe."""
    search = wiring_search(size, Uniform(), **network)
    return search.but(probes=PROBES, keep_weights=True)


@dataclass(frozen=True, kw_only=True)
class ExactSize(Size):
    """A size at which identities of single batches are measured: they hold up to a residual that grows with eps.

    At the paper's 1e-5 that is about 5e-4 of the costs in the worst of some hundred batches.
    """

    eps: float  # added to the variance by batch norm


@dataclass(frozen=True, kw_only=True)
class ProbeSize:
    """What a profile may change of a probe: that of the training before it, and how much is measured."""

    training: Size
    batches: int  # for each network


def probe(size: ProbeSize, training: Training, *, networks: int = 1, after: str = "") -> CostProbeConfig:
    """A probe of ``networks`` untrained networks, or of the one that the run ``after`` has trained."""
    search = training(size.training).but(run=after or "unnamed")
    return CostProbeConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=search.data,
        network=search.network,
        networks=networks,
        batches=size.batches,
        batch=search.batch,
        after=search if after else None,
        formulation=search.formulation,
    )


def probes(
    run: str, training: Training, sizes: Mapping[str, Size], batches: Mapping[str, int], seeds: int
) -> tuple[Experiment, Experiment]:
    """The probe of the networks before the training ``run`` and that of the network after it.

    ``batches``: by profile those of a probe in all.
    """
    initial, final = {}, {}
    for profile, size in sizes.items():
        initial[profile] = ProbeSize(training=size, batches=max(1, batches[profile] // SEVERAL))
        final[profile] = ProbeSize(training=size, batches=batches[profile])
    before = Experiment(lambda size: probe(size, training, networks=SEVERAL), initial, seeds=seeds)
    after = Experiment(lambda size: probe(size, training, after=run), final, seeds=seeds)
    return before, after


def minimal(size: Size) -> SearchConfig:
    """The cell of two intermediate nodes."""
    return trained_on_uniform_paths(size, cell="minimal")


def minimal_without_leak(size: Size) -> SearchConfig:
    """The same without skip on the intermediate edge, so that no cost is passed on."""
    return trained_on_uniform_paths(size, cell="minimal", allowed=((4, NOT_SKIP),))


def minimal_with_eps(size: ExactSize) -> SearchConfig:
    """The same with an eps that the profile chooses."""
    return trained_on_uniform_paths(size, cell="minimal", eps=size.eps)


def original(size: Size) -> SearchConfig:
    """The cell of four intermediate nodes."""
    return trained_on_uniform_paths(size)


def crb(size: Size) -> SearchConfig:
    """Convolution, ReLU, batch norm."""
    return trained_on_uniform_paths(size, cell="minimal", order="crb")


def cbr(size: Size) -> SearchConfig:
    """Convolution, batch norm, ReLU."""
    return trained_on_uniform_paths(size, cell="minimal", order="cbr")


ONE_CELL = {
    "smoke": tiny(),
    "laptop": Size(train=3200, channels=8, layers=1, epochs=10, batch=64, w_lr=0.2, alpha_lr=0.01),
    "paper": cifar(150, 96, layers=1),
}
EIGHT_MINIMAL = {
    "smoke": ExactSize(**vars(tiny(layers=8)), eps=SMALL),
    "laptop": ExactSize(train=1280, channels=8, layers=8, epochs=15, batch=64, w_lr=0.03, alpha_lr=0.01, eps=SMALL),
    "paper": ExactSize(**vars(cifar(150, 96)), eps=1e-5),
}
EIGHT_ORIGINAL = {
    "smoke": tiny(layers=8),
    "laptop": Size(train=640, channels=8, layers=8, epochs=8, batch=64, w_lr=0.03, alpha_lr=0.01),
    "paper": cifar(150, 96),
}
# The papers' 50 epochs of 520 batches.
OF_ONE = {"smoke": 40, "laptop": 400, "paper": 26_000}
OF_EIGHT_MINIMAL = {"smoke": 10, "laptop": 240, "paper": 26_000}
OF_EIGHT_ORIGINAL = {"smoke": 10, "laptop": 60, "paper": 26_000}

BEFORE_1, AFTER_1 = probes("W-TH1", minimal, ONE_CELL, OF_ONE, seeds=10)
BEFORE_8M, AFTER_8M = probes("W-TH8m", minimal_with_eps, EIGHT_MINIMAL, OF_EIGHT_MINIMAL, seeds=5)
BEFORE_8O, AFTER_8O = probes("W-TH8o", original, EIGHT_ORIGINAL, OF_EIGHT_ORIGINAL, seeds=5)
BEFORE_CRB, AFTER_CRB = probes("W-CRB1", crb, ONE_CELL, OF_ONE, seeds=5)
BEFORE_CBR, AFTER_CBR = probes("W-CBR1", cbr, ONE_CELL, OF_ONE, seeds=5)

EXPERIMENTS: dict[str, Experiment] = {
    "W-TH1": Experiment(minimal, ONE_CELL),
    "W-TH1x": Experiment(minimal_without_leak, ONE_CELL),
    "W-MC1i": BEFORE_1,
    "W-MC1c": AFTER_1,
    "W-TH8m": Experiment(minimal_with_eps, EIGHT_MINIMAL, seeds=5),
    "W-MC8mi": BEFORE_8M,
    "W-MC8mc": AFTER_8M,
    "W-TH8o": Experiment(original, EIGHT_ORIGINAL, seeds=5),
    "W-MC8oi": BEFORE_8O,
    "W-MC8oc": AFTER_8O,
    "W-CRB1": Experiment(crb, ONE_CELL, seeds=5),
    "W-CRB1i": BEFORE_CRB,
    "W-CRB1c": AFTER_CRB,
    "W-CBR1": Experiment(cbr, ONE_CELL, seeds=5),
    "W-CBR1i": BEFORE_CBR,
    "W-CBR1c": AFTER_CBR,
}
