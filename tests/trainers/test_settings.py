"""Settings: what is refused and how it is said, and the key that names a run."""

import itertools
import json
import pydoc
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from small import METHODS, PROBES, config

from nas_core import plugins
from nas_core.backends import native
from nas_core.cells.operations import CANDIDATES
from nas_core.errors import UserError, choose
from nas_core.relaxations import RELAXATIONS
from nas_core.trainers.methods import (
    DARTS,
    DSNAS,
    SNAS,
    Exact,
    FiniteDifference,
    ProxylessNAS,
    Reinforce,
    Relaxed,
    Resource,
    SecondOrder,
    Uniform,
)
from nas_core.trainers.random_search import RandomSearchConfig
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import NAME, TOPOLOGIES, Alpha, Data, Network, Settings, Weights, added

NETWORK = {"channels": 4, "layers": 1, "reductions": False, "head_bias": False}
BASE = config()
assert issubclass(RandomSearchConfig, Settings)  # its settings are known from here on
TEMPERED = """
from nas_core.relaxations import RELAXATIONS
RELAXATIONS.register("tempered", RELAXATIONS["concrete"])
"""


def refusal(model: type[Settings] | Settings, **values: Any) -> str:
    """The sentence with which settings are refused, by a class or by ``but`` of an instance."""
    with pytest.raises(UserError) as error:
        model.but(**values) if isinstance(model, Settings) else model(**values)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("model", "values", "parts"), [
    (BASE, {"epoch": 3}, ["SearchConfig has no field 'epoch'; did you mean 'epochs'?", "Allowed: run, profile, seed"]),
    (BASE, {"zzz": 3}, ["SearchConfig has no field 'zzz'."]),
    (BASE.data, {"trian": 3}, ["Data has no field 'trian'; did you mean 'train'?"]),
    (BASE.network, {"layer": 3}, ["Network has no field 'layer'; did you mean 'layers'?"]),
    (SNAS(), {"temprature": 3}, ["SNAS has no field 'temprature'; did you mean 'temperature'?"]),
    (BASE.weights, {"momentun": 3}, ["Weights has no field 'momentun'; did you mean 'momentum'?"]),
    (BASE.alpha, {"beta": 3}, ["Alpha has no field 'beta'; did you mean 'betas'?"]),
])  # fmt: skip
def test_unknown_field_is_named_with_the_nearest(model: Settings, values: dict, parts: list[str]) -> None:
    text = refusal(model, **values)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(("model", "values", "start"), [
    (BASE, {"seed": "1"}, "SearchConfig.seed: "),
    (BASE, {"seed": -1}, "SearchConfig.seed: "),
    (BASE, {"seed": True}, "SearchConfig.seed: "),
    (BASE, {"epochs": 1.5}, "SearchConfig.epochs: "),
    (BASE, {"epochs": 0}, "SearchConfig.epochs: "),
    (BASE, {"batch": 0}, "SearchConfig.batch: "),
    (BASE, {"threads": 0}, "SearchConfig.threads: "),
    (BASE, {"run": 3}, "SearchConfig.run: "),
    (BASE, {"data": "fashion7"}, "SearchConfig.data: "),
    (BASE, {"probes": "losses"}, "SearchConfig.probes: "),
    (BASE.data, {"train": 0}, "Data.train: "),
    (BASE.data, {"train": "60"}, "Data.train: "),
    (BASE.data, {"valid": -1}, "Data.valid: "),
    (BASE.network, {"channels": 0}, "Network.channels: "),
    (BASE.network, {"layers": 0}, "Network.layers: "),
    (BASE.network, {"nodes": 0}, "Network.nodes: "),
    (BASE.network, {"nodes": 10**6}, "Network.nodes: "),
    (BASE.network, {"reductions": 1}, "Network.reductions: "),
    (BASE.network, {"eps": -1e-5}, "Network.eps: "),
    (BASE.network, {"eps": 0.0}, "Network.eps: "),
    (BASE.network, {"candidates": (3,)}, "Network.candidates.0: "),
    (BASE, {"run": "../../x"}, "SearchConfig.run: "),
    (BASE, {"profile": "a/b"}, "SearchConfig.profile: "),
    (BASE, {"run": "x" * 65}, "SearchConfig.run: "),
    (BASE, {"seed": 2**31}, "SearchConfig.seed: "),
    (BASE, {"threads": 10**6}, "SearchConfig.threads: "),
    (BASE, {"seed": 2**62}, "SearchConfig.seed: "),
    (BASE, {"seed": np.int64(-1)}, "SearchConfig.seed: "),
    (BASE, {"device": 0}, "SearchConfig.device: "),
    (BASE.method, {"levels": "two"}, "DARTS.levels: "),
    (BASE.method, {"update_alpha": "yes"}, "DARTS.update_alpha: "),
    (BASE.method, {"drop_path": 1.0}, "DARTS.drop_path: "),
    (SNAS(), {"temperature": (1.0,)}, "SNAS.temperature"),
    (SNAS(), {"temperature": (0.0, 1.0)}, "SNAS.temperature.0: "),
    (SNAS(), {"temperature": (1.0, -0.1)}, "SNAS.temperature.1: "),
    (DSNAS(), {"cost_clamp": 0.0}, "DSNAS.cost_clamp: "),
    (ProxylessNAS(), {"paths": "three"}, "ProxylessNAS.paths: "),
    (SecondOrder(), {"estimator": "second"}, "SecondOrder.estimator: "),
    (FiniteDifference(), {"radius": 0.0}, "FiniteDifference.radius: "),
    (Reinforce(), {"samples": 0}, "Reinforce.samples: "),
    (Reinforce(), {"baseline_momentum": 1.5}, "Reinforce.baseline_momentum: "),
    (Resource(weight=1.0), {"weight": 0.0}, "Resource.weight: "),
    (Resource(weight=1.0), {"estimator": "mean"}, "Resource.estimator: "),
    (BASE.weights, {"lr": 0.0}, "Weights.lr: "),
    (BASE.weights, {"lr": "fast"}, "Weights.lr: "),
    (BASE.weights, {"lr": float("nan")}, "Weights.lr: "),
    (BASE.weights, {"lr": float("inf")}, "Weights.lr: "),
    (BASE.weights, {"momentum": -0.1}, "Weights.momentum: "),
    (BASE.weights, {"momentum": float("nan")}, "Weights.momentum: "),
    (BASE.weights, {"clip": 0.0}, "Weights.clip: "),
    (BASE.weights, {"decay": -1.0}, "Weights.decay: "),
    (BASE.alpha, {"lr": -1.0}, "Alpha.lr: "),
    (BASE.alpha, {"betas": (0.5, 1.0)}, "Alpha.betas.1: "),
    (BASE.alpha, {"clip": 0.0}, "Alpha.clip: "),
    (BASE.alpha, {"init_std": -1.0}, "Alpha.init_std: "),
])  # fmt: skip
def test_ill_typed_or_impossible_value_is_named(model: Settings, values: dict, start: str) -> None:
    text = refusal(model, **values)
    assert text.startswith(start)
    assert text.endswith(".")


