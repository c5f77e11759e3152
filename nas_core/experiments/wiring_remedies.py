"""Runs of the wiring paper on its remedies."""

from nas_core.experiments.recipe import Experiment

EXPERIMENTS: dict[str, Experiment] = {}
