"""Theorem 1 and Corollary 1.2 of the wiring paper in what a run records.

Costs are probed in training mode, so that batch norm makes every operation but skip blind to the scale of its input.
A run has float32 and the eps of batch norm, so the identities hold to a few parts in ten thousand of all costs.
"""

import numpy as np
import pytest
from small import METHODS, config, finished, run

from nas_core.trainers.search import Search
from nas_core.trainers.settings import Network

TOLERANCE = 1e-3  # of the sum of all absolute costs of a cell
CELL = Network(nodes=2, channels=4, layers=2, reductions=False, head_bias=False)


def frozen(method: str) -> Search:
    """The Monte-Carlo probe: costs are measured, weights and logits rest; two cells of two nodes."""
    rests = METHODS[method].but(update_theta=False, update_alpha=False)
    return run(Search(config(method, method=rests, network=CELL)))


def assert_theorem_1(arrays: dict[str, np.ndarray]) -> None:
    """The costs of a cell's edges sum to the cost of its output plus what skips on intermediate edges pass on."""
    scale = np.abs(arrays["edge_cost"]).sum(-1)
    passed_on = arrays["skip_leak"]
    residual = arrays["edge_cost"].sum(-1) - passed_on - arrays["out_cost"]
    assert (np.abs(residual) < TOLERANCE * scale).all()
    assert (np.abs(passed_on) > 5 * TOLERANCE * scale).any(), "no skip was drawn: the exception would not show"


@pytest.mark.parametrize("method", METHODS)
def test_theorem_1_in_a_search(method: str) -> None:
    assert_theorem_1(finished(method).result().arrays)


@pytest.mark.parametrize("method", ["softmax bi-level", "concrete single", "one-hot", "two-path"])
def test_theorem_1_and_corollary_1_2_where_weights_and_logits_rest(method: str) -> None:
    arrays = frozen(method).result().arrays
    assert_theorem_1(arrays)
    scale = np.abs(arrays["edge_cost"]).sum(-1)
    inner = np.abs(arrays["out_cost"])[:, :-1]
    assert (inner < TOLERANCE * scale[:, :-1]).all(), "the output of a cell before the last costs nothing"
    assert (np.abs(arrays["out_cost"])[:, -1] > 5 * TOLERANCE * scale[:, -1]).all()
