"""Claims of the study of remedies: on records made by hand, and shares of learning by full enumeration."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from test_claims import ALL, MIDDLE, NOTHING, Fake, wiring

from nas_core.cells.topology import darts_cell, minimal_cell
from nas_core.claims import CHECKS, per_seed
from nas_core.claims.wiring_remedies import learning_shares, trained_costs, winners
from nas_core.experiments import configs

COLLAPSE = [NOTHING, ALL, ALL, MIDDLE, MIDDLE, MIDDLE, MIDDLE]
CALM = [NOTHING, NOTHING, {4}, {4}, {4}, {4}, {4}]
LATE = [NOTHING, NOTHING, NOTHING, NOTHING, ALL, MIDDLE, MIDDLE]


@pytest.mark.parametrize(
    ("claim", "remedied", "expected"),
    [
        ("C-R1a", CALM, 1 - 1 / 14),
        ("C-R1a", LATE, 1.0),  # by the first third alone a collapse that comes later is no collapse
        ("C-R1c", CALM, 1 - 1 / 14),
        ("C-R1c", LATE, 0.0),  # which is why this one looks at all epochs
        ("C-R1e", CALM, 1 - 1 / 6),
        ("C-R1e", LATE, 0.0),
    ],
)
def test_exact_a_remedy_is_measured_against_the_plain_method(claim, remedied, expected):
    plain, other = CHECKS[claim].runs
    value = per_seed(claim, [wiring(plain, COLLAPSE)], [wiring(other, remedied)])
    assert value == pytest.approx(expected)


def test_exact_none_that_stays_put_and_none_that_moves():
    still, moved = wiring("W-DSNAS8-edge-r", [NOTHING] * 7), wiring("W-DSNAS8-edge-r", CALM)
    assert per_seed("C-R1g", [still]) == 0
    assert per_seed("C-R1g", [moved]) == pytest.approx(0.6)


def test_exact_the_level_that_is_left_is_in_decades_of_the_last_half():
    level = {"W-DARTS8-plain-r": [9.0, 9.0, 1.0, -3.0], "W-DARTS8-cal-r": [5.0, 5.0, 0.01, 0.03]}
    records = []
    for run, costs in level.items():
        records.append([Fake(configs(run, "laptop")[0], {"out_cost": np.array(costs)[:, None]})])
    assert per_seed("C-R2d", *records) == pytest.approx(-2)


def test_exact_children_are_compared_by_their_last_test_accuracy():
    def child(run, *accuracies):
        rows = [{"epoch": epoch, "split": "test", "acc": acc} for epoch, acc in enumerate(accuracies, start=1)]
        return Fake(configs(run, "laptop")[0], tables={"accuracy": pd.DataFrame(rows)})

    remedied, plain = CHECKS["C-R3a"].runs
    assert per_seed("C-R3a", [child(remedied, 0.9, 0.8)], [child(plain, 0.1, 0.75)]) == pytest.approx(5)
    random = Fake(configs("W-RAND8-r", "laptop")[0], tables={"best": pd.DataFrame([{"child": 1, "acc": 0.7}])})
    assert per_seed("C-R3i", [child(plain, 0.75)], [random]) == pytest.approx(5)


def base(run, cost):
    """A record in which every drawn operation costs ``cost`` of its edge, (edges,), twice an epoch; none costs 0."""
    config = configs(run, "laptop")[0]
    drawn = np.full((config.epochs, 1, 5, 8), 2.0)
    total = drawn * np.asarray(cost)[:, None]
    total[..., 0] = 0
    total[: config.epochs // 2] = 99  # only the last third counts
    return Fake(config, {"cost_sum": total, "cost_n": drawn})


def test_exact_places_are_compared_by_their_trained_costs():
    full = base("W-BASE-full-r", [9.0, 9.0, -0.2, -0.4, 0.1])
    assert per_seed("C-R4b", [full]) == pytest.approx(0.4)
    wide, deep = base("W-BASE-wide-r", [0.1, 0.3, 9, 9, 9]), base("W-BASE-deep-r", [-0.1, -0.3, 9, 9, 9])
    assert per_seed("C-R4c", [wide], [deep]) == pytest.approx(0.4)
    never = base("W-BASE-full-r", [0.0] * 5)
    never.arrays["cost_n"][:, :, 4] = 0
    assert np.isnan(trained_costs(never)[4]).all()
    assert trained_costs(never).shape == (5, 7)


def test_exact_winners_are_sought_among_the_operations():
    record = wiring("W-DSNAS8-shuffled-r", [NOTHING, ALL])
    record.arrays["prob"][-1, 0, :7, 6] = 0.2  # none wins everywhere; a dilated convolution is second on half of them
    assert winners(record).tolist() == [5] * 7 + [0] * 7
    assert per_seed("C-R5a", [record]) == 0.5


@pytest.mark.claim("C-R4a")
def test_exact_under_uniform_sampling_the_middle_edge_learns_in_63_of_64_steps_of_the_others():
    shares = learning_shares(minimal_cell(), np.full(5, Fraction(1, 8)))
    assert shares[:4].tolist() == [Fraction(7, 8)] * 4
    assert shares[4] / shares[0] == Fraction(63, 64)


def test_exact_shares_of_learning_in_the_minimal_cell():
    none = np.array([Fraction(1, 2), Fraction(1, 3), Fraction(0), Fraction(1), Fraction(1, 5)])
    shares = learning_shares(minimal_cell(), none)
    assert shares.tolist() == [
        Fraction(1, 2),
        Fraction(2, 3),
        Fraction(1),
        Fraction(0),
        Fraction(4, 5) * (1 - Fraction(1, 2) * Fraction(1, 3)),
    ]


def test_exact_a_chain_of_none_starves_what_stands_behind_it():
    """Node 2 is never zero, node 3 reads node 2 alone, node 4 node 3 alone: each edge passes half of the time."""
    graph = darts_cell()
    none = np.ones(14)
    none[[0, 4, 8]] = 0.0, 0.5, 0.5
    shares = learning_shares(graph, none)
    assert shares[[0, 4, 8]] == pytest.approx([1, 0.5, 0.25])
    assert not np.delete(shares, [0, 4, 8]).any()


def test_property_simulated_draws_give_the_enumerated_shares():
    """Single paths of the 14-edge cell, drawn: an edge learns if it drew an operation and its source is not zero."""
    graph, draw = darts_cell(), np.random.default_rng(0)
    none = draw.uniform(0.2, 0.8, 14)
    learnt = np.zeros(14)
    for is_none in draw.random((4000, 14)) < none:
        alive = {0, 1}
        for edge, (source, target) in enumerate(graph.edges):
            if source in alive and not is_none[edge]:
                learnt[edge] += 1 / 4000
                alive.add(target)
    assert learnt == pytest.approx(learning_shares(graph, none), abs=0.03)
