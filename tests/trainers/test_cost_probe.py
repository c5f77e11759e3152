"""The probe of the costs: what it measures, on which network, and that it can be stopped and resumed at every batch."""

import pytest
import torch
import torch.nn.functional as F
from small import assert_resumes_everywhere, assert_same, through_a_file
from small import config as search_config

from nas_core.cells.supernet import Supernet
from nas_core.errors import UserError
from nas_core.runs.replay import anchors_of, step
from nas_core.runs.tree import digest
from nas_core.trainers import build
from nas_core.trainers.cost_probe import CostProbeConfig, CostProbeRun
from nas_core.trainers.result import Result
from nas_core.trainers.search import Search
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Data, Network

NETWORK = Network(cell="minimal", channels=4, layers=2, reductions=False, head_bias=False)
DATA = Data(name="fashion7", train=60)


def config(**changes: object) -> CostProbeConfig:
    settings = CostProbeConfig(
        run="tiny", profile="test", seed=3, data=DATA, network=NETWORK, networks=3, batches=5, batch=20
    )
    return settings.but(**changes)


def trained() -> tuple[SearchConfig, Result]:
    """A search whose weights stay, done."""
    settings = search_config("uniform", data=DATA, network=NETWORK, probes=("costs", "losses"), keep_weights=True)
    search = Search(settings)
    while search.done < search.total:
        search.step()
    return settings, search.result()


def after(search: SearchConfig, **changes: object) -> CostProbeConfig:
    return CostProbeConfig(
        run="late", profile="test", seed=3, data=DATA, network=NETWORK, batches=5, batch=20, after=search
    ).but(**changes)


def run(probe: CostProbeRun) -> CostProbeRun:
    while probe.done < probe.total:
        probe.step()
    return probe


def test_end_to_end() -> None:
    """Arrays by network, layer, edge and operation; every network has weights and losses of its own."""
    probe = build(config())
    assert isinstance(probe, CostProbeRun)
    assert (probe.total, probe.period) == (15, 5)
    result = run(probe).result()
    shapes = {name: array.shape for name, array in result.arrays.items()}
    by_op, by_layer = (3, 2, 5, 8), (3, 2)
    assert shapes == {
        "cost_sum": by_op,
        "cost_sq": by_op,
        "cost_n": by_op,
        "edge_cost": (3, 2, 5),
        "out_cost": by_layer,
        "skip_leak": by_layer,
        "residual": by_layer,
        "edge_size": by_layer,
    }
    assert (result.array("cost_n").sum(-1) == 5).all()
    losses = result.table("losses").query("group == 'all'")
    assert losses.network.tolist() == [0, 1, 2]
    assert len(set(losses.L)) == 3


def test_exact_costs_are_the_gradients_of_the_gates() -> None:
    """By hand, on the plain formulation with the same weights: the first batch, its path, its gradients."""
    probe = CostProbeRun(config(networks=1, batches=1))
    plain = Supernet(
        NETWORK.space(), channels=4, layers=2, classes=10, in_channels=1, reductions=False, head_bias=False,
        generator=torch.Generator().manual_seed(3 * 4),
    )  # fmt: skip
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3 * 4 + 1))
    images, labels = probe.data.batch("train", order[:20])
    gates = CostProbeRun(config(networks=1, batches=1))._draw().requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(plain(images, gates), labels), gates)
    probe.step()
    drawn = gates.detach().numpy() != 0
    costs = probe.result().array("cost_sum")[0]
    assert costs[drawn] == pytest.approx(expected.numpy()[drawn], rel=1e-3, abs=1e-6)
    assert (costs[~drawn] == 0).all()
    assert (drawn[0] == drawn[1]).all(), "all cells share the path"


def test_every_network_is_drawn_anew() -> None:
    """While one is measured its weights stay; the next one has others."""
    probe = CostProbeRun(config(networks=2, batches=2))
    seen = []
    for _ in range(4):
        seen.append(probe.model.classifier.weight.clone())
        probe.step()
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert torch.equal(seen[2], seen[3])


def test_nothing_learns() -> None:
    probe = CostProbeRun(config(networks=1))
    before = [weight.clone() for weight in probe.model.parameters()]
    run(probe)
    for weight, then in zip(probe.model.parameters(), before, strict=True):
        assert torch.equal(weight, then)


def test_end_to_end_resume_at_every_batch() -> None:
    """Also between two networks."""
    assert_resumes_everywhere(lambda: CostProbeRun(config()))


def test_end_to_end_a_replay_gives_the_same_bits() -> None:
    """The stretches that are replayed when the source has changed: start, close of a network, end."""
    probe = CostProbeRun(config())
    anchors = anchors_of(probe)
    assert set(anchors) == {"first", "period", "end"}
    while probe.done < probe.total:
        step(probe, anchors)
    for anchor in anchors.values():
        again = CostProbeRun(config())
        if anchor.state is not None:
            again.load_state(through_a_file(anchor.state))
        while again.done < anchor.stop:
            again.step()
        assert digest(again.state()) == anchor.after


def test_near_convergence_the_network_is_that_of_the_search() -> None:
    search, result = trained()
    probe = CostProbeRun(after(search), {search.key(): result})
    for name, weight in probe.model.state_dict().items():
        assert torch.equal(weight, result.weights[name]), name
    late = run(probe).result()
    early = run(CostProbeRun(config(networks=1))).result()
    loss = [found.table("losses").query("group == 'all'").L.item() for found in (late, early)]
    assert loss[0] < loss[1]


def test_a_probe_needs_the_run_that_trains_and_follows_it() -> None:
    search, _ = trained()
    other = after(search).but(seed=4, profile="other")
    assert other.needs() == (search.but(seed=4, profile="other"),)
    assert config().needs() == ()


def test_weights_stay_only_where_a_run_says_so() -> None:
    search, result = trained()
    assert result.weights
    without = search.but(keep_weights=False)
    assert "keep_weights" not in without.identity()
    assert search.identity()["keep_weights"]
    finished = Search(without)
    while finished.done < finished.total:
        finished.step()
    assert not finished.result().weights
    assert_same(finished.result().arrays, result.arrays)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"data": DATA.but(search=20)}, "no logits to train"),
    ({"batch": 61}, "a batch of 61 needs at least as many training images"),
    ({"networks": 0}, "CostProbeConfig.networks"),
    ({"network": NETWORK.but(order="crb"), "formulation": "fused"}, "formulation 'fused' cannot compute this probe"),
    ({"epochs": 3}, "CostProbeConfig has no field 'epochs'"),
])  # fmt: skip
def test_settings_that_cannot_work_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        config(**changes)


def test_a_search_that_does_not_fit_is_refused() -> None:
    search, _ = trained()
    with pytest.raises(UserError, match="has trained one network, not 2"):
        after(search, networks=2)
    with pytest.raises(UserError, match="set its keep_weights"):
        after(search.but(keep_weights=False))
    with pytest.raises(UserError, match="must have the same seed"):
        after(search.but(seed=4))


def test_other_orders_are_computed_plainly() -> None:
    assert config().formulation == "fused"
    assert config(network=NETWORK.but(order="crb")).formulation == "plain"


def test_result_comes_when_all_is_done() -> None:
    probe = CostProbeRun(config())
    probe.step()
    with pytest.raises(RuntimeError, match="has done 1 of 15 batches"):
        probe.result()
