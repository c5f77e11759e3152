"""Runs of SNAS: its search under the mild resource constraint beside that of DARTS, first order."""

from dataclasses import dataclass, replace

from nas_core.experiments.recipe import FIVE_OPS, FLOOR, Experiment, Size, cifar, darts_search, tiny
from nas_core.trainers.methods import DARTS, SNAS, Resource
from nas_core.trainers.random_search import Cells, RandomSearchConfig
from nas_core.trainers.settings import Data, Weights

FREE = SNAS(temperature=(1.0, 0.03))
# ``eta`` of the mild constraint is not published; 1.5e-3 is the example of the released code's description.
MILD = FREE.but(resource=Resource(weight=1.5e-3))
BI_LEVEL = DARTS(levels="bi-level")


def held_out(size: Size) -> Size:
    """With 2,000 of the images of CIFAR-10's test set to choose by, and 8,000 to report."""
    return replace(size, valid=2000, test=8000)


@dataclass(frozen=True, kw_only=True)
class DrawSize:
    """What a profile may change of random search."""

    samples: int  # networks drawn
    train: int  # images that train each of them
    valid: int  # images that choose
    test: int  # images that report
    channels: int
    layers: int  # cells
    epochs: int  # of each network
    batch: int  # images a step
    w_lr: float
    data: str = "fashion7"


def random_search(size: DrawSize) -> RandomSearchConfig:
    """Random search in the DARTS space (24 cells by DARTS's description), the baseline of every search."""
    return RandomSearchConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        data=Data(name=size.data, train=size.train, valid=size.valid, test=size.test),
        cells=Cells(channels=size.channels, layers=size.layers),
        samples=size.samples,
        weights=Weights(lr=size.w_lr, lr_min=FLOOR * size.w_lr),
        epochs=size.epochs,
        batch=size.batch,
    )


EXPERIMENTS: dict[str, Experiment] = {
    "S-SNAS-mild": Experiment(
        lambda size: darts_search(size, MILD, reductions=True),
        {
            "smoke": tiny(layers=3, held_out=100),
            "laptop": Size(
                train=960, channels=4, layers=3, epochs=14, batch=64, w_lr=0.1, alpha_lr=0.08, valid=500, test=2000
            ),
            "paper": held_out(cifar(150, 64)),
        },
        seeds=5,
    ),
    "S-DARTS1": Experiment(
        lambda size: darts_search(size, BI_LEVEL, reductions=True),
        {
            "smoke": tiny(search=64, layers=3, held_out=100),
            "laptop": Size(
                train=960,
                search=960,
                channels=4,
                layers=3,
                epochs=14,
                batch=64,
                w_lr=0.1,
                alpha_lr=0.08,
                valid=500,
                test=2000,
            ),
            "paper": held_out(cifar(50, 64, search=25_000)),
        },
        seeds=5,
    ),
    "S-SNASr": Experiment(
        lambda size: darts_search(size, FREE, reductions=False, nodes=2, candidates=FIVE_OPS),
        {
            "smoke": tiny(held_out=100),
            "laptop": Size(
                train=2000, channels=8, layers=1, epochs=16, batch=64, w_lr=0.1, alpha_lr=0.02, valid=2000, test=4000
            ),
        },
        reduces="S-SNAS-mild",
    ),
    "S-DARTS1r": Experiment(
        lambda size: darts_search(size, BI_LEVEL, reductions=False, nodes=2, candidates=FIVE_OPS),
        {
            "smoke": tiny(search=64, held_out=100),
            "laptop": Size(
                train=2000,
                search=2000,
                channels=8,
                layers=1,
                epochs=16,
                batch=64,
                w_lr=0.1,
                alpha_lr=0.02,
                valid=2000,
                test=4000,
            ),
        },
        reduces="S-DARTS1",
    ),
    "S-RAND": Experiment(
        random_search,
        {
            "smoke": DrawSize(
                samples=2, train=64, valid=100, test=100, channels=4, layers=3, epochs=1, batch=32, w_lr=0.1
            ),
            "laptop": DrawSize(
                samples=8, train=960, valid=500, test=2000, channels=4, layers=3, epochs=4, batch=64, w_lr=0.1
            ),
            "paper": DrawSize(
                samples=24,
                train=50_000,
                valid=2000,
                test=8000,
                channels=16,
                layers=8,
                epochs=100,
                batch=64,
                w_lr=0.025,
                data="cifar10",
            ),
        },
    ),
}
