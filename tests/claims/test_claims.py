"""Checks on records made by hand, where the right number is known."""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from nas_core import papers
from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.operations import CANDIDATES
from nas_core.claims import CHECKS, Verdict, evaluate, holds, per_seed
from nas_core.claims.check import check
from nas_core.claims.measures import first_third, median_seed, rank_correlation, turning_epoch
from nas_core.claims.snas import mean_entropy, operation_share
from nas_core.errors import UserError
from nas_core.experiments import RUN_IDS, configs
from nas_core.trainers.settings import RunConfig


@dataclass
class Fake:
    """Stands in for a record."""

    config: RunConfig
    arrays: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)
    genotypes: dict = field(default_factory=dict)

    def array(self, name):
        return self.arrays[name]

    def table(self, name):
        return self.tables[name]


def wiring(run, dropped_by_epoch, profile="laptop", seed=0):
    """A record of a 14-edge run; ``dropped_by_epoch``: the set of edges that none wins, for every epoch from 0."""
    config = configs(run, profile, [seed])[0].but(epochs=len(dropped_by_epoch) - 1)
    prob = np.full((len(dropped_by_epoch), 2, 14, 8), 0.05)
    prob[:, 0, :, 4] = 0.65
    prob[:, 1] = 1 / 8  # the reduction cell, which no claim is about
    for epoch, edges in enumerate(dropped_by_epoch):
        for edge in edges:
            prob[epoch, 0, edge] = 0.05
            prob[epoch, 0, edge, 0] = 0.65
    return Fake(config, {"prob": prob})


ALL, NOTHING, MIDDLE = set(range(14)), set(), {4, 7, 8, 11, 12, 13}
P1_AND_P2 = [NOTHING, ALL, ALL, MIDDLE, MIDDLE, MIDDLE, MIDDLE]  # dropped early, then the input edges come back
P3 = [NOTHING, NOTHING, {4}, MIDDLE, MIDDLE, ALL, ALL]


SEEDS = range(5)


@pytest.mark.parametrize("claim", ["C-W11a", "C-W11b", "C-W11c", "C-W12a", "C-W12b", "C-W12c", "C-W12d"])
def test_p1_and_p2_are_recognised_and_their_absence_too(claim):
    there = [wiring("W-DSNAS8", P1_AND_P2, seed=s) for s in SEEDS]
    absent = [wiring("W-DSNAS8", [NOTHING] * 7, seed=s) for s in SEEDS]
    if claim == "C-W12b":
        absent = [wiring("W-DSNAS8", [NOTHING, *[ALL] * 6], seed=s) for s in SEEDS]
    assert evaluate(claim, {"W-DSNAS8": there}).verdict == "holds"
    assert evaluate(claim, {"W-DSNAS8": absent}).verdict == "fails"


@pytest.mark.parametrize("claim", ["C-PO2", "C-PO2b", "C-PO2c", "C-PO2d"])
def test_the_poster_speaks_of_both_methods_on_one_level(claim):
    """One method that has the pattern is not enough."""
    dsnas = [wiring("W-DSNAS8", P1_AND_P2, seed=s) for s in SEEDS]
    there = [wiring("W-SNAS8", P1_AND_P2, seed=s) for s in SEEDS]
    absent = [wiring("W-SNAS8", [NOTHING, *[ALL] * 6] if claim == "C-PO2b" else [NOTHING] * 7, seed=s) for s in SEEDS]
    assert evaluate(claim, {"W-SNAS8": there, "W-DSNAS8": dsnas}).verdict == "holds"
    assert evaluate(claim, {"W-SNAS8": absent, "W-DSNAS8": dsnas}).verdict == "fails"
    assert evaluate(claim, {"W-SNAS8": dsnas, "W-DSNAS8": absent}).verdict == "fails"


def test_a_method_that_drops_no_input_edge_leaves_the_poster_nothing_to_measure():
    snas, dsnas = wiring("W-SNAS8", P1_AND_P2), wiring("W-DSNAS8", [NOTHING] * 7)
    assert np.isnan(per_seed("C-PO2b", [snas], [dsnas]))


@pytest.mark.parametrize("claim", ["C-W13a", "C-W13b", "C-W14a", "C-W14b", "C-PO2e", "C-PO2f"])
def test_p3_is_recognised_and_its_absence_too(claim):
    there = [wiring("W-DARTS8", P3, seed=s) for s in SEEDS]
    absent = [wiring("W-DARTS8", P3[::-1], seed=s) for s in SEEDS]
    control = [wiring("W-DARTS8sl", [NOTHING] * 7, seed=s) for s in SEEDS]
    verdict = evaluate(claim, {"W-DARTS8": there, "W-DARTS8sl": control})
    assert verdict.verdict == "holds"
    assert verdict.null.value == 0
    assert verdict.p_value <= 1 / 32
    assert evaluate(claim, {"W-DARTS8": absent, "W-DARTS8sl": control}).verdict == "fails"


