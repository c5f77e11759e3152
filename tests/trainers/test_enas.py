"""ENAS: its controller's law and gradient against enumeration, what a step does, and that it resumes bit for bit."""

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import assert_resumes_everywhere, assert_same, generator, leaves
from torch import Tensor

from nas_core.cells.genotype import Genotype
from nas_core.errors import UserError
from nas_core.trainers import build
from nas_core.trainers.controller import Controller, Walk, advantages, surrogate
from nas_core.trainers.enas import ENAS
from nas_core.trainers.enas_settings import ControllerConfig, ControllerSettings
from nas_core.trainers.settings import Data, Network, Weights

LEARNS = ControllerSettings(size=5, steps=2, samples=3, tried=2, lr=0.05)
DATA = Data(name="fashion7", train=40, search=30, valid=30, test=20)


def config(**changes: object) -> ControllerConfig:
    settings = ControllerConfig(
        run="tiny",
        profile="test",
        seed=3,
        data=DATA,
        network=Network(nodes=1, channels=4, layers=3, reductions=True, head_bias=True),
        controller=LEARNS,
        weights=Weights(lr=0.1, lr_min=0.01),
        epochs=2,
        batch=20,
    )
    return settings.but(**changes)


def finished(settings: ControllerConfig) -> ENAS:
    search = ENAS(settings)
    while search.done < search.total:
        search.step()
    return search


# ---------------------------------------------------------------------------------------------- the controller


def tiny_controller(allowed: Tensor | None = None) -> Controller:
    """Three decisions among three operations, far from uniform, in float64."""
    settings = ControllerSettings(size=6, init=2.0, temperature=1.0)
    if allowed is None:
        allowed = torch.ones(3, 3, dtype=torch.bool)
    return Controller(settings, allowed, generator()).double()


def every_network(decisions: int = 3, ops: int = 3) -> Tensor:
    return torch.tensor(list(itertools.product(range(ops), repeat=decisions)))


def gradient(value: Tensor, controller: Controller) -> Tensor:
    """By all parameters, as one vector."""
    found = torch.autograd.grad(value, list(controller.parameters()))
    return torch.cat([g.flatten() for g in found])


def test_exact_the_law_sums_to_one_and_is_no_product() -> None:
    """Over all 27 networks; what one edge takes changes the odds of the next."""
    controller = tiny_controller()
    walk = controller.score(every_network())
    prob = walk.log_prob.exp()
    assert prob.sum().item() == pytest.approx(1, abs=1e-14)
    of_pairs = prob.reshape(3, 3, 3).sum(2)
    independent = of_pairs.sum(1, keepdim=True) * of_pairs.sum(0, keepdim=True)
    assert (of_pairs - independent).abs().max() > 1e-3
    by_hand = walk.prob.gather(-1, every_network()[..., None])[..., 0].log().sum(1)
    torch.testing.assert_close(walk.log_prob, by_hand, rtol=0, atol=1e-14)


def test_exact_the_mean_entropy_of_the_factors_is_that_of_the_law() -> None:
    """H(a_1 .. a_T) = sum_t E H(a_t | a_<t): the chain rule, by enumeration."""
    walk = tiny_controller().score(every_network())
    prob = walk.log_prob.exp()
    assert (prob * walk.entropy).sum().item() == pytest.approx(-(prob * walk.log_prob).sum().item(), abs=1e-13)


def test_exact_reinforce_is_the_gradient_of_the_expected_reward() -> None:
    """-sum_a p(a) (R(a) - b) grad log p(a) = -grad sum_a p(a) R(a), whatever b: over all 27 networks to round-off."""
    controller = tiny_controller()
    rewards = torch.rand(27, dtype=torch.float64, generator=generator(1))
    walk = controller.score(every_network())
    expected = gradient(-(walk.log_prob.exp() * rewards).sum(), controller)
    for baseline in (0.0, 0.7):
        walk = controller.score(every_network())
        weight = walk.log_prob.exp().detach() * len(rewards)  # the surrogate takes the mean
        ours = gradient(surrogate(walk.log_prob, weight * (rewards - baseline)), controller)
        assert (ours - expected).abs().max() < 1e-14
        assert expected.abs().max() > 1e-3


def test_exact_draws_follow_the_law() -> None:
    """20,000 draws against the probabilities of all 27 networks, within five standard errors of each."""
    controller, draws = tiny_controller(), 20_000
    with torch.no_grad():
        picks = controller.sample(draws, generator(2)).picks
        prob = controller.score(every_network()).log_prob.exp()
    counts = torch.bincount(picks @ torch.tensor([9, 3, 1]), minlength=27)
    errors = (draws * prob * (1 - prob)).sqrt()
    assert ((counts - draws * prob).abs() < 5 * errors).all()


