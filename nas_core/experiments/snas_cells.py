"""Runs of SNAS on its cells: the stronger resource constraints, and the retraining of every cell under one budget.

The weights of the three constraints are not published. At `laptop` they are defined by what they do: the mild one is
the example of the released code's description, which drops some edges; under the aggressive one an intermediate node
loses all its inputs; the moderate one lies between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nas_core.experiments import snas
from nas_core.experiments.recipe import Experiment, Size, cifar, darts_search, tiny
from nas_core.trainers.methods import DARTS, Resource
from nas_core.trainers.retraining_settings import AnyCells, Derived, Drawn, Evaluation, Released, RetrainingConfig
from nas_core.trainers.settings import Data, RunConfig, Weights

MODERATE = snas.FREE.but(resource=Resource(weight=0.005))
AGGRESSIVE = snas.FREE.but(resource=Resource(weight=0.03))
SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class RetrainSize:
    """What a profile may change of a retraining."""

    train: int  # images that train
    valid: int = 0  # images that choose; none, since nothing is chosen
    test: int  # images that report
    channels: int
    layers: int  # cells
    epochs: int
    batch: int  # images a step
    w_lr: float
    auxiliary: float  # weight of the tower's loss; a tower needs maps of 6x6 pixels after both reductions
    drop_path: float
    cutout: int  # pixels a side
    data: str = "fashion7"
    of: RunConfig | None = None  # the run whose cell it is


SMOKE = RetrainSize(
    train=64, test=100, channels=4, layers=3, epochs=2, batch=32, w_lr=0.1, auxiliary=0.0, drop_path=0.2, cutout=2
)
LAPTOP = RetrainSize(
    train=1500, test=2000, channels=8, layers=3, epochs=4, batch=64, w_lr=0.05, auxiliary=0.0, drop_path=0.2, cutout=3
)
# DARTS, Sec. 3.2, and SNAS, App. G.2.
PAPER = RetrainSize(
    train=50_000,
    test=8000,
    channels=36,
    layers=20,
    epochs=600,
    batch=96,
    w_lr=0.025,
    auxiliary=0.4,
    drop_path=0.2,
    cutout=16,
    data="cifar10",
)
SIZES = {"smoke": SMOKE, "laptop": LAPTOP, "paper": PAPER}
# The images of the transfer: with four times the pixels, and a square of the same share of them cut out.
LARGER = {name: replace(SIZES[name], data="fashion14", cutout=2 * SIZES[name].cutout) for name in ("smoke", "laptop")}


def retraining(size: RetrainSize, cells: AnyCells) -> RetrainingConfig:
    """The evaluation network of ``cells`` trained from scratch; the cosine ends at 0."""
    return RetrainingConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        of=size.of,
        cells=cells,
        data=Data(name=size.data, train=size.train, valid=size.valid, test=size.test),
        network=Evaluation(
            channels=size.channels,
            layers=size.layers,
            auxiliary=size.auxiliary,
            drop_path=size.drop_path,
            cutout=size.cutout,
        ),
        weights=Weights(lr=size.w_lr),
        epochs=size.epochs,
        batch=size.batch,
    )


def retrained(cells: AnyCells, sizes: Mapping[str, RetrainSize] = SIZES, reduces: str = "") -> Experiment:
    """Cells that are known: released or random."""
    return Experiment(lambda size: retraining(size, cells), sizes, SEEDS, reduces)


def retrained_from(
    searches: Mapping[str, Experiment],
    run: str,
    rule: str,
    sizes: Mapping[str, RetrainSize] = SIZES,
    reduces: str = "",
) -> Experiment:
    """The cells that ``run`` ends with, by ``rule``, at the same profile and for the same seed."""
    with_search = {}
    for profile, size in sizes.items():
        with_search[profile] = replace(size, of=searches[run].config(run, profile))
    return retrained(Derived(rule=rule), with_search, reduces)


def single_level(size: Size) -> Size:
    """The size of a bi-level search on one level: the same images, all for both, and the same travel of the logits."""
    return replace(size, train=size.train + size.search, search=0, alpha_lr=size.alpha_lr / 2)


MILD_SIZES = snas.EXPERIMENTS["S-SNAS-mild"].sizes
SEARCHES: dict[str, Experiment] = {
    "S-SNAS-mod": Experiment(lambda size: darts_search(size, MODERATE, reductions=True), MILD_SIZES, SEEDS),
    "S-SNAS-agg": Experiment(lambda size: darts_search(size, AGGRESSIVE, reductions=True), MILD_SIZES, SEEDS),
    "S-DARTSsl": Experiment(
        lambda size: darts_search(size, DARTS(), reductions=True),
        {
            "smoke": tiny(layers=3, held_out=100),
            "laptop": single_level(snas.EXPERIMENTS["S-DARTS1"].sizes["laptop"]),
            "paper": snas.held_out(cifar(50, 64)),
        },
        SEEDS,
    ),
}
EVERY = {**snas.EXPERIMENTS, **SEARCHES}
# What each search ends with: SNAS and ENAS by the argmax of every edge, DARTS by its own rule.
FOUND = {
    "S-EVAL-mild": retrained_from(EVERY, "S-SNAS-mild", "argmax"),
    "S-EVAL-mod": retrained_from(EVERY, "S-SNAS-mod", "argmax"),
    "S-EVAL-agg": retrained_from(EVERY, "S-SNAS-agg", "argmax"),
    "S-EVAL-DARTS1": retrained_from(EVERY, "S-DARTS1", "darts"),
    "S-EVAL-DARTS2": retrained_from(EVERY, "S-DARTS2", "darts"),
    "S-EVAL-DARTSsl": retrained_from(EVERY, "S-DARTSsl", "darts"),
    "S-EVAL-ENAS": retrained_from(EVERY, "S-ENAS", "best drawn"),
    "S-EVAL-RAND": retrained_from(EVERY, "S-RAND", "best"),
}
KNOWN = {
    "S-EVAL-rel-DARTS2": retrained(Released(arch="DARTS_V2")),
    "S-EVAL-rel-mild": retrained(Released(arch="SNAS_mild")),
    "S-EVAL-rel-mod": retrained(Released(arch="SNAS_moderate")),
    "S-EVAL-rel-agg": retrained(Released(arch="SNAS_aggressive")),
    "S-EVAL-R1": retrained(Drawn(number=0)),
    "S-EVAL-R2": retrained(Drawn(number=1)),
    "S-EVAL-R3": retrained(Drawn(number=2)),
    "S-EVAL-R4": retrained(Drawn(number=3)),
}
# The paper's transfer is to ImageNet; here it is to larger images of the same things, at every profile.
TRANSFERRED = {
    "S-IMG-mild-r": retrained_from(EVERY, "S-SNAS-mild", "argmax", LARGER, "S-EVAL-mild"),
    "S-IMG-DARTS2-r": retrained_from(EVERY, "S-DARTS2", "darts", LARGER, "S-EVAL-DARTS2"),
    "S-IMG-R1-r": retrained(Drawn(number=0), LARGER, "S-EVAL-R1"),
    "S-IMG-R2-r": retrained(Drawn(number=1), LARGER, "S-EVAL-R2"),
}
EXPERIMENTS: dict[str, Experiment] = {**SEARCHES, **FOUND, **KNOWN, **TRANSFERRED}
