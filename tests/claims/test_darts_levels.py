"""Checks of the levels of DARTS and of two-path sampling, on records made by hand."""

import numpy as np
import pandas as pd
import pytest
from test_claims import Fake

from nas_core.claims import CHECKS, evaluate, per_seed
from nas_core.claims.darts_levels import gap, trained_accuracy
from nas_core.claims.proxyless import favourite
from nas_core.experiments import configs
from nas_core.experiments.proxyless import BETTER, CHOICES, EDGE, alone_run

SEEDS = range(10)


def trained(run, accuracy, seed=0):
    """A record of a retraining of two epochs that ends with ``accuracy``, a share."""
    rows = [{"epoch": epoch, "split": "test", "acc": acc} for epoch, acc in ((2, accuracy), (1, 0.99))]
    return Fake(configs(run, "laptop", [seed])[0], tables={"accuracy": pd.DataFrame(rows)})


def searched(run, supernet, child, seed=0):
    """A record of a search that ends with accuracies, shares, of supernet and child by DARTS's rule, recalibrated."""
    rows = []
    for network, acc in (("supernet", supernet), ("child (darts)", child), ("child (argmax)", 0.5)):
        for statistics, shift in (("recalibrated", 0.0), ("as trained", -0.3)):
            acc += shift * (network == "supernet")  # so that the gap is another one as trained
            row = {"network": network, "split": "test", "statistics": statistics}
            rows += [{**row, "epoch": 1, "acc": 0.1}, {**row, "epoch": 2, "acc": acc}]
    return Fake(configs(run, "laptop", [seed])[0], tables={"accuracy": pd.DataFrame(rows)})


def test_the_accuracy_of_a_cell_is_that_after_its_last_epoch_in_percent():
    assert trained_accuracy(trained("N-DARTS1-child-r", 0.7)) == pytest.approx(70)


def test_the_gap_is_what_the_child_loses_in_points():
    record = searched("N-DARTS1-r", 0.8, 0.5)
    assert gap(record, "darts") == pytest.approx(30)
    assert gap(record, "argmax") == pytest.approx(30)


COMPARED = ["C-N6a", "C-N6b", "C-N6c", "C-N6d", "C-N6e", "C-N6g", "C-N6h", "C-N6i", "C-N6k", "C-N6l"]


@pytest.mark.parametrize("claim", COMPARED)
def test_the_first_run_of_a_comparison_has_to_be_ahead(claim):
    one, other = CHECKS[claim].runs
    ahead = {run: [trained(run, acc + seed / 1000, seed) for seed in SEEDS] for run, acc in ((one, 0.7), (other, 0.6))}
    assert per_seed(claim, ahead[one], ahead[other]) == pytest.approx([10] * 10)
    assert evaluate(claim, ahead).verdict == "holds"
    behind = {run: [trained(run, acc, seed) for seed in SEEDS] for run, acc in ((one, 0.6), (other, 0.7))}
    assert evaluate(claim, behind).verdict == "fails"


def test_two_paths_may_be_a_little_worse_than_all():
    """Half a point is within the margin of one, and told from a difference of just one."""
    whole = [trained("N-PROXall-child-r", 0.7, seed) for seed in SEEDS]
    for behind, verdict in ((0.005, "holds"), (0.015, "fails")):
        two = [trained("N-PROX2-child-r", 0.7 - behind - seed / 1e5, seed) for seed in SEEDS]
        found = evaluate("C-N6h", {"N-PROX2-child-r": two, "N-PROXall-child-r": whole})
        assert found.verdict == verdict
        assert found.null.value == -1
        assert found.null.reaches is False
        assert (found.p_value < 0.01) == (verdict == "holds")


@pytest.mark.parametrize(("claim", "paths"), [("C-N6f", "N-REINFORCE-r"), ("C-N6j", "N-PROX2-r")])
def test_the_gap_of_mixtures_has_to_be_wider(claim, paths):
    wide = [searched("N-DARTS1-r", 0.8, 0.3, seed) for seed in SEEDS]
    narrow = [searched(paths, 0.8, 0.7, seed) for seed in SEEDS]
    assert per_seed(claim, wide, narrow) == pytest.approx([40] * 10)
    assert evaluate(claim, {"N-DARTS1-r": wide, paths: narrow}).verdict == "holds"


def chosen(op, seed=0):
    """A record of two-path sampling whose edge ends with ``op`` ahead."""
    config = configs("N-TWO-r", "laptop", [seed])[0]
    candidates = config.network.candidates
    prob = np.full((3, 1, 5, len(candidates)), 0.1)
    prob[:2, 0, EDGE, candidates.index("none")] = 0.6
    prob[2, 0, EDGE, candidates.index(op)] = 0.6
    return Fake(config, {"prob": prob})


@pytest.mark.parametrize("op", CHOICES)
def test_the_favourite_is_that_of_the_last_epoch(op):
    assert favourite(chosen(op)) == op


def test_the_better_candidate_has_to_win_in_more_than_half_of_the_seeds():
    won = [chosen(BETTER, seed) for seed in range(20)]
    assert evaluate("C-N11b", {"N-TWO-r": won}).verdict == "holds"
    mixed = [chosen(BETTER if seed % 4 == 0 else "skip_connect", seed) for seed in range(20)]
    assert evaluate("C-N11b", {"N-TWO-r": mixed}).verdict == "fails"
    assert evaluate("C-N11b", {"N-TWO-r": mixed}).null.value == 1 / len(CHOICES)


def test_the_lead_is_over_the_best_of_the_others():
    records = []
    for run in CHECKS["C-N11c"].runs:
        acc = {alone_run(BETTER): 0.7, alone_run("dil_conv_3x3"): 0.65}.get(run, 0.2)
        row = {"epoch": 1, "network": "supernet", "split": "valid", "statistics": "as trained", "acc": acc}
        records.append([Fake(configs(run, "laptop", [0])[0], tables={"accuracy": pd.DataFrame([row])})])
    assert per_seed("C-N11c", *records) == pytest.approx([5])
