"""Theorems 1 and 2 of the wiring paper and their corollaries, in float64 on the supernet itself.

Where the papers ask for eps = 0, eps is 1e-30: the same numbers in float64, and PyTorch accepts it.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from small import NOT_NONE, batch, costs, mixture, network, path, random_path
from torch import Tensor, nn

from nas_core.cells.operations import CANDIDATES, ORDERS
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell

NO_EPS = 1e-30
INPUT_OPS = ("sep_conv_3x3", "dil_conv_3x3", "sep_conv_5x5", "avg_pool_3x3")
WITHOUT_SKIP = tuple(op for op in CANDIDATES if op != "skip_connect")
SKIP = CANDIDATES.index("skip_connect")


def terms(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy L and mean prediction entropy H, written with logarithms of softmax values."""
    p = torch.softmax(logits, 1)
    return -p[torch.arange(len(labels)), labels].log().mean(), -(p * p.log()).sum(1).mean()


# ------------------------------------------------------------------------------------------------------- Theorem 2


@pytest.mark.parametrize("topology", [darts_cell(3), minimal_cell(), simplified_cell(), modified_cell()])
@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("sharpness", [1, 30])
def test_exact_theorem_2(topology: Topology, mode: str, sharpness: float) -> None:
    """<dL/dX_out, X_out> = L - H for the last cell, without a bias in the classifier, in any BN mode."""
    model = network(topology, layers=2, reductions=True).train(mode == "training")
    with torch.no_grad():
        model.classifier.weight *= sharpness
    images, labels = batch()
    _, logits, _, output = costs(model, mixture(model), images, labels)
    loss, entropy = terms(logits, labels)
    assert (loss - entropy).abs() > 1e-4
    assert (output[-1] - (loss - entropy)).abs() < 1e-13 * max(1, sharpness)


def test_exact_theorem_2_with_a_bias() -> None:
    """With bias beta: C = L - H - mean_b sum_n (p_bn - y_bn) beta_n; without the correction it is wrong."""
    model = network(head_bias=True)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.linspace(-1, 2, 10))
    images, labels = batch()
    _, logits, _, output = costs(model, mixture(model), images, labels)
    loss, entropy = terms(logits, labels)
    error = torch.softmax(logits, 1) - F.one_hot(labels, 10)
    correction = (error * model.classifier.bias.detach()).sum(1).mean()
    assert correction.abs() > 1e-2
    assert (output[-1] - (loss - entropy - correction)).abs() < 1e-13
    assert (output[-1] - (loss - entropy)).abs() > 1e-2


# ------------------------------------------------------------------------------------------------------- Theorem 1


def path_through_node_2(model: Supernet, last: str) -> tuple[Tensor, Tensor, Tensor]:
    """Costs (edges, ops) with ``last`` on edge 4; what node 2 pays beyond its output edge; what that edge pays."""
    gates = path(model, *INPUT_OPS, last)
    seen: list[Tensor] = []

    def keep(module: nn.Module, args: object, out: Tensor) -> None:
        out.retain_grad()
        seen.append(out)

    handle = model.cells[0].register_forward_hook(keep)
    images, labels = batch()
    z = gates.requires_grad_()
    F.cross_entropy(model(images, z), labels).backward()
    handle.remove()
    to_output = (seen[0].grad * seen[0])[:, :4].sum().detach()
    cost = (z.grad * gates).detach()[0]
    return cost, cost[:2].sum() - to_output, to_output


@pytest.mark.parametrize("last", WITHOUT_SKIP)
def test_exact_theorem_1_at_the_node(last: str) -> None:
    """T-W1: without skip on edge 4, the edges into node 2 together cost what its output edge costs."""
    cost, rest, to_output = path_through_node_2(network(eps=NO_EPS), last)
    scale = torch.stack([cost.abs().max(), to_output.abs()]).max()
    assert to_output.abs() > 1e-4
    assert rest.abs() < 1e-12 * scale


@pytest.mark.parametrize("normaliser", ["batch", "instance", "layer"])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_exact_theorem_1_in_other_styles(normaliser: str, affine: bool, order: str) -> None:
    """T-W4: any normaliser, with scale and shift or without, and any stacking order."""
    model = network(eps=NO_EPS, normaliser=normaliser, affine=affine, order=order)
    with torch.no_grad():
        for name, p in model.cells.named_parameters():
            if p.ndim == 1:
                p.copy_(torch.linspace(-0.3, 0.4, len(p)) + name.endswith("weight"))
    for last in WITHOUT_SKIP:
        cost, rest, _ = path_through_node_2(model, last)
        assert rest.abs() < 1e-12 * max(1.0, cost.abs().max().item())


