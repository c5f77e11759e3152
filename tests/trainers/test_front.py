"""The search for a front on a live supernet, and children alone: what is recorded, and that both resume bit for bit."""

from typing import Any

import pytest
from small import assert_same, through_a_file

from nas_core.cells.genotype import Genotype
from nas_core.cells.multipath import read_child
from nas_core.cells.sizes import Size, network_counts
from nas_core.errors import UserError
from nas_core.trainers import build
from nas_core.trainers.chain_child import ChainChild
from nas_core.trainers.chain_child_settings import ChainChildConfig
from nas_core.trainers.front import FrontSearch
from nas_core.trainers.front_settings import FrontConfig
from nas_core.trainers.front_spaces import S1Space
from nas_core.trainers.kinds import settings_from
from nas_core.trainers.multipath import one_shot
from nas_core.trainers.multipath_settings import MultiPathConfig, Paths
from nas_core.trainers.retraining_settings import Derived, Evaluation, RetrainingConfig
from nas_core.trainers.settings import Data, Weights

SUPERNET = MultiPathConfig(
    run="supernet",
    profile="test",
    seed=3,
    data=Data(name="fashion7", train=60),
    paths=Paths(space="S1", channels=4, most=2),
    weights=Weights(lr=0.1),
    epochs=1,
    batch=20,
)


def config(**changes: Any) -> FrontConfig:
    settings = FrontConfig(
        run="tiny",
        profile="test",
        seed=3,
        after=SUPERNET,
        data=Data(name="fashion7", train=60, valid=50, test=40),
        algorithm="NSGA-II",
        size=3,
        generations=2,
        recalibrate=1,
        budget=0.6,
        least_accuracy=0.0,
    )
    return settings.but(**changes)


def alone(**changes: Any) -> ChainChildConfig:
    settings = ChainChildConfig(
        run="child",
        profile="test",
        seed=3,
        of=config(),
        place=1,
        pick="found",
        data=Data(name="digits", train=40, test=30),
        weights=Weights(lr=0.1, lr_min=0.01),
        epochs=2,
        batch=20,
    )
    return settings.but(**changes)


OF_CELLS = SUPERNET.but(run="cells", paths=Paths(space="DARTS of 3 cells", channels=4, most=3))


def of_cells(**changes: Any) -> FrontConfig:
    """A search among cells of DARTS."""
    return config(after=OF_CELLS, run="search", **changes)


def retrained(rule: str) -> RetrainingConfig:
    """The last of the genotypes that the search among cells names ``rule``."""
    return RetrainingConfig(
        run="alone",
        profile="test",
        seed=3,
        of=of_cells(),
        cells=Derived(rule=rule),
        data=Data(name="fashion7", train=40, test=30),
        network=Evaluation(channels=4, layers=3, auxiliary=0.0, drop_path=0.0, cutout=0),
        weights=Weights(lr=0.1),
        epochs=1,
        batch=20,
    )


def finished(trainer: Any) -> Any:
    while trainer.done < trainer.total:
        trainer.step()
    return trainer


@pytest.fixture(scope="module")
def needed() -> dict:
    """Two trained supernets and a search of each, by their keys."""
    found = {training.key(): finished(build(training)).result() for training in (SUPERNET, OF_CELLS)}
    for settings in (config(), of_cells()):
        found[settings.key()] = finished(FrontSearch(settings, found)).result()
    return found


@pytest.mark.parametrize("algorithm", ["NSGA-II", "random"])
def test_end_to_end(needed: dict, algorithm: str) -> None:
    """Scores are one-shot accuracies, costs are the child's, and the front is what no other child dominates."""
    search = finished(build(config(algorithm=algorithm), needed))
    assert isinstance(search, FrontSearch)
    assert (search.total, search.period) == (3, 1)
    result = search.result()
    evaluated, front, limits = result.table("evaluated"), result.table("front"), result.table("bounds").iloc[0]
    assert evaluated["child"].is_unique
    assert (evaluated["madds"] <= limits["madds"]).all()
    last = evaluated.iloc[-1]
    child = read_child(last["child"])
    assert search.space.costs.of_child(child) == last["madds"]
    assert one_shot(search.supernet, [child], search.data, 1) == [last["acc"]]
    for _, member in front.iterrows():
        better = (evaluated["acc"] >= member["acc"]) & (evaluated["madds"] <= member["madds"])
        strictly = (evaluated["acc"] > member["acc"]) | (evaluated["madds"] < member["madds"])
        assert not (better & strictly & (evaluated["acc"] > limits["acc"])).any()
        tested = one_shot(search.supernet, [read_child(member["child"])], search.data, 1, split="test")
        assert tested == [member["test"]]
    assert front["madds"].is_monotonic_increasing
    assert set(result.table("found")["place"]) <= set(range(len(evaluated)))
    assert len(result.table("tried")) == 3
    if algorithm == "NSGA-II":
        last_places = set(result.table("populations").query("generation == 2")["place"])
        assert set(result.table("found")["place"]) <= last_places


def test_bounds_lie_between_the_extremes(needed: dict) -> None:
    search = FrontSearch(config(budget=0.25), needed)
    least, most = search.space.extremes()
    choices = search.space.choices
    sizes = [search.space.madds((number,) * 12) for number in range(len(choices))]
    assert (least, most) == (min(sizes), max(sizes))
    assert search.bound == least + (most - least) / 4


