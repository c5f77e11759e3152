"""The settings of every run that figures are drawn from: one file a paper, with the profiles and seeds of all."""

from __future__ import annotations

from collections.abc import Sequence

from nas_core.errors import UserError, choose
from nas_core.experiments import (
    darts_levels,
    mixpath,
    mixpath_cells,
    mixpath_darts,
    mixpath_detection,
    mixpath_front,
    mixpath_placements,
    proxyless,
    proxyless_chains,
    proxyless_truth,
    snas,
    snas_cells,
    wiring,
    wiring_ablations,
    wiring_costs,
    wiring_levels,
    wiring_remedies,
    wiring_robustness,
)
from nas_core.experiments.recipe import Experiment
from nas_core.papers import PROFILES
from nas_core.registry import Registry
from nas_core.trainers.settings import RunConfig

__all__ = ["EXPERIMENTS", "PROFILES", "RUN_IDS", "SEEDS", "TUNING_SEEDS", "configs", "reporting_seeds"]

# Settings were chosen on the tuning seeds only; no reported number may use them.
TUNING_SEEDS = tuple(range(100, 110))
SEEDS = {"smoke": 2, "paper": 10}  # reported; at laptop each run has a number of its own

# Ids ending in ``r`` are reduced variants, which stand beside the named runs and never replace them.
EXPERIMENTS: Registry[Experiment] = Registry(
    "run",
    {
        **wiring.EXPERIMENTS,
        **wiring_costs.EXPERIMENTS,
        **wiring_ablations.EXPERIMENTS,
        **wiring_levels.EXPERIMENTS,
        **wiring_robustness.EXPERIMENTS,
        **wiring_remedies.EXPERIMENTS,
        **snas.EXPERIMENTS,
        **snas_cells.EXPERIMENTS,
        **mixpath.EXPERIMENTS,
        **mixpath_cells.EXPERIMENTS,
        **proxyless_chains.EXPERIMENTS,
        **proxyless_truth.EXPERIMENTS,
        **proxyless.EXPERIMENTS,
        **darts_levels.EXPERIMENTS,
        **mixpath_front.EXPERIMENTS,
        **mixpath_darts.EXPERIMENTS,
        **mixpath_detection.EXPERIMENTS,
        **mixpath_placements.EXPERIMENTS,
    },
)
RUN_IDS = tuple(EXPERIMENTS)  # those of the papers


def reporting_seeds(run: str, profile: str) -> tuple[int, ...]:
    """The seeds of a run that a profile reports unless a person asks for others: 0, 1, 2, ..."""
    choose("run", run, EXPERIMENTS)
    choose("profile", profile, PROFILES)
    return tuple(range(SEEDS.get(profile, EXPERIMENTS[run].seeds)))


def configs(run: str, profile: str, seeds: Sequence[int] | None = None) -> list[RunConfig]:
    """One config per seed of the run ``run``; a tuning seed is refused, since it may not be reported."""
    chosen = reporting_seeds(run, profile) if seeds is None else tuple(seeds)
    used = set(chosen) & set(TUNING_SEEDS)
    if used:
        raise UserError(
            f"seeds {sorted(used)} chose the settings and may not be reported; any other non-negative integers may"
        )
    config = EXPERIMENTS[choose("run", run, EXPERIMENTS)].config(run, choose("profile", profile, PROFILES))
    return [config.but(seed=seed) for seed in chosen]