def test_what_an_edge_does_not_allow_is_never_drawn() -> None:
    allowed = torch.tensor([[True, True, True], [True, False, True], [False, False, True]])
    controller = tiny_controller(allowed)
    walk = controller.sample(200, generator())
    assert not walk.prob[:, ~allowed].any()
    assert set(walk.picks[:, 1].tolist()) == {0, 2}
    assert set(walk.picks[:, 2].tolist()) == {2}
    assert gradient(walk.log_prob.sum() + walk.entropy.sum(), controller).isfinite().all()


def test_logits_are_bounded() -> None:
    """2.5 tanh(x / 5): no operation is more than exp(5) times as likely as another."""
    settings = ControllerSettings(size=6, init=100.0)
    prob = Controller(settings, torch.ones(3, 3, dtype=torch.bool), generator()).sample(50, generator()).prob
    assert 5 - 0.01 < (prob.amax(-1) / prob.amin(-1)).log().max() <= 5 + 1e-4


def test_exact_the_baseline_moves_before_a_reward_is_compared() -> None:
    """b <- b - (1 - 0.9) (b - R), network by network; the first reward of all is its own baseline."""
    found, baseline = advantages(torch.tensor([0.5, 1.0], dtype=torch.float64), None, 0.9)
    assert found.tolist() == pytest.approx([0, 0.45])
    assert baseline == pytest.approx(0.55)
    found, baseline = advantages(torch.tensor([0.0], dtype=torch.float64), baseline, 0.9)
    assert (found.item(), baseline) == pytest.approx((-0.495, 0.495))


# ---------------------------------------------------------------------------------------------- the search


def test_end_to_end() -> None:
    """Epochs of the weights and steps of the controller take turns; everything that a search records is there."""
    search = build(config())
    assert isinstance(search, ENAS)
    assert (search.period, search.total) == (2 + 2, 8)
    while search.done < search.total:
        search.step()
    result = search.result()
    assert result.arrays["prob"].shape == (3, 2, 2, 8)
    assert result.arrays["prob"].sum(-1) == pytest.approx(np.ones((3, 2, 2)))
    assert [len(result.genotypes[name]) for name in ("argmax", "darts", "best drawn")] == [3, 3, 1]
    found = result.tables["accuracy"]
    assert found[found.split == "valid"].epoch.tolist() == [1, 2]
    tested = found[found.split == "test"]
    networks = ["supernet", "child (argmax)", "child (darts)", "child (best drawn)"]
    assert list(dict.fromkeys(tested.network)) == networks
    assert tested.statistics.tolist() == ["as trained", "recalibrated"] * 4
    compared = result.tables["controller"]
    assert compared.controller.tolist() == ["learning", "frozen"] * 2
    assert compared.entropy.max() <= np.log(8) + 1e-6


def test_the_weights_rest_while_the_controller_learns_and_the_other_way_round() -> None:
    search = ENAS(config())
    for step in range(search.period):
        before = copy.deepcopy((search.model.state_dict(), search.controller.state_dict()))
        search.step()
        model = any(not torch.equal(v, before[0][k]) for k, v in search.model.state_dict().items())
        controller = any(not torch.equal(v, before[1][k]) for k, v in search.controller.state_dict().items())
        assert (model, controller) == ((True, False) if step < 2 else (False, True)), step


