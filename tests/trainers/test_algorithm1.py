"""Algorithm 1 of MixPath on a problem that can be enumerated: what it returns, its bounds, its size, its randomness."""

import itertools

import numpy as np
import pytest
from small import assert_same, through_a_file

from nas_core.errors import UserError
from nas_core.trainers.algorithm1 import (
    TRIES,
    Evaluated,
    Evolution,
    RandomDraws,
    Task,
    equispaced,
    first_front,
    objectives,
    weighted_crowding,
)

LAYERS, CHOICES = 4, 4
COST = np.cumsum(np.random.default_rng(0).integers(1, 10, (LAYERS, CHOICES)), axis=1)
RATE = np.random.default_rng(1).random((LAYERS, 1))
GAIN = 1 - np.exp(-1.5 * RATE * np.arange(CHOICES))
MOST, LEAST = 55, 0.4
SIZE, GENERATIONS = 16, 15
SEEDS = range(4)


def madds(genes):
    return int(sum(COST[layer, gene] for layer, gene in enumerate(genes)))


def accuracy(genes):
    """Raises on what must never be evaluated."""
    assert madds(genes) <= MOST
    return 0.3 + 0.7 * float(np.mean([GAIN[layer, gene] for layer, gene in enumerate(genes)]))


def toy(**changes):
    settings = {
        "choices": (CHOICES,) * LAYERS,
        "madds": madds,
        "accuracy": accuracy,
        "most_madds": MOST,
        "least_accuracy": LEAST,
    }
    return Task(**(settings | changes))


def searched(kind=Evolution, seed=0, generations=GENERATIONS, task=None, size=SIZE):
    search = kind(task or toy(), size, seed)
    for _ in range(1 + generations):
        search.step()
    return search


def every_child():
    """All that keep both bounds, with nothing of the search."""
    found = []
    for genes in itertools.product(range(CHOICES), repeat=LAYERS):
        if madds(genes) <= MOST and accuracy(genes) > LEAST:
            found.append(Evaluated(genes, accuracy(genes), madds(genes), 0))
    return found


def is_dominated(child, others):
    """By another one that is as good in both and better in one."""
    for other in others:
        as_good = other.accuracy >= child.accuracy and other.madds <= child.madds
        if as_good and (other.accuracy > child.accuracy or other.madds < child.madds):
            return True
    return False


@pytest.mark.claim("C-MA1a")
def test_exact_what_is_returned_lies_in_the_first_front():
    """Of 4^4 children, by enumeration; the search sees about half of those within the bounds."""
    everyone = every_child()
    front = {child.genes for child in everyone if not is_dominated(child, everyone)}
    assert 10 < len(front) < len(everyone) / 4
    for seed in SEEDS:
        search = searched(seed=seed)
        assert len(search.evaluated) < 0.7 * len(everyone)
        returned = [search.evaluated[place] for place in search.returned(5)]
        assert len({child.genes for child in returned}) == 5
        assert {child.genes for child in returned} <= front
        costs = [child.madds for child in returned]
        assert costs == sorted(costs)


@pytest.mark.claim("C-MA1b")
@pytest.mark.parametrize("kind", [Evolution, RandomDraws])
def test_exact_bounds_are_kept(kind):
    """``accuracy`` raises above the first bound; children below the second one are evaluated, and never members."""
    search = searched(kind, seed=1, generations=GENERATIONS if kind is Evolution else 2)
    assert max(child.madds for child in search.evaluated) <= MOST
    assert min(child.accuracy for child in search.evaluated) <= LEAST
    assert len({child.genes for child in search.evaluated}) == len(search.evaluated)
    if kind is Evolution:
        for places in search.populations:
            assert all(search.evaluated[place].accuracy > LEAST for place in places)


@pytest.mark.claim("C-MA1c")
def test_exact_the_population_keeps_its_size():
    """All members differ."""
    search = searched(seed=2)
    assert len(search.populations) == 1 + GENERATIONS
    assert {len(set(places)) for places in search.populations} == {SIZE}


@pytest.mark.claim("C-MA1d")
@pytest.mark.parametrize("kind", [Evolution, RandomDraws])
def test_exact_the_same_seed_gives_the_same_result(kind):
    one, again, other = (searched(kind, seed=seed, generations=4) for seed in (3, 3, 4))
    assert_same(one.state(), again.state())
    assert one.evaluated != other.evaluated


