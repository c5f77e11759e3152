"""Costs on two halves: the exact claims in a live run, and the statistical ones on records made by hand."""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from small import run
from test_claims import Fake

from nas_core.claims import evaluate, per_seed
from nas_core.claims.wiring_levels import at_the_end, losses, octaves, slope, two_samples
from nas_core.experiments import configs
from nas_core.probes.calibration import OCTAVES
from nas_core.trainers.search import Search

SEEDS = range(6)
EPOCHS = 20


@cache
def live():
    """A record of the smoke profile, computed here."""
    config = configs("W-DTH8m", "smoke", [0])[0]
    result = run(Search(config)).result()
    return Fake(config, result.arrays, result.tables)


@pytest.mark.claim("C-W10a")
def test_exact_the_printed_table_obeys_theorem_2():
    assert evaluate("C-W10a", {}).verdict == "holds"


@pytest.mark.claim("C-W10b", "C-W10g", "C-W22a", "C-W23a", "C-W25a", "C-W26a")
def test_exact_theorem_2_holds_on_both_halves_of_a_live_run():
    for claim in ("C-W10b", "C-W10g", "C-W22a", "C-W23a", "C-W25a", "C-W26a"):
        assert evaluate(claim, {"W-DTH8m": [live()]}).verdict == "holds", claim


@pytest.mark.parametrize("claim", ["C-W10b", "C-W22a", "C-W23a", "C-W25a", "C-W26a"])
def test_one_wrong_number_is_found(claim):
    table = live().table("losses").copy()
    half = "train" if claim in ("C-W22a", "C-W25a") else "search"
    group = "all" if claim in ("C-W22a", "C-W23a") else "correct"
    row = table.index[(table["split"] == half) & (table["group"] == group)][-1]
    table.loc[row, "C"] = 2e-6 + (table.loc[row, "C"] if group == "all" else 0)
    assert evaluate(claim, {"W-DTH8m": [Fake(live().config, live().arrays, {"losses": table})]}).verdict == "fails"


def test_a_scale_on_the_wrong_side_is_found():
    arrays = live().arrays | {"search_C_by_scale": -live().array("search_C_by_scale")}
    assert per_seed("C-W10g", [Fake(live().config, arrays, live().tables)]) > 0


def made(seed=0, **changed):
    """A record as the paper describes one; ``changed``: L or H by half and group, as in ``L_search_wrong``."""
    t = np.linspace(0, 1, EPOCHS)
    known = {
        "L_train_correct": 0.5 - 0.4 * t,
        "H_train_correct": 0.9 - 0.1 * t - 0.5 * (t - 2 / 3).clip(0),
        "L_train_wrong": 2.3 - 0.8 * t,
        "H_train_wrong": 2.2 - 1.2 * t,
        "L_search_correct": 0.5 - 0.39 * t,
        "H_search_correct": 0.9 - 0.5 * t,
        "L_search_wrong": 2.3 + 0.6 * t,
        "H_search_wrong": 2.2 - 1.4 * t,
    } | changed
    right = {"train": 50 + 30 * t, "search": 50 + 10 * t}
    rows = []
    for half in ("train", "search"):
        for epoch in range(EPOCHS):
            of_half = []
            for group in ("correct", "wrong"):
                loss, entropy = (known[f"{q}_{half}_{group}"][epoch] for q in "LH")
                n = round(right[half][epoch]) if group == "correct" else 100 - round(right[half][epoch])
                of_half.append((group, loss, entropy, n))
            whole = [sum(part[i] * part[3] for part in of_half) / 100 for i in (1, 2)]
            of_half.append(("all", *whole, 100))
            for group, loss, entropy, n in of_half:
                rows.append((epoch + 1, half, group, loss, entropy, loss - entropy, n))
    table = pd.DataFrame(rows, columns=["epoch", "split", "group", "L", "H", "C", "n"])
    config = configs("W-DTH8m", "laptop", [seed])[0].but(epochs=EPOCHS)
    return Fake(config, {}, {"losses": table})


STATISTICAL = ["C-W10c", "C-W10d", "C-PO10", "C-PO10b", "C-W22b", "C-W23b", "C-W23c", "C-W23d", "C-W25b", "C-W25c"]


@pytest.mark.parametrize("claim", [*STATISTICAL, "C-W26b", "C-W26c"])
def test_what_the_paper_describes_is_recognised(claim):
    verdict = evaluate(claim, {"W-DTH8m": [made(s) for s in SEEDS]})
    assert verdict.verdict == "holds"


