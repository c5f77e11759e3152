"""The levels of DARTS side by side: what is equal between the runs, and what alone differs."""

import pytest
import torch

from nas_core.data import load
from nas_core.experiments import configs
from nas_core.experiments.darts_levels import BY_BOTH_RULES, CHILDREN, RANDOM, SEARCHES, argmax_child, child
from nas_core.experiments.proxyless import BETTER, CHOICES, EDGE, RIVAL, alone_run
from nas_core.trainers import build
from nas_core.trainers.step_cost import step_cost

FIRST, LONG, SECOND, SINGLE = "N-DARTS1-r", "N-DARTS1-long-r", "N-DARTS2-r", "N-DARTS-single-r"
PATHS = {"N-PROX2-r": "N-PROX2-long-r", "N-PROXall-r": "N-PROXall-long-r"}  # with those of equal multiply-adds
OTHERS = (LONG, SINGLE, *PATHS.values())  # of other steps or images


def of(run, profile="laptop"):
    return configs(run, profile, [7])[0]


def steps(config):
    return config.epochs * config.steps_per_epoch


@pytest.mark.parametrize("run", SEARCHES)
def test_logits_travel_as_far_as_in_the_paper(run):
    config, paper = of(run), configs("S-DARTS1", "paper")[0]
    assert config.alpha.lr * steps(config) == pytest.approx(paper.alpha.lr * steps(paper), rel=0.02)


@pytest.mark.parametrize("run", [run for run in SEARCHES if run not in OTHERS])
def test_searches_of_equal_steps_differ_in_their_method_alone(run):
    first, other = of(FIRST), of(run)
    assert other.but(run=FIRST, method=first.method, formulation=first.formulation, alpha=first.alpha) == first
    assert other.alpha.lr == first.alpha.lr
    assert other.alpha.betas == ((0.0, 0.999) if run in PATHS else first.alpha.betas)


@pytest.mark.parametrize("run", PATHS)
def test_the_longer_searches_by_paths_have_the_multiply_adds_of_first_order(run):
    """At uniform probabilities, on average over what is drawn."""
    short, long = of(run), of(PATHS[run])
    assert long.but(run=run, epochs=short.epochs, alpha=short.alpha) == short
    a_step = [step_cost(short.but(seed=seed)).madds for seed in range(100, 140)]
    spent = steps(long) * sum(a_step) / len(a_step)
    assert spent == pytest.approx(steps(of(FIRST)) * step_cost(of(FIRST)).madds, rel=0.1)


def test_the_longer_first_order_has_the_passes_of_second_order():
    assert steps(of(LONG)) * step_cost(of(FIRST)).passes == steps(of(SECOND)) * step_cost(of(SECOND)).passes


def test_a_single_level_sees_the_images_of_both_halves_in_as_many_steps():
    first, single = of(FIRST), of(SINGLE)
    assert steps(single) == steps(first)
    found = [load(c.data.name, **c.data.model_dump(exclude={"name"}), seed=c.seed).splits for c in (first, single)]
    both = torch.cat([found[0]["train"].images, found[0]["search"].images])
    assert torch.equal(both, found[1]["train"].images)


def test_random_search_has_the_multiply_adds_and_the_images_of_first_order():
    first, drawn = of(FIRST), of(RANDOM)
    assert (drawn.data.train, drawn.data.valid) == (first.data.train, first.data.search)
    assert drawn.cells.topology() == first.network.topology()
    assert {*drawn.cells.candidates, "none"} == set(first.network.candidates)
    counts = [build(drawn.but(seed=seed)).fitting.counts().madds for seed in range(100, 110)]
    per_step = 3 * sum(counts) / len(counts)  # backward does about twice as much as forward
    spent = drawn.samples * drawn.steps_per_child * per_step
    assert spent == pytest.approx(steps(first) * step_cost(first).madds, rel=0.15)


@pytest.mark.parametrize("run", CHILDREN)
def test_all_cells_are_trained_alike(run):
    ours, first = of(run), of(child(FIRST))
    assert ours.but(run=first.run, of=first.of, cells=first.cells) == first


def test_every_search_has_its_cell_trained():
    for run in (*SEARCHES, RANDOM):
        assert of(child(run)).needs() == (of(run),)


@pytest.mark.parametrize("run", BY_BOTH_RULES)
def test_the_other_rule_is_all_that_differs_between_two_cells_of_a_search(run):
    ours, darts = of(argmax_child(run)), of(child(run))
    assert (ours.cells.rule, darts.cells.rule) == ("argmax", "darts")
    assert ours.but(run=darts.run, cells=darts.cells) == darts


@pytest.mark.parametrize("op", [*CHOICES, RIVAL])
def test_a_candidate_alone_has_the_network_of_the_search(op):
    alone, search = of(alone_run(op)), of("N-TWO-r")
    assert dict(alone.network.allowed)[EDGE] == (op,)
    assert alone.network.but(allowed=search.network.allowed) == search.network
    assert (alone.data, alone.weights, alone.epochs, alone.batch) == (
        search.data, search.weights, search.epochs, search.batch,
    )  # fmt: skip


def test_two_paths_choose_on_one_edge_alone():
    for run, choices in {"N-TWO-r": CHOICES, "N-TWO-rival-r": (*CHOICES, RIVAL)}.items():
        allowed = dict(of(run).network.allowed)
        assert set(allowed[EDGE]) == set(choices)
        assert all(len(ops) == 1 for edge, ops in allowed.items() if edge != EDGE)
        assert len(allowed) == len(of(run).network.topology().edges)
        assert of(run).alpha.betas[0] == 0
    assert BETTER in CHOICES
