"""Learning rate, temperature, seeds of the streams, and the start of a run."""

import math

import pytest
import torch
from small import METHODS, config, run

from nas_core.trainers.search import STREAMS, Search
from nas_core.trainers.settings import Weights


def test_exact_cosine_from_lr_to_its_floor() -> None:
    """Half a cosine by epoch: lr at the first, halfway in the middle; the floor is where it would arrive."""
    search = Search(config(epochs=4, probes=(), weights=Weights(lr=0.1, lr_min=0.02)))
    seen, used = [], []
    search.optimiser.sgd.register_step_pre_hook(lambda sgd, *_: used.append(sgd.param_groups[0]["lr"]))
    for _ in range(search.total):
        seen.append(search.optimiser.lr)
        search.step()
    assert used == seen
    expected = [0.02 + 0.08 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4) for _ in range(3)]
    assert seen == pytest.approx(expected, rel=1e-12)
    assert seen[0] == 0.1
    assert seen[6] == pytest.approx(0.06)
    assert search.optimiser.lr == pytest.approx(0.02)


def test_exact_temperature_falls_linearly() -> None:
    """1 - 0.97 t / (T - 1) at epoch t: the last epoch trains at 0.03, and the network is measured there."""
    method = METHODS["concrete single"].but(temperature=(1.0, 0.03))
    search = Search(config(epochs=4, probes=(), method=method))
    for epoch in range(4):
        for _ in range(3):
            assert search.temperature() == pytest.approx(0.03 + 0.97 * (1 - epoch / 3), rel=1e-12)
            search.step()
    assert search.temperature() == pytest.approx(0.03)


def test_exact_a_single_epoch_has_the_end_of_the_schedule() -> None:
    method = METHODS["concrete single"].but(temperature=(1.0, 0.03))
    assert Search(config(epochs=1, probes=(), method=method)).temperature() == pytest.approx(0.03)


def test_a_network_is_measured_at_the_temperature_that_it_was_trained_at() -> None:
    """After the first of two epochs at 5, then 0.03: as smooth as a draw at 5."""
    method = METHODS["concrete single"].but(temperature=(5.0, 0.03))
    search = Search(config(epochs=2, probes=(), method=method))
    for _ in range(search.steps_per_epoch):
        search.step()
    assert search.temperature() == pytest.approx(0.03)
    assert search.draw("probe").amax(-1).mean() < 0.4
    search.step()
    assert search.draw("probe").amax(-1).mean() > 0.9


@pytest.mark.parametrize("method", ["softmax single", "softmax bi-level"])
def test_the_seed_of_a_run_draws_its_images(method: str) -> None:
    first, again, other = (Search(config(method, seed=seed)).data.splits for seed in (3, 3, 4))
    for split in ("train", "search")[: 1 + ("bi" in method)]:
        assert torch.equal(first[split].images, again[split].images)
        assert not torch.equal(first[split].images, other[split].images)


def test_the_temperature_reaches_draw_and_gradient() -> None:
    """At a low temperature Z is close to one-hot."""
    largest = []
    for temperature in (0.05, 5.0):
        method = METHODS["concrete single"].but(temperature=(temperature, temperature))
        largest.append(Search(config(method=method)).draw("gates").amax(-1).mean().item())
    assert largest[0] > 0.9
    assert largest[1] < 0.4


def test_streams_of_randomness_never_share_a_seed() -> None:
    """Not within a run and not between runs of different seeds."""
    seeds = [g.initial_seed() for seed in range(4) for g in Search(config(seed=seed)).generators.values()]
    assert len(seeds) == len(set(seeds)) == 4 * len(STREAMS)


def test_exact_logits_start_as_told() -> None:
    settings = config()
    for mean, std in ((0.0, 1e-3), (1.0, 1e-2), (0.5, 0.0)):
        start = Search(settings.but(alpha=settings.alpha.but(init_mean=mean, init_std=std)))
        assert start.logits.mean().item() == pytest.approx(mean, abs=std)
        if std:
            assert start.logits.std().item() == pytest.approx(std, rel=0.4)
        else:
            assert (start.logits == mean).all()
        # The logits' law has no say in the weights.
        assert torch.equal(start.model.classifier.weight, Search(settings).model.classifier.weight)


def test_steps_and_epochs_are_counted() -> None:
    settings = config(epochs=3)
    settings = settings.but(data=settings.data.but(train=55))
    search = Search(settings)
    assert (settings.steps_per_epoch, search.total, search.done, search.epoch) == (2, 6, 0, 0)
    search.step()
    assert (search.done, search.epoch, len(search.observer.journal.arrays["prob"])) == (1, 0, 1)
    search.step()
    assert (search.done, search.epoch, len(search.observer.journal.arrays["prob"])) == (2, 1, 2)
    run(search)
    assert (search.done, search.epoch, len(search.observer.journal.arrays["prob"])) == (6, 3, 4)
