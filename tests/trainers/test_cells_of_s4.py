"""The runs in MixPath's space S4: cells alone, the scores of a supernet, and DARTS; what they learn, and resuming."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
import torch
from small import assert_same, generator, through_a_file
from torch.nn import functional as F

from nas_core.cells.mixpath import (
    S4_CHOICES,
    ParallelSupernet,
    s4_cell,
    s4_cells,
    s4_distinct,
    s4_sorted,
    s4_text,
)
from nas_core.cells.multipath import SPACES
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.experiments import configs
from nas_core.trainers import build
from nas_core.trainers.cell_scores import CellScores, feature_cells, gram_of, grams
from nas_core.trainers.cells_alone import CellsAlone, CellsAloneConfig
from nas_core.trainers.kinds import settings_from
from nas_core.trainers.multipath import one_shot, trained
from nas_core.trainers.parallel_search import ParallelSearch, derived
from nas_core.trainers.parallel_settings import Parallel
from nas_core.trainers.result import Result
from nas_core.trainers.settings import RunConfig

KINDS = ("M-S4GT", "M-S4p", "M-S4DARTS")


def tiny(run: str, seed: int = 0) -> Any:
    return configs(run, "smoke", [seed])[0]


@functools.cache
def result(config: RunConfig) -> Result:
    """Of a run, computed here with all that it needs."""
    trainer = build(config, {need.key(): result(need) for need in config.needs()})
    while trainer.done < trainer.total:
        trainer.step()
    return trainer.result()


def begun(config: RunConfig) -> Any:
    return build(config, {need.key(): result(need) for need in config.needs()})


# ------------------------------------------------------------------------------------------------ the cells


def test_every_labelled_cell_is_one_of_the_distinct_ones() -> None:
    distinct = s4_distinct()
    assert [len(s4_distinct(most)) for most in (1, 2, 3, 4)] == [3, 9, 19, 34]
    assert {s4_sorted(cell) for cell in s4_cells()} == set(distinct)
    assert [s4_cell(s4_text(cell)) for cell in distinct] == distinct


def test_cells_that_share_a_text_compute_the_same() -> None:
    """With the weights of the nodes exchanged as the operations are."""
    cell, other = ("conv3x3", None, "maxpool3x3", None), ("maxpool3x3", "conv3x3", None, None)
    assert s4_text(cell) == s4_text(other) == "conv3x3 maxpool3x3"
    model = SPACES["S4 of 3 cells"](
        channels=2, most=4, norms="shadow", classes=10, in_channels=1, generator=generator()
    )
    images = torch.randn(8, 1, 7, 7, generator=generator())
    before = model(images, cell)
    for part in model.cells:
        for source, target in (("0:conv3x3", "1:conv3x3"), ("2:maxpool3x3", "0:maxpool3x3")):
            part.nodes[target].load_state_dict(part.nodes[source].state_dict())
    assert torch.allclose(model(images, other), before, atol=1e-5)


def test_the_supernet_draws_every_number_of_paths_equally_often() -> None:
    model = SPACES["S4"](channels=1, most=4, norms="shadow", classes=10, in_channels=1, generator=generator())
    drawn = [model.draw(stream) for stream in [generator()] for _ in range(2000)]
    paths = np.bincount([len(cell) - cell.count(None) for cell in drawn], minlength=5)
    assert np.abs(paths[1:] / 2000 - 1 / 4).max() < 0.04
    assert paths[0] == 0
    operations = [op for cell in drawn for op in cell if op is not None]
    assert abs(operations.count("conv3x3") / len(operations) - 1 / 3) < 0.03


def test_at_most_four_nodes() -> None:
    with pytest.raises(UserError, match="at most 5 cannot be active"):
        SPACES["S4"](channels=1, most=5, norms="shadow", classes=10, in_channels=1, generator=generator())
    with pytest.raises(UserError, match="4 cells do not fall into 3 equal stages"):
        Parallel(channels=2, cells=4)


# ------------------------------------------------------------------------------------------------ all kinds


@pytest.mark.parametrize("run", KINDS)
def test_end_to_end_resume(run: str) -> None:
    """From the middle of an epoch, and of DARTS from the middle of the run."""
    config = tiny(run)
    if run == "M-S4DARTS":
        config = config.but(epochs=3, data=config.data.but(train=64, search=64))
    whole = result(config)
    first = begun(config)
    odd = first.total // 2 | 1
    for _ in range(odd):
        first.step()
    second = begun(config)
    second.load_state(through_a_file(first.state()))
    while second.done < second.total:
        second.step()
    resumed = second.result()
    assert_same(resumed.tables, whole.tables)
    assert_same(resumed.arrays, whole.arrays)


@pytest.mark.parametrize("run", KINDS)
def test_settings_are_read_back(run: str) -> None:
    config = tiny(run)
    assert settings_from(json.loads(json.dumps(config.identity()))) == config


@pytest.mark.parametrize("run", KINDS)
def test_the_result_comes_when_all_is_done(run: str) -> None:
    with pytest.raises(RuntimeError, match="of"):
        begun(tiny(run)).result()


# ------------------------------------------------------------------------------------------------ cells alone


def test_cells_alone_start_and_measure_anew() -> None:
    config = tiny("M-S4GT")
    run: Any = CellsAlone(config)
    start = run.network.network.classifier.weight.clone()
    for _ in range(run.period):
        run.step()
    assert run.network.cell == s4_distinct()[1]
    assert not torch.equal(run.network.network.classifier.weight, start)
    table = result(config).tables["cells"]
    assert table["cell"].tolist() == [s4_text(cell) for cell in s4_distinct()]
    assert table["madds"].nunique() > 20


def test_cells_alone_are_measured_on_images_that_train_nothing() -> None:
    """By the package's splits: those that train, those that score and those that measure are three sets."""
    config: Any = configs("M-S4GT", "laptop", [0])[0]
    scorer: Any = configs("M-S4", "laptop", [0])[0]
    assert config.data.train == scorer.data.train
    assert scorer.data.test == 0
    data = load(config.data.name, seed=0, train=2000, valid=1000, test=1000)
    seen: dict[str, set[bytes]] = {}
    for split in ("train", "valid", "test"):
        seen[split] = {image.numpy().tobytes() for image in data.splits[split].images}
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not seen[one] & seen[other]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": 0}, "measured on valid and on test images"),
        ({"test": 0}, "measured on valid and on test images"),
        ({"search": 20}, "data.search must be 0"),
        ({"train": 20}, "at least as many training images"),
    ],
)
def test_bad_settings_of_cells_alone(changes: dict[str, int], message: str) -> None:
    config = tiny("M-S4GT")
    assert isinstance(config, CellsAloneConfig)
    with pytest.raises(UserError, match=message):
        config.but(data=config.data.but(**changes))


