"""Training of a supernet of several paths: what a step does, that it resumes bit for bit; one-shot scores."""

from typing import Any

import pytest
import torch
from small import assert_same, generator, through_a_file
from torch.nn import functional as F

from nas_core.cells.multipath import MultiPath
from nas_core.errors import UserError
from nas_core.trainers import build
from nas_core.trainers.kinds import settings_from
from nas_core.trainers.multipath import (
    MultiPathTraining,
    averaging,
    batch_norms,
    kept_statistics,
    one_shot,
    trained,
)
from nas_core.trainers.multipath_settings import MultiPathConfig, Paths
from nas_core.trainers.settings import Data, Weights


def config(**changes: Any) -> MultiPathConfig:
    settings = MultiPathConfig(
        run="tiny",
        profile="test",
        seed=3,
        data=Data(name="fashion7", train=60, valid=50),
        paths=Paths(space="S1", channels=4, most=2),
        weights=Weights(lr=0.1, lr_min=0.01),
        epochs=2,
        batch=20,
    )
    return settings.but(**changes)


def finished(settings: MultiPathConfig) -> MultiPathTraining:
    training = MultiPathTraining(settings)
    while training.done < training.total:
        training.step()
    return training


def test_end_to_end() -> None:
    """The losses of every epoch, and the weights, with which the supernet is there again."""
    training = build(config(cutout=3))
    assert isinstance(training, MultiPathTraining)
    assert (training.total, training.period) == (6, 3)
    while training.done < training.total:
        training.step()
    result = training.result()
    assert result.tables["losses"].epoch.tolist() == [1, 2]
    again = trained(training.config, training.data, {training.config.key(): result})
    assert_same(again.state_dict(), training.supernet.state_dict())


def test_a_step_is_sgd_on_a_drawn_child() -> None:
    """By hand: the stream of paths draws the child; its weights move down the clipped gradient, all others rest."""
    training, hand = MultiPathTraining(config()), MultiPathTraining(config())
    before = {name: value.clone() for name, value in hand.supernet.named_parameters()}
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3 * 5 + 1))
    images, labels = hand.data.batch("train", order[:20])
    child = hand.supernet.draw(torch.Generator().manual_seed(3 * 5 + 4))
    loss = F.cross_entropy(hand.supernet(images, child), labels)
    loss.backward()
    used = [p for p in hand.supernet.parameters() if p.grad is not None]
    torch.nn.utils.clip_grad_norm_(used, 5.0)
    with torch.no_grad():
        for p in used:
            p -= 0.1 * (p.grad + 3e-4 * p)
    assert training.step() == pytest.approx(loss.item(), rel=1e-6)
    rested = 0
    for (name, ours), theirs in zip(training.supernet.named_parameters(), hand.supernet.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        rested += int(theirs.grad is None and torch.equal(ours, before[name]))
    assert rested > len(before) / 3


def test_every_step_draws_anew() -> None:
    training, draw = MultiPathTraining(config()), torch.Generator().manual_seed(3 * 5 + 4)
    drawn = [training.supernet.draw(draw) for _ in range(3)]
    assert len(set(drawn)) == 3
    for _ in range(3):
        training.step()
    assert torch.equal(training.streams["paths"].get_state(), draw.get_state())


def test_end_to_end_resume_at_every_step() -> None:
    training, saved = MultiPathTraining(config(cutout=3)), []
    while True:
        saved.append(through_a_file(training.state()))
        if training.done == training.total:
            break
        training.step()
    for state in saved:
        resumed = MultiPathTraining(config(cutout=3))
        resumed.load_state(state)
        while resumed.done < resumed.total:
            resumed.step()
        assert_same(through_a_file(resumed.state()), saved[-1])


def test_one_shot_leaves_the_supernet_as_it_was() -> None:
    training = finished(config())
    supernet: MultiPath = training.supernet
    children = [supernet.draw(generator(i)) for i in range(3)]
    before = through_a_file(training.state())
    found = one_shot(supernet, children, training.data, 2)
    assert found == one_shot(supernet, children, training.data, 2)
    assert_same(through_a_file(training.state()), before)
    assert training.supernet.training
    assert {norm.momentum for norm in batch_norms(training.supernet)} == {0.1}


def test_one_shot_scores_are_those_of_the_child() -> None:
    """Without recalibration the running statistics count; with it those of the child on training images."""
    training = finished(config())
    model, data = training.supernet, training.data
    child = model.draw(generator(1))
    images, labels = data.batch("valid", torch.arange(50))
    seen, _ = data.batch("train", torch.arange(60))
    with torch.no_grad():
        plain = (model.eval()(images, child).argmax(1) == labels).double().mean().item()
        for norm in batch_norms(model):
            norm.momentum = 1.0  # the one batch takes the place of all before
        model.train()(seen, child)
        own = (model.eval()(images, child).argmax(1) == labels).double().mean().item()
    fresh = finished(config())
    assert one_shot(fresh.supernet, [child], data) == [plain]
    assert one_shot(fresh.supernet, [child], data, 1) == [own]
    assert plain != own


def test_statistics_average_over_batches_and_come_back() -> None:
    norm = torch.nn.BatchNorm2d(2)
    norm(torch.randn(4, 2, 3, 3, generator=generator()))
    running = norm.running_mean.clone()
    batches = [torch.randn(4, 2, 3, 3, generator=generator(i)) + i for i in (1, 2, 3)]
    norm.eval()
    with kept_statistics(norm):
        with averaging(norm):
            for batch in batches:
                norm(batch)
        means = torch.stack([batch.mean((0, 2, 3)) for batch in batches])
        torch.testing.assert_close(norm.running_mean, means.mean(0))
    assert torch.equal(norm.running_mean, running)
    assert int(norm.num_batches_tracked) == 1
    assert not norm.training


def test_settings_are_read_back() -> None:
    assert settings_from(config().identity()) == config()
    assert config().key() != config(paths=Paths(space="S1", channels=4, most=2, norms="plain")).key()


@pytest.mark.parametrize(("changes", "message"), [
    ({"data": Data(name="fashion7", train=60, search=20)}, "has no logits, so data.search must be 0"),
    ({"batch": 61}, "a batch of 61 needs at least as many training images"),
    ({"epoch": 3}, "MultiPathConfig has no field 'epoch'; did you mean 'epochs'"),
])  # fmt: skip
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(**changes)


def test_an_unknown_space_is_named() -> None:
    with pytest.raises(UserError, match="unknown space of several paths 'S9'"):
        Paths(space="S9", channels=4)


def test_the_result_comes_when_all_is_done() -> None:
    with pytest.raises(RuntimeError, match="has done 0 of 6 steps"):
        MultiPathTraining(config()).result()
