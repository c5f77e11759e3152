"""Supernets whose shadow norms stand elsewhere: settings, training, and the features that their scores keep."""

import pytest
import torch
from small import generator

from nas_core.cells.mixpath import AFTER_PROJECTION, AFTER_SUM, NEVER
from nas_core.cells.multipath import PLACED, SPACES
from nas_core.errors import UserError
from nas_core.experiments import configs
from nas_core.experiments.words import method_name
from nas_core.trainers.cell_scores import CellScoresConfig, grams
from nas_core.trainers.kinds import settings_from
from nas_core.trainers.multipath import MultiPathTraining
from nas_core.trainers.multipath_settings import MultiPathConfig, Paths
from nas_core.trainers.shadow_norms import ShadowNormsConfig

RUNS = {"M-S4": AFTER_PROJECTION, "M-S4sum": AFTER_SUM, "M-S4uncalled": NEVER}


def config(run: str, profile: str = "smoke") -> MultiPathConfig:
    found = configs(run, profile, [3])[0]
    assert isinstance(found, MultiPathConfig)
    return found


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_the_runs_differ_in_the_placement_and_at_laptop_in_one_rate(profile: str) -> None:
    usual, scored = config("M-S4", profile), configs("M-S4p", profile, [3])[0]
    assert isinstance(scored, CellScoresConfig)
    for run, placement in RUNS.items():
        other = config(run, profile)
        assert other.paths.placement == placement
        slower = run == "M-S4uncalled" and profile == "laptop"
        assert other.weights.lr == (0.03 if slower else usual.weights.lr)
        same = other.but(paths=other.paths.but(placement=AFTER_PROJECTION), weights=usual.weights)
        assert same.but(run="M-S4") == usual
        scores = configs(f"{run}p", profile, [3])[0]
        assert isinstance(scores, CellScoresConfig)
        assert scores.after == other
        assert scores.but(run="M-S4p", after=usual) == scored


def test_exact_the_usual_placement_is_no_part_of_a_key_and_another_one_is() -> None:
    assert "placement" not in config("M-S4").identity()["paths"]
    assert config("M-S4sum").identity()["paths"]["placement"] == AFTER_SUM
    assert settings_from(config("M-S4uncalled").identity()) == config("M-S4uncalled")


def test_a_training_builds_what_its_settings_say() -> None:
    for run, placement in RUNS.items():
        training = MultiPathTraining(config(run))
        training.step()
        assert {cell.placement for cell in training.supernet.cells} == {placement}


@pytest.mark.parametrize(("space", "placement", "sentence"), [
    ("S1", NEVER, r"Paths.placement: S1 has no 'never called'; allowed: after the projection, after the sum"),
    ("S4", "before", "unknown placement of the batch norms 'before'"),
])  # fmt: skip
def test_settings_refuse_a_placement_that_the_space_does_not_have(space: str, placement: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Paths(space=space, channels=4, placement=placement)
    assert Paths(space="S1", channels=4, placement=AFTER_SUM).placed == {"placement": AFTER_SUM}


def test_a_space_with_one_place_is_not_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PLACED, "S4")
    assert Paths(space="S4", channels=4).placed == {}
    with pytest.raises(UserError, match="S4 has no 'after the sum'"):
        Paths(space="S4", channels=4, placement=AFTER_SUM)


def test_a_look_at_norms_after_the_sum_is_refused() -> None:
    look = configs("M-S1m4n", "smoke", [3])[0]
    assert isinstance(look, ShadowNormsConfig)
    moved = look.supernet.but(paths=look.supernet.paths.but(placement=AFTER_SUM))
    with pytest.raises(UserError, match="only norms after the projection are looked at"):
        look.but(supernet=moved)


@pytest.mark.parametrize("placement", RUNS.values())
def test_exact_features_are_those_that_norm_and_relu_are_given(placement: str) -> None:
    """Where the norm stands after the sum it is given the paths; where it is never called, it makes nothing."""
    model = SPACES["S4 of 3 cells"](
        channels=4,
        most=4,
        norms="shadow",
        classes=10,
        in_channels=1,
        generator=generator(),
        placement=placement,
    )
    for cell in model.cells:
        for norm in cell.norm.norms:
            torch.nn.init.constant_(norm.running_var, 4.0)
    found = grams(model, torch.randn(5, 1, 7, 7, generator=generator(1)))
    assert torch.equal(found["gram_before"], found["gram_paths"]) == (placement == AFTER_SUM)
    assert torch.equal(found["gram_before"], found["gram_after"]) == (placement == NEVER)


def test_a_caption_says_an_unusual_placement_alone() -> None:
    names = [method_name(config(run)).removeprefix("MixPath with at most 4 paths and ") for run in RUNS]
    assert names == ["shadow batch norms", "shadow batch norms after the sum", "shadow batch norms never called"]
