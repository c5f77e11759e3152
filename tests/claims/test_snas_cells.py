"""Claims on found cells: what each measure says of records that are made for it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas_core.cells.genotype import CellGenotype, Genotype, released
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.sizes import CIFAR, network_counts
from nas_core.cells.topology import darts_cell
from nas_core.claims import CHECKS, evaluate, snas_cells
from nas_core.claims.nulls import Relabelled, Sample
from nas_core.claims.snas_cells import RANDOM, SEARCHED, edges, final_genotype, saving, similarity, size
from nas_core.experiments import configs
from nas_core.runs import Record
from nas_core.trainers.result import Result

TOPOLOGY = darts_cell(4)
SEEDS = range(5)
LOW, HIGH = ("S-SNAS-mild", "S-SNAS-agg")


def searched(run: str, normal: dict[int, str], reduce: dict[int, str], seed: int = 0) -> Record:
    """A search that ends with these operations by the number of their edge, and ``none`` on all others."""
    prob = np.full((2, 2, len(TOPOLOGY.edges), len(CANDIDATES)), 0.05)
    for row, ops in enumerate((normal, reduce)):
        for edge in range(len(TOPOLOGY.edges)):
            prob[-1, row, edge, CANDIDATES.index(ops.get(edge, "none"))] = 0.65
    return Record(configs(run, "laptop", [seed])[0], Path(), {}, Result(arrays={"prob": prob}))


def retrained(run: str, errors: tuple[float, ...], seed: int = 0) -> Record:
    """A retraining with these test errors by epoch, and others on validation images."""
    rows = [{"epoch": 1 + t, "split": "test", "acc": 1 - error} for t, error in enumerate(errors)]
    rows.append({"epoch": len(errors), "split": "valid", "acc": 0.0})
    return Record(configs(run, "laptop", [seed])[0], Path(), {}, Result(tables={"accuracy": pd.DataFrame(rows)}))


def test_exact_what_a_search_ends_with() -> None:
    record = searched(LOW, {0: "skip_connect", 4: "sep_conv_3x3"}, {1: "max_pool_3x3"})
    genotype = final_genotype(record)
    assert genotype.normal.edges == ((0, 2, "skip_connect"), (2, 3, "sep_conv_3x3"))
    assert genotype.reduce is not None
    assert genotype.reduce.edges == ((1, 2, "max_pool_3x3"),)
    assert edges(genotype) == 3


@pytest.mark.parametrize(("arch", "expected"), [
    ("SNAS_mild", 5 / 11), ("SNAS_moderate", 1), ("SNAS_aggressive", 2 / 8),
])  # fmt: skip
def test_exact_similarity_of_the_released_cells(arch: str, expected: float) -> None:
    assert similarity(released(arch)) == pytest.approx(expected)


def test_similarity_looks_at_edges_and_not_at_operations() -> None:
    normal = CellGenotype(2, 1, ((0, 2, "skip_connect"),), (2,))
    other = CellGenotype(2, 1, ((0, 2, "max_pool_3x3"),), (2,))
    nothing = CellGenotype(2, 1, (), (2,))
    assert similarity(Genotype(normal, other)) == 1
    assert similarity(Genotype(nothing, nothing)) == 1
    assert similarity(Genotype(normal, nothing)) == 0


def test_exact_sizes_are_those_of_the_counter() -> None:
    assert size(released("SNAS_aggressive")) == network_counts(released("SNAS_aggressive"), CIFAR).params == 2_313_622


@pytest.mark.parametrize(("normal", "reduce", "expected"), [
    ({0: "skip_connect"}, {}, 1),
    ({}, {0: "skip_connect"}, 0),
    (dict.fromkeys(range(14), "skip_connect"), dict.fromkeys(range(14), "skip_connect"), 0),
    (dict.fromkeys(range(14), "skip_connect"), dict.fromkeys(range(13), "skip_connect"), 1),
])  # fmt: skip
def test_a_search_drops_and_keeps(normal: dict, reduce: dict, expected: int) -> None:
    assert CHECKS["C-SN2b"].measure(searched(LOW, normal, reduce)) == expected


def test_an_aggressive_child_saves_the_smaller_of_both() -> None:
    """Half the edges and none of the parameters are no saving, and neither is the opposite."""
    many = searched(LOW, {0: "sep_conv_3x3", 1: "skip_connect"}, {})
    fewer_edges = searched(HIGH, {0: "sep_conv_3x3"}, {})
    fewer_parameters = searched(HIGH, {0: "skip_connect", 1: "skip_connect"}, {})
    measure = CHECKS["C-SN5c"].measure
    assert measure(many, fewer_edges) == pytest.approx(0, abs=1e-12)
    assert measure(many, fewer_parameters) == 0
    both = measure(many, searched(HIGH, {0: "skip_connect"}, {}))
    parameters = saving(size(final_genotype(many)), size(final_genotype(searched(HIGH, {0: "skip_connect"}, {}))))
    assert both == parameters > 0
    assert CHECKS["C-SNT2c"].measure(many, fewer_parameters) == pytest.approx(parameters)


def test_moderate_cells_are_compared_with_mild_ones() -> None:
    alike = searched("S-SNAS-mod", {0: "skip_connect"}, {0: "max_pool_3x3"})
    apart = searched(LOW, {0: "skip_connect"}, {1: "max_pool_3x3"})
    assert CHECKS["C-SN7c"].measure(alike, apart) == 1


def test_error_is_that_of_the_last_epoch_on_test_images() -> None:
    assert snas_cells.test_error(retrained("S-EVAL-R1", (0.9, 0.25))) == pytest.approx(0.25)


def test_the_worst_searched_cell_counts_in_standard_errors_of_the_random_ones() -> None:
    """Random cells at 20, 22, 24 and 26 % have mean 23 and a standard error of sqrt(20 / 3) / 2 points."""
    random = [retrained(run, (0.20 + 0.02 * i,)) for i, run in enumerate(RANDOM)]
    found = [retrained(run, (0.21,)) for run in SEARCHED]
    measure = CHECKS["C-SNT2d"].measure
    standard_error = (20 / 3) ** 0.5 / 2
    assert measure(*found, *random) == pytest.approx((21 - 23) / standard_error)
    found[2] = retrained(SEARCHED[2], (0.27,))
    assert measure(*found, *random) == pytest.approx((27 - 23) / standard_error)


def test_bad_searched_cells_fail_and_the_null_tells_that_labels_matter() -> None:
    """Searched cells that are all worse than the random ones: few orders of the records are as bad."""
    rng = np.random.default_rng(0)
    records = {}
    for run in SEARCHED + RANDOM:
        level = 0.3 if run in SEARCHED else 0.2
        records[run] = [retrained(run, (level + rng.normal(0, 0.005),), seed) for seed in SEEDS]
    verdict = evaluate("C-SNT2d", records)
    assert verdict.verdict == "fails"
    assert verdict.value is not None
    assert verdict.value > 10
    assert verdict.null is not None
    assert verdict.null.value < verdict.value / 2


def test_relabelling_draws_every_order_alike() -> None:
    """The first of two numbers: 1 or 3 at random within a seed, so 2 on average; all four seeds at 1 in 1 of 16."""
    of_runs = [[1.0] * 4, [3.0] * 4]
    sample = Sample(None, of_runs, np.array([1.0] * 4), "mean", False, {}, {})  # type: ignore[arg-type]
    null = Relabelled("both exchanged", float, lambda numbers: float(numbers[0]))  # type: ignore[arg-type]
    outcome = null.outcome(sample)
    assert outcome is not None
    assert outcome.value == pytest.approx(2, abs=0.15)
    assert outcome.p_value == pytest.approx(1 / 16, abs=0.04)