# ------------------------------------------------------------------------------------------------ scores


def test_scores_are_those_of_the_trained_supernet_beside_the_mean_of_the_networks() -> None:
    config = tiny("M-S4p", 1)
    found = result(config)
    data = load("fashion7", seed=1, train=64, valid=64)
    supernet = trained(config.after, data, {config.after.key(): result(config.after)})
    scores = found.tables["scores"].set_index(["statistics", "cell"])["acc"]
    for cell in s4_distinct()[::11]:
        assert one_shot(supernet, [cell], data) == [scores["as trained", s4_text(cell)]]
        assert one_shot(supernet, [cell], data, config.recalibrate) == [scores["recalibrated", s4_text(cell)]]
    alone = [result(run).tables["cells"].set_index("cell")["acc_test"] for run in config.truth]
    truth = found.tables["truth"].set_index("cell")["acc_test"]
    assert np.allclose(truth, (alone[0] + alone[1]) / 2)


def test_another_seed_is_one_of_the_supernet_alone() -> None:
    config = tiny("M-S4p").but(seed=7)
    assert config.after.seed == 7
    assert [alone.seed for alone in config.truth] == [0, 1]
    with pytest.raises(UserError, match="must have the same seed"):
        config.but(after=config.after.but(seed=8))
    with pytest.raises(UserError, match="must have the same profile"):
        config.but(truth=(config.truth[0].but(profile="other"),))
    with pytest.raises(UserError, match="unknown space that run 'M-S4p' can score 'S1'"):
        config.but(after=config.after.but(paths=config.after.paths.but(space="S1")))
    with pytest.raises(UserError, match="scored on valid images"):
        config.but(after=config.after.but(data=config.after.data.but(valid=0)))


