"""Retraining: which cell it trains, that it trains as specified, and that it resumes bit for bit."""

import json

import numpy as np
import pytest
import torch
from small import assert_resumes_everywhere, generator
from torch.nn import functional as F

from nas_core.cells.counts import parameters
from nas_core.cells.evaluation import EvaluationNetwork
from nas_core.cells.exchange import write
from nas_core.cells.genotype import CellGenotype, Genotype, released
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.trainers import build
from nas_core.trainers.kinds import settings_from
from nas_core.trainers.random_search import Cells, RandomSearchConfig
from nas_core.trainers.result import Result
from nas_core.trainers.retraining import Retraining, cut_out
from nas_core.trainers.retraining_settings import Derived, Drawn, Evaluation, Given, Released, RetrainingConfig
from nas_core.trainers.settings import Data, Weights

DATA = Data(name="fashion7", train=60, test=40)
PLAIN = Genotype(CellGenotype(2, 1, ((0, 2, "sep_conv_3x3"), (1, 2, "skip_connect")), (2,)))
FOUND = RandomSearchConfig(
    run="found",
    profile="test",
    seed=3,
    data=DATA.but(valid=50),
    cells=Cells(nodes=2, channels=4, layers=3),
    samples=1,
    weights=Weights(lr=0.1),
    epochs=1,
    batch=20,
)


def config(**changes: object) -> RetrainingConfig:
    """Three epochs of three steps with everything on: tower, drop-path and cutout, on one cell without reductions."""
    settings = RetrainingConfig(
        run="tiny",
        profile="test",
        seed=3,
        cells=Given(genotype=PLAIN.to_json()),
        data=DATA,
        network=Evaluation(channels=4, layers=2, cutout=3),
        weights=Weights(lr=0.1, lr_min=0.01),
        epochs=3,
        batch=20,
    )
    return settings.but(**changes)


def small(**changes: object) -> RetrainingConfig:
    """Of cells with reductions, whose maps are too small for a tower."""
    return config(network=Evaluation(channels=4, layers=3, auxiliary=0.0, cutout=3)).but(**changes)


def finished(retraining: Retraining) -> Retraining:
    while retraining.done < retraining.total:
        retraining.step()
    return retraining


def test_end_to_end() -> None:
    """Test accuracy and loss of every epoch, the size once, and weights that give the accuracy that was recorded."""
    retraining = build(config(data=DATA.but(valid=50)))
    assert isinstance(retraining, Retraining)
    assert (retraining.total, retraining.period) == (9, 3)
    result = finished(retraining).result()
    rows = result.tables["accuracy"]
    assert rows.epoch.tolist() == [1, 1, 2, 2, 3, 3]
    assert rows.split.tolist() == ["valid", "test"] * 3
    assert result.tables["losses"].epoch.tolist() == [1, 2, 3]
    assert result.genotypes["retrained"] == [PLAIN]
    network = EvaluationNetwork(
        PLAIN, channels=4, layers=2, classes=10, in_channels=1, generator=generator(), auxiliary=True
    )
    network.load_state_dict(result.weights)
    images, labels = load("fashion7", train=60, test=40).batch("test", torch.arange(40))
    with torch.no_grad():
        logits, _ = network.eval()(images)
    assert (logits.argmax(1) == labels).double().mean().item() == pytest.approx(rows.acc.iloc[-1])
    assert result.tables["network"].params.tolist() == [parameters(network)]


