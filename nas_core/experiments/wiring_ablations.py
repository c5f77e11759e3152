"""Runs of the wiring paper on its ablations."""

from nas_core.experiments.recipe import Experiment

EXPERIMENTS: dict[str, Experiment] = {}
