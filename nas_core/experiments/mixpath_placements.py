"""Runs of the study of placements: supernets of S4 whose shadow norms stand elsewhere, or are never called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nas_core.cells.mixpath import AFTER_SUM, NEVER
from nas_core.experiments.mixpath_cells import SUPERNET, CellSize, ScoreSize, score_sizes, scores, supernet
from nas_core.experiments.recipe import Experiment
from nas_core.trainers.cell_scores import CellScoresConfig
from nas_core.trainers.multipath_settings import MultiPathConfig

# Without a norm the sums of several paths are longer, and the usual rate is too high: of 0.1 and 0.03, that of the
# smaller training loss on seed 100. The norm after the sum keeps the usual rate by the same test.
UNCALLED: Mapping[str, CellSize] = {**SUPERNET, "laptop": replace(SUPERNET["laptop"], w_lr=0.03)}


def placed(size: CellSize, placement: str) -> MultiPathConfig:
    """The supernet with shadow norms and all its settings, but for where these norms stand."""
    usual = supernet(size, "shadow")
    return usual.but(paths=usual.paths.but(placement=placement))


def placed_scores(size: ScoreSize, run: str, placement: str) -> CellScoresConfig:
    """The scores of the supernet ``run``, beside the same cells alone as those of the usual one."""
    usual = scores(size, run, "shadow")
    return usual.but(after=placed(size.supernet, placement).but(run=run))


def uncalled_scores() -> Mapping[str, ScoreSize]:
    """By profile, the sizes of the scores of the supernet whose norms are never called."""
    return {profile: replace(size, supernet=UNCALLED[profile]) for profile, size in score_sizes().items()}


EXPERIMENTS: dict[str, Experiment] = {
    "M-S4sum": Experiment(lambda size: placed(size, AFTER_SUM), SUPERNET, seeds=5),
    "M-S4uncalled": Experiment(lambda size: placed(size, NEVER), UNCALLED, seeds=5),
    "M-S4sump": Experiment(lambda size: placed_scores(size, "M-S4sum", AFTER_SUM), score_sizes(), seeds=5),
    "M-S4uncalledp": Experiment(lambda size: placed_scores(size, "M-S4uncalled", NEVER), uncalled_scores(), seeds=5),
}