@pytest.mark.parametrize(("model", "values", "start"), [
    (BASE.data, {"name": "fashion"}, "unknown data set 'fashion'; did you mean 'fashion"),
    (BASE.network, {"cell": "minimall"}, "unknown cell 'minimall'; did you mean 'minimal'?"),
    (BASE.network, {"candidates": ("none", "skip")}, "unknown operation 'skip'"),
    (BASE.network, {"normaliser": "batches"}, "unknown normaliser 'batches'; did you mean 'batch'?"),
    (BASE.network, {"order": "rbc"}, "unknown order 'rbc'"),
    (BASE.network, {"allowed": ((14, ("none",)),)}, "unknown edge of topology 'darts' '14'"),
    (BASE.network, {"allowed": ((0, ("conv",)),)}, "unknown operation on edge 0 'conv'"),
    (BASE, {"device": "gpu"}, "unknown device 'gpu'."),
    (BASE, {"device": "tpu"}, "unknown device 'tpu'."),
    (BASE, {"device": "cuda:x"}, "unknown device 'cuda:x'."),
    (Relaxed(relaxation="softmax"), {"relaxation": "one_hot"}, "unknown relaxation 'one_hot'; did you mean 'one-hot'?"),
    (Resource(weight=1.0), {"penalty": "logs"}, "unknown resource penalty 'logs'; did you mean 'log'?"),
    (BASE, {"formulation": "fuse"}, "unknown formulation 'fuse'; did you mean 'fused'?"),
    (BASE, {"probes": ("loss",)}, "unknown probe 'loss'; did you mean 'losses'?"),
])  # fmt: skip
def test_unknown_name_is_named_with_the_nearest(model: Settings, values: dict, start: str) -> None:
    text = refusal(model, **values)
    assert text.startswith(start)
    assert "Allowed: " in text


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"method": METHODS["softmax bi-level"]}, "run 'tiny': bi-level search needs search images"),
    ({"data": BASE.data.but(search=20)}, "run 'tiny': bi-level search needs search images"),
    ({"batch": 61}, "run 'tiny': a batch of 61 needs at least as many images"),
    ({"data": BASE.data.but(valid=0)}, "accuracy"),
    ({"data": BASE.data.but(test=0)}, "child"),
])  # fmt: skip
def test_settings_that_contradict_each_other(changes: dict, sentence: str) -> None:
    assert sentence in refusal(BASE, **changes)


