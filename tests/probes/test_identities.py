"""The identities of a batch: what the costs of a cell's edges add up to, and by how much the worst batch misses it."""

import pytest
import torch
from small import NOT_NONE, batch, costs, network, random_path

from nas_core.cells.operations import CANDIDATES
from nas_core.errors import UserError
from nas_core.probes.identities import IdentityProbe
from nas_core.probes.losses import loss_terms
from nas_core.trainers.observer import leaks
from nas_core.trainers.search import Search

LAYERS = 2


def probed(eps: float = 1e-12, without_leaks: bool = False) -> dict[str, torch.Tensor]:
    """What the probe gives of eight random paths, one a network; skip stands on many of them."""
    model = network(layers=LAYERS, eps=eps)
    marked = leaks(model.space)
    probe = IdentityProbe(LAYERS, torch.zeros_like(marked) if without_leaks else marked)
    for seed in range(8):
        model = network(layers=LAYERS, seed=seed, eps=eps)
        images, labels = batch(seed=seed)
        gates = random_path(model, (*NOT_NONE, "skip_connect") if seed else ("skip_connect",), seed)
        _, logits, cost, _ = costs(model, gates, images, labels)
        probe.expect(logits, labels)
        probe.add(gates, cost)
    return probe.close()


def test_exact_edges_sum_to_zero_and_in_the_last_cell_to_l_minus_h() -> None:
    found = probed()
    assert (found["residual"] / found["edge_size"]).max() < 1e-9


def test_the_residual_is_what_is_left_out() -> None:
    """Without the cost that skip passes on, and with a larger eps, it is seen."""
    left_out = probed(without_leaks=True)
    assert (left_out["residual"] / left_out["edge_size"]).min() > 1e-3
    assert (probed(eps=1e-3)["residual"] > 1e-6).all()


def test_exact_worst_batch_and_mean_size_by_hand() -> None:
    probe = IdentityProbe(LAYERS, torch.zeros(5, 8, dtype=torch.bool))
    residuals, sizes = [], []
    for seed in range(3):
        model = network(layers=LAYERS, seed=seed)
        images, labels = batch(seed=seed)
        gates = random_path(model, CANDIDATES, seed)
        _, logits, cost, _ = costs(model, gates, images, labels)
        probe.expect(logits, labels)
        probe.add(gates, cost)
        loss, uncertainty, _, _ = loss_terms(logits, labels)
        paid = (gates * cost).sum(-1)
        expected = torch.tensor([0.0, float((loss - uncertainty).mean())], dtype=torch.float64)
        residuals.append((paid.sum(-1) - expected).abs())
        sizes.append(paid.abs().sum(-1))
    found = probe.close()
    torch.testing.assert_close(found["residual"], torch.stack(residuals).amax(0))
    torch.testing.assert_close(found["edge_size"], torch.stack(sizes).mean(0))
    assert probe.close()["residual"].eq(0).all(), "it starts afresh"


def test_a_search_records_them_where_asked() -> None:
    from small import config, run

    settings = config("uniform", probes=("losses", "costs", "identities"))
    search = run(Search(settings))
    arrays = search.result().arrays
    assert arrays["residual"].shape == arrays["edge_size"].shape == (2, 1)
    assert (arrays["residual"] / arrays["edge_size"] < 1e-2).all()
    without = run(Search(settings.but(probes=("losses", "costs"))))
    assert "residual" not in without.result().arrays
    assert "identities" not in without.state()["observer"]


@pytest.mark.parametrize("changes", [{"network": {"head_bias": True}}, {"probes": ("identities",)}])
def test_where_they_do_not_hold_they_are_refused(changes: dict) -> None:
    from small import config

    settings = config("uniform", probes=("losses", "costs", "identities"))
    if "network" in changes:
        changes = {"network": settings.network.but(head_bias=True)}
    with pytest.raises(UserError, match="a classifier without bias"):
        settings.but(**changes)
