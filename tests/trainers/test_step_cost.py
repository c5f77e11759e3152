"""What a step costs: the passes that the formulas say, and multiply-adds of forward and backward passes."""

import pytest
import torch
from small import config

from nas_core.cells.counts import multiply_adds
from nas_core.errors import UserError
from nas_core.experiments import configs
from nas_core.trainers.multipath import MultiPathTraining
from nas_core.trainers.search import Search
from nas_core.trainers.step_cost import forward_madds, madds_of, mean_cost, step_cost, supernet_madds

PASSES = {
    "N-DARTS1-r": 2,  # search half, training half
    "N-DARTS2-r": 5,  # at w, at w', at w + eps v and w - eps v, and the weight step
    "N-DARTS2-exact-r": 3,  # at w, at w', and the weight step
    "N-DARTS-single-r": 1,
    "N-REINFORCE-r": 11,  # ten rewards, and the weight step
    "N-PROX2-r": 2,  # search half, training half
    "N-PROXall-r": 2,
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
    assert forward_madds(settings.network, 7, in_channels=1) == forward


def test_exact_a_supernet_does_four_times_as_much_on_twice_the_side():
    """But for its classifier, and for reductions, which round up."""
    network = configs("N-DARTS1-r", "smoke", [0])[0].network
    classifier = 10 * network.channels * network.nodes
    small, large = (forward_madds(network, side) - classifier for side in (8, 16))
    assert large == 4 * small > 0


def test_the_cost_of_drawn_paths_is_the_mean_over_what_seeds_draw():
    drawn = configs("N-PROX2-r", "smoke", range(4))
    found = [step_cost(settings) for settings in drawn]
    assert len({cost.madds for cost in found}) > 1
    assert mean_cost(drawn).madds == sum(cost.madds for cost in found) / 4
    assert mean_cost(drawn).kept == round(sum(cost.kept for cost in found) / 4)


def test_two_paths_do_and_keep_less_than_all_and_those_less_than_a_mixture():
    two, whole, mixture = (
        mean_cost(configs(run, "laptop", range(10))) for run in ("N-PROX2-r", "N-PROXall-r", "N-DARTS1-r")
    )
    assert two.madds < whole.madds < mixture.madds
    assert two.kept < whole.kept < mixture.kept


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
