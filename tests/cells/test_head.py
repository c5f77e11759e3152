"""Theorem 2 of the wiring paper and what follows from it, in float64: cost, loss and entropy at the classifier."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from passes import DEGREE_0, NO_EPS
from small import batch, costs, generator, mixture, network, path, random_path
from torch import Tensor, nn

from nas_core.cells.operations import CANDIDATES
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.probes.losses import loss_terms

SEED = st.integers(0, 1000)
SHARPNESS = st.sampled_from([1.0, 5.0, 30.0])


def terms(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy L and mean prediction entropy H, written with logarithms of softmax values."""
    p = torch.softmax(logits, 1)
    return -p[torch.arange(len(labels)), labels].log().mean(), -(p * p.log()).sum(1).mean()


def sharpened(sharpness: float, topology: Topology | None = None, **settings: int | bool) -> Supernet:
    """A network with a larger classifier, so that its logits are not small."""
    model = network(topology, **settings)
    with torch.no_grad():
        model.classifier.weight *= sharpness
    return model


# ----------------------------------------------------------------------------------------------------------- Theorem 2


@pytest.mark.claim("T-W7", "C-W20")
@pytest.mark.parametrize("topology", [darts_cell(3), minimal_cell(), simplified_cell(), modified_cell()])
@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("sharpness", [1, 30])
def test_exact_theorem_2(topology: Topology, mode: str, sharpness: float) -> None:
    """<dL/dX_out, X_out> = L - H for the last cell, without a bias in the classifier, in any BN mode."""
    model = sharpened(sharpness, topology, layers=2, reductions=True).train(mode == "training")
    images, labels = batch()
    _, logits, _, output = costs(model, mixture(model), images, labels)
    loss, entropy = terms(logits, labels)
    assert (loss - entropy).abs() > 1e-4
    assert (output[-1] - (loss - entropy)).abs() < 1e-13


@pytest.mark.claim("T-W7")
def test_exact_the_head_is_pooling_and_a_linear_layer_without_bias() -> None:
    """From the cell's output, the classifier alone: class logits = W times the mean over space."""
    model, seen = network(), []
    model.cells[-1].register_forward_hook(lambda module, args, out: seen.append(out))
    logits = model(batch()[0], mixture(model))
    assert model.classifier.bias is None
    torch.testing.assert_close(logits, F.adaptive_avg_pool2d(seen[0], 1).flatten(1) @ model.classifier.weight.T)


@pytest.mark.claim("T-W7b", "T-W7c")
@given(SEED, SHARPNESS)
def test_property_theorem_2_with_a_bias(seed: int, sharpness: float) -> None:
    """With bias beta: C = L - H - mean_b sum_n (p_bn - y_bn) beta_n; without the correction it is wrong."""
    model = sharpened(sharpness, head_bias=True, seed=seed)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.linspace(-1, 2, 10))
    images, labels = batch(seed=seed)
    _, logits, _, output = costs(model, mixture(model), images, labels)
    loss, entropy = terms(logits, labels)
    error = torch.softmax(logits, 1) - F.one_hot(labels, 10)
    correction = (error * model.classifier.bias.detach()).sum(1).mean()
    assert correction.abs() > 1e-3
    assert (output[-1] - (loss - entropy - correction)).abs() < 1e-13
    assert (output[-1] - (loss - entropy)).abs() > 1e-3