@pytest.mark.parametrize("changes", [
    {"candidates": ()}, {"candidates": ("none", "none")}, {"candidates": ("none",)}, {"allowed": ((0, ()),)},
])  # fmt: skip
def test_an_edge_needs_a_choice(changes: dict) -> None:
    """No candidates, a candidate twice, or an edge on which nothing is allowed."""
    refusal(BASE.network, **changes)


@pytest.mark.parametrize(("method", "field"), [
    (DARTS, "temperature"),
    (DARTS, "cost_clamp"),
    (DARTS, "radius"),
    (SNAS, "cost_clamp"),
    (SNAS, "samples"),
    (DSNAS, "temperature"),
    (ProxylessNAS, "levels"),
    (ProxylessNAS, "temperature"),
    (Uniform, "update_alpha"),
    (Uniform, "resource"),
    (SecondOrder, "levels"),
    (SecondOrder, "drop_path"),
    (SecondOrder, "radius"),
    (Exact, "radius"),
    (Reinforce, "levels"),
    (Reinforce, "drop_path"),
    (Reinforce, "estimator"),
])  # fmt: skip
def test_what_means_nothing_to_a_method_cannot_be_given(method: type[Settings], field: str) -> None:
    assert refusal(method, **{field: 1}).startswith(f"{method.__name__} has no field {field!r}")


def test_an_edge_is_restricted_once() -> None:
    twice = ((1, ("none", "skip_connect")), (1, ("skip_connect",)))
    assert "Network.allowed names edge 1 more than once" in refusal(BASE.network, allowed=twice)


def every_settings(cls: type[Settings] = Settings) -> Iterator[type[Settings]]:
    """All classes of settings of the package."""
    for each in cls.__subclasses__():
        if each.__module__.startswith("nas_core."):
            yield each
            yield from every_settings(each)


@pytest.mark.parametrize("cls", list(every_settings()), ids=lambda cls: cls.__name__)
def test_help_begins_with_every_setting_and_what_it_means(cls: type[Settings]) -> None:
    said = pydoc.plain(pydoc.render_doc(cls))
    for name, field in cls.model_fields.items():
        assert field.description, f"{name} has no description"
        assert re.search(rf"^ \|\s+{name}( = .*)?: {re.escape(field.description)}$", said, re.MULTILINE), name


