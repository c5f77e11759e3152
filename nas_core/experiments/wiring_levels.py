"""Runs of the wiring paper on what bi-level search does to the costs: equal logits that rest, costs on both halves.

Few training images, which the weights overfit, beside many search images, which they never see.
"""

from nas_core.cells.operations import CANDIDATES
from nas_core.experiments.recipe import Experiment, Size, cifar, tiny, wiring_search
from nas_core.trainers.methods import DARTS, Levels
from nas_core.trainers.observer import CALIBRATION
from nas_core.trainers.search_settings import SearchConfig

PROBES = ("losses", "costs", CALIBRATION)
NO_SKIP = tuple(op for op in CANDIDATES if op != "skip_connect")


def resting(size: Size, levels: Levels) -> SearchConfig:
    """DARTS in minimal cells, its logits exactly equal and at rest; no skip on edge 4, which would pass costs on."""
    method = DARTS(levels=levels, update_alpha=False)
    search = wiring_search(size, method, cell="minimal", allowed=((4, NO_SKIP),))
    return search.but(alpha=search.alpha.but(init_std=0.0), probes=PROBES)


def halves(size: Size) -> SearchConfig:
    """Weights learn from the training half; costs are read on both."""
    return resting(size, "bi-level")


def together(size: Size) -> SearchConfig:
    """The control: the images of both halves together train the weights, and the costs are read on them."""
    return resting(size, "single")


def laptop(train: int, search: int, epochs: int) -> Size:
    """About 400 steps."""
    return Size(
        train=train,
        search=search,
        channels=8,
        layers=2,
        epochs=epochs,
        batch=32,
        w_lr=0.1,
        alpha_lr=0.05,
    )


EXPERIMENTS: dict[str, Experiment] = {
    "W-DTH8m": Experiment(
        halves,
        {"smoke": tiny(search=64), "laptop": laptop(300, 2000, 44), "paper": cifar(50, 64, search=25_000)},
    ),
    "W-DTH8m-slr": Experiment(
        together,
        {"smoke": tiny(), "laptop": laptop(2300, 0, 6)},
        seeds=5,
        reduces="W-DTH8m",
    ),
}
