"""Searches on chains, and chains trained alone: they resume bit for bit, and do what their settings say."""

import numpy as np
import pytest
import torch
from small import assert_resumes_everywhere, run

from nas_core.cells.chain import FIRST
from nas_core.cells.latency import committed, decoded, target
from nas_core.errors import UserError
from nas_core.experiments.proxyless_chains import EXPERIMENTS, SEARCHES
from nas_core.trainers.chain_search import ChainSearch
from nas_core.trainers.chain_settings import ChainSearchConfig, ChainTrainingConfig, LatencyTerm
from nas_core.trainers.chain_training import DRAWN, ChainTraining
from nas_core.trainers.kinds import settings_from
from nas_core.trainers.latency_predictor import PredictorTraining
from nas_core.trainers.methods import ProxylessNAS, Reinforce


def smoke(name: str, **changes) -> ChainSearchConfig:
    return EXPERIMENTS[name].config(name, "smoke").but(seed=3, **changes)


def halfway(trainer):
    """Past the middle: in the midst of the second chain of two, where the velocities count."""
    while trainer.done < trainer.total // 2 + 1:
        trainer.step()
    return trainer


@pytest.mark.parametrize("name", ["N-PROX-l2", "N-PROX-m2", "N-PROX-all", "N-PROX-rl"])
def test_end_to_end_a_search_resumes_bit_for_bit(name: str) -> None:
    config = smoke(name)
    whole = run(ChainSearch(config)).result()
    first = halfway(ChainSearch(config))
    second = ChainSearch(config)
    second.load_state(first.state())
    resumed = run(second).result()
    assert np.array_equal(whole.array("prob"), resumed.array("prob"))
    assert whole.table("chain").equals(resumed.table("chain"))


def test_end_to_end_a_training_resumes_at_every_step() -> None:
    """Also between two chains, and at the end, where the last one's network is as it was left."""
    config = EXPERIMENTS["N-PROX-alone"].config("N-PROX-alone", "smoke").but(of=(), seed=3)
    assert_resumes_everywhere(lambda: ChainTraining(config))


def test_the_learning_rate_falls_with_the_epochs_of_every_training_anew() -> None:
    config = EXPERIMENTS["N-PROX-alone"].config("N-PROX-alone", "smoke").but(of=(), seed=3, epochs=2)
    training = ChainTraining(config)
    rates = []
    while training.done < training.total:
        rates.append(training.fitting.optimiser.lr)
        training.step()
    first, last = config.weights.lr, (config.weights.lr + config.weights.lr_min) / 2  # half a cosine over two epochs
    of_one = [first] * training.per_epoch + [last] * training.per_epoch
    assert rates == pytest.approx(of_one * (len(rates) // len(of_one)))
    assert len(rates) > len(of_one)


def test_end_to_end_the_predictor_resumes_bit_for_bit() -> None:
    config = EXPERIMENTS["N-LAT"].config("N-LAT", "smoke").but(seed=3)
    whole = run(PredictorTraining(config)).result()
    second = PredictorTraining(config)
    second.load_state(halfway(PredictorTraining(config)).state())
    assert run(second).result().table("blocks").equals(whole.table("blocks"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_come_back_from_json(name: str) -> None:
    config = EXPERIMENTS[name].config(name, "smoke")
    assert settings_from(config.identity()) == config


def test_logits_rest_during_warm_up_and_between_their_steps() -> None:
    search = ChainSearch(smoke("N-PROX-l0", interval=2))
    moved = []
    while search.done < search.total:
        before = search.logits.clone()
        search.step()
        moved.append(not torch.equal(before, search.logits))
    assert moved == [False, False, True, False, True, False]


def test_a_step_of_two_paths_moves_two_logits_a_slot_and_no_other_probability() -> None:
    search = ChainSearch(smoke("N-PROX-l3"))
    while not search.learns():
        search.step()
    before, p = search.logits.clone(), search.masked_logits().double().softmax(-1)
    search.step()
    moved = (search.logits != before)[0].sum(-1)
    assert moved[0] == 0  # the first block is fixed
    assert (moved[1:] <= 2).all()
    assert moved.any()
    still = search.logits[0] == before[0]
    assert (search.masked_logits().double().softmax(-1) - p)[0][still].abs().max() < 1e-6


@pytest.mark.parametrize(("method", "form"), [(ProxylessNAS(), "additive"), (Reinforce(samples=40), "reward")])
def test_a_heavy_weight_on_latency_lowers_the_expected_latency(method, form: str) -> None:
    term = LatencyTerm(form=form, weight=100.0 if form == "additive" else 5.0, reference=2000.0)
    search = run(ChainSearch(smoke("N-PROX-l0", method=method, latency=term, epochs=6)))
    expected = search.result().table("chain")["expected_us"]
    assert expected.iloc[-1] < expected.iloc[0] - 10


def test_equal_chains_have_equal_accuracies_and_are_trained_once() -> None:
    config = EXPERIMENTS["N-PROX-alone"].config("N-PROX-alone", "smoke").but(seed=3)
    found = {}
    for search in config.of:
        found[search.key()] = run(ChainSearch(search)).result()
    same = next(iter(found.values()))
    training = ChainTraining(config, dict.fromkeys(found, same))
    assert training.total == 3 * training.period  # one that all searches found, and two drawn ones
    table = run(training).result().table("chains").set_index("origin")
    assert set(table.index) == {*SEARCHES, f"{DRAWN} 0", f"{DRAWN} 1"}
    assert table.loc[list(SEARCHES), "test"].nunique() == 1


def test_latencies_of_trained_chains_are_those_of_the_table() -> None:
    config = EXPERIMENTS["N-PROX-alone"].config("N-PROX-alone", "smoke").but(of=(), seed=3)
    for row in run(ChainTraining(config)).result().table("chains").itertuples():
        assert row.latency_us == committed().of_network("small", decoded(row.choices))
        assert decoded(row.choices)[0] == FIRST
        assert len(decoded(row.choices)) == len(target("small").macro.slots)


def test_the_searches_of_a_training_have_its_seed() -> None:
    config = EXPERIMENTS["N-PROX-alone"].config("N-PROX-alone", "smoke")
    assert isinstance(config, ChainTrainingConfig)
    assert {search.seed for search in config.but(seed=7).of} == {7}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"warm_up": 3}, "warm-up must leave some"),
        ({"search_batch": 65}, "at least as many images"),
        ({"method": Reinforce(), "latency": LatencyTerm(weight=1.0, reference=10.0)}, "'reward' is for REINFORCE"),
        ({"latency": LatencyTerm(form="reward", weight=1.0, reference=10.0)}, "'reward' is for REINFORCE"),
        ({"table": "short"}, "table"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        smoke("N-PROX-l0", **changes)