@pytest.mark.parametrize("kind", [Evolution, RandomDraws])
def test_a_search_resumes_after_every_generation(kind):
    generations = 4
    whole = searched(kind, seed=5, generations=generations)
    for stop in range(generations):
        first = searched(kind, seed=5, generations=stop)
        second = kind(toy(), SIZE, 5)
        second.load_state(through_a_file(first.state()))
        for _ in range(generations - stop):
            second.step()
        assert_same(second.state(), whole.state())


def test_survivors_are_the_best_fronts_and_then_the_least_crowded():
    """By hand: a whole front of three, and of the next front its ends and the member with the most room."""
    search = Evolution(toy(), 6, 0)
    first = [(0.9, 50), (0.8, 30), (0.7, 10)]
    second = [(0.85, 51), (0.82, 50), (0.75, 40), (0.65, 12)]
    for number, (value, cost) in enumerate([*second, *first]):
        search.evaluated.append(Evaluated((number,) * LAYERS, value, cost, 0))
    search.population, search.offspring = [0, 1, 2, 3], [4, 5, 6]
    kept = search.survivors(np.random.default_rng(0))
    assert sorted(kept.get("place").tolist()) == [0, 2, 3, 4, 5, 6]


def test_crowding_is_weighted_by_objective():
    """d = w1 (f1(i+1) - f1(i-1)) / (f1max - f1min) + w2 ...; without weights that of pymoo, twice."""
    values = np.array([[0.0, 10.0], [1.0, 6.0], [3.0, 5.0], [10.0, 0.0]])
    found = weighted_crowding(values, (2.0, 0.5))
    assert np.isinf(found[[0, 3]]).all()
    assert found[1:3] == pytest.approx([2 * 3 / 10 + 0.5 * 5 / 10, 2 * 9 / 10 + 0.5 * 6 / 10])
    shuffled = weighted_crowding(values[[2, 0, 3, 1]], (2.0, 0.5))
    assert shuffled[[0, 3]] == pytest.approx(found[[2, 1]])


def test_weights_change_what_survives():
    equal, costs = searched(seed=0), Evolution(toy(), SIZE, 0, (1e-6, 1.0))
    for _ in range(1 + GENERATIONS):
        costs.step()
    assert equal.populations[0] == costs.populations[0]
    assert equal.populations != costs.populations


def test_a_generation_ends_where_tries_run_out():
    """Two layers of two choices: all four children are in the start, so that nothing new can be born."""
    task = toy(choices=(2, 2), most_madds=1e9, madds=sum, accuracy=lambda genes: 0.5 + 0.1 * sum(genes))
    search = searched(task=task, size=2, generations=2)
    assert len(search.evaluated) == 4
    assert search.tried[1:] == [2 * TRIES] * 2
    assert [len(places) for places in search.populations] == [2, 2, 2]


@pytest.mark.parametrize("bound", [{"most_madds": 0}, {"least_accuracy": 0.99}])
def test_bounds_that_nobody_keeps_are_refused(bound):
    with pytest.raises(UserError, match="loosen one of the bounds"):
        searched(task=toy(**bound), generations=0)


def test_random_search_draws_as_many_children():
    search = searched(RandomDraws, generations=3, size=8, task=toy(least_accuracy=0.0))
    born = [child.generation for child in search.evaluated]
    assert [born.count(generation) for generation in range(4)] == [16, 8, 8, 8]


def test_draws_are_uniform_over_choices():
    search = searched(
        RandomDraws, generations=0, size=60, task=toy(most_madds=1e9, least_accuracy=0.0, accuracy=float_of)
    )
    genes = np.array([child.genes for child in search.evaluated])
    shares = np.stack([(genes == choice).mean(0) for choice in range(CHOICES)])
    assert np.abs(shares - 1 / CHOICES).max() < 5 * (3 / 16 / len(genes)) ** 0.5


def float_of(genes):
    """An accuracy for everyone."""
    return 0.5 + sum(genes) / 100


def test_the_first_front_goes_from_cheap_to_expensive():
    children = []
    for value, cost in [(0.9, 50), (0.5, 60), (0.7, 10), (0.8, 30), (0.6, 10)]:
        children.append(Evaluated((cost,), value, cost, 0))
    assert first_front(children) == [2, 3, 0]
    assert first_front([]) == []
    assert objectives(children[:1]).tolist() == [[-0.9, 50.0]]


def test_returned_members_are_roughly_equispaced():
    costs = [0, 1, 2, 48, 49, 90, 100]
    assert equispaced(costs, 3) == [0, 4, 6]
    assert equispaced([5, 3], 3) == [1, 0]
