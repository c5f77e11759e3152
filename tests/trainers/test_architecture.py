"""What a step on the logits touches, and how resources enter it."""

import pytest
import torch
from small import METHODS, config, generator

from nas_core.trainers.methods import Resource
from nas_core.trainers.search import Search
from nas_core.trainers.settings import Network

TWO_LAYERS = Network(nodes=2, channels=4, layers=2, reductions=False, head_bias=False)
STEPS = 3


@pytest.mark.claim("C-N8b")
@pytest.mark.parametrize("name", ["binary", "two-path", "reinforce"])
def test_exact_a_weight_step_touches_one_path(name: str) -> None:
    """On every edge of every layer the weights of at most one operation move in a whole step of both levels."""
    search = Search(config(name, network=TWO_LAYERS))
    touched = 0
    for _ in range(STEPS):
        before = {key: value.clone() for key, value in search.model.named_parameters()}
        search.step()
        moved = {key for key, value in search.model.named_parameters() if not torch.equal(value, before[key])}
        places = {tuple(key.split(".")[:5]) for key in moved if ".operations." in key}  # cells.layer.operations.edge.op
        assert len(places) == len({place[:4] for place in places})
        touched += len(places)
    assert touched > 0


@pytest.mark.claim("T-P2", "C-N11")
def test_exact_a_two_path_step_leaves_the_others() -> None:
    """With momentum and decay in Adam: six of eight logits keep their bits, and so do their probabilities."""
    search = Search(config("two-path", network=TWO_LAYERS))
    search.logits.data = search.logits.double()
    pairs = set()
    for _ in range(6):
        old = search.logits.clone()
        search._architecture_step(search._images("search", torch.arange(20)), search._images("train", torch.arange(20)))
        rest = search.logits == old
        assert (rest.sum(-1) == 6).all()
        pairs.add(str(rest))
        p, q = old.softmax(-1), search.logits.softmax(-1)
        assert (p - q)[rest].abs().max() < 1e-14
        assert (p - q)[~rest].abs().min() > 1e-6
    assert len(pairs) > 1


@pytest.mark.parametrize("estimator", ["score", "expected"])
def test_exact_resources_in_the_gradient(estimator: str) -> None:
    """Of one normal and two reduction cells, added to the gradient of the loss, which it does not depend on."""
    network = Network(nodes=2, channels=4, layers=3, reductions=True, head_bias=True)
    free = METHODS["one-hot"].but(cost_clamp=None)
    paid = free.but(resource=Resource(weight=0.5, estimator=estimator, penalty="linear"))
    searches = [Search(config("one-hot", network=network, method=m)) for m in (free, paid)]
    a = searches[0].masked_logits()
    z = searches[0].relaxation.draw(a, generator(1), 1.0)
    cost = torch.randn(3, 5, 8, generator=generator(2))
    without, with_ = (s.architecture.from_costs(a, z, cost, 1.0) for s in searches)
    scale, p = torch.tensor([2, 1 / 4000, 1 / 100]), a.softmax(-1)
    each = 0.43 * (searches[0].architecture.resources * scale).sum(-1)
    each = torch.stack([each[0], each[1:].mean(0)])
    expected = (z - p) * (z * each).sum(-1, keepdim=True)
    if estimator == "expected":
        expected = p * (each - (p * each).sum(-1, keepdim=True))
    torch.testing.assert_close(with_ - without, 0.5 * expected, rtol=1e-3, atol=1e-2)


def test_the_score_of_a_cold_concrete_sample_is_finite() -> None:
    """In float32 some of its entries are 0; the step draws in float64 and leaves the logits in float32."""
    method = METHODS["concrete score"].but(temperature=(0.03, 0.03))
    search = Search(config("concrete score", network=TWO_LAYERS, method=method))
    search.step()
    assert search.logits.dtype == torch.float32
    assert search.logits.grad.isfinite().all()
    a = search.architecture.restricted(generator())
    assert (search.relaxation.draw(a.float(), generator(), 0.03) == 0).any()
    assert (search.relaxation.draw(a, generator(), 0.03) > 0).all()