def test_runs_with_other_numbers_of_seeds_are_paired_by_seed():
    """Seed 2 is the only one that both runs have."""
    run = [wiring("W-DARTS8", P3, seed=s) for s in (0, 1, 2)]
    control = [wiring("W-DARTS8sl", series, seed=s) for s, series in ((3, P3), (2, P3))]
    assert per_seed("C-W13b", run, control) == pytest.approx([0], abs=0.1)
    verdict = evaluate("C-W13b", {"W-DARTS8": run, "W-DARTS8sl": control})
    assert (verdict.seeds, verdict.n) == ((2,), 1)
    assert evaluate("C-W13b", {"W-DARTS8": run[:2], "W-DARTS8sl": control}).verdict == "not run"


def test_most_edges_in_the_beginning():
    early = [wiring("W-DARTS8", P1_AND_P2, seed=s) for s in SEEDS]
    late = [wiring("W-DARTS8", P3, seed=s) for s in SEEDS]
    assert evaluate("C-W13c", {"W-DARTS8": early}).verdict == "holds"
    assert evaluate("C-W13c", {"W-DARTS8": late}).verdict == "fails"


def test_shares_are_counted_to_the_edge():
    record = wiring("W-DSNAS8", [NOTHING, MIDDLE | {0}, MIDDLE | {0, 1}, {4, 7}])
    assert per_seed("C-W11a", [record]) == pytest.approx(7 / 14)  # the first third of 3 epochs is epoch 1
    assert per_seed("C-W11b", [record]) == pytest.approx(7 / 14 - 2 / 14)
    assert per_seed("C-W11c", [record]) == pytest.approx(2 / 6 - 0)
    assert per_seed("C-W12a", [record]) == pytest.approx(7 / 14)
    assert per_seed("C-W11c", [wiring("W-DSNAS8", [ALL] * 4)]) == 0


def test_the_start_does_not_count_as_early():
    record = wiring("W-DSNAS8", [ALL, NOTHING, NOTHING, NOTHING])
    assert per_seed("C-W11a", [record]) == 0


def test_the_start_does_not_count_in_trends():
    rising = wiring("W-DARTS8", [ALL, NOTHING, {4}, {4, 7}])
    falling = wiring("W-DARTS8sl", [NOTHING, {1, 2, 4}, {1, 4}, {4}])
    assert per_seed("C-W13b", [rising], [falling]) == pytest.approx(2)
    late = wiring("W-DARTS8", [ALL, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, ALL])
    assert per_seed("C-W14b", [late]) == 1


def test_an_edge_that_was_never_dropped_does_not_recover():
    record = wiring("W-DSNAS8", [ALL, {0, 1, 4}, NOTHING, {5, 1}])  # early is epoch 1; 4 is no input edge
    assert per_seed("C-W12b", [record]) == pytest.approx(1 / 2)
    assert np.isnan(per_seed("C-W12b", [wiring("W-DSNAS8", [ALL, {4}, ALL, ALL])]))


def test_recovery_begins_where_the_seed_itself_dropped_most():
    first = wiring("W-DSNAS8", [NOTHING, {0}, ALL, NOTHING, NOTHING, NOTHING, {0}])
    second = wiring("W-DSNAS8", [NOTHING, ALL, {0}, NOTHING, NOTHING, NOTHING, ALL])
    assert per_seed("C-W11b", [first, second]) == pytest.approx([13 / 14, 0])


def test_the_exception_to_p2_is_an_edge_that_comes_back():
    minimal = wiring("W-DSNAS8m", [NOTHING, {4}, {4}, NOTHING])
    assert per_seed("C-WP2x", [minimal]) == 1
    assert per_seed("C-WP2x", [wiring("W-DSNAS8m", [{4}, NOTHING, {4}, {4}])]) == 0
    assert per_seed("C-WP2x", [wiring("W-DSNAS8m", [{4}, NOTHING, NOTHING, NOTHING])]) == 0, "the start does not count"
    found = [minimal, *(wiring("W-DSNAS8m", [NOTHING] * 4, seed=s) for s in range(1, 6))]
    assert evaluate("C-WP2x", {"W-DSNAS8m": found}).verdict == "holds"  # one seed is enough
    assert evaluate("C-WP2x", {"W-DSNAS8m": found[1:]}).verdict == "inconclusive"  # none of few seeds proves nothing


