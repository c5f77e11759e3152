"""The runs of MixPath: what a profile may not change, what the paper prints, and how a caption says it."""

import pytest

from nas_core import papers
from nas_core.experiments import PROFILES, configs
from nas_core.experiments.words import described, method_name
from nas_core.trainers.front_settings import FrontConfig
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.retraining_settings import Derived, RetrainingConfig
from nas_core.trainers.shadow_norms import ShadowNormsConfig

SUPERNETS = {"M-S1m4": (4, "shadow"), "M-S1m3": (3, "shadow"), "M-S1m4bn": (4, "plain")}
LOOKS = {"M-S1m4n": "M-S1m4", "M-S1m3n": "M-S1m3", "M-S1m4bnn": "M-S1m4bn", "M-S1m4i": "M-S1m4"}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("run", SUPERNETS)
def test_a_profile_never_changes_the_space_the_paths_and_the_norms(run: str, profile: str) -> None:
    config = configs(run, profile)[0]
    assert isinstance(config, MultiPathConfig)
    assert (config.paths.space, config.paths.most, config.paths.norms) == ("S1", *SUPERNETS[run])


@pytest.mark.parametrize("profile", PROFILES)
def test_the_control_differs_in_its_norms_alone(profile: str) -> None:
    ours, control = (configs(run, profile)[0] for run in ("M-S1m4", "M-S1m4bn"))
    assert isinstance(control, MultiPathConfig)
    assert control.but(run=ours.run, paths=control.paths.but(norms="shadow")) == ours


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_never_changes_what_the_runs_in_the_space_of_darts_are_about(profile: str) -> None:
    """m = 3 with shadow norms; both searches see one supernet and one number of children; both cells train alike."""
    (training,) = configs("M-DSP", profile, [7])
    evolution, random = (configs(run, profile, [7])[0] for run in ("M-DSPn", "M-DSPrand"))
    found, drawn = (configs(run, profile, [7])[0] for run in ("M-DSPf", "M-DSPd"))
    assert isinstance(training, MultiPathConfig)
    assert (training.paths.most, training.paths.norms) == (3, "shadow")
    assert training.paths.space == ("DARTS" if profile == "paper" else "DARTS of 3 cells")
    assert evolution.needs() == random.needs() == (training,)
    assert random.but(run=evolution.run, algorithm="NSGA-II") == evolution
    assert found.needs() == drawn.needs() == (evolution,)
    assert isinstance(found, RetrainingConfig)
    assert isinstance(drawn, RetrainingConfig)
    assert drawn.but(run=found.run, cells=found.cells) == found
    assert [config.cells for config in (found, drawn)] == [Derived(rule="front"), Derived(rule="random")]


def test_the_paper_profile_in_the_space_of_darts_has_what_is_printed() -> None:
    """60 generations and m = 3; a cell alone is trained as DARTS trains its own."""
    printed = papers.printed("mixpath_text_numbers").set_index("key")["value"]
    search, alone = configs("M-DSPn", "paper")[0], configs("M-DSPf", "paper")[0]
    assert isinstance(search, FrontConfig)
    assert isinstance(alone, RetrainingConfig)
    assert search.generations == float(printed["darts_space_generations"])
    assert search.after.paths.most == float(printed["darts_space_m"])
    assert (search.after.paths.channels, search.data.name) == (16, "cifar10")
    assert (alone.network.channels, alone.network.layers, alone.epochs) == (36, 20, 600)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("run", LOOKS)
def test_a_look_is_into_the_run_that_is_computed_anyway(run: str, profile: str) -> None:
    (look,) = configs(run, profile, [7])
    assert isinstance(look, ShadowNormsConfig)
    assert look.needs() == tuple(configs(LOOKS[run], profile, [7]))
    assert look.features == 64
    assert (look.state, look.children > 0) == (("untrained", False) if run.endswith("i") else ("trained", True))


def test_the_paper_profile_has_what_is_printed_or_released() -> None:
    config = configs("M-S1m4", "paper")[0]
    assert isinstance(config, MultiPathConfig)
    assert (config.epochs, config.batch, config.cutout, config.paths.channels) == (200, 96, 16, 32)
    weights = config.weights
    assert (weights.lr, weights.lr_min, weights.momentum) == (0.025, 1e-8, 0.9)
    assert (weights.decay, weights.clip) == (3e-4, 5.0)
    assert (config.data.name, config.data.train) == ("cifar10", 50_000)


def test_captions_name_paths_and_norms() -> None:
    names = {run: method_name(configs(run, "laptop")[0]) for run in (*SUPERNETS, *LOOKS)}
    assert names["M-S1m3"] == names["M-S1m3n"] == "MixPath with at most 3 paths and shadow batch norms"
    assert names["M-S1m4bnn"] == "MixPath with at most 4 paths and one batch norm"
    assert names["M-S1m4i"] == "MixPath with at most 4 paths and shadow batch norms before training"
    assert "(3,200 images, 8 epochs, 5 seeds)" in described(configs("M-S1m4n", "laptop"))
    assert "epoch" not in described(configs("M-S1m4i", "laptop"))
