"""MixPath in S4: what the claims measure, on records made by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_claims import Fake

from nas_core.cells.mixpath import s4_distinct, s4_text
from nas_core.claims import evaluate, per_seed
from nas_core.claims.mixpath_cells import cosines, likeness, picked, ranking, tau, unevenness
from nas_core.experiments import configs
from nas_core.trainers.cell_scores import feature_cells

SEEDS = range(5)
CELLS = [s4_text(cell) for cell in s4_distinct()]
TRUTH = np.linspace(0.6, 0.76, len(CELLS))  # the last cell is the best
VECTORS = feature_cells()
PATHS = np.array([len(cell) - cell.count(None) for cell in VECTORS])
SINGLE = PATHS == 1


def scored(run: str = "M-S4p", seed: int = 0, trained: Any = TRUTH, new: Any = TRUTH, **arrays: Any) -> Any:
    """A record of scores: those ``trained`` and those that are ``new`` by recalibration, each (cells,)."""
    parts = []
    for statistics, values in (("as trained", trained), ("recalibrated", new)):
        parts.append(pd.DataFrame({"cell": CELLS, "statistics": statistics, "acc": values}))
    features = pd.DataFrame({"operations": [s4_text(cell) for cell in VECTORS], "paths": PATHS})
    truth = pd.DataFrame({"cell": CELLS, "paths": 1, "madds": np.arange(len(CELLS)), "acc_test": TRUTH})
    tables = {"scores": pd.concat(parts), "truth": truth, "features": features}
    return Fake(configs(run, "laptop", [seed])[0], {name: gram[None] for name, gram in arrays.items()}, tables)


def searched(cell: str, seed: int = 0, other: str = CELLS[0]) -> Any:
    """A record of DARTS that ends with ``cell``, and with ``other`` by the rule that keeps all nodes."""
    table = pd.DataFrame({"rule": ["argmax", "argmax without absence"], "cell": [cell, other]})
    return Fake(configs("M-S4DARTS", "laptop", [seed])[0], tables={"derived": table})


def gram(vectors: np.ndarray) -> np.ndarray:
    return vectors @ vectors.T


# ------------------------------------------------------------------------------------------------ picks


def judged(cell: str, new: np.ndarray) -> Any:
    """The verdict on C-MT2a where DARTS ends with ``cell`` and the supernet's recalibrated scores are ``new``."""
    records = {
        "M-S4p": [scored(seed=seed, trained=-TRUTH, new=new) for seed in SEEDS],
        "M-S4DARTS": [searched(cell, seed, CELLS[-1]) for seed in SEEDS],
    }
    return evaluate("C-MT2a", records)


def test_a_pick_near_the_best_before_that_of_darts_holds() -> None:
    verdict = judged(CELLS[0], TRUTH)
    assert verdict.verdict == "holds"
    assert verdict.value == pytest.approx(0.5)  # the best cell itself, and a lead of 16 points
    assert verdict.null is not None
    assert verdict.null.value < 0
    assert not verdict.null.reaches


def test_a_pick_fails_where_darts_finds_a_better_one_or_it_is_far_from_the_best() -> None:
    second = TRUTH.copy()
    second[-1] = 0
    assert judged(CELLS[-1], second).value == pytest.approx(100 * (TRUTH[-2] - TRUTH[-1]))
    assert judged(CELLS[-1], second).verdict == "fails"
    far = np.zeros(len(CELLS))
    far[10] = 1
    assert judged(CELLS[0], far).value == pytest.approx(0.5 - 100 * (TRUTH[-1] - TRUTH[10]))
    assert judged(CELLS[0], far).verdict == "fails"


def test_of_equal_scores_the_cell_with_fewer_paths_is_picked() -> None:
    assert picked(scored(new=np.ones(len(CELLS)))) == CELLS[0]


# ------------------------------------------------------------------------------------------------ ranking


def test_tau_is_that_of_scores_and_ground_truth() -> None:
    values = np.random.default_rng(0).random(len(CELLS))
    record = scored(trained=values, new=TRUTH)
    assert tau(record, "as trained") == pytest.approx(stats.kendalltau(values, TRUTH).statistic)
    assert tau(record, "recalibrated") == pytest.approx(1)
    assert tau(scored(trained=np.ones(len(CELLS))), "as trained") == 0
    table = ranking(record, "as trained")
    assert table["score"].to_numpy() == pytest.approx(100 * values)
    assert table["truth"].to_numpy() == pytest.approx(100 * TRUTH)


