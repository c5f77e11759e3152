"""Runs of the wiring paper on its ablations: one small cell, whose weights alone learn while paths are drawn uniformly.

The simplified and the modified cell (Fig. 8) differ in one output edge. Figures 27 and 28 restrict what their three
edges may draw: (0, 1), (0, 2) and (1, 2), which are the edges 0, 1 and 2 here.
"""

from dataclasses import replace
from functools import partial

from nas_core.experiments.recipe import Experiment, Size, cifar, tiny, wiring_search
from nas_core.trainers.methods import Uniform
from nas_core.trainers.search_settings import SearchConfig

POOLS = ("max_pool_3x3", "avg_pool_3x3")
CONVOLUTIONS = ("sep_conv_3x3", "dil_conv_3x3", "dil_conv_5x5", "sep_conv_5x5")
FIXED = ("sep_conv_5x5",)  # in the released code
Allowed = dict[int, tuple[str, ...]]

# What an edge may draw where it may not draw everything, by the letter of the panel.
SIMPLIFIED: dict[str, Allowed] = {
    "a": {},
    "b": {2: ("none", "skip_connect", *POOLS)},
    "c": {2: ("none", *CONVOLUTIONS)},
    "d": {0: ("none", *CONVOLUTIONS)},
    "e": {0: ("none", "skip_connect", *POOLS)},
    "f": {0: FIXED, 1: FIXED},
}
MODIFIED: dict[str, Allowed] = {
    "a": {},
    "b": {0: ("skip_connect", *POOLS, *CONVOLUTIONS)},
    "c": {0: FIXED},
    "d": {0: FIXED, 2: ("none", *POOLS, *CONVOLUTIONS)},
}
# Beyond the paper's settings: only (0, 1) is fixed (g), or it draws everything but none (h); another operation than
# that of the released code is fixed; and c of the modified cell is trained for longer.
OTHERS = {"skip": ("skip_connect",), "max": ("max_pool_3x3",), "dil3": ("dil_conv_3x3",)}
LAPTOP = Size(train=1000, channels=8, layers=1, epochs=30, batch=64, w_lr=0.1, alpha_lr=3e-4)
SEEDS = 6


def search(size: Size, cell: str, allowed: Allowed) -> SearchConfig:
    """Uniformly drawn paths in ``cell``, whose edges draw from what is ``allowed`` on them."""
    return wiring_search(size, Uniform(), cell=cell, allowed=tuple(allowed.items()))


def named(cell: str, allowed: Allowed) -> Experiment:
    """A run of the paper."""
    sizes = {"smoke": tiny(), "laptop": LAPTOP, "paper": cifar(150, 96, layers=1)}
    return Experiment(partial(search, cell=cell, allowed=allowed), sizes, seeds=SEEDS)


def control(cell: str, allowed: Allowed, beside: str, *, seeds: int = 5, size: Size = LAPTOP) -> Experiment:
    """A run that the paper does not have, ``beside`` one that it has."""
    sizes = {"smoke": tiny(), "laptop": size}
    return Experiment(partial(search, cell=cell, allowed=allowed), sizes, seeds=seeds, reduces=beside)


EXPERIMENTS: dict[str, Experiment] = {}
for letter, allowed in SIMPLIFIED.items():
    EXPERIMENTS[f"W-SIMP-{letter}"] = named("simplified", allowed)
for letter, allowed in MODIFIED.items():
    EXPERIMENTS[f"W-MOD-{letter}"] = named("modified", allowed)
MAX = OTHERS["max"]
EXPERIMENTS |= {
    "W-SIMP-f-max-r": control("simplified", {0: MAX, 1: MAX}, "W-SIMP-f"),
    "W-SIMP-g-r": control("simplified", {0: FIXED}, "W-SIMP-a", seeds=SEEDS),
    "W-SIMP-g-max-r": control("simplified", {0: MAX}, "W-SIMP-a"),
    "W-SIMP-h-r": control("simplified", MODIFIED["b"], "W-SIMP-a"),
    "W-MOD-c-skip-r": control("modified", {0: OTHERS["skip"]}, "W-MOD-c", seeds=SEEDS),
    "W-MOD-c-max-r": control("modified", {0: MAX}, "W-MOD-c"),
    "W-MOD-c-dil3-r": control("modified", {0: OTHERS["dil3"]}, "W-MOD-c"),
    "W-MOD-c-long-r": control("modified", MODIFIED["c"], "W-MOD-c", size=replace(LAPTOP, epochs=70)),
}