def test_an_edge_is_lost_where_none_has_more_than_half():
    record = wiring("W-DSNAS8", [NOTHING, NOTHING, MIDDLE])
    assert per_seed("C-W12d", [record]) == 1
    record.arrays["prob"][-1, 0, [4, 7], 0] = 0.45  # still the most probable one
    assert per_seed("C-W12d", [record]) == pytest.approx(4 / 6)


def test_darts_rule_share_of_intermediate_edges():
    record = wiring("W-DARTS8", P3)
    edges = ((0, 2, "skip_connect"), (1, 2, "skip_connect"), (2, 3, "skip_connect"), (0, 3, "skip_connect"))
    at_first = Genotype(CellGenotype(2, 4, edges[:2], (2, 3, 4, 5)))
    record.genotypes = {"darts": [at_first, Genotype(CellGenotype(2, 4, edges, (2, 3, 4, 5)))]}
    assert per_seed("C-WG", [record]) == pytest.approx(1 / 4)


COLUMNS = ["epoch", "network", "statistics", "split", "acc"]


def apart(run):
    """Deviations by cell type and edge, (2, 14), other ones in other runs, that cancel in the mean over both axes."""
    ramp = np.linspace(-0.1, 0.1, 14)
    between = {"S-SNAS-mild": 0.3, "S-DARTS2": -0.2}.get(run, 0)
    return np.stack([ramp + between, ramp - between])


def snas(run, valid, tests, entropy, seed=0):
    config = configs(run, "laptop", [seed])[0].but(epochs=len(valid))
    rows = [(t + 1, "supernet", "as trained", "valid", a) for t, a in enumerate(valid)]
    for network, accuracy in tests.items():
        rows.append((len(valid), network, "as trained", "test", accuracy))
        rows.append((len(valid), network, "recalibrated", "test", 1.5 * accuracy))
    values = np.tile(np.array(entropy)[:, None, None], (1, 2, 14))
    values[1:] += apart(run)  # before the first step all edges are equal
    return Fake(config, {"arch_entropy": values}, {"accuracy": pd.DataFrame(rows, columns=COLUMNS)})


@pytest.mark.claim("C-SN4a")
def test_snas_claims_by_hand():
    nats = math.log(8)
    of_ours = {"supernet": 0.40, "child (argmax)": 0.43, "child (darts)": 0.1}
    of_darts = {"supernet": 0.45, "child (argmax)": 0.9, "child (darts)": 0.20}
    ours = snas("S-SNAS-mild", [0.2, 0.3, 0.4], of_ours, [nats, 1.5, 1.2, 1.0])
    darts = snas("S-DARTS2", [0.5, 0.5, 0.5], of_darts, [nats, 2.0, 1.9, 1.8])
    assert per_seed("C-SN3c", [darts], [ours]) == pytest.approx(30)  # the first of three epochs
    assert per_seed("C-SN4a", [darts], [ours]) == pytest.approx(0)
    assert per_seed("C-SN4b", [darts], [ours]) == pytest.approx(0.8)
    assert per_seed("C-SN4c", [ours]) == pytest.approx(-1)
    assert per_seed("C-SNT1a", [darts], [ours]) == pytest.approx(25 - -3)
    assert per_seed("C-SNT1b", [ours]) == pytest.approx(3)
    assert per_seed("C-SNT1c", [ours], [darts]) == pytest.approx(23)


def test_darts_is_compared_early_over_a_third_of_the_epochs():
    ours = snas("S-SNAS-mild", [0.2, 0.3, 0.4, 0.5, 0.6, 0.7], {}, [1.0] * 7)
    darts = snas("S-DARTS2", [0.4, 0.6, 0.1, 0.1, 0.1, 0.1], {}, [1.0] * 7)
    assert per_seed("C-SN3c", [darts], [ours]) == pytest.approx(25)


def test_snas_against_enas_by_hand():
    """The final accuracy of ENAS is 0.5, which SNAS reaches in its second of four epochs, ENAS itself in its third."""
    ours = snas("S-SNAS-mild", [0.2, 0.5, 0.4, 0.7], {}, [1.0] * 5)
    enas = snas("S-ENAS", [0.2, 0.3, 0.6, 0.5], {}, [1.0] * 5)
    assert per_seed("C-SN3a", [ours], [enas]) == pytest.approx(20)
    assert per_seed("C-SN3b", [ours], [enas]) == 4 - 2
    assert CHECKS["C-SN3b"].null.measure(enas) == 4 - 3
    never = snas("S-SNAS-mild", [0.1] * 4, {}, [1.0] * 5)
    assert per_seed("C-SN3b", [never], [enas]) == -1


