"""The look into a supernet: averages of all batches, moments of single paths, features and scores, and resuming."""

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from small import assert_same, generator, through_a_file

from nas_core.cells.chain import Choice
from nas_core.cells.mixpath import EXPANSIONS, KERNELS
from nas_core.cells.multipath import S1Supernet
from nas_core.errors import UserError
from nas_core.probes.paths import PathMoments, first_features, norm_parameters
from nas_core.trainers import build
from nas_core.trainers.kinds import settings_from
from nas_core.trainers.multipath import MultiPathTraining
from nas_core.trainers.multipath_settings import MultiPathConfig, Paths
from nas_core.trainers.result import Result
from nas_core.trainers.settings import Data, Weights
from nas_core.trainers.shadow_norms import ShadowNorms, ShadowNormsConfig, every_choice

SUPERNET = MultiPathConfig(
    run="tiny",
    profile="test",
    seed=3,
    data=Data(name="fashion7", train=60, valid=60),
    paths=Paths(space="S1", channels=4, most=2),
    weights=Weights(lr=0.1),
    epochs=1,
    batch=20,
)


def config(**changes: Any) -> ShadowNormsConfig:
    settings = ShadowNormsConfig(
        run="look",
        profile="test",
        seed=3,
        supernet=SUPERNET,
        cycles=1,
        probed=2,
        features=16,
        children=1,
        recalibrate=1,
    )
    return settings.but(**changes)


@pytest.fixture(scope="module")
def needed() -> dict[str, Result]:
    training = MultiPathTraining(SUPERNET)
    while training.done < training.total:
        training.step()
    return {SUPERNET.key(): training.result()}


def supernet() -> S1Supernet:
    return S1Supernet(channels=4, most=3, norms="shadow", classes=10, in_channels=1, generator=generator())


def finished(needed: dict[str, Result], **changes: Any) -> Result:
    look = build(config(**changes), needed)
    assert isinstance(look, ShadowNorms)
    while look.done < look.total:
        look.step()
    return look.result()


def test_end_to_end(needed: dict[str, Result]) -> None:
    result = finished(needed)
    for name in ("mean", "var", "gamma", "beta"):
        assert result.array(name).shape == (1, 12, 2, 2, 40)
    assert result.array("path_mean").shape == (1, 12, 2, 4, 40)
    assert result.array("path_cov").shape == (1, 12, 2, 4, 4, 40)
    assert result.array("before").shape == result.array("after").shape == (1, 10, 16, 6, 7, 7)
    children = result.table("children")
    assert children.groupby(["active", "statistics"]).size().tolist() == [1] * 4
    assert children.acc.between(0, 1).all()


def test_exact_balance_of_a_cycle() -> None:
    """Every number of paths 12 times for each expansion, and of one size every set of kernels equally often."""
    for most in (2, 3, 4):
        counts = Counter(every_choice(most))
        for expansion in EXPANSIONS:
            for n in range(1, most + 1):
                sets = list(combinations(KERNELS, n))
                assert {counts[Choice(expansion, kernels)] for kernels in sets} == {12 // len(sets)}
        assert counts.total() == 24 * most


def test_statistics_are_averages_of_what_each_norm_saw(needed: dict[str, Result]) -> None:
    """By hand for the first layer: the sums of every number of paths, in an order of the layer's own."""
    hand = ShadowNorms(config(), needed)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(3 * 5 + 3))
    seen: dict[tuple[int, int], list[torch.Tensor]] = {}
    for place in order.tolist():
        choice = every_choice(2)[place]
        images, _ = hand.data.batch("train", hand.batches.next())
        rate = hand.supernet.blocks[0].rates[str(choice.expansion)]
        with torch.no_grad():
            wide = rate.expand(hand.supernet.stem(images))
            mixed = rate.project(sum(rate.paths[str(kernel)](wide) for kernel in choice.kernels))
        norm = EXPANSIONS.index(choice.expansion), len(choice.kernels) - 1
        seen.setdefault(norm, []).append(mixed.mean((0, 2, 3)))
    found = finished(needed).array("mean")[0, 0]
    assert {norm: len(means) for norm, means in seen.items()} == dict.fromkeys(np.ndindex(2, 2), 12)
    for norm, means in seen.items():
        np.testing.assert_allclose(found[norm][:6], torch.stack(means).mean(0).numpy(), rtol=1e-4, atol=1e-5)


def test_layers_have_orders_of_their_own_which_change_with_every_cycle(needed: dict[str, Result]) -> None:
    look = ShadowNorms(config(cycles=2), needed)
    assert (look.period, look.total) == (48, 96)
    look.step()
    first = look.orders
    assert len({tuple(order) for order in first}) == 12
    look.done = 48
    look.step()
    assert all(ours != theirs for ours, theirs in zip(look.orders, first, strict=True))


