"""The study of robustness on records made by hand, where the right number is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_claims import Fake

from nas_core.claims import evaluate, per_seed
from nas_core.claims.wiring_robustness import clear_and_collapsed, clearness, early_cost, told_apart
from nas_core.experiments import configs
from nas_core.experiments.wiring_robustness import (
    BI_LEVEL_DOSE,
    DARTS_BASE,
    DSNAS_BASE,
    NAMED_BY_THE_PAPER,
    SINGLE_LEVEL_DOSE,
    SNAS_DOSE,
    VARIATIONS,
)

SEEDS = range(5)
EPOCHS = 9
RECOVERS, LOST, UNMOVED = (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)  # shares of the input edges dropped early, and at the end


def searched(run: str, inputs: tuple[float, float], *, intermediate: float = 1.0, seed: int = 0) -> Fake:
    """A record in which none wins on a share of the input edges, early and late, and of the intermediate ones, late."""
    config = configs(run, "laptop", [seed])[0].but(epochs=EPOCHS)
    graph, ops = config.network.topology(), len(config.network.candidates)
    prob = np.full((EPOCHS + 1, 1, len(graph.edges), ops), 0.05)
    prob[..., 2] = 0.65
    for epochs, share, rest in ((slice(1, 5), inputs[0], inputs[0]), (slice(5, None), inputs[1], intermediate)):
        for edges, part in ((graph.input_edges, share), (graph.intermediate_edges, rest)):
            for edge in edges[: round(part * len(edges))]:
                prob[epochs, 0, edge, 2] = 0.05
                prob[epochs, 0, edge, 0] = 0.65
    return Fake(config, {"prob": prob})


def with_costs(record: Fake, mean: float, rms: float = 1.0) -> Fake:
    """The record with costs that are alike on all edges, and L - H equal to ``mean``."""
    graph, network = record.config.network.topology(), record.config.network
    shape = (EPOCHS, network.layers, len(graph.edges), len(network.candidates))
    count = np.full(shape, 10.0)
    record.arrays.update(cost_n=count, cost_sum=mean * count, cost_sq=rms**2 * count)
    rows = [
        {"epoch": epoch, "split": split, "group": "all", "C": mean if epoch <= EPOCHS // 3 else 100.0}
        for epoch in range(1, EPOCHS + 1)
        for split in ("train", "search")
    ]
    record.tables["losses"] = pd.DataFrame(rows)
    return record


def of_all(one: tuple[float, float], two: tuple[float, float]) -> dict[str, list[Fake]]:
    """Records of every run of the map."""
    found = {}
    for each in VARIATIONS:
        found[each.single_level] = [searched(each.single_level, one, seed=s) for s in SEEDS]
        found[each.bi_level] = [searched(each.bi_level, two, intermediate=two[1], seed=s) for s in SEEDS]
    return found


def test_all_patterns_show_and_their_absence_too() -> None:
    there, absent = of_all(RECOVERS, LOST), of_all(UNMOVED, UNMOVED)
    for claim in ("C-WPrb", "C-SP1a", "C-SP1b", "C-SP1c"):
        verdict = evaluate(claim, there)
        assert (verdict.verdict, verdict.value) == ("holds", 1.0), claim
        assert verdict.null.value < 0.5, claim
    assert evaluate("C-WPrb", absent).value == 0.0
    for claim in ("C-SP1a", "C-SP1c"):
        assert evaluate(claim, absent).verdict == "fails"


def test_one_pattern_that_is_missing_in_one_setting_is_missed() -> None:
    records = of_all(RECOVERS, LOST)
    changed = NAMED_BY_THE_PAPER[0]
    records[changed.bi_level] = [searched(changed.bi_level, (0.0, 1.0), intermediate=0.0, seed=s) for s in SEEDS]
    verdict = evaluate("C-WPrb", records)
    assert (verdict.verdict, verdict.value) == ("fails", pytest.approx(7 / 8))
    assert evaluate("C-SP1c", records).value == pytest.approx(1 - 1 / len(VARIATIONS))


def test_p1_needs_edges_that_come_back() -> None:
    assert evaluate("C-SP1a", of_all(LOST, LOST)).value == 0.0
    assert evaluate("C-SP1b", of_all(LOST, LOST)).value == 0.0, "none more often lost than others"


def test_two_values_of_each_setting_that_the_paper_names() -> None:
    factors = [each.factor for each in NAMED_BY_THE_PAPER]
    assert {factor: factors.count(factor) for factor in factors} == {
        "rate of the weights": 2,
        "cells": 2,
        "intermediate nodes": 2,
        "candidates": 2,
    }


@pytest.mark.parametrize(("claim", "dose"), [("C-SP2a", SNAS_DOSE), ("C-SP2b", SINGLE_LEVEL_DOSE)])
def test_a_dose_is_told_from_reassigned_rates(claim: str, dose: dict[float, str]) -> None:
    assert list(dose) == sorted(dose)
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    records = {
        run: [searched(run, (share, 0.0), seed=s) for s in SEEDS]
        for run, share in zip(dose.values(), shares, strict=True)
    }
    verdict = evaluate(claim, records)
    assert (verdict.verdict, verdict.value) == ("holds", pytest.approx(1.0))
    assert abs(verdict.null.value) < 0.1
    assert verdict.p_value < 0.01
    backwards = dict(zip(dose.values(), reversed(list(records.values())), strict=True))
    assert evaluate(claim, backwards).value == pytest.approx(-1.0)
    flat = {run: [searched(run, RECOVERS, seed=s) for s in SEEDS] for run in dose.values()}
    assert evaluate(claim, flat).value == 0.0


def test_rates_are_those_of_the_runs() -> None:
    for dose in (SNAS_DOSE, SINGLE_LEVEL_DOSE, BI_LEVEL_DOSE):
        assert [configs(run, "laptop", [0])[0].weights.lr for run in dose.values()] == pytest.approx(list(dose))


def test_clearness_is_a_signal_to_noise_ratio_over_the_steps() -> None:
    record = with_costs(searched("W-DSNAS-base-r", RECOVERS), mean=0.5, rms=2.0)
    steps = 3 * record.config.steps_per_epoch
    assert clearness(record) == pytest.approx(np.sqrt(steps) * 0.25)
    record.arrays["cost_sum"][..., 0] = 1e9  # what none is charged, were it anything, does not count
    record.arrays["cost_sum"][3:] = 1e9  # nor do later epochs
    assert clearness(record) == pytest.approx(np.sqrt(steps) * 0.25)


def test_cells_that_share_logits_add_their_costs_and_reductions_do_not() -> None:
    two = with_costs(searched("W-DSNAS-cells-2-r", RECOVERS), mean=0.5, rms=2.0)
    steps = 3 * two.config.steps_per_epoch
    assert clearness(two) == pytest.approx(np.sqrt(steps) * 1.0 / np.sqrt(8.0))
    reducing = with_costs(searched("W-DSNAS-reductions-r", RECOVERS), mean=0.5, rms=2.0)
    reducing.arrays["cost_sum"][:, 1:] = 1e9
    assert clearness(reducing) == pytest.approx(np.sqrt(steps) * 0.25)


def test_the_early_cost_is_that_of_the_images_that_the_logits_see() -> None:
    record = with_costs(searched("W-DARTS-base-r", LOST), mean=0.5)
    table = record.tables["losses"]
    table.loc[table.split == "train", "C"] = -7.0
    assert early_cost(record) == pytest.approx(0.5)
    assert early_cost(with_costs(searched("W-DSNAS-base-r", LOST), mean=0.25)) == pytest.approx(0.25)


def test_told_apart_counts_pairs() -> None:
    scores, outcomes = np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False])
    assert told_apart(scores, outcomes) == pytest.approx(3 / 4)
    assert np.isnan(told_apart(scores, np.ones(4, dtype=bool)))


def test_clear_costs_foretell_and_mispaired_ones_do_not() -> None:
    runs = [each.single_level for each in VARIATIONS] + [*SNAS_DOSE.values(), "W-SNAS-t1-r"]
    records = {}
    for index, run in enumerate(runs):
        collapses = index % 2 == 0
        made = [searched(run, RECOVERS if collapses else UNMOVED, seed=s) for s in SEEDS]
        records[run] = [with_costs(record, mean=index + 50.0 * collapses, rms=1.0) for record in made]
    clear, outcomes = clear_and_collapsed(*(records[run][0] for run in runs))
    assert clear[outcomes].min() > clear[~outcomes].max()
    verdict = evaluate("C-SP3a", records)
    assert (verdict.verdict, verdict.value) == ("holds", 1.0)
    assert verdict.null.value == pytest.approx(0.5, abs=0.05)
    assert per_seed("C-SP3b", *(records[run] for run in runs)).max() == 0.0, "both tell them apart"


def test_the_bases_are_what_one_setting_is_changed_in() -> None:
    """No variation but the first leaves both methods as they are, and none does the same as another."""
    for base in (DSNAS_BASE, DARTS_BASE):
        made = [each.change(base) for each in VARIATIONS]
        assert made[0] == base
        assert len(set(made)) == len(made)


@pytest.mark.parametrize("method", ["single_level", "bi_level"])
def test_variations_keep_the_number_of_steps(method: str) -> None:
    (base,) = configs(getattr(VARIATIONS[0], method), "laptop", [0])
    for each in VARIATIONS:
        (config,) = configs(getattr(each, method), "laptop", [0])
        steps = config.epochs * config.steps_per_epoch
        assert steps == pytest.approx(base.epochs * base.steps_per_epoch, rel=0.15), each.key
