"""Nulls: shuffles keep what they should, and chance and controls give the numbers that can be worked out by hand."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from test_claims import ALL, MIDDLE, NOTHING, P1_AND_P2, P3, wiring

from nas_core import papers
from nas_core.cells.topology import darts_cell
from nas_core.claims import CHECKS, evaluate
from nas_core.claims.check import NULLS
from nas_core.claims.nulls import edges, epochs, operations
from nas_core.claims.wiring import chance_by_darts_rule

AGREEMENT = {"T-W2b", "T-W11", "T-W11b"}  # within standard errors: chance is what they are about
SEEDS = range(6)


def test_every_statistical_claim_that_is_measured_has_a_null() -> None:
    grade = papers.claims()["grade"]
    shown = papers.artefacts()["notebook"]
    by_hand = {claim for claim, key in papers.claims()["artefact"].items() if claim.startswith("T-") and key}
    by_hand = {claim for claim in by_hand if shown[papers.claims()["artefact"][claim]] and grade[claim] == "S"}
    without = {claim for claim, check in CHECKS.items() if grade[claim] == "S" and check.null is None}
    assert without == set()
    assert by_hand - set(NULLS) == AGREEMENT | {"T-M2"}  # the latter is measured on runs


def test_shuffles_move_one_thing_each() -> None:
    rng = np.random.default_rng(0)
    prob = rng.random((5, 2, 14, 8))
    by_operation = operations(prob, rng)
    assert not np.array_equal(by_operation, prob)
    assert np.array_equal(np.sort(by_operation, -1), np.sort(prob, -1)), "each edge keeps its numbers in each epoch"
    moved = [int(np.flatnonzero(prob[0, 0, 3] == x)[0]) for x in by_operation[0, 0, 3]]
    assert np.array_equal(by_operation[:, 0, 3], prob[:, 0, 3][:, moved]), "and an operation its history"
    by_edge = edges(prob, rng)
    assert not np.array_equal(by_edge, prob)
    assert sorted(by_edge[0, 0, :, 0]) == sorted(prob[0, 0, :, 0])
    by_epoch = epochs(prob, rng)
    assert np.array_equal(by_epoch[0], prob[0]), "the start stays"
    assert not np.array_equal(by_epoch, prob)
    assert sorted(by_epoch[:, 0, 0, 0]) == sorted(prob[:, 0, 0, 0])


def test_chance_by_the_rule_of_darts_is_43_in_120() -> None:
    """Counted by hand: two of the edges into each node, of which j - 2 of j are intermediate."""
    expected = sum(Fraction(2 * (j - 2), j) for j in (2, 3, 4, 5)) / 8
    assert expected == Fraction(43, 120)
    shares = chance_by_darts_rule(darts_cell(4))
    assert len(shares) == np.prod([len(list(combinations(range(j), 2))) for j in (2, 3, 4, 5)]) == 180
    assert np.mean(shares) == pytest.approx(43 / 120)


def test_it_is_none_that_is_dropped() -> None:
    """All edges dropped early, whatever the names: a null in which another operation may be the one."""
    there = [wiring("W-DSNAS8", P1_AND_P2, seed=s) for s in SEEDS]
    verdict = evaluate("C-W11a", {"W-DSNAS8": there})
    assert verdict.null.value < 0.4
    assert verdict.p_value == pytest.approx(1 / 501)
    assert verdict.evidence


def test_kinds_of_edges_that_make_no_difference_are_told() -> None:
    """Whether an edge is intermediate is as good as drawn here, so shuffling the kinds changes nothing."""
    rng = np.random.default_rng(0)
    drawn = [wiring("W-DSNAS8", [NOTHING, ALL, set(rng.permutation(14)[:7])], seed=s) for s in range(8)]
    verdict = evaluate("C-W11c", {"W-DSNAS8": drawn})
    assert abs(verdict.null.value) < 0.02
    assert verdict.p_value > 0.05
    there = [wiring("W-DSNAS8", [NOTHING, ALL, MIDDLE], seed=s) for s in range(8)]
    assert evaluate("C-W11c", {"W-DSNAS8": there}).p_value < 0.01


def test_a_trend_is_lost_when_epochs_are_shuffled() -> None:
    there = [wiring("W-DSNAS8", P1_AND_P2, seed=s) for s in SEEDS]
    verdict = evaluate("C-W11b", {"W-DSNAS8": there})
    assert verdict.null.reaches, "the largest of some shares is above another one by chance"
    assert 0 < verdict.null.value < verdict.value
    assert verdict.p_value < 0.05
    assert verdict.evidence, "but not as far above"


def test_a_control_that_does_it_as_well_leaves_no_evidence() -> None:
    there = [wiring("W-DARTS8", P3, seed=s) for s in SEEDS]
    alike = [wiring("W-DARTS8sl", P3, seed=s) for s in SEEDS]
    verdict = evaluate("C-W14a", {"W-DARTS8": there, "W-DARTS8sl": alike})
    assert (verdict.verdict, verdict.null.meets, verdict.evidence) == ("holds", True, False)
    other = [wiring("W-DARTS8sl", [NOTHING] * 7, seed=s) for s in SEEDS]
    verdict = evaluate("C-W14a", {"W-DARTS8": there, "W-DARTS8sl": other})
    assert (verdict.null.meets, verdict.evidence) == (False, True)
    assert evaluate("C-W14a", {"W-DARTS8": there}).null is None, "the control was not run"


def test_a_null_may_be_another_claim() -> None:
    verdict = evaluate("T-D3", {}, {"T-D3": [2.0, 3.0, 4.0, 3.5, 2.5], "T-D1b": 1e-6})
    assert (verdict.null.value, verdict.null.meets, verdict.p_value) == (1e-6, False, None)
    assert evaluate("T-D3", {}, {"T-D3": [2.0, 3.0, 4.0, 3.5, 2.5]}).null is None
