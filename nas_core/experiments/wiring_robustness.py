"""Runs of the study of robustness: where the patterns P1, P2 and P3 show, one setting changed at a time.

Three groups of runs, all of them small. The *map*: DSNAS (for P1 and P2) and bi-level DARTS (for P3) in the cell of two
intermediate nodes, each varied in the same ways. The *dose*: SNAS in the whole cell, and the two searches of the map,
at five learning rates of the weights. The *length*: reduced DARTS with the paper's travel of the logits and more, with
and without weight decay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nas_core.cells.operations import CANDIDATES
from nas_core.experiments.recipe import FIVE_OPS, Experiment, Size, tiny, wiring_search
from nas_core.trainers.methods import DARTS, DSNAS, SNAS, AnyMethod
from nas_core.trainers.search_settings import SearchConfig

ONE_HOT = DSNAS(cost_clamp=5.0)
BI_LEVEL = DARTS(levels="bi-level")
ANNEALED = SNAS(temperature=(1.0, 0.03))
CONSTANT = SNAS(temperature=(1.0, 1.0))
FOUR_OPS = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")
SEEDS = 5


@dataclass(frozen=True)
class Setting:
    """Everything that the map varies, for one of its two methods."""

    size: Size
    nodes: int = 2
    candidates: tuple[str, ...] = CANDIDATES
    reductions: bool = False


Change = Callable[[Setting], Setting]


@dataclass(frozen=True)
class Variation:
    """One changed setting: ``factor`` and ``value`` are its words, and ``change`` what it does to either method."""

    key: str
    factor: str
    value: str
    change: Change

    @property
    def words(self) -> str:
        """What is changed."""
        return f"{self.factor} {self.value}".strip()

    @property
    def single_level(self) -> str:
        """The run of DSNAS."""
        return f"W-DSNAS-{self.key}-r"

    @property
    def bi_level(self) -> str:
        """The run of DARTS."""
        return f"W-DARTS-{self.key}-r"


def _sized(**changes: Any) -> Change:
    """Set fields of the size."""
    return lambda setting: replace(setting, size=replace(setting.size, **changes))


def _scaled(field: str, factor: float) -> Change:
    """Multiply a field of the size."""

    def change(setting: Setting) -> Setting:
        value = factor * getattr(setting.size, field)
        return replace(setting, size=replace(setting.size, **{field: value}))

    return change


def _images(factor: float) -> Change:
    """Change the number of images that train the weights, in as many steps."""

    def change(setting: Setting) -> Setting:
        size = setting.size
        return replace(setting, size=replace(size, train=int(factor * size.train), epochs=round(size.epochs / factor)))

    return change


def _batch(factor: float) -> Change:
    """Change the number of images a step, in as many steps."""

    def change(setting: Setting) -> Setting:
        size = setting.size
        return replace(setting, size=replace(size, batch=int(factor * size.batch), epochs=round(size.epochs * factor)))

    return change


def _network(**changes: Any) -> Change:
    """Set fields of the network."""
    return lambda setting: replace(setting, **changes)


def _other_candidates(setting: Setting) -> Setting:
    """Five candidates instead of eight, or the other way round."""
    others = FIVE_OPS if setting.candidates == CANDIDATES else CANDIDATES
    return replace(setting, candidates=others)


def _reductions(setting: Setting) -> Setting:
    """Three cells, the second and the third of which reduce."""
    return replace(setting, size=replace(setting.size, layers=3), reductions=True)


WEIGHTS_RATE = "rate of the weights"
LOGITS_RATE = "rate of the logits"
# As many ways as the paper names (seeds are the runs of each of them), and those that may decide besides.
VARIATIONS = (
    Variation("base", "nothing changed", "", lambda setting: setting),
    Variation("weights-d10", WEIGHTS_RATE, "÷ 10", _scaled("w_lr", 1 / 10)),
    Variation("weights-d3", WEIGHTS_RATE, "÷ 3", _scaled("w_lr", 1 / 3)),
    Variation("weights-x3", WEIGHTS_RATE, "× 3", _scaled("w_lr", 3)),
    Variation("weights-x10", WEIGHTS_RATE, "× 10", _scaled("w_lr", 10)),
    Variation("logits-d4", LOGITS_RATE, "÷ 4", _scaled("alpha_lr", 1 / 4)),
    Variation("logits-x4", LOGITS_RATE, "× 4", _scaled("alpha_lr", 4)),
    Variation("cells-2", "cells", "2", _sized(layers=2)),
    Variation("cells-3", "cells", "3", _sized(layers=3)),
    Variation("nodes-3", "intermediate nodes", "3", _network(nodes=3)),
    Variation("nodes-4", "intermediate nodes", "4", _network(nodes=4)),
    Variation("candidates-4", "candidates", "4", _network(candidates=FOUR_OPS)),
    Variation("candidates-other", "candidates", "5 (DSNAS), 8 (DARTS)", _other_candidates),
    Variation("decay-0", "decay of the weights", "0", _sized(w_decay=0.0)),
    Variation("decay-x10", "decay of the weights", "× 10", _sized(w_decay=3e-3)),
    Variation("images-half", "images", "÷ 2", _images(1 / 2)),
    Variation("images-double", "images", "× 2", _images(2)),
    Variation("pixels-14", "size of the images", "14 × 14", _sized(data="fashion14")),
    Variation("batch-half", "images a step", "÷ 2", _batch(1 / 2)),
    Variation("reductions", "reduction cells", "2 of 3", _reductions),
)

# "Seed, learning rate, numbers of cells, nodes and candidates": two values of each, and the seeds of every run.
NAMED_BY_THE_PAPER = tuple(
    each
    for each in VARIATIONS
    if each.key in ("weights-d3", "weights-x3") or each.factor in ("cells", "intermediate nodes", "candidates")
)
# The learning rates of the weights, lowest first, as multiples of the base's.
RATES = {0.1: "weights-d10", 1 / 3: "weights-d3", 1.0: "base", 3.0: "weights-x3", 10.0: "weights-x10"}

DSNAS_BASE = Setting(Size(train=4000, channels=8, layers=1, epochs=12, batch=64, w_lr=0.3, alpha_lr=0.01))
DARTS_BASE = Setting(
    Size(train=150, search=2000, channels=16, layers=1, epochs=60, batch=32, w_lr=0.2, alpha_lr=1 / 60),
    candidates=FIVE_OPS,
)


def _run(setting: Setting, method: AnyMethod, reduces: str) -> Experiment[Size]:
    """A reduced run beside the run ``reduces``; at smoke it has the size of tests, and its own cells and data."""
    network = {"nodes": setting.nodes, "candidates": setting.candidates}

    def recipe(size: Size) -> SearchConfig:
        config = wiring_search(size, method, **network)
        return config.but(network=config.network.but(reductions=setting.reductions))

    size = setting.size
    smoke = replace(tiny(search=64 if size.search else 0, layers=size.layers), data=size.data)
    return Experiment(recipe, {"smoke": smoke, "laptop": size}, seeds=SEEDS, reduces=reduces)


# SNAS in the whole cell; its dose is the learning rate of the weights.
SNAS_DOSE = {0.03: "W-SNAS-w003-r", 0.1: "W-SNAS-w01-r", 0.3: "W-SNAS-w03-r", 1.0: "W-SNAS-w1-r", 2.0: "W-SNAS-w2-r"}
SNAS_TEMPERATURE = ("W-SNAS-t1-r",)  # at rate 1, its temperature 1 throughout
# And the same of the map's two methods: the rates of the weights with their runs.
_BY_KEY = {each.key: each for each in VARIATIONS}
SINGLE_LEVEL_DOSE = {times * DSNAS_BASE.size.w_lr: _BY_KEY[key].single_level for times, key in RATES.items()}
BI_LEVEL_DOSE = {times * DARTS_BASE.size.w_lr: _BY_KEY[key].bi_level for times, key in RATES.items()}


def _snas(rate: float, method: SNAS = ANNEALED) -> Experiment[Size]:
    size = Size(train=2000, channels=8, layers=1, epochs=12, batch=64, w_lr=rate, alpha_lr=0.03)
    return _run(Setting(size, nodes=4, candidates=CANDIDATES), method, "W-SNAS8")


def _reduced_darts(alpha_lr: float, w_decay: float) -> Experiment[Size]:
    """DARTS in the small cell, 400 steps; the travel of the logits is their learning rate times that."""
    size = Size(
        train=150,
        search=2000,
        channels=16,
        layers=1,
        epochs=100,
        batch=32,
        w_lr=0.1,
        alpha_lr=alpha_lr,
        w_decay=w_decay,
    )
    return _run(Setting(size, candidates=FIVE_OPS), BI_LEVEL, "W-DARTS8")


# DARTS in the small cell at the paper's travel and decay, on one level, with all the images that bi-level search has.
ALL_IMAGES = Setting(
    Size(train=2150, channels=16, layers=1, epochs=6, batch=32, w_lr=0.1, alpha_lr=0.01), candidates=FIVE_OPS
)
# DARTS in the whole cell at the paper's travel, 320 steps.
WHOLE_CELL = Setting(
    Size(train=150, search=2000, channels=8, layers=1, epochs=80, batch=32, w_lr=0.1, alpha_lr=0.0125),
    nodes=4,
    candidates=CANDIDATES,
)

EXPERIMENTS: dict[str, Experiment] = {
    **{each.single_level: _run(each.change(DSNAS_BASE), ONE_HOT, "W-DSNAS8") for each in VARIATIONS},
    **{each.bi_level: _run(each.change(DARTS_BASE), BI_LEVEL, "W-DARTS8") for each in VARIATIONS},
    **{run: _snas(rate) for rate, run in SNAS_DOSE.items()},
    "W-SNAS-t1-r": _snas(1.0, CONSTANT),
    "W-DARTS8-t4-d3-r": _reduced_darts(0.01, 3e-4),
    "W-DARTS8-t8-r": _reduced_darts(0.02, 3e-4),
    "W-DARTS8-t16-r": _reduced_darts(0.04, 3e-4),
    "W-DARTS8-t4-d0-r": _reduced_darts(0.01, 0.0),
    "W-DARTS8-t8-d0-r": _reduced_darts(0.02, 0.0),
    "W-DARTS8-t16-d0-r": _reduced_darts(0.04, 0.0),
    "W-DARTS8-t4-r": _run(WHOLE_CELL, BI_LEVEL, "W-DARTS8"),
    "W-DARTSslu-r": _run(ALL_IMAGES, DARTS(), "W-DARTS8"),
}
