"""Who learns from what: weights, logits, and what observing a run may change."""

import numpy as np
import pytest
import torch
from small import LEARNING, METHODS, assert_same, config, fake_source, finished, frozen, run

from nas_core import data
from nas_core.cells.operations import CANDIDATES
from nas_core.probes.calibration import SCALES
from nas_core.trainers.batches import Batches
from nas_core.trainers.search import Search
from nas_core.trainers.settings import Data, Network

NO_SKIP = tuple(op for op in CANDIDATES if op != "skip_connect")


def weights(search: Search) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in search.model.named_parameters()}


def same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[bool]:
    return [torch.equal(a[name], b[name]) for name in a]


@pytest.mark.parametrize("method", METHODS)
def test_frozen_logits_do_not_move(method: str) -> None:
    search = Search(config(method, method=frozen(method)))
    logits, before = search.logits.clone(), weights(search)
    run(search)
    assert torch.equal(search.logits, logits)
    assert not all(same_weights(before, weights(search)))


@pytest.mark.parametrize("method", LEARNING)
def test_frozen_weights_do_not_move(method: str) -> None:
    """In bi-level search this leaves the architecture step alone: it changes no weight."""
    search = Search(config(method, method=METHODS[method].but(update_theta=False)))
    logits, before = search.logits.clone(), weights(search)
    run(search)
    assert not torch.equal(search.logits, logits)
    assert all(same_weights(before, weights(search)))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_moves_when_all_is_frozen(method: str) -> None:
    """The Monte-Carlo probe: costs are measured, weights and logits rest."""
    settings = config(method, method=frozen(method).but(update_theta=False))
    search = Search(settings)
    logits, before = search.logits.clone(), weights(search)
    result = run(search).result()
    assert torch.equal(search.logits, logits)
    assert all(same_weights(before, weights(search)))
    assert (result.arrays["cost_n"].sum((1, 2, 3)) >= search.steps_per_epoch * 5).all()
    assert (result.arrays["cost_sq"] > 0).any()


@pytest.mark.parametrize("method", ["concrete drop-path", "softmax bi-level"])
def test_drop_path_acts_while_learning_and_not_while_measuring(method: str) -> None:
    """Every edge of every layer gives nothing for about 3 of 10 images; accuracies are those of the whole network."""
    search = Search(config(method, method=METHODS[method].but(drop_path=0.3)))
    seen: list[torch.Tensor | None] = []
    search.model.register_forward_pre_hook(lambda model, arguments: seen.append((*arguments, None, None, None)[4]))
    run(search)
    passes = search.total * (2 if method == "softmax bi-level" else 1)
    kept = torch.stack([t for t in seen if t is not None])
    assert kept.shape == (passes, 1, 5, 20)
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (kept == 0).float().mean().item() == pytest.approx(0.3, abs=5 * (0.21 / kept.numel()) ** 0.5)
    assert seen[-1] is None


def test_the_weight_step_of_bilevel_search_changes_no_logits() -> None:
    """The logits after a step are those of the architecture step alone."""
    both = Search(config("softmax bi-level"))
    alone = Search(config("softmax bi-level", method=METHODS["softmax bi-level"].but(update_theta=False)))
    both.step()
    alone.step()
    assert torch.equal(both.logits, alone.logits)


def test_bilevel_halves_are_disjoint_and_both_are_used() -> None:
    """Weights see training images only, logits see search images only, each a whole batch a step."""
    search, seen = Search(config("softmax bi-level", probes=())), []
    original = search.data.__class__.batch

    def batch(self: object, split: str, index: torch.Tensor, *args: object) -> object:
        seen.append((split, index.tolist()))
        return original(self, split, index, *args)

    search.data.__class__.batch = batch
    try:
        for _ in range(search.steps_per_epoch):
            search.step()
    finally:
        search.data.__class__.batch = original
    assert [split for split, _ in seen] == ["search", "train"] * 3
    assert sorted(i for split, index in seen if split == "train" for i in index) == list(range(60))
    for split, index in seen:
        assert len(set(index)) == 20
        assert max(index) < {"search": 40, "train": 60}[split]


def test_an_epoch_shows_every_image_once() -> None:
    """An incomplete last batch is dropped; every epoch has an order of its own."""
    batches = Batches(23, 5, torch.Generator().manual_seed(0))
    epochs = [[batches.next().tolist() for _ in range(4)] for _ in range(3)]
    for epoch in epochs:
        flat = [i for batch in epoch for i in batch]
        assert len(set(flat)) == 20
        assert set(flat) <= set(range(23))
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("method", METHODS)
def test_observing_changes_nothing(method: str) -> None:
    """With any probes the weights, statistics and logits are the same bit for bit."""
    plain = run(Search(config(method, probes=())))
    for watched in (finished(method), run(Search(config(method, probes=("costs",))))):
        assert_same(watched.model.state_dict(), plain.model.state_dict())
        assert torch.equal(watched.logits, plain.logits)
        assert_same(watched.observer.journal.genotypes, plain.observer.journal.genotypes)


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].levels == "bi-level"])
def test_observing_frozen_logits_changes_nothing(method: str, fake3: str) -> None:
    """The costs on the search images come from a pass of their own: not even statistics and crops hear of it."""
    settings = config(method, method=frozen(method), probes=("costs", "losses"))
    settings = settings.but(data=Data(name=fake3, train=40, search=40))
    watched, plain = run(Search(settings)), run(Search(settings.but(probes=())))
    assert_same(watched.model.state_dict(), plain.model.state_dict())
    assert set(watched.result().tables["losses"]["split"]) == {"search", "train"}


