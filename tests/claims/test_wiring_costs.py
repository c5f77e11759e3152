"""Claims on costs: the exact ones on small live runs, the statistical ones on records made by hand."""

import functools
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from small import NOT_NONE, batch, network, path, random_path

from nas_core import papers
from nas_core.claims import CHECKS, evaluate
from nas_core.claims.nulls import AlteredTables
from nas_core.claims.wiring_costs import by_network, epochs_of_arrays, largest_of_cells, mean_cost, standard_error
from nas_core.experiments import configs
from nas_core.probes.losses import loss_terms
from nas_core.probes.passes import backward
from nas_core.trainers import build
from nas_core.trainers.result import Result
from nas_core.trainers.settings import RunConfig

SEED = 5
EXACT = ["C-W4a", "C-W4d", "C-W7c", "C-W15a", "C-W19a", "C-W19b", "C-W21a", "C-W24a", "C-W30a", "C-W31a"]


@dataclass
class Fake:
    """Stands in for a record."""

    config: RunConfig
    arrays: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)

    def array(self, name):
        return self.arrays[name]

    def table(self, name):
        return self.tables[name].copy()


@functools.cache
def computed(run: str) -> Result:
    """A run at the size of tests, and before it the run that it needs."""
    (config,) = configs(run, "smoke", [SEED])
    needed = {need.key(): computed(need.run) for need in config.needs()}
    trainer = build(config, needed)
    while trainer.done < trainer.total:
        trainer.step()
    return trainer.result()


def live(run: str) -> Fake:
    result = computed(run)
    arrays = {name: array.copy() for name, array in result.arrays.items()}
    return Fake(configs(run, "smoke", [SEED])[0], arrays, dict(result.tables))


def verdict(claim: str, *records: Fake) -> str:
    return evaluate(claim, {record.config.run: [record] for record in records}).verdict


@pytest.mark.claim(*EXACT)
@pytest.mark.parametrize("claim", EXACT)
def test_exact_claims_hold_on_small_runs(claim: str) -> None:
    assert verdict(claim, *map(live, CHECKS[claim].runs)) == "holds"


@pytest.mark.parametrize(("claim", "array", "change"), [
    ("C-W4a", "cost_sum", 1e-9),
    ("C-W15a", "cost_sum", 1e-9),
    ("C-W30a", "cost_sum", 1e-9),
    ("C-W31a", "cost_sum", 1e-9),
    ("C-W4d", "skip_leak", 1e-3),
    ("C-W7c", "skip_leak", 1e-3),
    ("C-W19a", "residual", 1e-3),
    ("C-W19b", "residual", 1e-3),
])  # fmt: skip
def test_exact_claims_fail_where_a_number_is_off(claim: str, array: str, change: float) -> None:
    records = [live(run) for run in CHECKS[claim].runs]
    records[0].arrays[array] += change
    assert verdict(claim, *records) == "fails"


@pytest.mark.parametrize("claim", ["C-W21a", "C-W24a"])
def test_exact_claims_on_images_fail_where_c_is_off(claim: str) -> None:
    (record,) = (live(run) for run in CHECKS[claim].runs)
    record.tables["losses"] = record.tables["losses"].assign(C=lambda table: table.C + 1)
    assert verdict(claim, record) == "fails"


@pytest.mark.claim("C-W30d", "C-W31d")
@pytest.mark.parametrize("order", ["crb", "cbr"])
@pytest.mark.parametrize("op", ["max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3", "dil_conv_5x5"])
def test_exact_theorem_1_in_other_orders(order: str, op: str) -> None:
    """What the edges into node 2 cost is what its output edge pays; a skip on edge 4 passes its own cost on."""
    model = network(order=order, eps=1e-300)
    fixed = ("sep_conv_3x3", "dil_conv_3x3", "sep_conv_5x5", "avg_pool_3x3")
    seen = backward(model, path(model, *fixed, op), *batch())
    residual = seen.cost[:2].sum() - seen.to_output(2)
    assert abs(residual) < 1e-12 * seen.cost.abs().max()
    leaking = backward(model, path(model, *fixed, "skip_connect"), *batch())
    residual = leaking.cost[:2].sum() - leaking.to_output(2)
    assert residual.item() == pytest.approx(leaking.cost[4].item(), rel=1e-9)