def test_a_step_of_the_weights_is_sgd_on_one_drawn_network() -> None:
    """By hand: the network of the first draw, cross-entropy on the first batch, clipped gradient, decay."""
    search, hand = ENAS(config()), ENAS(config())
    picks = hand.controller.sample(1, hand.streams["draws"]).picks[0]
    images, labels = hand.data.batch("train", hand.batches.next())
    loss = F.cross_entropy(hand.model(images, hand._gates(picks)), labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(hand.model.parameters(), 5.0)
    with torch.no_grad():
        for p in hand.model.parameters():
            if p.grad is not None:
                p -= 0.1 * (p.grad + 3e-4 * p)
    assert search.step() == pytest.approx(loss.item(), rel=1e-6)
    for ours, theirs in zip(search.model.parameters(), hand.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_step_of_the_controller_is_adam_on_reinforce() -> None:
    """By hand, from the same draws: rewards are accuracies on one search batch plus weighted entropies."""
    search, hand = ENAS(config()), ENAS(config())
    search.done = hand.done = 2
    walk = hand.controller.sample(3, hand.streams["draws"])
    order = torch.randperm(30, generator=hand.streams["reward_data"])[:20]
    images, labels = hand.data.batch("search", order)
    rewards = []
    for pick in walk.picks:
        network = copy.deepcopy(hand.model)  # its statistics are those of the batch, and move
        hits = network(images, hand._gates(pick)).argmax(1) == labels
        rewards.append(hits.float().mean())
    rewards = torch.stack(rewards) + 1e-4 * walk.entropy.detach()
    advantage, baseline = advantages(rewards, None, 0.99)
    assert advantage.abs().max() > 0
    hand.adam.zero_grad()
    (-(advantage * walk.log_prob).mean()).backward()
    hand.adam.step()  # the norm of this gradient is far below its bound
    search.step()
    assert search.baseline == pytest.approx(baseline)
    assert_same(search.controller.state_dict(), hand.controller.state_dict())


def test_the_frozen_controller_stays_what_it_was() -> None:
    search = finished(config())
    assert_same(search.frozen.state_dict(), ENAS(config()).controller.state_dict())
    assert not torch.equal(search.frozen.start, search.controller.start)
    still = finished(config(controller=LEARNS.but(update=False)))
    assert_same(still.controller.state_dict(), still.frozen.state_dict())


def test_the_controller_finds_what_is_rewarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewarded with the share of skip connections it comes to draw nearly nothing else."""
    search = ENAS(config(controller=LEARNS.but(steps=150, samples=10, baseline_decay=0.9)))
    skip = search.space.candidates.index("skip_connect")
    monkeypatch.setattr(search, "_accuracies", lambda picks, *batch: (picks == skip).float().mean(1))
    before = search._marginals()[..., skip].mean()
    search.done = 2
    for _ in range(149):
        search.step()
    assert before < 0.2
    assert search._marginals()[..., skip].mean() > 0.8


def test_gates_are_the_picks_of_the_layer_s_type() -> None:
    """Three layers: normal, reduction, reduction; two edges and then two more."""
    search = ENAS(config())
    gates = search._gates(torch.tensor([1, 2, 3, 4]))
    kinds = search.model.cell_type
    expected = {0: [1, 2], 1: [3, 4]}
    assert gates.argmax(-1).tolist() == [expected[kind] for kind in kinds]
    assert (gates.sum(-1) == 1).all()


def test_the_best_drawn_is_the_most_accurate_on_validation_images(monkeypatch: pytest.MonkeyPatch) -> None:
    search = ENAS(config())
    seen: list[Tensor] = []

    def fake(picks: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        seen.append(picks)
        return torch.arange(len(picks)).float()

    monkeypatch.setattr(search, "_accuracies", fake)
    search._derive(1)
    cells = Genotype.from_json(search.observer.journal.genotypes["best drawn"][0])
    ops = [op for op in seen[0][-1, :2].tolist() if op]
    assert [search.space.candidates.index(op) for _, _, op in cells.normal.edges] == ops


def test_end_to_end_resume_at_every_step() -> None:
    """Also between the weights and the controller."""
    assert_resumes_everywhere(lambda: ENAS(config()))


def test_state_holds_plain_values_only() -> None:
    for place, value in leaves(finished(config()).state()):
        assert isinstance(value, torch.Tensor | np.ndarray | str | int | float | bool | None), place


def test_looking_does_not_change_the_run() -> None:
    """More networks that are only looked at leave every weight what it is."""
    one, other = finished(config()), finished(config(controller=LEARNS.but(tried=5), data=DATA.but(test=0)))
    assert_same(one.model.state_dict(), other.model.state_dict())
    assert_same(one.controller.state_dict(), other.controller.state_dict())
    assert set(other.result().tables["accuracy"].split) == {"valid"}


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"data": DATA.but(search=0)}, "rewarded on search images"),
    ({"data": DATA.but(valid=0)}, "chosen on valid images"),
    ({"batch": 31}, "a batch of 31 needs at least as many images in every half"),
    ({"formulation": "fusedd"}, "did you mean 'fused'"),
    ({"method": None}, "ControllerConfig has no field 'method'"),
])  # fmt: skip
def test_settings_that_cannot_work_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        config(**changes)


def test_result_comes_when_all_is_done() -> None:
    search = ENAS(config())
    search.step()
    with pytest.raises(RuntimeError, match="has done 1 of 8 steps"):
        search.result()


def test_a_walk_is_of_the_shapes_it_says() -> None:
    walk = tiny_controller().sample(4, generator())
    assert isinstance(walk, Walk)
    assert [tuple(t.shape) for t in (walk.picks, walk.log_prob, walk.entropy, walk.prob)] == [
        (4, 3),
        (4,),
        (4,),
        (4, 3, 3),
    ]