BI_LEVEL = [name for name in METHODS if METHODS[name].levels == "bi-level"]


@pytest.mark.parametrize("method", BI_LEVEL)
def test_costs_of_frozen_logits_are_read_on_both_halves(method: str) -> None:
    """Beside those of the search half; on each half they sum to L - H of the same passes (Theorem 2)."""
    network = Network(cell="minimal", channels=4, layers=2, reductions=False, head_bias=False)
    network = network.but(allowed=((4, NO_SKIP),))
    settings = config(method, method=frozen(method), network=network)
    result = run(Search(settings)).result()
    table = result.tables["losses"].query("group == 'all'")
    for half, name in (("search", "edge_cost"), ("train", "train_edge_cost")):
        of_half = table[table["split"] == half]
        expected = (of_half["L"] - of_half["H"]).to_numpy()
        assert result.arrays[name][:, -1].sum(-1) == pytest.approx(expected, abs=1e-4)
    halves = [name for name in result.arrays if name.startswith("train_")]
    assert halves == [f"train_{name}" for name in result.arrays if f"train_{name}" in halves]
    assert len(halves) == 6


@pytest.mark.parametrize("method", BI_LEVEL)
def test_costs_of_learning_logits_are_those_of_the_search_half_alone(method: str) -> None:
    assert not [name for name in finished(method).result().arrays if name.startswith("train_")]


def test_the_training_half_under_frozen_logits_is_the_run_on_one_level() -> None:
    """Weights that never hear of the search half: L, H, C and the costs are those of single-level search, bit for bit.

    The search half is looked at between the steps, and its images are cut out behind the training images.
    """
    ours = run(Search(config("softmax bi-level", method=frozen("softmax bi-level")))).result()
    alone = run(Search(config("softmax single", method=frozen("softmax single")))).result()
    training = ours.tables["losses"].query("split == 'train'").reset_index(drop=True)
    assert training.equals(alone.tables["losses"])
    assert_same(ours.arrays["train_edge_cost"], alone.arrays["edge_cost"])
    assert not np.array_equal(ours.arrays["edge_cost"], alone.arrays["edge_cost"])


@pytest.mark.parametrize("method", METHODS)
def test_calibration_is_of_the_passes_that_losses_are_of(method: str) -> None:
    """At the scale one: the mean L and C of every epoch and split."""
    probes = ("losses", "calibration")
    result = run(Search(config(method, probes=probes))).result()
    table = result.tables["losses"].query("group == 'all'")
    one = SCALES.tolist().index(1.0)
    for split, rows in table.groupby("split"):
        for quantity in ("L", "C"):
            by_scale = result.arrays[f"{split}_{quantity}_by_scale"]
            assert by_scale[:, one] == pytest.approx(rows[quantity].to_numpy(), rel=1e-12)
        assert result.arrays[f"{split}_reliability"][:, :, 2].sum(1) / rows["n"].to_numpy() == pytest.approx(
            rows["acc"].to_numpy()
        )


@pytest.mark.parametrize("method", METHODS)
def test_a_run_is_its_settings_and_seed(method: str) -> None:
    """The same settings twice give the same bits; the global generator is neither read nor moved by a step."""
    torch.manual_seed(12345)
    search = Search(config(method))
    before = torch.random.get_rng_state()
    run(search)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert_same(search.state(), finished(method).state())
    other = Search(config(method, seed=4))
    other.step()
    assert not torch.equal(search.model.classifier.weight, other.model.classifier.weight)
    assert not torch.equal(search.logits, other.logits)


@pytest.mark.parametrize("method", METHODS)
def test_a_path_of_nones_is_a_step_like_any_other(method: str) -> None:
    """Every edge draws none: no operation has a gradient, all costs are zero, the logits learn from zero."""
    network = Network(nodes=2, channels=4, layers=1, reductions=False, head_bias=False)
    network = network.but(allowed=tuple((e, ("none",)) for e in range(5)))
    search = Search(config(method, network=network))
    result = run(search).result()
    assert (result.arrays["cost_sum"] == 0).all()
    assert (result.arrays["edge_cost"] == 0).all()
    assert (result.arrays["out_cost"] == 0).all()
    assert search.logits.isfinite().all()
    assert all(p.isfinite().all() for p in search.weights)


def test_allowed_operations_bound_draws_probabilities_and_genotypes() -> None:
    network = Network(nodes=2, channels=4, layers=1, reductions=False, head_bias=False)
    network = network.but(allowed=((4, ("none", "max_pool_3x3", "sep_conv_3x3")), (0, ("skip_connect",))))
    for method in METHODS:
        search = run(Search(config(method, network=network)))
        prob, n = search.result().arrays["prob"], search.result().arrays["cost_n"]
        assert (prob[:, 0, ~search.architecture.mask.numpy()] == 0).all()
        assert (n[:, 0, ~search.architecture.mask.numpy()] == 0).all()
        assert (prob[:, 0, 0, 3] == 1).all()
        assert search.logits.isfinite().all()


def test_augmented_images_reach_both_levels(fake3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that mirrors and crops trains on other images than the same one that does not."""
    settings = config("softmax bi-level").but(data=Data(name=fake3, train=40, search=40), probes=())
    augmented, fake = run(Search(settings)), fake_source()
    monkeypatch.setitem(data.SOURCES, fake3, lambda: data.Source("fake", fake.splits, fake.mean, fake.std))
    data._source.cache_clear()
    plain = run(Search(settings))
    assert not torch.equal(augmented.logits, plain.logits)
    assert not torch.equal(augmented.model.classifier.weight, plain.model.classifier.weight)
