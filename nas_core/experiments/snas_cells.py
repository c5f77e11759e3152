"""Runs of SNAS on its cells: resource constraints, retraining, baselines."""

from nas_core.experiments.recipe import Experiment

EXPERIMENTS: dict[str, Experiment] = {}