@pytest.mark.parametrize(("shadow", "plain", "verdict"), [(TRUTH, -TRUTH, "holds"), (-TRUTH, TRUTH, "fails")])
def test_ranking_is_judged_with_statistics_as_trained(shadow: Any, plain: Any, verdict: str) -> None:
    records = {
        "M-S4p": [scored("M-S4p", seed, trained=shadow, new=-shadow) for seed in SEEDS],
        "M-S4bnp": [scored("M-S4bnp", seed, trained=plain, new=-plain) for seed in SEEDS],
    }
    found: Any = evaluate("C-MT2b", records)
    assert found.verdict == verdict
    assert found.value == pytest.approx(2 if verdict == "holds" else -2)
    assert found.null.value == 0


# ------------------------------------------------------------------------------------------------ features


def test_cosines() -> None:
    found = cosines(gram(np.array([[1.0, 0.0], [3.0, 3.0], [0.0, 0.0]])))
    assert found[0, 1] == pytest.approx(np.sqrt(0.5))
    assert found[2].tolist() == [0, 0, 0]  # a feature that is zero everywhere


def with_cosines(singles: float, sums: float) -> np.ndarray:
    """Inner products of unit vectors: ``singles`` between operations, ``sums`` between any of them and any sum."""
    products = np.where(np.outer(SINGLE, SINGLE), singles, sums)
    np.fill_diagonal(products, 1)
    return products


@pytest.mark.parametrize(
    ("singles", "sums", "verdict"), [(0.9, 0.85, "holds"), (0.7, 0.9, "fails"), (0.9, 0.7, "fails")]
)
def test_features_are_alike_only_if_operations_and_sums_are(singles: float, sums: float, verdict: str) -> None:
    products: Any = {"gram_before": with_cosines(singles, sums), "untrained_gram_before": np.eye(len(VECTORS))}
    found: Any = evaluate("C-MF6a", {"M-S4p": [scored(seed=seed, **products) for seed in SEEDS]})
    assert found.verdict == verdict
    assert found.value == pytest.approx(min(singles, sums))
    assert found.null.value == 0


def test_likeness_compares_different_operations_only() -> None:
    """Paths of one operation are the same vector here and those of others orthogonal: nothing is alike."""
    vectors = np.zeros((len(VECTORS), 4))
    for k, cell in enumerate(VECTORS):
        vectors[k, ("conv1x1", "conv3x3", "maxpool3x3").index(s4_text(cell)) if SINGLE[k] else 3] = 1
    singles, sums = likeness(scored(gram_before=gram(vectors)))
    assert singles == sums == 0


def lengths(by_count: tuple[float, ...]) -> np.ndarray:
    return np.diag(np.array(by_count)[PATHS - 1] ** 2)


@pytest.mark.parametrize(
    ("shadow", "plain", "value"),
    [
        ((1.0, 1.0, 1.1, 1.1), (1.0, 2.0, 3.0, 4.0), 1.1 / 1.2),
        ((1.0, 1.3, 1.1, 1.1), (1.0, 2.0, 3.0, 4.0), 1.3 / 1.2),
        ((1.0, 1.0, 1.1, 1.1), (1.0, 1.0, 1.0, 1.05), 1.1 / 1.05),
    ],
)
def test_norms_are_even_below_1_2_and_below_those_of_one_batch_norm(shadow: Any, plain: Any, value: float) -> None:
    records = {
        "M-S4p": [scored("M-S4p", seed, gram_after=lengths(shadow)) for seed in SEEDS],
        "M-S4bnp": [scored("M-S4bnp", seed, gram_after=lengths(plain)) for seed in SEEDS],
    }
    found: Any = evaluate("C-MF6b", records)
    assert found.value == pytest.approx(value)
    assert found.verdict == ("holds" if value <= 1 else "fails")
    assert found.null.value == pytest.approx(max(plain) / min(1.2, max(plain)))
    assert per_seed("C-MF6b", records["M-S4p"], records["M-S4bnp"]) == pytest.approx(value)
    assert unevenness(records["M-S4bnp"][0]) == pytest.approx(max(plain))
