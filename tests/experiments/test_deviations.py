"""The table of deviations: every field has a label, equal ones are left out, and constants agree with their source."""

from typing import get_args

import numpy as np
import pytest
import torch

from nas_core.data import SOURCES, load
from nas_core.errors import UserError
from nas_core.experiments import EXPERIMENTS, PROFILES, RUN_IDS, configs
from nas_core.experiments.deviations import (
    IDENTITY,
    KNOWN,
    LABELS,
    READINGS,
    augmentation,
    deviations,
    fields,
    in_words,
)
from nas_core.trainers.cost_probe import CostProbeConfig
from nas_core.trainers.enas_settings import ControllerConfig
from nas_core.trainers.methods import AnyMethod, Remedy, Resource
from nas_core.trainers.random_search import RandomSearchConfig
from nas_core.trainers.retraining_settings import AnyCells, RetrainingConfig
from nas_core.trainers.search_settings import SearchConfig

METHODS = get_args(get_args(AnyMethod)[0])


def every_field() -> set[str]:
    """By dotted name, of every kind of run and every method, with a resource constraint."""
    found = set()
    for run in RUN_IDS:
        found |= {place for place, _ in fields(configs(run, "laptop", [0])[0])}
    for method in METHODS:
        found |= {f"method.{name}" for name in method.model_fields}
    found |= {f"method.resource.{name}" for name in Resource.model_fields}
    found |= {f"method.remedy.{name}" for name in Remedy.model_fields}
    for cells in get_args(get_args(AnyCells)[0]):
        found |= {f"cells.{name}" for name in cells.model_fields}
    for kind in (SearchConfig, RandomSearchConfig, ControllerConfig, RetrainingConfig, CostProbeConfig):
        for name, field in kind.model_fields.items():
            settings = getattr(field.annotation, "model_fields", {})
            found |= {f"{name}.{inner}" for inner in settings} or {name} - {"method", "cells"}
    return found


def test_every_field_of_the_settings_has_a_label_and_every_label_a_field() -> None:
    assert every_field() - IDENTITY == set(LABELS) - {"augmentation", "travel", "controller travel"}


def test_a_field_without_a_label_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(LABELS, "alpha.clip")
    with pytest.raises(UserError, match=r"the setting 'alpha.clip' has no label"):
        deviations(["W-SNAS8"], "laptop")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("run", RUN_IDS)
def test_exact_rows_are_the_fields_that_differ(run: str, profile: str) -> None:
    """Against the settings themselves: no difference is missing and no equal field is listed."""
    here, paper = configs(run, profile, [0])[0], configs(EXPERIMENTS[run].reduces or run, "paper", [0])[0]
    ours, printed = dict(fields(here)), dict(fields(paper))
    differ = {LABELS[place] for place in ours.keys() | printed.keys() - IDENTITY if place not in IDENTITY
              and ours.get(place, "no such") != printed.get(place, "no such")}  # fmt: skip
    table = deviations([run], profile)
    derived = {LABELS["augmentation"], LABELS["travel"], LABELS["controller travel"]}
    readings = [(r.setting, r.paper, r.here) for r in READINGS]
    listed = list(table[["setting", "paper", "here"]].itertuples(index=False, name=None))
    assert {setting for setting, *rest in listed if (setting, *rest) not in readings} - derived == differ
    assert (table.runs == "all").all()


def test_what_was_undisclosed_is_listed() -> None:
    table = deviations(["W-DARTS8", "S-SNAS-mild"], "laptop").set_index("setting")
    assert table.here["crop and mirror"] == "none"
    assert table.paper["crop and mirror"] == "crop after padding by 4 pixels, and mirror"
    assert {"learning rate of the weights", "gradient of the resources", "training images"} <= set(table.index)
    travel = table.loc["travel of the logits (learning rate × steps)", ["runs", "paper", "here"]]
    assert travel.tolist() == ["DARTS, bi-level", "3.9", "16"], "SNAS's logits travel as far as in the paper"


def test_the_control_of_p3_is_said_to_see_other_images() -> None:
    table = deviations(["W-DARTSslr"], "laptop", named="W-DARTS8").set_index("setting")
    assert table.loc["images for the logits alone", ["paper", "here"]].tolist() == ["25,000", "0"]
    assert table.loc["levels", ["paper", "here"]].tolist() == ["bi-level", "single"]


def test_runs_with_the_same_difference_share_a_row() -> None:
    table = deviations(["W-SNAS8", "W-DSNAS8"], "laptop")
    assert not table.duplicated(["setting", "paper", "here"]).any()
    rows = table.set_index("setting").runs
    assert rows["cells stacked"] == "all"
    assert sorted(rows["epochs"]) == ["DSNAS", "SNAS"]


def test_numbers_are_written_as_people_write_them() -> None:
    words = in_words(configs("W-SNAS8", "paper", [0])[0])
    assert words["images for the weights"] == "50,000"
    assert words["decay of the weights"] == "3 × 10⁻⁴"
    assert words["added to the variance by the normalisers"] == "1 × 10⁻⁵"
    assert words["temperature in the first and the last epoch"] == "1, 0.03"
    assert "skip connect, sep conv 3 × 3" in words["candidate operations"]


class Cifar:
    """Stands in for torchvision's CIFAR10."""

    def __init__(self, root: str, train: bool) -> None:
        self.data = np.zeros((2010, 32, 32, 3), dtype=np.uint8)
        self.targets = [0] * 2010


def test_what_is_said_of_cifar_is_what_its_source_does(monkeypatch: pytest.MonkeyPatch, fresh_sources: None) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Cifar)
    loaded = load("cifar10", train=1)
    height, width = loaded.size
    said = (f"{loaded.source.title}, {height} × {width} pixels", augmentation(loaded.source.pad, loaded.source.flip))
    assert {"cifar10": said} == KNOWN
    assert set(KNOWN) <= set(SOURCES)
    assert torch.equal(loaded.splits["train"].labels, torch.zeros(1, dtype=torch.long))
