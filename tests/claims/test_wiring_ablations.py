"""Claims on the costs of the three edges of small cells, on records made by hand."""

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import batch, network, path
from test_claims import Fake

from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import simplified_cell
from nas_core.claims import CHECKS, evaluate, per_seed
from nas_core.experiments import configs
from nas_core.trainers import build

SEEDS = range(6)
ORDER = (-0.02, -0.05, 0.03)  # costs of (0, 1), (0, 2) and (1, 2) as the paper has them in the simplified cell
INVERTED = (0.0, 0.04, -0.06)  # and in the modified cell with (0, 1) fixed


def record(run, costs, *, seed=0, leak=0.0, end=None):
    """A record whose edges cost ``costs`` in all of its 4 epochs, or ``end`` in the last one."""
    by_epoch = np.tile(np.array(costs, dtype=float), (4, 1))
    if end is not None:
        by_epoch[-1] = end
    squares = np.zeros((4, 1, 3, 8))
    squares[:, 0, :, 3] = 10 * by_epoch**2  # ten batches an epoch, and one operation that is drawn
    drawn = np.zeros_like(squares)
    drawn[:, 0, :, 3] = 10
    arrays = {"edge_cost": by_epoch[:, None], "cost_sq": squares, "cost_n": drawn}
    arrays["skip_leak"] = np.full((4, 1), leak)
    return Fake(configs(run, "laptop", [seed])[0], arrays)


def records(claim, costs, **of_run):
    """Records of all runs of a claim for every seed, a little apart; ``of_run``: other costs, by the end of the run."""
    found = {}
    for run in CHECKS[claim].needed:
        mean = np.array(of_run.get(run.split("-")[-1], costs))
        found[run] = [record(run, mean + 1e-3 * seed * np.array([0, -1, 1]), seed=seed) for seed in SEEDS]
    return found


def measured(claim, *of_runs):
    """The number of one seed."""
    return float(per_seed(claim, *[[of_run] for of_run in of_runs])[0])


@pytest.mark.parametrize("claim", ["C-W9a", "C-PO8", "C-W27a", "C-W28a"])
def test_the_order_of_the_paper_is_recognised_beside_exchanged_edges(claim):
    verdict = evaluate(claim, records(claim, ORDER))
    assert verdict.verdict == "holds"
    assert verdict.p_value < 0.05
    assert not verdict.null.reaches
    assert evaluate(claim, records(claim, INVERTED)).verdict == "fails"


@pytest.mark.parametrize("claim", ["C-W9a", "C-PO8"])
def test_one_setting_in_which_the_order_is_another_is_enough(claim):
    assert evaluate(claim, records(claim, ORDER, d=(0.0, 0.02, -0.02))).verdict == "fails"


def test_settings_are_counted_in_which_the_intermediate_edge_costs_most():
    runs = CHECKS["C-W27a"].runs
    lead = [record(run, ORDER) for run in runs[:5]]
    assert measured("C-W27a", *lead, record(runs[5], (0.04, -0.05, 0.03))) == 5
    assert evaluate("C-W27a", records("C-W27a", ORDER, f=INVERTED)).verdict == "holds"
    assert evaluate("C-W27a", records("C-W27a", ORDER, e=INVERTED, f=INVERTED)).verdict == "fails"


@pytest.mark.parametrize("claim", ["C-W9b", "C-PO9"])
def test_inverted_order_needs_a_positive_cost_at_the_end_too(claim):
    assert evaluate(claim, records(claim, INVERTED)).verdict == "holds"
    runs = CHECKS[claim].runs
    at_first, late = record(runs[0], INVERTED), record(runs[1], INVERTED, end=(0, -0.01, -0.06))
    assert measured(claim, at_first, late) == pytest.approx(-0.01)
    assert measured(claim, at_first, record(runs[1], (0, 0.01, 0), end=(0, 0.3, 0))) == pytest.approx(0.04)


def test_the_lead_is_over_both_other_edges():
    runs = CHECKS["C-W28a"].runs
    lead = measured("C-W28a", record(runs[0], ORDER), record(runs[1], (0.01, -0.05, 0.03)))
    assert lead == pytest.approx(0.02)


def test_in_the_settings_with_an_edge_fixed_alone_the_intermediate_edge_costs_least():
    runs = CHECKS["C-W28b"].runs
    for inverted in product([False, True], repeat=4):
        costs = [INVERTED if found else ORDER for found in inverted]
        as_stated = np.mean(np.array(inverted) == (False, False, True, True))
        assert measured("C-W28b", *map(record, runs, costs)) == as_stated


def test_the_edge_into_node_1_costs_what_skip_passes_on():
    assert measured("C-W28c", record("W-MOD-d", (1e-5, -0.05, 0.03))) == pytest.approx(2e-4)
    assert measured("C-W28d", record("W-MOD-c", (-0.02, -0.05, 0.03), leak=-0.02)) == pytest.approx(0, abs=1e-12)
    assert measured("C-W28d", record("W-MOD-c", (-0.02, -0.05, 0.03), leak=0.03)) == pytest.approx(1)


def test_the_gap_of_controls():
    assert measured("C-W9c", record("W-SIMP-g-r", ORDER)) == pytest.approx(0.08)
    assert measured("C-W9d", record("W-SIMP-a", ORDER), record("W-SIMP-g-r", INVERTED)) == pytest.approx(0.18)
    assert measured("C-W28e", record("W-MOD-c-skip-r", ORDER), record("W-MOD-c", INVERTED)) == pytest.approx(0.18)


def live(run):
    """The record of a run at the size of tests."""
    (config,) = configs(run, "smoke", [5])
    trainer = build(config)
    while trainer.done < trainer.total:
        trainer.step()
    result = trainer.result()
    return Fake(config, result.arrays, result.tables)


@pytest.mark.claim("C-W28c", "C-W28d")
@pytest.mark.parametrize(("claim", "run"), [("C-W28c", "W-MOD-d"), ("C-W28d", "W-MOD-c")])
def test_exact_costs_of_the_modified_cell_on_live_runs(claim, run):
    assert evaluate(claim, {run: [live(run)]}).verdict == "holds"


@pytest.mark.claim("C-PO8b")
def test_exact_weights_between_the_nodes_rest_where_the_first_node_has_nothing():
    """And they learn where it has something: a convolution on all three edges, or none on (0, 1)."""
    model = network(simplified_cell())
    images, labels = batch(8)
    weights = list(model.cells[0].candidates(2)[CANDIDATES.index("sep_conv_3x3")].parameters())
    largest = {}
    for first in ("none", "sep_conv_3x3"):
        loss = F.cross_entropy(model(images, path(model, first, "sep_conv_3x3", "sep_conv_3x3")), labels)
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        largest[first] = max((float(g.abs().max()) for g in found if g is not None), default=0.0)
    assert largest["none"] == 0
    assert largest["sep_conv_3x3"] > 0


@pytest.mark.claim("C-PO8c")
def test_exact_shares_of_the_updates_of_an_operation():
    """Over all 512 architectures: an operation learns where it is drawn and its source node has something."""
    learned = Counter()
    for drawn in product(range(8), repeat=3):  # none is 0; the operation that is counted is 7
        fed = drawn[0] != 0
        learned.update(edge for edge in range(3) if drawn[edge] == 7 and (edge < 2 or fed))
    shares = [Fraction(learned[edge], 8**3) for edge in range(3)]
    assert shares == [Fraction(1, 8), Fraction(1, 8), Fraction(1, 8) * Fraction(7, 8)]