def test_numpy_numbers_are_numbers() -> None:
    """As they come out of a range or an array."""
    mine = BASE.but(seed=np.arange(5)[4], weights=BASE.weights.but(lr=np.float64(0.1)))
    plain = BASE.but(seed=4, weights=BASE.weights.but(lr=0.1))
    assert mine == plain
    assert mine.key() == plain.key()
    assert type(mine.seed) is int
    assert SNAS(temperature=np.array([1.0, 0.03])) == SNAS(temperature=(1.0, 0.03))


PAID = Resource(weight=0.1)


@pytest.mark.parametrize(("method", "values", "parts"), [
    (DSNAS, {"resource": PAID}, ["DSNAS", "one-hot", "Allowed: estimator 'score' or 'expected'"]),
    (Reinforce, {"resource": PAID}, ["Reinforce", "one-hot"]),
    (DARTS, {"resource": PAID.but(estimator="score")}, ["DARTS", "not drawn", "Allowed: 'reparametrised'"]),
    (SecondOrder, {"resource": PAID.but(estimator="score")}, ["SecondOrder", "not drawn"]),
    (Relaxed, {"relaxation": "binary"}, ["'binary'", "ProxylessNAS(...)"]),
    (Relaxed, {"relaxation": "reinforce"}, ["'reinforce'", "Reinforce(...)"]),
])  # fmt: skip
def test_a_method_that_cannot_work_is_refused(method: type[Settings], values: dict, parts: list[str]) -> None:
    text = refusal(method, **values)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(("method", "resource"), [
    (DSNAS, PAID.but(estimator="expected")),
    (DSNAS, PAID.but(estimator="score")),
    (DSNAS, PAID.but(penalty="linear")),
    (ProxylessNAS, PAID),
    (DARTS, PAID.but(estimator="expected")),
    (SNAS, PAID.but(estimator="score")),
])  # fmt: skip
def test_a_resource_constraint_that_is_felt_is_allowed(method: Any, resource: Resource) -> None:
    assert method(resource=resource).resource.weight == 0.1


def test_a_registered_relaxation_is_a_method(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in the README: registered after the settings were imported, and by a plugin, so that its source is known."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    path = tmp_path / "tempered_plugin.py"
    path.write_text(TEMPERED)
    plugins.load(path)
    try:
        method = Relaxed(relaxation="tempered", temperature=(5.0, 0.1))
        assert method.temperature_at(0.5) == pytest.approx(2.55)
        assert BASE.but(method=method).key() != BASE.key()
    finally:
        plugins.unload(path)


def test_a_relaxation_whose_source_is_unknown_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RELAXATIONS, "tempered", RELAXATIONS["concrete"])
    config = BASE.but(method=Relaxed(relaxation="tempered", temperature=(5.0, 0.1)))
    with pytest.raises(UserError, match="the relaxation 'tempered' was not registered by a plugin"):
        config.key()


@pytest.mark.parametrize(("changes", "formulation"), [
    ({}, "fused"),
    ({"method": METHODS["one-hot"]}, "fused"),
    ({"network": BASE.network.but(affine=True, eps=0.1)}, "fused"),
    ({"network": BASE.network.but(normaliser="instance")}, "plain"),
    ({"network": BASE.network.but(normaliser="layer")}, "plain"),
    ({"network": BASE.network.but(order="cbr")}, "plain"),
])  # fmt: skip
def test_the_supernet_is_fused_wherever_that_applies(changes: dict, formulation: str) -> None:
    """Which one it is, is part of the key; a person may ask for the plain one, and for the fused one where it is."""
    settings = BASE.but(**changes)
    assert settings.formulation == formulation
    assert settings.but(seed=9).formulation == formulation
    assert SearchConfig(**json.loads(settings.model_dump_json())) == settings
    plain = settings.but(formulation="plain")
    assert (plain.key() != settings.key()) == (formulation == "fused")
    if formulation == "plain":
        assert "formulation 'fused' cannot compute this run" in refusal(settings, formulation="fused")


