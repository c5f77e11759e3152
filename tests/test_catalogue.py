"""The catalogue: disjoint seeds, and what a profile may not change."""

import json
from pathlib import Path

import pytest

from nas_core import papers
from nas_core.catalogue import PROFILES, REPORTING_SEEDS, RUN_IDS, SIZES, TUNING_SEEDS, configs, reporting_seeds
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import darts_cell
from nas_core.errors import UserError

FIGURES = Path(__file__).parents[1] / "figures"
NAMED = [run for run in RUN_IDS if not run.endswith("r")]


def test_tuning_and_reporting_seeds_are_disjoint():
    for profile in PROFILES:
        assert not set(TUNING_SEEDS) & set(reporting_seeds(profile))


def test_statistical_claims_rest_on_five_seeds_or_more():
    assert len(reporting_seeds("laptop")) >= 5
    assert len(reporting_seeds("paper")) >= 5


def test_no_committed_number_used_a_tuning_seed():
    committed = sorted(FIGURES.glob("*/*.json"))
    assert committed
    for path in committed:
        content = json.loads(path.read_text())
        used = set(content["seeds"]).union(*(claim["seeds"] for claim in content["claims"]))
        assert not used & set(TUNING_SEEDS), path.name


def test_a_tuning_seed_cannot_be_reported():
    with pytest.raises(UserError, match=r"seeds \[100\] chose the settings"):
        configs("W-DSNAS8", "smoke", [0, 100])


@pytest.mark.parametrize(("run", "profile"), [("W-DSNAS9", "smoke"), ("W-DSNAS8", "laptopp")])
def test_unknown_run_or_profile(run, profile):
    with pytest.raises(UserError, match="did you mean"):
        configs(run, profile)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("run", NAMED)
def test_a_profile_never_changes_what_a_named_run_is_about(run, profile):
    config = configs(run, profile)[0]
    assert config.network.topology() == darts_cell(4)
    assert config.network.candidates == CANDIDATES
    assert config.network.reductions == run.startswith("S-")
    # The wiring paper's networks need a classifier without bias (Theorem 2), those of SNAS have one.
    assert config.network.head_bias == run.startswith("S-")
    method = {"SNAS": "concrete", "DSNAS": "one-hot", "DARTS": "softmax"}
    assert config.method.relaxation == method[run.split("-")[1].rstrip("1268")]
    assert config.method.levels == ("bi-level" if "DARTS" in run else "single")


@pytest.mark.parametrize(
    ("run", "epochs", "batch"), [("W-SNAS8", 150, 96), ("W-DARTS8", 50, 96), ("S-SNAS-mild", 150, 64)]
)
def test_the_paper_profile_has_the_printed_settings(run, epochs, batch):
    config = configs(run, "paper")[0]
    assert (config.epochs, config.batch, config.network.layers, config.network.channels) == (epochs, batch, 8, 16)
    assert (config.weights.lr, config.weights.lr_min, config.weights.momentum) == (0.025, 0.001, 0.9)
    assert (config.weights.decay, config.alpha.lr, config.alpha.betas) == (3e-4, 3e-4, (0.5, 0.999))
    assert config.data.name == "cifar10"


def test_every_run_has_a_size_for_every_profile_and_seeds():
    assert set(SIZES) == set(RUN_IDS)
    assert all(set(sizes) == set(PROFILES) for sizes in SIZES.values())
    assert set(REPORTING_SEEDS) == set(PROFILES)


def test_artefacts_name_runs_of_the_catalogue():
    named = {run for runs in papers.artefacts().runs for run in runs.split()}
    assert named == set(RUN_IDS)
