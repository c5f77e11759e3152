"""Runs of "Understanding the wiring evolution in differentiable NAS": the three patterns P1, P2 and P3."""

from nas_core.experiments.recipe import FIVE_OPS, Experiment, Size, cifar, tiny, wiring_search
from nas_core.trainers.methods import DARTS, DSNAS, SNAS

ANNEALED = SNAS(temperature=(1.0, 0.03))
ONE_HOT = DSNAS(cost_clamp=5.0)
BI_LEVEL = DARTS(levels="bi-level")

EXPERIMENTS = {
    "W-SNAS8": Experiment(
        lambda size: wiring_search(size, ANNEALED),
        {
            "smoke": tiny(),
            "laptop": Size(train=2000, channels=8, layers=1, epochs=12, batch=64, w_lr=0.3, alpha_lr=0.03),
            "paper": cifar(150, 96),
        },
    ),
    "W-DSNAS8": Experiment(
        lambda size: wiring_search(size, ONE_HOT),
        {
            "smoke": tiny(),
            "laptop": Size(train=8000, channels=8, layers=1, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.01),
            "paper": cifar(150, 96),
        },
    ),
    "W-DARTS8": Experiment(
        lambda size: wiring_search(size, BI_LEVEL),
        {
            "smoke": tiny(search=64),
            "laptop": Size(
                train=150, search=2000, channels=8, layers=1, epochs=80, batch=32, w_lr=0.1, alpha_lr=0.05, w_decay=0.0
            ),
            "paper": cifar(50, 96, search=25_000),
        },
    ),
    "W-SNAS8r": Experiment(
        lambda size: wiring_search(size, SNAS(temperature=(0.3, 0.03)), nodes=2, candidates=FIVE_OPS),
        {
            "smoke": tiny(),
            "laptop": Size(train=3000, channels=8, layers=1, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.005),
        },
    ),
    "W-DSNAS8r": Experiment(
        lambda size: wiring_search(size, ONE_HOT, nodes=2),
        {
            "smoke": tiny(layers=2),
            "laptop": Size(train=8000, channels=8, layers=2, epochs=16, batch=64, w_lr=0.3, alpha_lr=0.003),
        },
    ),
    "W-DARTS8r": Experiment(
        lambda size: wiring_search(size, BI_LEVEL, nodes=2, candidates=FIVE_OPS),
        {
            "smoke": tiny(search=64),
            "laptop": Size(
                train=150,
                search=2000,
                channels=16,
                layers=1,
                epochs=100,
                batch=32,
                w_lr=0.1,
                alpha_lr=0.05,
                w_decay=0.0,
            ),
        },
    ),
    # The control of P3: the same network on one level.
    "W-DARTSslr": Experiment(
        lambda size: wiring_search(size, DARTS(), nodes=2, candidates=FIVE_OPS),
        {
            "smoke": tiny(),
            "laptop": Size(
                train=150, channels=16, layers=1, epochs=100, batch=32, w_lr=0.1, alpha_lr=0.05, w_decay=0.0
            ),
        },
    ),
}