def test_what_a_run_is_does_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the native library built, too, the formulation and the key are those of any other machine."""
    here = BASE.but(seed=7)
    monkeypatch.setattr(native, "built", lambda: False)
    assert "also needs `make native`" in refusal(BASE, formulation="native")
    monkeypatch.setattr(native, "built", lambda: True)
    assert BASE.but(seed=7).key() == here.key()
    assert BASE.but(seed=7).formulation == "fused"
    asked = BASE.but(formulation="native")
    assert asked.formulation == "native"
    assert asked.key() != BASE.key()
    assert "Allowed: plain, fused." in refusal(asked, device="cuda")


def test_an_exact_hypergradient_is_plain() -> None:
    assert config("softmax finite difference").formulation == "fused"
    assert config("softmax exact").formulation == "plain"
    assert "Allowed: plain." in refusal(config("softmax exact"), formulation="fused")


def test_bilevel_batch_needs_enough_search_images() -> None:
    settings = config("softmax bi-level")
    assert "a batch of 20" in refusal(settings, data=settings.data.but(search=19))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        BASE.seed = 5  # type: ignore[misc]
    assert BASE.but(seed=5).seed == 5
    assert BASE.seed == 3


# ------------------------------------------------------------------------------------------------------------- JSON

OPS = st.lists(st.sampled_from(CANDIDATES), min_size=1, max_size=8, unique=True).map(tuple)
OPS = OPS.filter(lambda ops: ops != ("none",))  # which is refused
POSITIVE = st.floats(1e-6, 10)
METHODS_OF_ANY_RUN = st.one_of(
    st.builds(DARTS, drop_path=st.floats(0, 0.9)),
    st.builds(
        SNAS, temperature=st.tuples(POSITIVE, POSITIVE), resource=st.none() | st.builds(Resource, weight=POSITIVE)
    ),
    st.builds(DSNAS, cost_clamp=st.none() | POSITIVE),
    st.builds(Uniform, update_theta=st.booleans()),
)


@st.composite
def settings_of_runs(draw: st.DrawFn) -> SearchConfig:
    candidates, cell = draw(OPS), draw(st.sampled_from(list(TOPOLOGIES)))
    bilevel = draw(st.booleans())
    allowed = draw(st.dictionaries(st.integers(0, 2), st.sets(st.sampled_from(candidates), min_size=1).map(tuple)))
    return SearchConfig(
        run=draw(st.from_regex(NAME, fullmatch=True)),
        profile="laptop",
        seed=draw(st.integers(0, 2**31 - 1)),
        data=Data(name="digits", train=40, search=20 if bilevel else 0, valid=10, test=10),
        network=Network(
            cell=cell, candidates=candidates, allowed=tuple(allowed.items()), eps=draw(POSITIVE), **NETWORK
        ),
        method=draw(METHODS_OF_ANY_RUN).but(levels="bi-level" if bilevel else "single"),
        weights=Weights(lr=draw(POSITIVE)),
        alpha=Alpha(lr=draw(POSITIVE), clip=draw(st.none() | POSITIVE)),
        epochs=draw(st.integers(1, 600)),
        batch=draw(st.integers(1, 20)),
        probes=tuple(draw(st.sets(st.sampled_from(PROBES)))),
    )


@given(settings_of_runs())
def test_property_json_round_trip(settings: SearchConfig) -> None:
    text = settings.model_dump_json()
    again = SearchConfig(**json.loads(text))
    assert again == settings
    assert again.key() == settings.key()
    shuffled = json.dumps(dict(reversed(json.loads(text).items())), indent=1)
    assert SearchConfig(**json.loads(shuffled)).key() == settings.key()


def test_json_with_an_unknown_field_is_refused() -> None:
    values = json.loads(BASE.model_dump_json())
    values["network"]["colour"] = 1
    with pytest.raises(UserError, match=r"(Network|SearchConfig) has no field '(network\.)?colour'"):
        SearchConfig(**json.loads(json.dumps(values)))


# -------------------------------------------------------------------------------------------------------------- key


def fields(model: BaseModel, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of all fields, those of nested settings included."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        yield from fields(value, (*place, name)) if isinstance(value, BaseModel) else [(*place, name)]


def changed(model: BaseModel, place: tuple[str, ...]) -> Any:
    """A copy in which one field has another value, of which no validator is asked."""
    name, *rest = place
    old = getattr(model, name)
    if rest:
        new = changed(old, tuple(rest))
    elif isinstance(old, bool):
        new = not old
    elif isinstance(old, int | float):
        new = old + 1
    elif isinstance(old, str):
        new = old + "x"
    elif isinstance(old, tuple):
        new = (*old, old[0] if old else "x")
    else:
        new = 1.0
    return model.model_copy(update={name: new})


@pytest.mark.parametrize("place", list(fields(BASE)), ids=".".join)
def test_every_field_counts_in_the_key(place: tuple[str, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert changed(BASE, place).key() != BASE.key()


class Small(Settings):
    lr: float = 0.1


class Later(Small):
    """The same settings in a later version, with a field that did not exist before."""

    nesterov: bool = added(False, implied=False)


class Outer(Settings):
    inner: Small
    several: tuple[Small, ...] = ()


def test_a_field_that_is_added_with_its_implied_value_makes_no_other_run() -> None:
    """Nested or not: records from before it stay valid, to be replayed; any other value is another run."""
    assert Later().identity() == Small().identity() == {"lr": 0.1}
    assert Later(nesterov=True).identity() == {"lr": 0.1, "nesterov": True}
    assert Outer(inner=Later()).identity() == {"inner": {"lr": 0.1}, "several": []}
    among = Outer(inner=Small(), several=(Later(), Later(nesterov=True)))
    assert among.identity()["several"] == [{"lr": 0.1}, {"lr": 0.1, "nesterov": True}]


def test_a_default_that_changes_makes_another_run() -> None:
    """Of a field that was always there, and of one that was added later."""

    class Faster(Settings):
        lr: float = 0.2

    class Now(Small):
        nesterov: bool = added(True, implied=False)

    assert Faster().identity() != Small().identity()
    assert Now().identity() == {"lr": 0.1, "nesterov": True}
    assert Now(nesterov=False).identity() == Small().identity()


def test_a_run_inside_a_run_is_needed() -> None:
    """And it counts in the key."""

    class Retrain(SearchConfig):
        of: SearchConfig
        others: tuple[SearchConfig, ...] = ()

    fields = dict(BASE)
    other = BASE.but(seed=9)
    retrain = Retrain(**fields, of=BASE, others=(other,))
    assert retrain.needs() == (BASE, other)
    assert BASE.needs() == ()
    assert retrain.key() != Retrain(**fields, of=other, others=(other,)).key()


def test_keys_are_file_names_and_tell_runs_apart() -> None:
    variants = [config(name, seed=seed) for name, seed in itertools.product(METHODS, (3, 4))]
    keys = [v.key() for v in variants]
    assert len(set(keys)) == len(variants)
    assert all(re.fullmatch(r"tiny-test-s[34]-[0-9a-f]{12}", key) for key in keys)
    assert config().key() == BASE.key()


def test_longer_runs_cost_more() -> None:
    def cost(**changes: Any) -> float:
        return BASE.but(**changes).cost()

    assert cost(epochs=4) == 2 * cost()
    assert cost(network=BASE.network.but(layers=2)) == 2 * cost()
    assert cost(network=BASE.network.but(nodes=4)) > cost() > cost(method=METHODS["one-hot"]) > 0
    assert config("softmax exact").cost() > config("softmax bi-level").cost() > cost()
    assert config("reinforce").cost() > config("binary").cost()


def test_choose_returns_what_is_allowed() -> None:
    assert choose("fruit", "pear", ("apple", "pear")) == "pear"
    with pytest.raises(UserError) as error:
        choose("fruit", "paer", ("apple", "pear"))
    assert str(error.value) == "unknown fruit 'paer'; did you mean 'pear'? Allowed: apple, pear."
    with pytest.raises(UserError) as error:
        choose("fruit", "x", iter(("apple", "pear")))
    assert str(error.value) == "unknown fruit 'x'. Allowed: apple, pear."
