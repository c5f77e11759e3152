"""The lemma behind the theorems: degrees of homogeneity of blocks, normalisers and stacking orders."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from passes import DEGREE_0, NO_EPS, at_node_2
from small import batch, costs, generator, mixture, network
from torch import Tensor, nn

from nas_core.cells.operations import CANDIDATES, NORMALISERS, OPERATIONS, ORDERS, Style
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import darts_cell

SEED = st.integers(0, 1000)
SCALED = {"skip_connect": 1, "none": 0}  # degree of homogeneity; all others normalise


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(seed))


def passed_on(f: nn.Module, x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """<J^T g, x> and <g, f(x)> for a random g."""
    x = x.clone().requires_grad_()
    y = f(x)
    g = random(*y.shape, seed=seed)
    back = torch.autograd.grad(y, x, g)[0] if y.requires_grad else torch.zeros_like(x)
    return (back * x).sum().detach(), (g * y).sum().detach()


@given(st.sampled_from(CANDIDATES), st.sampled_from([1, 2]), st.sampled_from(list(NORMALISERS)), SEED)
def test_property_degree_of_homogeneity(op: str, stride: int, norm: str, seed: int) -> None:
    """<J^T g, x> = d <g, f(x)>: d = 1 for skip, 0 for every operation with a normaliser (skip at stride 2 has one)."""
    f = OPERATIONS[op].build(4, stride, Style(normaliser=norm, eps=NO_EPS)).double()
    degree = SCALED.get(op, 0) if stride == 1 else 0
    back, ahead = passed_on(f, random(8, 4, 8, 8, seed=seed), seed + 1)
    assert (back - degree * ahead).abs() < 1e-11


@pytest.mark.parametrize("broken", ["evaluation mode", "bias", "eps"])
def test_exact_counter_examples_to_the_lemma(broken: str) -> None:
    """Running statistics, a bias, or an eps that is not small against the variance: no degree at all."""
    eps = 1e-1 if broken == "eps" else NO_EPS
    bias = broken == "bias"
    f = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, bias=bias), *([] if bias else [nn.BatchNorm2d(4, eps=eps)])
    ).double()
    f.train(broken != "evaluation mode")
    x = random(8, 4, 8, 8, seed=0)
    back, ahead = passed_on(f, x, 1)
    assert min((back - d * ahead).abs() / ahead.abs() for d in ((1,) if bias else (0,))) > 1e-3


@pytest.mark.claim("T-W3", "C-PO5b")
@given(st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(1, 5), SEED)
def test_property_a_convolution_passes_cost_on(
    groups: int, stride: int, dilation: int, padding: int, kernel: int, seed: int
) -> None:
    """Step 2 of the proof: <dL/dX, X> = <dL/dY, Y> for Y = conv(X) without bias."""
    conv = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups, bias=False).double()
    back, ahead = passed_on(conv, random(4, 4, 13, 13, seed=seed), seed + 1)
    assert (back - ahead).abs() < 1e-13 * max(1.0, ahead.abs().item())


def norm_pass(seed: int, affine: bool = False) -> tuple[nn.BatchNorm2d, Tensor, Tensor, Tensor]:
    """A batch norm without eps, its input X (not centred), a gradient dL/dY, and the dL/dX of autograd."""
    norm = nn.BatchNorm2d(4, eps=NO_EPS, affine=affine).double()
    if affine:
        nn.init.normal_(norm.weight, generator=generator(seed))
    x = (random(8, 4, 5, 5, seed=seed) * torch.arange(1.0, 5.0).view(1, 4, 1, 1).double() + 3).requires_grad_()
    g = random(8, 4, 5, 5, seed=seed + 1)
    return norm, x.detach(), g, torch.autograd.grad(norm(x), x, g)[0]


@pytest.mark.claim("T-W3b", "C-PO5b")
@given(SEED, st.booleans())
def test_property_batch_norm_passes_no_cost_on(seed: int, affine: bool) -> None:
    """Step 3: in every channel dL/dX is orthogonal to X and to the constant."""
    _, x, _, back = norm_pass(seed, affine)
    scale = (back.abs() * x.abs()).sum()
    assert (back * x).sum((0, 2, 3)).abs().max() < 1e-13 * scale
    assert back.sum((0, 2, 3)).abs().max() < 1e-13 * scale


@pytest.mark.claim("T-W3c", "T-W3d")
@given(SEED)
def test_property_printed_gradient_of_batch_norm(seed: int) -> None:
    """Eq. 17 with BD in its last denominator is autograd; with CD, as printed, it is not."""
    _, x, g, back = norm_pass(seed)
    count, channels, *space = x.shape
    bd, cd = count * math.prod(space), channels * math.prod(space)
    mu, sigma = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True, unbiased=False)
    xhat = (x - mu) / sigma

    def printed(last: int) -> Tensor:
        through_sigma = -xhat * (g * xhat).sum((0, 2, 3), keepdim=True) / bd
        return (g + through_sigma - g.sum((0, 2, 3), keepdim=True) / last) / sigma

    assert (printed(bd) - back).abs().max() < 1e-13 * back.abs().max()
    assert (printed(cd) - back).abs().max() > 1e-3 * back.abs().max()


# ----------------------------------------------------------------------------------------------- normalisers and orders


def styled(norm: str, affine: bool, order: str, eps: float) -> Supernet:
    """The minimal cell in some style, with scales and shifts that are neither 1 nor 0."""
    model = network(normaliser=norm, affine=affine, order=order, eps=eps)
    with torch.no_grad():
        for name, p in model.cells.named_parameters():
            if p.ndim == 1:
                p.copy_(torch.linspace(-0.3, 0.4, len(p)) + name.endswith("weight"))
    return model


@pytest.mark.claim("T-W4", "T-W4b")
@pytest.mark.parametrize(("norm", "affine", "order"), list(itertools.product(NORMALISERS, [False, True], ORDERS)))
def test_exact_theorem_1_in_other_styles(norm: str, affine: bool, order: str) -> None:
    """Any normaliser, with scale and shift or without, and any stacking order; the residual vanishes with eps."""
    for last in DEGREE_0:
        assert at_node_2(styled(norm, affine, order, 1e-12), last)[1].abs() < 1e-10
        _, rest, scale = at_node_2(styled(norm, affine, order, NO_EPS), last)
        assert rest.abs() < 1e-12 * max(1e-3, scale.item())


@pytest.mark.claim("C-W29a", "C-W29b")
@pytest.mark.parametrize("order", ["rcb", "crb"])
def test_exact_instance_norm_without_affine_learns_nothing(order: str) -> None:
    """H.1: every pooled feature is zero, so the logits are, the loss stays ln 10 and all costs vanish."""
    model = network(darts_cell(3), layers=2, normaliser="instance", order=order)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    images, labels = batch()
    for step in range(4):
        loss, logits, cost, output = costs(model, mixture(model, step), images, labels)
        assert logits.abs().max() < 1e-12
        assert loss.item() == pytest.approx(math.log(10), abs=1e-12)
        assert cost.abs().max() < 1e-12
        assert output.abs().max() < 1e-12
        F.cross_entropy(model(images, mixture(model, step)), labels).backward()
        optimiser.step()


@pytest.mark.claim("C-W29c")
def test_exact_instance_norm_must_come_last() -> None:
    """Conv-IN-ReLU: a ReLU leaves a mean, so there are costs."""
    model = network(darts_cell(3), layers=2, normaliser="instance", order="cbr")
    assert costs(model, mixture(model), *batch())[2].abs().max() > 1e-3


@pytest.mark.claim("C-W29d")
@given(SEED)
def test_property_affine_instance_norm_sees_no_image(seed: int) -> None:
    """The pooled feature of a channel is its shift: every image has the same logits, and they are not zero."""
    model = styled("instance", True, "rcb", 1e-5)
    logits = model(batch(seed=seed)[0], mixture(model, seed)).detach()
    assert (logits.max(0).values - logits.min(0).values).max() < 1e-13
    assert logits.abs().max() > 1e-2