def test_before_training_nothing_of_it_is_used(needed: dict[str, Result]) -> None:
    """The untrained network is drawn by the look's own seed, and its scale is still one everywhere."""
    result = finished(needed, state="untrained", children=0)
    gamma = result.array("gamma")
    assert set(gamma[~np.isnan(gamma)]) == {1.0}
    assert "children" not in result.tables


def test_end_to_end_resume(needed: dict[str, Result]) -> None:
    """Within a cycle, at its end, and before the step that sums up."""
    look, saved = ShadowNorms(config(cycles=2), needed), []
    while True:
        if look.done in (30, 48, 95, 96):
            saved.append(through_a_file(look.state()))
        if look.done == look.total:
            break
        look.step()
    for state in saved:
        resumed = ShadowNorms(config(cycles=2), needed)
        resumed.load_state(state)
        while resumed.done < resumed.total:
            resumed.step()
        assert_same(through_a_file(resumed.state()), saved[-1])


def test_exact_law_of_all_sets_of_paths() -> None:
    """Over all sets of n paths, the mean variance of their sum is n (1 + (n - 1) rho) v, rho = c / v as measured."""
    model = supernet()
    images = torch.randn(30, 1, 7, 7, generator=generator(1))
    moments = PathMoments()
    moments.add(model, images, model.draw(generator(2)))
    covariance = moments.close()["path_cov"][0, 1, :, :, :6]
    mean = moments.close()["path_mean"][0, 1, :, :6]
    v = torch.einsum("iic->c", covariance) / 4
    c = (covariance.sum((0, 1)) - 4 * v) / 12
    rate = model.blocks[0].rates["6"]
    with torch.no_grad():
        wide = rate.expand(model.stem(images))
        alone = [rate.project(rate.paths[str(kernel)](wide)).double() for kernel in KERNELS]
    for n in range(1, 5):
        sums = [sum(alone[k] for k in active) for active in combinations(range(4), n)]
        variance = torch.stack([y.var((0, 2, 3)) for y in sums]).mean(0)
        torch.testing.assert_close(variance, n * (1 + (n - 1) * c / v) * v, rtol=1e-6, atol=0)
        torch.testing.assert_close(torch.stack([y.mean((0, 2, 3)) for y in sums]).mean(0), n * mean.mean(0))


def test_features_are_those_of_the_block() -> None:
    """Each combination of kernels, summed and normalised, is what the first block gives, which has no shortcut."""
    model = supernet().eval()
    for n, norm in enumerate(model.blocks[0].rates["6"].norm.norms):
        norm.running_mean += n  # so that it matters which one is taken
    images = torch.randn(5, 1, 7, 7, generator=generator(1))
    before, after = first_features(model, images, 3)
    kernels = [active for n in (1, 2, 3) for active in combinations(KERNELS, n)]
    with torch.no_grad():
        for i, active in enumerate(kernels):
            torch.testing.assert_close(
                after[i], model.blocks[0](model.stem(images), Choice(6, active)), rtol=1e-4, atol=1e-5
            )
    assert before.shape == after.shape == (14, 5, 6, 7, 7)
    assert not torch.equal(before, after)


def test_large_maps_are_averaged_down() -> None:
    before, after = first_features(supernet().eval(), torch.randn(2, 1, 16, 16, generator=generator(1)), 1)
    assert before.shape == after.shape == (4, 2, 6, 8, 8)


def test_parameters_are_in_place() -> None:
    model = supernet()
    norm = model.blocks[4].rates["3"].norm.norms[2]
    with torch.no_grad():
        norm.running_mean += 1
        norm.running_var += 2
        norm.weight += 3
        norm.bias += 4
    found = norm_parameters(model)
    for name, value in {"mean": 1, "var": 3, "gamma": 4, "beta": 4}.items():
        assert (found[name][4, 0, 2, :12] == value).all()
        assert torch.isnan(found[name][4, 0, 2, 12:]).all()
        assert int((found[name] == value).sum()) == 12


def test_settings_are_read_back_and_a_seed_goes_on() -> None:
    assert settings_from(config().identity()) == config()
    other = config().but(seed=7)
    assert (other.seed, other.supernet.seed) == (7, 7)
    assert other.needs() == (other.supernet,)
    assert other.images() == SUPERNET.images()


@pytest.mark.parametrize(("changes", "message"), [
    ({"features": 61}, "it needs 61 valid images; data.valid is 60"),
    ({"supernet": SUPERNET.but(seed=4)}, "must have the same seed"),
    ({"state": "half"}, "ShadowNormsConfig.state"),
])  # fmt: skip
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(**changes)


def test_the_result_comes_when_all_is_done(needed: dict[str, Result]) -> None:
    with pytest.raises(RuntimeError, match="has done 0 of 48 batches"):
        ShadowNorms(config(), needed).result()
