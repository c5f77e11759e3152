"""A search that is saved at any step and resumed elsewhere is the search that was never interrupted, bit for bit."""

import numpy as np
import pytest
import torch
from small import METHODS, assert_same, config, frozen, leaves, run, through_a_file

from nas_core.trainers import build
from nas_core.trainers.search import Search
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Data

PLAIN = torch.Tensor | np.ndarray | str | int | float | bool | None


def assert_resumes_everywhere(settings: SearchConfig) -> None:
    """Save after every number of steps, none and all included; go on from each in a fresh trainer."""
    search, states = Search(settings), []
    while True:
        states.append(through_a_file(search.state()))
        if search.done == search.total:
            break
        search.step()
    assert len(states) == settings.epochs * settings.steps_per_epoch + 1
    whole = through_a_file(search.state())
    for done, state in enumerate(states):
        resumed = Search(settings)
        resumed.load_state(state)
        assert resumed.done == done
        assert_same(through_a_file(run(resumed).state()), whole)
        ours, theirs = resumed.result(), search.result()
        assert ours.genotypes == theirs.genotypes
        assert_same(ours.arrays, theirs.arrays)
        for name, table in theirs.tables.items():
            assert table.equals(ours.tables[name])


@pytest.mark.parametrize("method", METHODS)
def test_end_to_end_resume_at_every_step(method: str) -> None:
    assert_resumes_everywhere(config(method))


@pytest.mark.parametrize("method", ["softmax bi-level", "one-hot", "two-path", "reinforce", "softmax exact"])
def test_end_to_end_resume_with_colours_and_augmentation(method: str, fake3: str) -> None:
    """Three channels: the weights' memory is laid out channels last, and the crops have a generator of their own."""
    images = Data(name=fake3, train=60, search=20 if METHODS[method].levels == "bi-level" else 0, valid=30, test=30)
    assert_resumes_everywhere(config(method).but(data=images))


@pytest.mark.parametrize("method", ["softmax bi-level", "softmax single"])
def test_end_to_end_resume_with_all_that_frozen_logits_record(method: str) -> None:
    """Costs of both halves and calibration are part of the state, too."""
    assert_resumes_everywhere(config(method, method=frozen(method), probes=("losses", "costs", "calibration")))


@pytest.mark.parametrize("method", METHODS)
def test_a_used_trainer_goes_back(method: str) -> None:
    """Loading an earlier state forgets all that came after it, also what the optimisers had not yet."""
    search = Search(config(method))
    states = [through_a_file(search.state())]
    for _ in range(2):
        search.step()
        states.append(through_a_file(search.state()))
    final = through_a_file(run(search).state())
    for state in states:
        search.load_state(state)
        assert_same(through_a_file(run(search).state()), final)


@pytest.mark.parametrize("method", METHODS)
def test_state_holds_plain_values_only(method: str) -> None:
    """Nested dicts, lists and tuples with string keys, of tensors, arrays and plain values: open formats suffice."""
    search = Search(config(method))
    for _ in range(search.total):
        search.step()
        state = search.state()
        for place, value in leaves(state):
            assert isinstance(value, PLAIN), place

        def keys(value: object) -> None:
            if isinstance(value, dict):
                assert all(isinstance(k, str) for k in value)
                for item in value.values():
                    keys(item)

        keys(state)


def test_result_comes_when_all_is_done() -> None:
    search = build(config())
    assert isinstance(search, Search)
    search.step()
    with pytest.raises(RuntimeError, match="has done 1 of 6 steps"):
        search.result()