def output_cost(features: Tensor, head: nn.Module, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """<dL/dX, X> at random features X, and L - H."""
    x = features.clone().requires_grad_()
    logits = head(x)
    loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    p = torch.softmax(logits, 1)
    cost = (torch.autograd.grad(loss, x)[0] * x).sum()
    return cost.detach(), (loss + torch.xlogy(p, p).sum(1).mean()).detach()


@pytest.mark.claim("T-W7")
@given(SEED, st.floats(0, 0.9))
def test_property_theorem_2_with_smoothed_labels(seed: int, smoothing: float) -> None:
    """Any features, any target distribution: L is then the smoothed cross-entropy."""
    features = torch.randn(12, 8, dtype=torch.float64, generator=generator(seed))
    weight = torch.randn(10, 8, dtype=torch.float64, generator=generator(seed + 1))
    labels = batch(12, seed=seed)[1]
    cost, gap = output_cost(features, lambda x: x @ weight.T, labels, smoothing)
    assert (cost - gap).abs() < 1e-13


def test_exact_theorem_2_is_about_the_logits_not_the_features() -> None:
    """Dropout before the linear layer only changes the logits: C = L - H of the logits that made the loss."""
    features = torch.randn(12, 8, dtype=torch.float64, generator=generator(3))
    weight, mask = (torch.randn(10, 8, dtype=torch.float64, generator=generator(s)) for s in (4, 5))
    kept = (mask[:1] > 0) / 0.5
    labels = batch(12)[1]
    cost, gap = output_cost(features, lambda x: (x * kept) @ weight.T, labels)
    assert (cost - gap).abs() < 1e-13
    without = terms(features @ weight.T, labels)
    assert (cost - (without[0] - without[1])).abs() > 0.1


# ---------------------------------------------------------------------------------------------------------- per sample


def cost_per_sample(model: Supernet, gates: Tensor, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """C_b by autograd, <dL_b/dX_out, X_out> of every image, and the logits."""
    seen: list[Tensor] = []
    handle = model.cells[-1].register_forward_hook(lambda module, args, out: seen.append(out))
    logits = model(images, gates)
    handle.remove()
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), seen[0])
    return (gradient * seen[0]).sum((1, 2, 3)).detach(), logits.detach()


@pytest.mark.claim("T-W8")
@given(SEED, SHARPNESS)
def test_property_a_correct_sample_never_costs(seed: int, sharpness: float) -> None:
    """C_b <= 0 where the label has the largest logit; labels are set so that half of the images are classified well."""
    model = sharpened(sharpness, seed=seed)
    images, labels = batch(32, seed=seed)
    best = model(images, mixture(model)).argmax(1)
    labels[::2] = best[::2]
    cost, logits = cost_per_sample(model, mixture(model), images, labels)
    correct = logits.argmax(1) == labels
    assert correct.sum() >= 16
    assert (cost[correct] <= 0).all()
    assert cost.max() > 0
    torch.testing.assert_close(cost, loss_terms(logits, labels)[2], rtol=0, atol=1e-12 * sharpness)


@pytest.mark.claim("T-W8b")
@given(SEED, SHARPNESS)
def test_property_random_labels_cost_the_jeffreys_divergence(seed: int, sharpness: float) -> None:
    """The mean over all ten labels is KL(u||p) + KL(p||u) >= 0, image by image."""
    model = sharpened(sharpness, seed=seed)
    images, _ = batch(8, seed=seed)
    runs = [cost_per_sample(model, mixture(model), images, torch.full((8,), n)) for n in range(10)]
    mean, p = torch.stack([c for c, _ in runs]).mean(0), runs[0][1].softmax(1)
    jeffreys = (0.1 * (0.1 / p).log()).sum(1) + (p * (p / 0.1).log()).sum(1)
    assert (mean - jeffreys).abs().max() < 1e-13
    assert (mean > 0).all()


# -------------------------------------------------------------------------------------------------- scale of the logits


@pytest.mark.claim("T-W10")
@given(SEED, SHARPNESS)
def test_property_cost_is_the_derivative_by_the_log_scale(seed: int, sharpness: float) -> None:
    """C = dL(sY)/d log s at s = 1 = <W, dL/dW>, here by autograd and by central differences of the loss."""
    model = sharpened(sharpness, layers=2, seed=seed)
    images, labels = batch(seed=seed)
    gates = mixture(model)
    _, logits, _, output = costs(model, gates, images, labels)
    log_s = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(F.cross_entropy(log_s.exp() * logits, labels), log_s)
    weight = model.classifier.weight
    (by_weight,) = torch.autograd.grad(F.cross_entropy(model(images, gates), labels), weight)
    up, down = (F.cross_entropy(math.exp(h) * logits, labels) for h in (1e-4, -1e-4))
    assert (output[-1] - slope).abs() < 1e-12
    assert (output[-1] - (weight * by_weight).sum()).abs() < 1e-12
    assert (up - down) / 2e-4 == pytest.approx(slope.item(), abs=1e-5)