@pytest.mark.claim("C-PO7")
def test_exact_theorem_2_at_the_output_of_the_last_cell() -> None:
    for seed in range(4):
        model = network(seed=seed)
        images, labels = batch(seed=seed)
        seen = backward(model, random_path(model, NOT_NONE, seed), images, labels)
        loss, uncertainty, _, _ = loss_terms(seen.logits, labels)
        assert abs(seen.output_cost - (loss - uncertainty).mean()) < 1e-13
    biased = network(head_bias=True)
    images, labels = batch()
    seen = backward(biased, random_path(biased, NOT_NONE, 0), images, labels)
    loss, uncertainty, _, _ = loss_terms(seen.logits, labels)
    assert abs(seen.output_cost - (loss - uncertainty).mean()) > 1e-4


# ------------------------------------------------------------------------------------------ records made by hand


def probe(run: str, means: np.ndarray, seed: int = 0) -> Fake:
    """A record of a probe: ``means`` (networks, layers, edges, ops) of ten draws each."""
    config = configs(run, "laptop", [seed])[0]
    count = np.full(means.shape, 10.0)
    return Fake(config, {"cost_sum": means * count, "cost_n": count, "cost_sq": (means**2 + 1) * count})


def costs(sign: float, networks: int, seed: int, layers: int = 1) -> np.ndarray:
    """Mean costs about ``sign``; none costs nothing."""
    rng = np.random.default_rng(seed)
    found = sign + 0.1 * rng.standard_normal((networks, layers, 5, 8))
    found[..., 0] = 0.0
    return found


def test_signs_of_costs() -> None:
    before = [probe("W-MC1i", costs(1.0, 10, s), s) for s in range(6)]
    after = [probe("W-MC1c", costs(-1.0, 1, s), s) for s in range(6)]
    records = {"W-MC1i": before, "W-MC1c": after}
    for claim in ("C-W4b", "C-W4c", "C-PO3", "C-PO3b"):
        found = evaluate(claim, records)
        assert (found.verdict, found.value) == ("holds", 1.0)
        assert found.null is not None
        assert not found.null.meets
        exchanged = evaluate(claim, {"W-MC1i": after, "W-MC1c": before})
        assert exchanged.verdict == "fails"


def test_one_mean_far_below_zero_is_enough_to_fail() -> None:
    means = costs(1.0, 10, 0)
    means[..., 3, 5] = -1.0 + 0.01 * np.arange(10)[:, None]
    assert CHECKS["C-W4b"].measure(probe("W-MC1i", means)) == 0.0
    means[..., 3, 5] = np.array([-1.0, 0.9] * 5)[:, None]  # below zero, but not by three standard errors
    assert CHECKS["C-W4b"].measure(probe("W-MC1i", means)) == pytest.approx(34 / 35)


def test_means_and_standard_errors_by_hand() -> None:
    means = costs(1.0, 4, 1, layers=3)
    record = probe("W-MC8mi", means)
    assert by_network(record) == pytest.approx(means.sum(1))
    assert mean_cost(record, 1) == pytest.approx(means[:, 1].mean(0))
    assert standard_error(record) == pytest.approx(means.sum(1).std(0, ddof=1) / 2)
    alone = probe("W-MC8mc", means[:1])
    assert standard_error(alone) == pytest.approx(np.sqrt(3 * 1 / 10) * np.ones((5, 8)))
    assert largest_of_cells(record) == pytest.approx(np.abs(means.mean(0)).max((1, 2)))


def test_operations_that_were_never_drawn_do_not_count() -> None:
    record = probe("W-MC1c", costs(-1.0, 1, 0))
    record.arrays["cost_n"][0, 0, 4, 2] = 0
    record.arrays["cost_sum"][0, 0, 4, 2] = 0
    assert CHECKS["C-W4c"].measure(record) == 1.0


def test_the_last_cell_against_the_others() -> None:
    small, large = costs(1.0, 10, 0, layers=8), costs(1.0, 1, 0, layers=8)
    small[:, -1], large[:, -1] = 20 * small[:, 0], 40 * large[:, 0]
    ratio = CHECKS["C-W15"].measure(probe("W-MC8mi", small), probe("W-MC8mc", large))
    expected = np.abs(small.mean(0)).max((1, 2))
    assert ratio == pytest.approx(expected[-1] / expected[:-1].max())
    assert CHECKS["C-W16"].measure(probe("W-MC8oi", small), probe("W-MC8oc", -large)) == 1.0


