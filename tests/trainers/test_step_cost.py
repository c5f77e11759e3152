"""What a step costs: the passes that the formulas say, and multiply-adds of forward and backward passes."""

import pytest
import torch
from small import config

from nas_core.cells.counts import multiply_adds
from nas_core.errors import UserError
from nas_core.experiments import configs
from nas_core.trainers.multipath import MultiPathTraining
from nas_core.trainers.search import Search
from nas_core.trainers.step_cost import madds_of, step_cost, supernet_madds

PASSES = {
    "N-DARTS1-r": 2,  # search half, training half
    "N-DARTS2-r": 5,  # at w, at w', at w + eps v and w - eps v, and the weight step
    "N-DARTS2-exact-r": 3,  # at w, at w', and the weight step
    "N-DARTS-single-r": 1,
    "N-REINFORCE-r": 11,  # ten rewards, and the weight step
}


@pytest.mark.parametrize("run", PASSES)
def test_exact_passes_of_a_step(run):
    assert step_cost(configs(run, "smoke", [0])[0]).passes == PASSES[run]


def test_exact_multiply_adds_of_one_pass_forward_and_back():
    """Backward does twice as much as forward, but for what the images would get."""
    settings = configs("N-DARTS-single-r", "smoke", [0])[0]
    search = Search(settings.but(formulation="plain"))
    images, _ = search.data.batch("train", torch.arange(2))
    gates = search.gates(search.masked_logits().softmax(-1))
    forward = multiply_adds(search.model, images, gates)
    stem = search.model.stem[0].weight.numel() * images.shape[-1] * images.shape[-2]
    assert step_cost(settings).madds == 3 * forward - stem


def test_second_order_costs_more_and_double_backward_keeps_more():
    first, quotient, exact = (step_cost(configs(run, "smoke", [0])[0]) for run in list(PASSES)[:3])
    assert 2 < quotient.madds / first.madds < 4
    assert exact.madds > quotient.madds
    assert quotient.kept == first.kept
    assert exact.kept > 2 * first.kept


def test_single_paths_keep_less_than_mixtures():
    paths, mixture = (step_cost(config(name)) for name in ("binary", "softmax bi-level"))
    assert paths.kept < mixture.kept


def test_exact_a_supernet_costs_what_its_steps_do() -> None:
    """The whole training step by step, forward and backward; the next seed draws other children."""
    (settings,) = configs("M-S4", "smoke", [0])
    training = MultiPathTraining(settings)
    stepped = sum(madds_of(training.step) for _ in range(training.total))
    assert supernet_madds(settings) == stepped
    assert supernet_madds(settings.but(seed=1)) != stepped


def test_a_supernet_with_kernels_of_ours_is_not_counted() -> None:
    with pytest.raises(UserError, match="depthwise convolutions are not counted"):
        supernet_madds(configs("M-S1m4", "smoke", [0])[0])
