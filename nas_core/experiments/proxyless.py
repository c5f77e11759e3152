"""Runs of ProxylessNAS on one edge: does the better candidate win when two paths are compared at a time?

One edge of a small cell chooses, and all that the network sees passes through it. The same network with a single
candidate there says which one is the better.
"""

from __future__ import annotations

from functools import partial

from nas_core.cells.operations import CANDIDATES
from nas_core.experiments.recipe import Experiment, Size, darts_search, tiny
from nas_core.trainers.methods import AnyMethod, ProxylessNAS, Uniform
from nas_core.trainers.search_settings import SearchConfig

EDGE = 1  # from the second input to the first intermediate node
CHOICES = ("none", "max_pool_3x3", "skip_connect", "dil_conv_3x3")
RIVAL = "avg_pool_3x3"  # without weights of its own, so useful early
BETTER = "max_pool_3x3"
REST = ((0, ("none",)), (2, ("none",)), (3, ("none",)), (4, ("skip_connect",)))
TWO_PATHS = Size(
    train=448, search=448, channels=8, layers=1, epochs=20, batch=64, w_lr=0.1, alpha_lr=0.05, valid=500, test=1000
)
SIZES = {"smoke": tiny(search=64, held_out=100), "laptop": TWO_PATHS}
PROBES = ("accuracy",)


def on_one_edge(method: AnyMethod, choices: tuple[str, ...], size: Size) -> SearchConfig:
    """A search in the cell of two nodes in which one edge has ``choices`` and the others have none to make."""
    candidates = tuple(op for op in CANDIDATES if op in (*CHOICES, RIVAL))
    allowed = ((EDGE, choices), *REST)
    network = {"nodes": 2, "candidates": candidates, "allowed": allowed, "reductions": False}
    return darts_search(size, method, **network).but(probes=PROBES)


def two_paths(choices: tuple[str, ...], size: Size) -> SearchConfig:
    """Two-path sampling with its rescale, and Adam without a first moment, as in the released code."""
    config = on_one_edge(ProxylessNAS(paths="two"), choices, size)
    return config.but(alpha=config.alpha.but(betas=(0.0, 0.999), decay=0.0, init_mean=0.0, init_std=1e-3))


def alone(op: str, size: Size) -> SearchConfig:
    """The network with ``op`` on the edge: only weights learn, from as many images in as many steps."""
    return on_one_edge(Uniform(levels="bi-level"), (op,), size)


def alone_run(op: str) -> str:
    """The id of the run with ``op`` alone."""
    return f"N-ALONE-{op.partition('_')[0]}-r"


EXPERIMENTS: dict[str, Experiment] = {
    "N-TWO-r": Experiment(partial(two_paths, CHOICES), SIZES, seeds=20),
    "N-TWO-rival-r": Experiment(partial(two_paths, (*CHOICES, RIVAL)), SIZES),
}
for _op in (*CHOICES, RIVAL):
    EXPERIMENTS[alone_run(_op)] = Experiment(partial(alone, _op), SIZES, seeds=5)