def test_features_are_sums_before_and_after_the_norm_of_their_number() -> None:
    """Inner products by hand, from the module itself; the norm of another number of paths gives others."""
    model = SPACES["S4 of 3 cells"](
        channels=8, most=4, norms="shadow", classes=10, in_channels=1, generator=generator()
    )
    images = torch.randn(5, 1, 7, 7, generator=generator(1))
    first = model.cells[0]
    for n, norm in enumerate(first.norm.norms):
        torch.nn.init.constant_(norm.running_var, (n + 1.0) ** 2)
    found = grams(model, images)
    model.eval()
    vectors = []
    for cell in feature_cells():
        active = [first.nodes[f"{i}:{op}"](model.stem(images)) for i, op in enumerate(cell) if op is not None]
        vectors.append((first.norm.norms[len(active) - 1](first.project(sum(active))).detach(), len(active)))
    flat = torch.stack([vector.flatten() for vector, _ in vectors])
    assert torch.allclose(found["gram_after"], (flat @ flat.T).double(), rtol=1e-4, atol=1e-4)
    lengths = found["gram_before"].diagonal() / found["gram_after"].diagonal()
    assert torch.allclose(lengths, torch.tensor([n**2 for _, n in vectors]).double() + 1e-5, rtol=1e-3)
    assert len(feature_cells()) == 43
    assert torch.equal(gram_of([torch.tensor([3.0]), torch.tensor([2.0])]), torch.tensor([[9.0, 6.0], [6.0, 4.0]]))


def test_scoring_and_features_leave_the_supernet_as_it_was() -> None:
    run = begun(tiny("M-S4p"))
    assert isinstance(run, CellScores)
    before = {name: value.clone() for name, value in run.supernet.state_dict().items()}
    while run.done < run.total:
        run.step()
    assert_same(run.supernet.state_dict(), before)
    assert run.supernet.training


# ------------------------------------------------------------------------------------------------ DARTS


def test_a_step_of_the_logits_is_adam_on_the_gradient_of_the_mixture() -> None:
    """By autograd through the softmax, on the same batch, with the weights as they were."""
    run = ParallelSearch(tiny("M-S4DARTS").but(alpha=tiny("M-S4DARTS").alpha.but(decay=0.0)))
    state = through_a_file(run.state())
    twin = ParallelSearch(run.config)
    twin.load_state(state)
    order = torch.randperm(run.config.data.search, generator=twin.streams["alpha_data"])
    images, labels = run.data.batch("search", order[: run.config.batch])
    a = twin.logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(twin.model(images, a.softmax(-1)), labels), a)
    before = run.logits.clone()
    run.step()
    moved = run.logits - before
    clear = expected.abs() > 1e-5
    assert clear.sum() > 8
    assert torch.equal(moved[clear].sign(), -expected[clear].sign())
    assert torch.allclose(moved[clear].abs(), torch.tensor(run.config.alpha.lr), rtol=1e-2)


def test_the_mixture_starts_uniform_and_its_probabilities_are_kept() -> None:
    found = result(tiny("M-S4DARTS"))
    prob = found.arrays["prob"]
    config = tiny("M-S4DARTS")
    assert prob.shape == (config.epochs + 1, *ParallelSupernet.gate_shape)
    assert np.abs(prob[0] - 1 / 4).max() < 1e-2
    assert np.allclose(prob.sum(-1), 1)
    rules = found.tables["derived"].set_index("rule")["cell"]
    assert rules["argmax"] == derived(torch.tensor(prob[-1]), absent=True)


def test_what_is_derived() -> None:
    prob = torch.full((4, 4), 0.1)
    prob[0, 2] = prob[1, 1] = 0.7
    prob[2, 0] = prob[3, 0] = 0.7
    assert derived(prob, absent=True) == "conv1x1 conv3x3"
    assert len(derived(prob, absent=False).split()) == 4
    prob[:, 0] = 0.9
    assert derived(prob, absent=True) == S4_CHOICES[2]  # the likeliest operation stays where all would be absent