def test_end_to_end_among_cells(needed: dict) -> None:
    """Scores and costs are the child's; the front and random cells of like cost are kept as genotypes."""
    search = FrontSearch(of_cells(), needed)
    result = needed[of_cells().key()]
    last = result.table("evaluated").iloc[-1]
    child = Genotype.from_json(last["child"])
    assert one_shot(search.supernet, [child], search.data, 1) == [last["acc"]]
    size = Size(channels=4, layers=3, classes=10, side=7, in_channels=1)
    assert network_counts(child, size).madds == last["madds"]
    front, genotypes = result.table("front"), result.genotypes
    assert [genotype.to_json() for genotype in genotypes["front"]] == front["child"].tolist()
    assert front["acc"].is_monotonic_increasing
    for genotype, other, madds in zip(genotypes["front"], genotypes["random"], front["madds"], strict=True):
        assert genotype != other
        assert network_counts(other, size).madds == pytest.approx(madds, rel=0.05)


@pytest.mark.parametrize("rule", ["front", "random"])
def test_the_best_cells_of_a_search_are_trained_alone(needed: dict, rule: str) -> None:
    training = finished(build(retrained(rule), needed))
    assert training.genotype == needed[of_cells().key()].genotypes[rule][-1]
    assert training.result().table("network")["madds"].iloc[0] == training.fitting.counts().madds


@pytest.mark.parametrize("settings", [config(), config(algorithm="random"), of_cells()])
def test_a_search_resumes_after_every_generation(needed: dict, settings: FrontConfig) -> None:
    search, saved = FrontSearch(settings, needed), []
    while search.done < search.total:
        saved.append(through_a_file(search.state()))
        search.step()
    whole = through_a_file(search.state())
    for state in saved[1:]:
        resumed = FrontSearch(settings, needed)
        resumed.load_state(state)
        assert_same(through_a_file(finished(resumed).state()), whole)
    with pytest.raises(RuntimeError, match="has done 0 of 3 generations"):
        FrontSearch(settings, needed).result()


@pytest.mark.parametrize("pick", ["found", "random"])
def test_a_child_alone(needed: dict, pick: str) -> None:
    """Its accuracy by epoch, and its cost on the images it learns from; the random one costs about as much."""
    training = finished(build(alone(pick=pick), needed))
    assert isinstance(training, ChainChild)
    result = training.result()
    assert result.table("accuracy")["epoch"].tolist() == [1, 2]
    row = result.table("network").iloc[0]
    found = needed[config().key()].table("found").iloc[1]
    assert (row["child"] == found["child"]) == (pick == "found")
    there = S1Space.of(config()).costs.of_child(read_child(row["child"]))
    assert there == pytest.approx(found["madds"], rel=0.05)
    assert row["madds"] > there  # digits have 8 x 8 pixels


def test_a_child_alone_resumes_at_every_step(needed: dict) -> None:
    training, saved = ChainChild(alone(), needed), []
    while training.done < training.total:
        saved.append(through_a_file(training.state()))
        training.step()
    whole = through_a_file(training.state())
    for state in saved:
        resumed = ChainChild(alone(), needed)
        resumed.load_state(state)
        assert_same(through_a_file(finished(resumed).state()), whole)
    with pytest.raises(RuntimeError, match="has done 0 of 4 steps"):
        ChainChild(alone(), needed).result()


def test_settings_are_read_back_and_share_what_they_must() -> None:
    for settings in (config(), alone(), of_cells(), retrained("front")):
        assert settings_from(settings.identity()) == settings
    moved = alone().but(seed=5, profile="other")
    assert moved.of.seed == moved.of.after.seed == 5
    assert moved.of.after.profile == "other"
    assert moved.needs() == (moved.of,)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"after": SUPERNET.but(seed=4)}, "must have the same seed"),
    ({"data": Data(name="fashion7", train=50, valid=50, test=40)}, "must see the training images"),
    ({"data": Data(name="fashion7", train=60, valid=50)}, "give both"),
    ({"data": Data(name="fashion7", train=60, search=20, valid=50, test=40)}, "no logits"),
    ({"crowding": (1.0, 0.0)}, "must be positive"),
    ({"algorithm": "annealing"}, "unknown search for a front 'annealing'"),
    ({"budget": 0.0}, "FrontConfig.budget"),
    ({"after": SUPERNET.but(paths=Paths(space="S4", channels=4))}, "unknown space that run 'tiny' can search 'S4'"),
])  # fmt: skip
def test_searches_that_cannot_work_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        config(**changes)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"of": config().but(seed=4)}, "must have the same seed"),
    ({"place": 3}, "finds 3 children"),
    ({"data": Data(name="digits", train=40)}, "data.test is 0"),
    ({"data": Data(name="digits", train=40, search=5, test=30)}, "no logits"),
    ({"batch": 41}, "a batch of 41"),
    ({"pick": "best"}, "unknown child 'best'"),
    ({"of": of_cells()}, "chains are children of S1, not of DARTS of 3 cells"),
])  # fmt: skip
def test_children_that_cannot_work_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        alone(**changes)
