"""The remedies for the bias of none: what they promise, against full enumeration and on real supernets in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from small import batch, config, generator, mixture, network, run
from torch import Tensor

from nas_core.cells.topology import simplified_cell
from nas_core.errors import UserError
from nas_core.relaxations import RELAXATIONS
from nas_core.relaxations.remedies import SCALES, among_operations, centred_in_cell, common_level, fitted_scale
from nas_core.trainers.methods import DARTS, DSNAS, SNAS, Reinforce, Remedy, Resource
from nas_core.trainers.search import Search

OPS = ("none", "skip_connect", "sep_conv_3x3")
NONE = 0
METHODS = ("softmax", "concrete", "one-hot")


def cost_of(model, z: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """dL/dZ, (1, edges, ops), of one cell with gates ``z``."""
    gates = z.clone().requires_grad_()
    loss = F.cross_entropy(model(images, gates), labels)
    (cost,) = torch.autograd.grad(loss, gates, allow_unused=True)
    return torch.zeros_like(z) if cost is None else cost


@pytest.fixture(scope="module")
def enumerated() -> tuple[Tensor, list[tuple[float, Tensor, Tensor]]]:
    """Logits of a cell of three edges with three candidates, and every Z with its probability and its costs."""
    model = network(simplified_cell(), candidates=OPS, seed=5)
    images, labels = batch(12, 6)
    a = torch.randn(1, 3, 3, dtype=torch.float64, generator=generator(6))
    p = a.softmax(-1)
    draws = []
    for path in itertools.product(range(3), repeat=3):
        z = F.one_hot(torch.tensor(path), 3).double()[None]
        draws.append(((p * z).sum(-1).prod().item(), z, cost_of(model, z, images, labels)))
    return a, draws


def conditional(draws, function) -> Tensor:
    """E[C(Z) | Z^k = 1] for every edge and operation, (1, edges, ops), of the costs that ``function`` makes of them."""
    total, weight = torch.zeros(1, 3, 3).double(), torch.zeros(1, 3, 3).double()
    for probability, z, cost in draws:
        total += probability * z * function(z, cost)
        weight += probability * z
    return total / weight


def test_exact_expected_step_among_operations_is_blind_to_none(enumerated):
    """E[dL/da^k] = p^k (C^k - b), b the mean cost of the operations of the edge, and 0 for none."""
    a, draws = enumerated
    p = a.softmax(-1)
    step = torch.zeros_like(a)
    for probability, z, cost in draws:
        step += probability * RELAXATIONS["one-hot"].logit_gradient(*among_operations(a, z, NONE), cost, 1.0)
    cost = conditional(draws, lambda z, cost: cost)
    mean = (p * cost)[..., 1:].sum(-1, keepdim=True) / (1 - p[..., :1])
    expected = p * (cost - mean)
    expected[..., NONE] = 0
    assert (step - expected).abs().max() < 1e-15
    assert step[..., 1:].abs().max() > 1e-4


def test_exact_expected_step_of_costs_centred_in_the_cell(enumerated):
    """The formula of the paper holds with D^k = E[C - b | Z^k = 1] for C^k, b of each draw."""
    a, draws = enumerated
    p = a.softmax(-1)
    step = torch.zeros_like(a)
    for probability, z, cost in draws:
        step += probability * RELAXATIONS["one-hot"].logit_gradient(a, z, centred_in_cell(z, cost, NONE), 1.0)
    centred = conditional(draws, lambda z, cost: centred_in_cell(z, cost, NONE))
    expected = p * (centred - (p * centred).sum(-1, keepdim=True))
    assert (step - expected).abs().max() < 1e-15
    assert not centred[..., NONE].any()


@pytest.mark.parametrize("name", METHODS)
def test_exact_centred_costs_sum_to_zero_where_plain_ones_sum_to_the_cost_of_the_cell(name):
    model = network(candidates=OPS)
    images, labels = batch()
    a = torch.randn(1, 5, 3, dtype=torch.float64, generator=generator(2))
    z = RELAXATIONS[name].draw(a, generator(4), 0.5)
    cost = cost_of(model, z, images, labels)
    assert abs((z * cost).sum()) > 1e-4
    assert abs((z * centred_in_cell(z, cost, NONE)).sum()) < 1e-15


@pytest.mark.parametrize("name", METHODS)
def test_exact_a_common_level_moves_none_in_the_method_and_not_with_a_remedy(name):
    """Adding c to the costs of all operations: the plain step of none is what the formula says, the others' is 0."""
    relaxation = RELAXATIONS[name]
    a = torch.randn(1, 5, 3, dtype=torch.float64, generator=generator(2))
    z = relaxation.draw(a, generator(3), 1.0)
    assert z[..., 1:].sum() > 0
    cost = torch.randn(1, 5, 3, dtype=torch.float64, generator=generator(7))
    cost[..., NONE] = 0
    higher = cost.clone()
    higher[..., 1:] += 0.7

    def plain(cost: Tensor) -> Tensor:
        return relaxation.logit_gradient(a, z, cost, 1.0)

    def in_cell(cost: Tensor) -> Tensor:
        return relaxation.logit_gradient(a, z, centred_in_cell(z, cost, NONE), 1.0)

    def on_edge(cost: Tensor) -> Tensor:
        return relaxation.logit_gradient(*among_operations(a, z, NONE), cost, 1.0)

    assert (in_cell(higher) - in_cell(cost)).abs().max() < 1e-14
    moved = plain(higher) - plain(cost)
    variable = a.softmax(-1) if name == "one-hot" else z
    kept = (z * (torch.arange(3) != NONE)).sum(-1)
    assert moved[..., NONE] == pytest.approx(-0.7 * variable[..., NONE] * kept, abs=1e-14)
    if name != "one-hot":  # whose step is blind in expectation alone, by the score of the drawn operation
        assert (on_edge(higher) - on_edge(cost)).abs().max() < 1e-14
    assert not on_edge(cost)[..., NONE].any()