def test_the_controller_is_compared_with_its_copy_over_the_last_third():
    enas = snas("S-ENAS", [0.2] * 6, {}, [1.0] * 7)
    earned = [(t, name, 0.1 * t if name == "learning" else 0.4) for t in range(1, 7) for name in ("learning", "frozen")]
    enas.tables["controller"] = pd.DataFrame(earned, columns=["epoch", "controller", "acc"])
    assert per_seed("C-SN3d", [enas]) == pytest.approx(100 * (0.55 - 0.4))


def chosen(run, normal, reduction):
    """A record whose edges end with the operations of these indices, (14,) each, and start equal."""
    record = snas(run, [0.2], {}, [1.0, 1.0])
    at_end = np.stack([np.eye(8)[normal], np.eye(8)[reduction]])
    record.arrays["prob"] = np.stack([np.full((2, 14, 8), 1 / 8), 0.01 + 0.92 * at_end])
    return record


def test_shares_of_operations_by_hand():
    """Of 28 edges 7 are none and 3 of the others skip; DARTS's rule finds an edge of skips for two of 16."""
    skip = CANDIDATES.index("skip_connect")
    normal, reduction = np.full(14, 5), np.full(14, 5)
    normal[7:] = 0
    normal[[0, 1]] = reduction[0] = skip
    ours = chosen("S-SNAS-mild", normal, reduction)
    assert operation_share(ours, "none", "argmax") == pytest.approx([1, 7 / 28])
    assert operation_share(ours, "skip_connect", "argmax")[1] == pytest.approx(3 / 21)
    assert np.isnan(operation_share(ours, "skip_connect", "argmax")[0]), "where none is as likely as any it comes first"
    assert operation_share(ours, "none", "darts") == pytest.approx([12 / 28, 12 / 28])
    darts = chosen("S-DARTS2", [skip] * 14, [5] * 14)
    assert per_seed("C-SN4d", [darts]) == pytest.approx(1 / 2 - 1 / 7)
    assert per_seed("C-SN4e", [darts], [ours]) == pytest.approx(1 / 2 - 3 / 21)


def test_mean_entropy_is_over_edges_of_both_cells():
    record = snas("S-SNAS-mild", [0.2, 0.3], {}, [2.0, 1.5, 1.0])
    assert mean_entropy(record) == pytest.approx([2.0, 1.5, 1.0])
    assert record.arrays["arch_entropy"][-1].mean(1) == pytest.approx([1.3, 0.7])


@pytest.mark.claim("C-W12", "C-SNT1r")
def test_claims_without_runs_hold_exactly():
    assert evaluate("C-W12", {}).verdict == "holds"
    assert evaluate("C-SNT1r", {}).verdict == "holds"


def test_the_interval_decides():
    """T-D3 is to be above 0.5, by the mean."""
    answers = {
        "holds": [0.9, 1.0, 1.1, 0.8, 0.6, 0.7],
        "fails": [0.1, 0.2, 0.3, 0.4, 0.1, 0.2],
        "inconclusive": [0.9, 0.1, 0.8, 0.2, 0.7, 0.6],
    }
    for answer, values in answers.items():
        verdict = evaluate("T-D3", {}, {"T-D3": values})
        assert verdict.verdict == answer
        low, high = verdict.interval
        assert low < verdict.value < high
        assert min(values) <= low, "an interval within what was seen"
        assert high <= max(values)
        assert verdict.met == sum(value > 0.5 for value in values)
    assert 0.5 < evaluate("T-D3", {}, {"T-D3": answers["inconclusive"]}).p_holds < 1


def test_equal_seeds_have_no_interval_and_few_seeds_no_answer(monkeypatch):
    equal = evaluate("T-D3", {}, {"T-D3": [0.6] * 5})
    assert (equal.verdict, equal.interval, equal.p_holds) == ("holds", None, 1)
    assert evaluate("T-D3", {}, {"T-D3": [0.4] * 5}).verdict == "fails"
    nearly = [1 - 1e-15] * 5
    monkeypatch.delitem(CHECKS, "C-N15b")
    assert evaluate("C-N15b", {}, {"C-N15b": nearly}).verdict == "holds", "at least 1, but for round-off"
    few = evaluate("T-D3", {}, {"T-D3": [0.6, 0.7, 0.8, 0.9]})
    assert (few.verdict, few.interval, few.note, few.met) == ("inconclusive", None, "fewer than 5 seeds", 4)