def falling(first, last):
    return np.linspace(first, last, EPOCHS)


ABSENT = {
    "C-W10c": {"L_search_wrong": falling(2.3, 1.2)},
    "C-W10d": {"H_search_wrong": falling(2.2, 2.0)},
    "C-W22b": {"L_train_wrong": falling(2.3, 9.0)},
    "C-W23b": {"L_search_wrong": falling(2.3, 0.0), "L_search_correct": falling(0.5, -0.5)},
    "C-W23c": {"H_search_wrong": falling(2.2, 2.9), "H_search_correct": falling(0.9, 1.9)},
    "C-W23d": {"L_search_wrong": falling(2.3, 0.0)},
    "C-W25b": {"L_train_wrong": falling(2.1, 0.3)},
    "C-W25c": {"H_train_correct": falling(0.9, 2.0)},
    "C-W26b": {"L_search_wrong": falling(2.3, 0.6)},
    "C-W26c": {"L_search_wrong": falling(2.3, 0.1)},
}


@pytest.mark.parametrize("claim", ABSENT)
def test_its_absence_is_recognised(claim):
    assert evaluate(claim, {"W-DTH8m": [made(s, **ABSENT[claim]) for s in SEEDS]}).verdict == "fails"


def test_correct_images_are_compared_with_wrong_ones():
    """At the end 0.01 of loss on correct images beside 1.4 on wrong ones; then 0.3."""
    assert per_seed("C-W10e", [made()]) == pytest.approx(0.01 / 1.4, rel=0.05)
    assert per_seed("C-W10e", [made(L_search_correct=falling(0.5, 0.4))]) == pytest.approx(0.3 / 1.4, rel=0.05)


def test_two_samples_of_a_half_are_compared_in_the_same_way():
    """Losses that change by 0.01 and 0.1 an epoch: their even and odd epochs differ by a tenth of one another."""
    steps = np.arange(EPOCHS)
    record = made(L_search_correct=0.01 * steps, L_search_wrong=0.1 * steps)
    assert two_samples(record) == pytest.approx(0.1, rel=0.05)


def test_the_end_is_the_mean_over_images_and_not_over_epochs():
    """Epochs 19 and 20 have 51 wrong images of 2 x 100 on the training half; without any, nothing is measured."""
    record = made()
    table = losses(record, "train", "wrong")
    expected = np.average(table["L"].iloc[-2:], weights=table["n"].iloc[-2:])
    assert at_the_end(record, "train", "L", "wrong") == pytest.approx(expected)
    none = record.table("losses").assign(n=0)
    assert math.isnan(at_the_end(Fake(record.config, {}, {"losses": none}), "train", "L", "wrong"))


def test_the_slope_is_that_of_the_last_half():
    assert slope(np.array([9, 9, 9, 0, 2, 4])) == pytest.approx(2)


def test_the_cost_of_a_search_that_keeps_rising_and_of_one_that_falls():
    config = configs("W-DARTS8", "laptop", [0])[0]
    rising = np.linspace(-1, 1, 30)[:, None, None] * np.full((1, 1, 14), 1 / 14)
    assert per_seed("C-W10f", [Fake(config, {"edge_cost": rising})]) == pytest.approx(14 * 2 / 29 / 1, rel=0.15)
    assert per_seed("C-W10f", [Fake(config, {"edge_cost": rising - 2 / 14})]) < 0
    assert per_seed("C-W10f", [Fake(config, {"edge_cost": rising[::-1] + 2 / 14})]) < 0


def test_over_confidence_is_measured_in_octaves():
    """C crosses zero half an octave below one on the search half, an octave above it in the control."""
    ours = Fake(made().config, {"search_C_by_scale": np.tile(OCTAVES + 0.5, (EPOCHS, 1))})
    config = configs("W-DTH8m-slr", "laptop", [0])[0]
    control = Fake(config, {"train_C_by_scale": np.tile(OCTAVES - 1, (6, 1))})
    assert octaves(ours, "search") == pytest.approx(-0.5)
    records = {"W-DTH8m": [ours] * 5, "W-DTH8m-slr": [control] * 5}
    verdict = evaluate("C-W10h", records)
    assert verdict.verdict == "holds"
    assert verdict.value == pytest.approx(-0.5)
    assert verdict.null.value == pytest.approx(1)