def test_exact_cost_at_a_stationary_point_with_weight_decay() -> None:
    """dL/dW + wd W = 0 gives C = -wd |W|^2: the fitted classifier is under-confident on its own data."""
    features = torch.randn(32, 6, dtype=torch.float64, generator=generator(1))
    labels, decay = batch(32)[1], 1e-2
    weight = torch.zeros(10, 6, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight], max_iter=500, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(features @ weight.T, labels) + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(objective)
    cost = output_cost(features, lambda x: x @ weight.T, labels)[0]
    assert cost < -1e-2
    assert (cost + decay * weight.square().sum()).abs() < 1e-8


# ----------------------------------------------------------------------------------------------- dynamics and the start


@pytest.mark.claim("T-W9")
def test_exact_the_cost_moves_as_the_loss_less_the_entropy() -> None:
    """A short training with a fixed path: the summed edge costs against L - H, step by step."""
    model = network(eps=NO_EPS)
    gates = path(model, "sep_conv_3x3", "avg_pool_3x3", "skip_connect", "max_pool_3x3", "dil_conv_3x3")
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2)
    images, labels = batch()
    log = []
    for _ in range(12):
        optimiser.zero_grad()
        loss, logits, cost, _ = costs(model, gates, images, labels)
        log.append([(gates * cost).sum(), *terms(logits, labels)])
        F.cross_entropy(model(images, gates), labels).backward()
        optimiser.step()
    cost, loss, entropy = torch.tensor(log, dtype=torch.float64).diff(dim=0).T
    assert loss.sum() < -0.1
    assert (cost - (loss - entropy)).abs().max() < 1e-12


@pytest.mark.claim("T-W11", "T-W11b")
@pytest.mark.parametrize("seed", range(3))
def test_exact_cost_at_initialisation(seed: int) -> None:
    """Mean over 4000 classifiers against v(1 - 1/N) mean_b <dX_out/dZ_e, X_out>, both pooled, on all 14 edges.

    Into the last node dX_out/dZ_e is X_e alone, the claim as stated; into an earlier one it has a second path.
    """
    topology, draws, classes = darts_cell(4), 4000, 10
    model = network(topology, eps=NO_EPS, seed=seed)
    gates, (images, _) = random_path(model, DEGREE_0, seed), batch(seed=100 + seed)
    x, rows = model.stem(images).detach(), gates[0].argmax(-1)

    def pooled(z: Tensor) -> Tensor:
        return model.cells[0]((x, x), z).mean((2, 3))

    features = pooled(gates[0]).detach()
    by_gate = torch.autograd.functional.jacobian(pooled, gates[0])
    tangents = torch.stack([by_gate[:, :, e, k] for e, k in enumerate(rows)])
    width, draw = features.shape[1], generator(seed)
    w = (2 * torch.rand(draws, classes, width, dtype=torch.float64, generator=draw) - 1) / math.sqrt(width)
    labels = torch.randint(classes, (draws, len(images)), generator=draw)
    error = (torch.einsum("rnf,bf->rbn", w, features).softmax(-1) - F.one_hot(labels, classes)) / len(images)
    cost = torch.einsum("rbn,rnf,ebf->re", error, w, tangents)
    deviation = cost.std(0) / math.sqrt(draws)
    per_feature = (1 - 1 / classes) / (3 * width) * (tangents * features).mean(1)
    own = per_feature[:, -4:].sum(1)  # the features of node 5 alone
    assert ((cost.mean(0) - per_feature.sum(1)) / deviation).abs().max() < 4
    last = list(topology.incoming[5])
    assert ((cost.mean(0) - own) / deviation)[last].abs().max() < 4
    model.classifier.weight.data.copy_(w[0])
    through_gates = (gates * costs(model, gates, images, labels[0])[2]).sum(-1)[0]
    torch.testing.assert_close(through_gates, cost[0], rtol=0, atol=1e-12)
    assert set(rows.tolist()) <= {CANDIDATES.index(op) for op in DEGREE_0}