def test_nothing_but_none_drawn_leaves_no_level():
    z = torch.zeros(1, 2, 3).double()
    z[..., NONE] = 1
    assert common_level(z, torch.zeros_like(z), NONE).item() == 0
    _, weights = among_operations(z, z, NONE)
    assert not weights.any()


@pytest.mark.parametrize("size", [0.05, 1.0, 20.0])
def test_exact_at_the_fitted_scale_the_costs_of_the_last_cell_sum_to_zero(size):
    """Class logits too small or too large by far: the scale makes up for it, and L = H."""
    model = network(candidates=("none", "max_pool_3x3", "sep_conv_3x3"), eps=1e-12)  # no skip, hence no leak
    images, labels = batch(64, 6)
    z = mixture(model)
    with torch.no_grad():
        best = model(images, z).argmax(1)
    labels[::3] = best[::3]  # better than chance, and not without error
    gates = z.clone().requires_grad_()
    logits = size * model(images, gates)
    scale = fitted_scale(logits, labels)
    assert SCALES[0] < scale < SCALES[1]
    (cost,) = torch.autograd.grad(F.cross_entropy(scale * logits, labels), gates, retain_graph=True)
    (plain,) = torch.autograd.grad(F.cross_entropy(logits, labels), gates)
    assert abs((z * cost).sum()) < 1e-7 * abs((z * plain).sum())
    log_p = F.log_softmax(scale * logits, 1)
    entropy = -(log_p.exp() * log_p).sum(1).mean()
    assert F.nll_loss(log_p, labels).item() == pytest.approx(entropy.item(), abs=1e-10)


def test_the_scale_stays_within_its_bounds():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert fitted_scale(logits, torch.tensor([0, 1])) == SCALES[1]
    assert fitted_scale(logits, torch.tensor([1, 0])) == SCALES[0]


def tiny(remedy: Remedy, method=DSNAS, **settings) -> Search:
    chosen = method(remedy=remedy, **settings)
    name = "softmax bi-level" if chosen.levels == "bi-level" else "one-hot"
    return Search(config(name, method=chosen, epochs=4))


@pytest.mark.claim("C-R1g", "C-R2e")
@pytest.mark.parametrize("method", [DSNAS, SNAS, DARTS])
def test_none_keeps_its_probability_where_it_leaves_the_comparison(method):
    search = run(tiny(Remedy(centre="edge"), method))
    prob = search.result().arrays["prob"]
    assert abs(prob[..., NONE] - prob[0, ..., NONE]).max() < 1e-6
    assert abs(prob[-1] - prob[0])[..., 1:].max() > 1e-2


@pytest.mark.parametrize("method", [DSNAS, DARTS])
def test_none_is_absent_in_the_warm_up_and_comes_back_as_it_was(method):
    search = tiny(Remedy(none_free=0.5), method)
    start = search.logits.softmax(-1)[..., NONE].clone()
    drawn = [search.gates(search.draw("probe"))[..., NONE].sum().item() for _ in range(30)]
    assert not any(drawn)
    prob = run(search).result().arrays["prob"]
    assert not prob[:2, ..., NONE].any()
    assert torch.as_tensor(prob[2, ..., NONE]) == pytest.approx(start, abs=1e-6)
    assert abs(prob[-1, ..., NONE] - prob[2, ..., NONE]).max() > 1e-2


def test_the_cost_that_calibrated_logits_see_is_zero():
    """In the search itself: what the edges of its single cell cost on search images, less what skip passes on."""
    calibrated = run(tiny(Remedy(calibrated=True), DARTS, levels="bi-level")).result().arrays
    plain = run(Search(config("softmax bi-level", epochs=4))).result().arrays
    assert abs(calibrated["out_cost"]).max() < 0.1 * abs(plain["out_cost"]).max()


def test_a_remedy_is_part_of_the_run_and_none_is_not():
    method = DSNAS(cost_clamp=5.0)
    assert "remedy" not in method.identity(), "a run without a remedy is the one it was before there were any"
    assert config("one-hot", method=method.but(remedy=Remedy())).key() != config("one-hot", method=method).key()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DSNAS(remedy=Remedy(calibrated=True)), "loss of theirs to calibrate"),
        (lambda: Reinforce(remedy=Remedy(calibrated=True)), "loss of theirs to calibrate"),
        (lambda: SNAS(remedy=Remedy(centre="cell"), resource=Resource(weight=1.0)), "exclude each other"),
        (lambda: Remedy(none_free=1.5), "none_free"),
    ],
)
def test_remedies_that_mean_nothing_are_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()
