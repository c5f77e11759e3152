"""Random search: what it draws, that it keeps the best, and that it resumes bit for bit."""

from collections import Counter

import numpy as np
import pytest
import torch
from small import assert_resumes_everywhere, assert_same, generator
from torch.nn import functional as F

from nas_core.cells.counts import parameters
from nas_core.cells.evaluation import EvaluationNetwork
from nas_core.cells.topology import darts_cell
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.trainers import build
from nas_core.trainers.drawn_cells import random_cell
from nas_core.trainers.random_search import Cells, RandomSearch, RandomSearchConfig
from nas_core.trainers.settings import Data, Weights

DATA = Data(name="fashion7", train=60, valid=50, test=40)


def config(**changes: object) -> RandomSearchConfig:
    settings = RandomSearchConfig(
        run="tiny",
        profile="test",
        seed=3,
        data=DATA,
        cells=Cells(nodes=2, channels=4, layers=3),
        samples=3,
        weights=Weights(lr=0.1, lr_min=0.01),
        epochs=2,
        batch=20,
    )
    return settings.but(**changes)


def finished(settings: RandomSearchConfig) -> RandomSearch:
    search = RandomSearch(settings)
    while search.done < search.total:
        search.step()
    return search


def test_end_to_end() -> None:
    """Each child is recorded with its genotype, validation accuracy and counts; the best one with its weights."""
    search = build(config())
    assert isinstance(search, RandomSearch)
    assert (search.total, search.period) == (18, 6)
    while search.done < search.total:
        search.step()
    result = search.result()
    children = result.tables["children"]
    assert children.child.tolist() == [0, 1, 2]
    assert len(set(result.genotypes["children"])) == 3
    best = int(children.acc.idxmax())
    assert result.tables["best"].child.tolist() == [best]
    assert result.genotypes["best"] == [result.genotypes["children"][best]]


def test_the_best_weights_are_those_of_the_best_child() -> None:
    """Loaded into its network they give the accuracies that were recorded, on validation and on test images."""
    result = finished(config()).result()
    best = result.tables["best"].iloc[0]
    network = EvaluationNetwork(
        result.genotypes["best"][0], channels=4, layers=3, classes=10, in_channels=1, generator=generator()
    )
    network.load_state_dict(result.weights)
    data = load("fashion7", train=60, valid=50, test=40)
    recorded = {"valid": result.tables["children"].acc[int(best.child)], "test": best.acc}
    for split, expected in recorded.items():
        images, labels = data.batch(split, torch.arange(len(data.splits[split])))
        with torch.no_grad():
            logits, _ = network.eval()(images)
        assert (logits.argmax(1) == labels).double().mean().item() == pytest.approx(expected)
    assert recorded["valid"] != recorded["test"]
    assert parameters(network) == result.tables["children"].params[int(best.child)]


def test_of_equal_children_the_first_is_kept() -> None:
    search = RandomSearch(config())
    search.journal.rows["children"] = [{"acc": 0.5}, {"acc": 0.5}, {"acc": 0.6}]
    search.best = 0
    assert not search._is_best(1)
    assert search._is_best(2)


def test_exact_cells_are_uniform() -> None:
    """One node, two operations: four cells; two nodes, one operation: three pairs of sources. All equally likely."""
    draw, draws = generator(), 4000
    counts = Counter(random_cell(darts_cell(1), ("skip_connect", "max_pool_3x3"), draw).edges for _ in range(draws))
    assert len(counts) == 4
    assert max(abs(n - draws / 4) for n in counts.values()) < 5 * (draws * 3 / 16) ** 0.5
    counts = Counter(random_cell(darts_cell(2), ("skip_connect",), draw).edges[2:] for _ in range(draws))
    assert len(counts) == 3
    assert max(abs(n - draws / 3) for n in counts.values()) < 5 * (draws * 2 / 9) ** 0.5
    for cell in (random_cell(darts_cell(4), ("skip_connect",), draw) for _ in range(50)):
        assert [target for _, target, _ in cell.edges] == [2, 2, 3, 3, 4, 4, 5, 5]


def test_a_step_is_sgd_on_a_training_batch() -> None:
    """The first step by hand: cross-entropy on the first batch of the order, clipped gradient, decay, momentum 0."""
    search, hand = RandomSearch(config()), RandomSearch(config())
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3 * 4 + 2))
    images, labels = hand.data.batch("train", order[:20])
    loss = F.cross_entropy(hand.fitting.network(images), labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(hand.fitting.network.parameters(), 5.0)
    with torch.no_grad():
        for p in hand.fitting.network.parameters():
            p -= 0.1 * (p.grad + 3e-4 * p)
    assert search.step() == pytest.approx(loss.item(), rel=1e-6)
    for ours, theirs in zip(search.fitting.network.parameters(), hand.fitting.network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_end_to_end_resume_at_every_step() -> None:
    """Also between two children."""
    assert_resumes_everywhere(lambda: RandomSearch(config()))


def test_a_seed_draws_cells_of_its_own() -> None:
    one, other = finished(config()).result(), finished(config(seed=4)).result()
    assert one.genotypes["children"] != other.genotypes["children"]
    assert_same(finished(config()).result().arrays, one.arrays)


def test_without_reductions_or_test_images() -> None:
    settings = config(cells=Cells(nodes=2, channels=4, layers=1, reductions=False), data=DATA.but(test=0))
    result = finished(settings).result()
    assert "best" not in result.tables
    assert result.genotypes["best"][0].reduce is None
    assert np.isfinite(result.tables["children"].acc).all()


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"data": DATA.but(valid=0)}, "the best network is chosen on valid images"),
    ({"data": DATA.but(search=20)}, "random search has no logits"),
    ({"batch": 61}, "a batch of 61 needs at least as many training images"),
    ({"samples": 0}, "RandomSearchConfig.samples"),
    ({"method": None}, "RandomSearchConfig has no field 'method'"),
])  # fmt: skip
def test_settings_that_cannot_work_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        config(**changes)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"candidates": ("skip",)}, "unknown operation 'skip'"),
    ({"candidates": ("none",)}, "unknown operation 'none'"),
    ({"candidates": ()}, "Cells.candidates"),
])  # fmt: skip
def test_cells_that_cannot_be_drawn_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Cells(channels=4, layers=3, **changes)


def test_result_comes_when_all_is_done() -> None:
    search = RandomSearch(config())
    search.step()
    with pytest.raises(RuntimeError, match="has done 1 of 18 steps"):
        search.result()
