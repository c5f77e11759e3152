"""Runs of the wiring paper on its costs."""

from nas_core.experiments.recipe import Experiment

EXPERIMENTS: dict[str, Experiment] = {}