def test_a_step_is_sgd_on_cut_images_with_the_auxiliary_loss() -> None:
    """By hand, at the end of the first epoch, where drop-path is 0."""
    trained, hand = Retraining(config()), Retraining(config())
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3 * 6 + 2))
    images, labels = hand.data.batch("train", order[:20])
    images = cut_out(images, 3, torch.Generator().manual_seed(3 * 6 + 4))
    network = hand.fitting.network.network
    logits, auxiliary = network(images)
    loss = F.cross_entropy(logits, labels) + 0.4 * F.cross_entropy(auxiliary, labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    with torch.no_grad():
        for p in network.parameters():
            p -= 0.1 * (p.grad + 3e-4 * p)
    assert trained.step() == pytest.approx(loss.item(), rel=1e-6)
    for ours, theirs in zip(trained.fitting.network.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_exact_schedules() -> None:
    """Drop-path is linear from 0 to its value in the last epoch; the rate is half a cosine to its end."""
    retraining = Retraining(config())
    drops, rates = [], []
    while retraining.done < retraining.total:
        drops.append(retraining.drop_path())
        rates.append(retraining.fitting.optimiser.lr)
        retraining.step()
    np.testing.assert_allclose(drops, np.repeat([0.0, 0.1, 0.2], 3))
    cosine = 0.01 + 0.09 * (1 + np.cos(np.pi * np.arange(3) / 3)) / 2
    np.testing.assert_allclose(rates, np.repeat(cosine, 3))
    assert Retraining(config(epochs=1)).drop_path() == 0.0


def test_drop_path_acts() -> None:
    """From the second epoch on, paths are dropped."""
    retraining, without = Retraining(config()), Retraining(config(network=config().network.but(drop_path=0.0)))
    losses = [(retraining.step(), without.step()) for _ in range(4)]
    assert losses[:3] == [(a, a) for a, _ in losses[:3]]
    assert losses[3][0] != losses[3][1]


def test_exact_cutout() -> None:
    """A square around every pixel is as likely as any other, as far as it lies inside; 0 cuts nothing."""
    images = torch.ones(4000, 2, 5, 7)
    cut = cut_out(images, 3, generator())
    assert torch.equal(cut[:, 0], cut[:, 1])
    rows = (cut[:, 0] == 0).any(2).sum(1)
    columns = (cut[:, 0] == 0).any(1).sum(1)
    assert torch.equal((cut[:, 0] == 0).sum((1, 2)), rows * columns)
    # Three rows are cut where the centre is none of the two outer ones.
    assert {*rows.tolist(), *columns.tolist()} == {2, 3}
    assert (rows == 3).double().mean().item() == pytest.approx(3 / 5, abs=0.04)
    assert (columns == 3).double().mean().item() == pytest.approx(5 / 7, abs=0.04)
    assert cut_out(images, 0, generator()) is images
    assert (cut_out(images[:, :, :, :5], 16, generator()) == 0).all()


def test_end_to_end_resume_at_every_step() -> None:
    assert_resumes_everywhere(lambda: Retraining(config()))


@pytest.mark.parametrize(("cells", "expected"), [
    (Released(arch="SNAS_mild"), released("SNAS_mild")),
    (Given(genotype=write(released("DARTS_V2"), "darts")), released("DARTS_V2")),
])  # fmt: skip
def test_cells_that_are_known(cells: object, expected: Genotype) -> None:
    assert Retraining(small(cells=cells)).genotype == expected


def test_drawn_cells_differ_by_number_and_by_seed() -> None:
    drawn = [Retraining(small(cells=Drawn(number=number), seed=seed)).genotype for number in (0, 1) for seed in (3, 4)]
    assert len(set(drawn)) == 4
    assert Retraining(small(cells=Drawn(number=1))).genotype == drawn[2]


def test_derived_cells_are_the_last_of_the_run_that_they_need() -> None:
    settings = small(cells=Derived(rule="argmax"), of=FOUND)
    assert settings.needs() == (FOUND,)
    found = Result(genotypes={"argmax": [released("DARTS_V1"), released("DARTS_V2")], "darts": [PLAIN]})
    retraining = build(settings, {FOUND.key(): found})
    assert retraining.genotype == released("DARTS_V2")
    with pytest.raises(UserError, match="unknown genotypes of found 'argmx'; did you mean 'argmax'"):
        build(settings.but(cells=Derived(rule="argmx")), {FOUND.key(): found})


def test_a_seed_goes_on_to_the_run_that_is_needed() -> None:
    settings = small(cells=Derived(), of=FOUND)
    assert settings.but(seed=7).of == FOUND.but(seed=7)
    assert settings.but(seed=7, of=FOUND).of == FOUND
    assert settings.but(epochs=7).of == FOUND


def test_a_record_gives_the_settings_back() -> None:
    for settings in (small(cells=Derived(), of=FOUND), small(cells=Drawn(number=2)), config()):
        assert settings_from(json.loads(json.dumps(settings.identity()))) == settings


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"cells": Derived()}, "cells are derived from another run"),
    ({"of": FOUND}, "its cells are given, so it needs no other run"),
    ({"data": DATA.but(test=0)}, "is measured on test images"),
    ({"data": DATA.but(search=20)}, "a retraining has no logits"),
    ({"batch": 61}, "a batch of 61 needs at least as many training images"),
    ({"lr": 1.0}, "RetrainingConfig has no field 'lr'"),
])  # fmt: skip
def test_settings_that_cannot_work_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        config(**changes)


def test_cells_that_there_are_not_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'DARTS_V2'"):
        Released(arch="DARTS_V3")
    with pytest.raises(UserError, match="Genotype"):
        Given(genotype="nothing")


def test_a_tower_on_maps_that_are_too_small_is_refused_before_the_first_step() -> None:
    settings = small(cells=Released(arch="DARTS_V2"), network=Evaluation(channels=4, layers=3))
    with pytest.raises(UserError, match=r"run 'tiny': the auxiliary tower needs .* Set network.auxiliary to 0"):
        Retraining(settings)


def test_result_comes_when_all_is_done() -> None:
    retraining = Retraining(config())
    retraining.step()
    with pytest.raises(RuntimeError, match="has done 1 of 9 steps"):
        retraining.result()
