"""Runs of the wiring paper on its robustness."""

from nas_core.experiments.recipe import Experiment

EXPERIMENTS: dict[str, Experiment] = {}