def test_seeds_with_nothing_to_measure_are_left_out():
    verdict = evaluate("T-D3", {}, {"T-D3": [0.6, 0.7, 0.8, 0.9, 1.0, math.nan]})
    assert (verdict.verdict, verdict.met, verdict.n) == ("holds", 5, 6)
    assert verdict.value == pytest.approx(0.8)
    assert verdict.note == "nothing to measure in 1 of 6 seeds"
    assert evaluate("T-D3", {}, {"T-D3": [0.6, 0.7, 0.8, 0.9, math.nan]}).verdict == "inconclusive"
    assert evaluate("T-D3", {}, {"T-D3": [math.nan] * 5}).verdict == "inconclusive"


def test_a_number_that_sums_up_many_draws_needs_no_seeds():
    assert evaluate("T-W2b", {}, {"T-W2b": 2.9}).verdict == "holds"
    assert evaluate("T-W2b", {}, {"T-W2b": 3.1}).verdict == "fails"


def test_an_exact_claim_needs_every_seed(monkeypatch):
    monkeypatch.setattr("nas_core.claims.check.CHECKS", dict(CHECKS))
    check("C-SNT1r", "W-DSNAS8")(lambda record: float(record.config.seed))  # an X claim, to be at most 1e-9
    records = [wiring("W-DSNAS8", P1_AND_P2, seed=s) for s in (0, 0, 1)]
    verdict = evaluate("C-SNT1r", {"W-DSNAS8": records})
    assert (verdict.verdict, verdict.value, verdict.met, verdict.n) == ("fails", 1, 2, 3), "the worst seed's number"
    assert evaluate("C-SNT1r", {"W-DSNAS8": records[:2]}).verdict == "holds"


def test_below_its_scale_a_claim_is_not_judged_and_without_records_not_run():
    small = [wiring("W-DSNAS8", P1_AND_P2, profile="smoke", seed=s) for s in range(3)]
    assert evaluate("C-W12a", {"W-DSNAS8": small}).verdict == "not at this scale"
    assert evaluate("C-W12a", {}).verdict == "not run"
    assert evaluate("C-SN3a", {}).verdict == "not run"  # ENAS is not there yet
    assert evaluate("C-MT3", {}).verdict in ("not run", "reference")


def test_nan_never_meets_a_bound():
    assert not holds("C-W13b", math.nan)


def test_a_claim_without_runs_is_judged_by_the_number_that_was_measured():
    assert evaluate("T-W1", {}).verdict == "not run"
    verdict = evaluate("T-W1", {}, {"T-W1": 1e-13})
    assert (verdict.verdict, verdict.value, verdict.threshold, verdict.seeds) == ("holds", 1e-13, "< 1e-12", ())
    assert evaluate("T-W1", {}, {"T-W1": 1e-12}).verdict == "fails"
    assert evaluate("T-W1", {}, {"T-W1": math.nan}).verdict == "fails"


def test_unknown_claims_and_verdicts_are_named():
    with pytest.raises(UserError, match="C-W1x"):
        evaluate("C-W1x", {})
    with pytest.raises(UserError, match="perhaps"):
        Verdict("C-W1a", "perhaps")


def test_checks_belong_to_claims_and_use_runs_that_there_are():
    known = papers.claims()
    assert set(CHECKS) <= set(known.index)
    assert all(set(c.runs) <= set(RUN_IDS) for c in CHECKS.values())
    runs_of = papers.artefacts().runs
    for key, c in CHECKS.items():
        assert known.loc[key, "comparison"], f"{key} has a check and no bound"
        if artefact := known.loc[key, "artefact"]:
            assert set(c.needed) <= set(runs_of[artefact].split()), key


def test_time_helpers():
    assert first_third(16) == slice(1, 6)
    assert rank_correlation(np.array([3.0, 2.0, 1.0])) == pytest.approx(-1)
    assert rank_correlation(np.ones(4)) == 0


def test_the_median_seed_is_typical():
    assert median_seed([0.0, 9.0, 1.0, 100.0, 2.0]) == 4  # the mean is near 9
    assert median_seed([1.0, 3.0]) == 0  # as close as the other
    assert median_seed([math.nan, 4.0, 0.0, 3.0]) == 3


def test_a_cost_turns_where_it_stays_below_zero():
    assert turning_epoch(np.array([2.0, -1.0, 0.0, -1.0, -2.0])) == 4, "epoch 3 is not below zero"
    assert turning_epoch(np.array([-1.0, -2.0])) == 1
    assert math.isnan(turning_epoch(np.array([-1.0, 0.5])))