def trained(run: str, total: np.ndarray, seed: int = 0, **columns: np.ndarray) -> Fake:
    """A record of a training: ``total`` (epochs,) on the first of five edges, and means of all images by epoch."""
    config = configs(run, "laptop", [seed])[0].but(epochs=len(total))
    edge_cost = np.zeros((len(total), config.network.layers, 5))
    edge_cost[:, -1, 0] = total
    rows = {"epoch": np.arange(1, len(total) + 1), "split": "train", "group": "all", **columns}
    return Fake(config, {"edge_cost": edge_cost}, {"losses": pd.DataFrame(rows)})


FALLING = np.linspace(1.0, -0.5, 9)


def test_the_sum_turns_and_goes_with_the_loss() -> None:
    columns = {"L": FALLING + 2, "acc": -FALLING, "C": FALLING}
    records = {"W-TH1": [trained("W-TH1", FALLING + 0.01 * s, s, **columns) for s in range(6)]}
    for claim in ("C-W7a", "C-W7b", "C-W7d", "C-PO7b"):
        found = evaluate(claim, records)
        assert found.verdict == "holds", claim
        assert found.null is not None
        assert not found.null.meets
    never = {"W-TH1": [trained("W-TH1", FALLING + 1, s, **columns) for s in range(6)]}
    assert evaluate("C-W7a", never).verdict == "fails"
    rising = {"W-TH1": [trained("W-TH1", -FALLING, s, **columns) for s in range(6)]}
    for claim in ("C-W7a", "C-W7b", "C-W7d"):
        assert evaluate(claim, rising).verdict == "fails", claim


def test_loss_falls_and_c_turns() -> None:
    measure = CHECKS["C-W21b"].measure
    assert measure(trained("W-TH1x", FALLING, L=FALLING + 2, C=FALLING)) == pytest.approx(0.5)
    assert measure(trained("W-TH1x", FALLING, L=FALLING + 2, C=FALLING + 1)) < 0


def test_shuffled_tables_move_whole_epochs() -> None:
    record = trained("W-TH1x", FALLING, L=FALLING + 2, C=FALLING)
    altered = AlteredTables(record, epochs_of_arrays, np.random.default_rng(0))
    table = altered.table("losses")
    assert table.epoch.tolist() == list(range(1, 10))
    assert not np.array_equal(table.C, FALLING)
    assert sorted(table.C) == pytest.approx(sorted(FALLING))
    assert table.L.to_numpy() == pytest.approx(table.C.to_numpy() + 2), "the columns of an epoch stay together"
    assert altered.table("losses").equals(table), "a draw is one order"


def test_the_late_trend_looks_at_the_last_third() -> None:
    correct = np.array([9.0, 8, 7, 6, 5, 4, 1, 2, 3])
    record = trained("W-TH1x", FALLING, C=correct)
    record.tables["losses"]["group"] = "correct"
    assert CHECKS["C-W24c"].measure(record) == 1.0


def test_the_second_last_cell_against_the_last() -> None:
    record = trained("W-TH8m", FALLING)
    record.arrays["edge_cost"][:, -2, 3] = 0.01
    expected = 0.01 / np.abs(FALLING).mean()
    assert CHECKS["C-W19c"].measure(record) == pytest.approx(expected)


def test_every_claim_of_these_artefacts_is_checked_or_measured_by_hand() -> None:
    table = papers.claims()
    made = papers.artefacts()["notebook"]
    mine = set(table.index[table["artefact"].map(made) == "07_wiring_costs"])
    assert mine - set(CHECKS) == {"C-W30d", "C-W31d", "C-PO7"}


def test_frozen_weights_are_those_of_the_training() -> None:
    """A probe near convergence has a lower loss than untrained networks, although nothing learns in it."""
    late, early = (live(run).tables["losses"].query("group == 'all'").L.mean() for run in ("W-MC1c", "W-MC1i"))
    assert torch.isfinite(torch.tensor([late, early])).all()
    assert late < early
