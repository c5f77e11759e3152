"""The settings of Figures 27 and 28, as their captions have them."""

from itertools import product

import numpy as np
import pytest

from nas_core.cells.topology import modified_cell, simplified_cell
from nas_core.experiments import PROFILES, configs
from nas_core.experiments.wiring_ablations import EXPERIMENTS
from nas_core.report import WIRING_ORDER, op_style
from nas_core.trainers.methods import Uniform
from nas_core.trainers.search_settings import SearchConfig

KINDS = {"none": ("none",), "skip": ("skip",), "pool": ("max", "avg"), "conv": ("sep3", "dil3", "dil5", "sep5")}
ALL = "none skip pool conv"
# By panel: what (0, 1), (0, 2) and (1, 2) may draw.
PANELS = {
    "W-SIMP-a": (ALL, ALL, ALL),
    "W-SIMP-b": (ALL, ALL, "none skip pool"),
    "W-SIMP-c": (ALL, ALL, "none conv"),
    "W-SIMP-d": ("none conv", ALL, ALL),
    "W-SIMP-e": ("none pool skip", ALL, ALL),
    "W-SIMP-f": ("sep5", "sep5", ALL),
    "W-MOD-a": (ALL, ALL, ALL),
    "W-MOD-b": ("skip pool conv", ALL, ALL),
    "W-MOD-c": ("sep5", ALL, ALL),
    "W-MOD-d": ("sep5", ALL, "none pool conv"),
    "W-SIMP-f-max-r": ("max", "max", ALL),
    "W-SIMP-g-r": ("sep5", ALL, ALL),
    "W-SIMP-g-max-r": ("max", ALL, ALL),
    "W-SIMP-h-r": ("skip pool conv", ALL, ALL),
    "W-MOD-c-skip-r": ("skip", ALL, ALL),
    "W-MOD-c-max-r": ("max", ALL, ALL),
    "W-MOD-c-dil3-r": ("dil3", ALL, ALL),
    "W-MOD-c-long-r": ("sep5", ALL, ALL),
}


RUNS = list(product(PANELS, PROFILES))


def settings(run: str, profile: str = "laptop") -> SearchConfig:
    """Those of seed 0."""
    (config,) = configs(run, profile, [0])
    assert isinstance(config, SearchConfig)
    return config


def drawn(words: str) -> set[str]:
    """The operations that kinds and names stand for."""
    found: set[str] = set()
    for word in words.split():
        found |= set(KINDS.get(word, (word,)))
    return found


def test_every_run_is_a_panel_or_a_control() -> None:
    assert set(EXPERIMENTS) == set(PANELS)


@pytest.mark.parametrize(("run", "profile"), RUNS)
def test_edges_draw_what_the_panel_says(run: str, profile: str) -> None:
    config = settings(run, profile)
    space = config.network.space()
    for allowed, words in zip(space.mask(), PANELS[run], strict=True):
        names = {op_style(op).label for op in np.array(space.candidates)[allowed]}
        assert names == drawn(words)
    assert {op_style(op).label for op in space.candidates} == set(WIRING_ORDER)


@pytest.mark.parametrize(("run", "profile"), RUNS)
def test_weights_alone_learn_in_one_small_cell(run: str, profile: str) -> None:
    config = settings(run, profile)
    assert config.network.topology() == (simplified_cell() if "SIMP" in run else modified_cell())
    assert config.network.layers == 1
    assert config.method == Uniform()
    assert not config.network.head_bias
    assert "costs" in config.probes


def test_controls_differ_from_the_panels_in_what_they_are_for() -> None:
    for run, experiment in EXPERIMENTS.items():
        if experiment.reduces:
            ours, panel = settings(run), settings(experiment.reduces)
            same = ours.but(run=panel.run, network=panel.network)
            assert same == (panel.but(epochs=ours.epochs) if "long" in run else panel)