def test_exact_theorem_1_leaks_through_skip() -> None:
    """The exception: with skip on edge 4, node 2 pays on exactly the cost of that edge."""
    cost, rest, to_output = path_through_node_2(network(eps=NO_EPS), "skip_connect")
    leak = cost[4, SKIP]
    assert leak.abs() > 0.01 * to_output.abs()
    torch.testing.assert_close(rest, leak, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("last", ["max_pool_3x3", "sep_conv_3x3", "dil_conv_5x5"])
def test_exact_theorem_1_residual_is_linear_in_eps(last: str) -> None:
    """T-W1: between eps = 1e-5 and 1e-8 the residual falls by a thousand."""
    large, small = (path_through_node_2(network(eps=eps), last)[1] for eps in (1e-5, 1e-8))
    assert large.abs() > 1e-9
    assert large / small == pytest.approx(1e3, rel=0.05)


def test_exact_theorem_1_needs_training_mode() -> None:
    """With running statistics the blocks are no longer scale invariant."""
    model = network(eps=NO_EPS)
    model(batch()[0], mixture(model))
    cost, rest, _ = path_through_node_2(model.eval(), "sep_conv_3x3")
    assert rest.abs() > 1e-3 * cost.abs().max()


@pytest.mark.parametrize("other", ["none", "dil_conv_3x3"])
def test_exact_theorem_1_on_a_single_edge(other: str) -> None:
    """T-W2: one edge alone obeys only where it is the node's single input; two edges cancel each other."""
    model = network(eps=NO_EPS)
    ops = ("sep_conv_3x3", other, "sep_conv_5x5", "avg_pool_3x3", "sep_conv_3x3")
    cell = model.cells[0]
    maps: list[Tensor] = []
    cell.operations[0][CANDIDATES.index("sep_conv_3x3")].register_forward_hook(lambda m, a, out: maps.append(out))
    cell.register_forward_hook(lambda m, a, out: maps.append(out))
    images, labels = batch()
    z = path(model, *ops).requires_grad_()
    loss = F.cross_entropy(model(images, z), labels)
    gate, to_output = torch.autograd.grad(loss, [z, maps[1]])
    cost = gate[0, 0].sum()
    second_path = cost - (to_output[:, :4] * maps[0]).sum()
    if other == "none":
        assert second_path.abs() < 1e-12 * cost.abs()
    else:
        assert second_path.abs() > 1e-3 * cost.abs()


# ------------------------------------------------------------------------------------------------------- corollaries


@pytest.mark.parametrize("topology", [darts_cell(4), minimal_cell(), simplified_cell(), modified_cell()])
@pytest.mark.parametrize("kind", ["paths", "mixture"])
def test_exact_corollaries(topology: Topology, kind: str) -> None:
    """1.1: a cell's edge costs minus the skip leak are its output cost. 1.2: that is zero in all cells but the last."""
    model = network(topology, layers=3, eps=NO_EPS)
    inner = list(topology.intermediate_edges)
    leaked = torch.zeros(())
    for seed in range(5):
        gates = random_path(model, NOT_NONE, seed) if kind == "paths" else mixture(model, seed)
        if kind == "paths" and seed == 0:
            gates[:, inner[-1]] = F.one_hot(torch.tensor(SKIP), len(CANDIDATES)).double()
        _, _, cost, output = costs(model, gates, *batch(seed=seed))
        edge = (gates * cost).sum(-1)
        leak = (gates * cost)[:, inner, SKIP].sum(-1)
        scale = edge.abs().max()
        leaked = torch.maximum(leaked, leak.abs().max() / scale)
        # A node that reaches the output by no path costs nothing; in the modified cell node 1 needs edge 2 for that.
        torch.testing.assert_close(edge.sum(-1) - leak, output, rtol=0, atol=1e-11 * scale.item())
        assert (output[:-1].abs() < 1e-11 * scale).all()
        assert output[-1].abs() > 1e-4 * scale
    assert leaked > 0.01


def test_exact_corollary_holds_with_reductions() -> None:
    """FactorizedReduce has degree 0 and passes nothing on; the skips between intermediate nodes of its cell do."""
    model = network(minimal_cell(), layers=3, reductions=True, eps=NO_EPS)
    gates = path(model, *["skip_connect"] * 5)
    _, _, cost, output = costs(model, gates, *batch())
    edge = (gates * cost).sum(-1)
    scale = edge.abs().max().item()
    torch.testing.assert_close(edge.sum(-1) - edge[:, 4], output, rtol=0, atol=1e-11 * scale)
    assert (output[:-1].abs() < 1e-11 * scale).all()


def test_exact_instance_norm_without_affine_learns_nothing() -> None:
    """H.1: every pooled feature is zero, so the logits are, the loss is ln 10 and all costs vanish."""
    model = network(darts_cell(3), layers=2, normaliser="instance")
    loss, logits, cost, output = costs(model, mixture(model), *batch())
    assert logits.abs().max() < 1e-14
    assert loss.item() == pytest.approx(math.log(10), abs=1e-14)
    assert cost.abs().max() < 1e-14
    assert output.abs().max() < 1e-14
    other = network(darts_cell(3), layers=2, normaliser="instance", order="cbr")
    assert costs(other, mixture(other), *batch())[2].abs().max() > 1e-3
