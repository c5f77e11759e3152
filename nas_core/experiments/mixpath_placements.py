"""Runs of the study of placements: supernets of S4 whose shadow norms stand elsewhere, or are never called."""

from __future__ import annotations

from nas_core.cells.mixpath import AFTER_SUM, NEVER
from nas_core.experiments.mixpath_cells import SUPERNET, CellSize, ScoreSize, score_sizes, scores, supernet
from nas_core.experiments.recipe import Experiment
from nas_core.trainers.cell_scores import CellScoresConfig
from nas_core.trainers.multipath_settings import MultiPathConfig


def placed(size: CellSize, placement: str) -> MultiPathConfig:
    """The supernet with shadow norms and all its settings, but for where these norms stand."""
    usual = supernet(size, "shadow")
    return usual.but(paths=usual.paths.but(placement=placement))


def placed_scores(size: ScoreSize, run: str, placement: str) -> CellScoresConfig:
    """The scores of the supernet ``run``, beside the same cells alone as those of the usual one."""
    usual = scores(size, run, "shadow")
    return usual.but(after=placed(size.supernet, placement).but(run=run))


EXPERIMENTS: dict[str, Experiment] = {
    "M-S4sum": Experiment(lambda size: placed(size, AFTER_SUM), SUPERNET, seeds=5),
    "M-S4never": Experiment(lambda size: placed(size, NEVER), SUPERNET, seeds=5),
    "M-S4sump": Experiment(lambda size: placed_scores(size, "M-S4sum", AFTER_SUM), score_sizes(), seeds=5),
    "M-S4neverp": Experiment(lambda size: placed_scores(size, "M-S4never", NEVER), score_sizes(), seeds=5),
}
