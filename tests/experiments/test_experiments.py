"""The settings of the papers' runs: disjoint seeds, what a profile may not change, and every number pinned."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from nas_core import papers
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import darts_cell, minimal_cell
from nas_core.claims import CHECKS
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.experiments import (
    EXPERIMENTS,
    PROFILES,
    RUN_IDS,
    TUNING_SEEDS,
    configs,
    reporting_seeds,
    snas,
    wiring,
    wiring_costs,
)
from nas_core.trainers.cost_probe import CostProbeConfig
from nas_core.trainers.methods import Uniform
from nas_core.trainers.random_search import RandomSearchConfig
from nas_core.trainers.search_settings import SearchConfig

FIGURES = Path(__file__).parents[2] / "figures"
PINNED = Path(__file__).with_name("keys.csv")
SEARCHES = [run for run in RUN_IDS if isinstance(configs(run, "laptop", [0])[0], SearchConfig)]
NAMED = [run for run in SEARCHES if not run.endswith("r")]
ARCHITECTURES = [run for run in (*wiring.EXPERIMENTS, *snas.EXPERIMENTS) if run in NAMED]  # whose logits learn
MINIMAL = ("W-DSNAS8m",)


@pytest.mark.parametrize("run", RUN_IDS)
def test_tuning_and_reporting_seeds_are_disjoint(run):
    for profile in PROFILES:
        assert not set(TUNING_SEEDS) & set(reporting_seeds(run, profile))


@pytest.mark.parametrize("run", RUN_IDS)
def test_statistical_claims_rest_on_five_seeds_or_more(run):
    assert len(reporting_seeds(run, "laptop")) >= 5
    assert len(reporting_seeds(run, "paper")) >= 5
    assert [config.seed for config in configs(run, "laptop")] == list(reporting_seeds(run, "laptop"))


def test_runs_that_a_claim_compares_share_the_seeds_of_the_one_that_has_the_fewest():
    for profile in PROFILES:
        for claim, check in CHECKS.items():
            seeds = [set(reporting_seeds(run, profile)) for run in check.runs]
            assert not seeds or min(seeds, key=len) == set.intersection(*seeds), (claim, profile)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("run", "control"), [("W-DARTS8", "W-DARTS8sl"), ("W-DARTS8r", "W-DARTSslr")])
def test_the_controls_of_p3_differ_from_it_in_their_levels_alone(run, control, profile):
    """The same images train the weights of a seed, in the whole cell and in the reduced one."""
    assert configs(control, profile, [7])[0].data.search == 0
    ours, single = (configs(name, profile, [7])[0] for name in (run, control))
    assert single.method.levels == "single"
    assert single.but(run=ours.run, method=ours.method, data=ours.data) == ours
    if profile == "laptop":
        images = [load(c.data.name, **c.data.model_dump(exclude={"name"}), seed=c.seed).splits for c in (ours, single)]
        assert torch.equal(images[0]["train"].images, images[1]["train"].images)


def test_the_reduced_p3_has_the_decay_and_the_travel_of_the_paper():
    reduced, paper = configs("W-DARTS8r", "laptop")[0], configs("W-DARTS8", "paper")[0]
    assert reduced.weights.decay == paper.weights.decay == 3e-4
    travels = [c.alpha.lr * c.epochs * c.steps_per_epoch for c in (reduced, paper)]
    assert travels[0] == pytest.approx(travels[1], rel=0.05)


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
@pytest.mark.parametrize("run", ARCHITECTURES)
def test_a_profile_never_changes_what_a_named_run_is_about(run, profile):
    config = configs(run, profile)[0]
    assert config.network.topology() == darts_cell(2 if run in MINIMAL else 4)
    assert config.network.candidates == CANDIDATES
    assert config.network.reductions == run.startswith("S-")
    # The wiring paper's networks need a classifier without bias (Theorem 2), those of SNAS have one.
    assert config.network.head_bias == run.startswith("S-")
    assert config.method.update_alpha
    assert config.method.update_theta
    method = {"SNAS": "concrete", "DSNAS": "one-hot", "DARTS": "softmax"}
    assert config.method.relaxation == method[run.split("-")[1].removesuffix("sl").rstrip("1268m")]
    assert config.method.levels == ("bi-level" if "DARTS" in run and not run.endswith("sl") else "single")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_never_changes_what_the_runs_on_two_halves_are_about(profile):
    """Minimal cells whose logits are equal and rest, no skip on edge 4; the control has all images on one level."""
    ours, control = (configs(run, profile)[0] for run in ("W-DTH8m", "W-DTH8m-slr"))
    for config in (ours, control):
        network = config.network
        assert network.topology() == minimal_cell()
        assert network.candidates == CANDIDATES
        assert set(CANDIDATES) - set(dict(network.allowed)[4]) == {"skip_connect"}
        assert not network.head_bias
        assert not config.method.update_alpha
        assert config.method.relaxation == "softmax"
        assert config.alpha.init_std == 0
    assert (ours.method.levels, control.method.levels) == ("bi-level", "single")
    if profile == "laptop":
        assert control.data.train == ours.data.train + ours.data.search
        steps = [config.epochs * config.steps_per_epoch for config in (ours, control)]
        assert steps[1] == pytest.approx(steps[0], rel=0.1)
        fields = {"run": ours.run, "seed": ours.seed, "method": ours.method, "data": ours.data, "epochs": ours.epochs}
        assert control.but(**fields) == ours


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("run", wiring_costs.EXPERIMENTS)
def test_a_profile_never_changes_whose_costs_are_measured(run, profile):
    """Cells, their number, candidates, uniform paths; a probe near convergence takes the run that is trained."""
    config = configs(run, profile)[0]
    network = config.network
    assert network.layers == (8 if "8" in run else 1)
    assert network.topology() == (darts_cell(4) if "8o" in run or run == "W-TH8o" else minimal_cell())
    assert network.candidates == CANDIDATES
    assert network.allowed == (((4, wiring_costs.NOT_SKIP),) if run == "W-TH1x" else ())
    assert not any([network.reductions, network.head_bias, network.affine])
    assert network.eps == (1e-8 if network.layers == 8 and network.cell == "minimal" and profile != "paper" else 1e-5)
    assert network.order == {"W-CRB1": "crb", "W-CBR1": "cbr"}.get(run.rstrip("ic"), "rcb")
    if isinstance(config, CostProbeConfig):
        trained = {"W-MC1c": "W-TH1", "W-MC8mc": "W-TH8m", "W-MC8oc": "W-TH8o"}.get(run, run.rstrip("c"))
        assert config.needs() == (tuple(configs(trained, profile, [0])) if run.endswith("c") else ())
        assert config.networks == (1 if run.endswith("c") else 10)
    else:
        assert config.method == Uniform()
        assert config.keep_weights


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
    """A reduced run has none of its own at paper, where it stays as it is at laptop."""
    for run, experiment in EXPERIMENTS.items():
        reduced = run.endswith("r")
        assert set(experiment.sizes) == set(PROFILES) - ({"paper"} if reduced else set())
        if reduced:
            assert configs(run, "paper")[0].but(profile="laptop") == configs(run, "laptop")[0]


# As printed, or as released where the papers are silent: by run, dotted field and value.
SINGLE = {"epochs": 150, "alpha.lr": 3e-4, "alpha.init_mean": 1.0, "alpha.init_std": 0.01, "data.train": 50_000}
BI_LEVEL = {"epochs": 50, "alpha.lr": 3e-4, "alpha.init_mean": 0.0, "alpha.init_std": 1e-3, "method.levels": "bi-level"}
HALVES = {"data.train": 25_000, "data.search": 25_000}
WIRING = {"batch": 96, "alpha.clip": 10.0, "weights.lr": 0.025, "weights.decay": 3e-4, "network.head_bias": False}
CELLS = {"batch": 64, "alpha.clip": None, "weights.lr": 0.025, "network.reductions": True, "data.test": 8000}
ANNEALED = {"method.temperature": (1.0, 0.03)}
MILD = {"method.resource.weight": 1.5e-3, "method.resource.penalty": "log"}
SECOND = {"method.relaxation": "softmax", "method.estimator.radius": 0.01}
# Weights as in the released micro search of ENAS; the controller over edges is that of AutoDL's code.
ENAS = {
    "epochs": 150,
    "batch": 160,
    "data.train": 45_000,
    "data.search": 5000,
    "weights.lr": 0.05,
    "weights.lr_min": 0.0005,
    "weights.decay": 1e-4,
    "controller.layers": 2,
    "controller.size": 32,
    "controller.tanh": 2.5,
    "controller.temperature": 5.0,
    "controller.lr": 1e-3,
    "controller.steps": 50,
    "controller.samples": 20,
    "controller.clip": 5.0,
    "controller.baseline_decay": 0.99,
    "controller.entropy_weight": 1e-4,
}
PAPER = {
    "W-SNAS8": SINGLE | WIRING | ANNEALED,
    "W-DSNAS8": SINGLE | WIRING | {"method.cost_clamp": 5.0},
    "W-DSNAS8m": SINGLE | WIRING | {"method.cost_clamp": 5.0, "network.layers": 8, "network.nodes": 2},
    "W-DARTS8": BI_LEVEL | HALVES | WIRING,
    "W-DTH8m": BI_LEVEL | HALVES | WIRING | {"batch": 64, "alpha.init_std": 0.0, "network.layers": 8},
    "S-SNAS-mild": SINGLE | CELLS | ANNEALED | MILD | {"method.resource.estimator": "reparametrised"},
    "S-DARTS1": BI_LEVEL | HALVES | CELLS,
    "S-DARTS2": {k: v for k, v in BI_LEVEL.items() if k != "method.levels"} | HALVES | CELLS | SECOND,
    "S-ENAS": ENAS,
}


@pytest.mark.parametrize("run", PAPER)
def test_the_paper_profile_has_what_is_printed_or_released(run):
    config = configs(run, "paper")[0]
    for place, expected in PAPER[run].items():
        value = config
        for name in place.split("."):
            value = getattr(value, name)
        assert value == expected, place


def test_random_search_draws_as_many_cells_as_darts_does():
    config = configs("S-RAND", "paper")[0]
    assert isinstance(config, RandomSearchConfig)
    assert config.samples == 24


def test_all_settings_are_pinned():
    """Every setting of every run at every profile, by its key. A change has to be meant: run this file to write it."""
    expected = pd.read_csv(PINNED, index_col="run")
    pd.testing.assert_frame_equal(keys(), expected)


def keys():
    """The key of seed 0, which counts every setting: a row a run, a column a profile."""
    rows = {run: {profile: configs(run, profile, [0])[0].key() for profile in PROFILES} for run in RUN_IDS}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def test_committed_keys_are_those_of_the_runs():
    """Each committed picture names runs that artefacts.csv gives its artefact, at the settings and seeds of today."""
    runs_of = papers.artefacts().runs
    for path in sorted(FIGURES.glob("*/*.json")):
        content = json.loads(path.read_text())
        listed = runs_of["-".join(content["id"].split("-")[:2])]  # WI-F1-b is a part of WI-F1
        drawn = dict.fromkeys(key.partition("-laptop-")[0] for key in content["runs"])
        assert set(drawn) <= set(listed.split()), path.name  # a picture may draw some of them, in an order of its own
        expected = []
        for run in drawn:
            expected += [config.key() for config in configs(run, content["profile"])]
        assert content["runs"] == expected, path.name
        # What is shown beside an item may be the paper's own; the item that is only printed is the table for ImageNet.
        if content["id"] in runs_of.index and content["id"] != "SN-T3":
            assert bool(content["runs"]) == bool(listed), path.name


def test_artefacts_name_runs_that_there_are():
    named = {run for runs in papers.artefacts().runs for run in runs.split()}
    assert named == set(RUN_IDS)


if __name__ == "__main__":
    keys().to_csv(PINNED)
