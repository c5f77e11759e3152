"""The cost C = dL/dZ of a choice, read from its gate, against computations that know nothing of gates."""

import pytest
import torch
import torch.nn.functional as F
from small import NOT_NONE, batch, costs, mixture, network, path, random_path
from torch import Tensor, nn

from nas_core.cells.operations import CANDIDATES
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell

TOPOLOGIES = [darts_cell(3), minimal_cell(), simplified_cell(), modified_cell()]


def loss_at(model: Supernet, gates: Tensor) -> Tensor:
    images, labels = batch()
    return F.cross_entropy(model(images, gates), labels)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("reductions", [False, True])
def test_exact_gate_cost_is_the_slope_of_the_loss(topology: Topology, reductions: bool) -> None:
    """Central differences of the loss in single gates of a mixture, over layers, edges and operations."""
    model = network(topology, layers=2, channels=2, reductions=reductions)
    gates, h = mixture(model), 1e-7  # so small that hardly a ReLU changes its side
    _, _, cost, _ = costs(model, gates, *batch())
    places = torch.cartesian_prod(*(torch.arange(n) for n in gates.shape)).tolist()
    for place in places[:: max(1, len(places) // 14)]:
        step = torch.zeros_like(gates)
        step[tuple(place)] = h
        with torch.no_grad():
            slope = (loss_at(model, gates + step) - loss_at(model, gates - step)) / (2 * h)
        torch.testing.assert_close(cost[tuple(place)], slope, rtol=1e-4, atol=1e-7)


def captured(model: Supernet, *, copy: bool) -> dict[tuple[int, int, int], Tensor]:
    """The operations' outputs as they are computed, with their gradients; ``copy`` gives each memory of its own."""
    outputs: dict[tuple[int, int, int], Tensor] = {}

    def keep(place: tuple[int, int, int]) -> object:
        def hook(module: nn.Module, args: object, out: Tensor) -> Tensor:
            out = out.clone() if copy else out
            out.retain_grad()
            outputs[place] = out
            return out

        return hook

    for layer, cell in enumerate(model.cells):
        for e, edge in enumerate(cell.operations):
            for k, op in enumerate(edge):
                op.register_forward_hook(keep((layer, e, k)))
    return outputs


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("one_hot", [False, True])
def test_exact_gate_cost_is_gradient_times_map(topology: Topology, one_hot: bool) -> None:
    """C = <dL/dX, X>, the inner product over batch, channels and pixels, X a copy of the operation's output."""
    model = network(topology, layers=2, reductions=True)
    gates = random_path(model, NOT_NONE, seed=3) if one_hot else mixture(model)
    _, _, cost, _ = costs(model, gates, *batch())
    outputs = captured(model, copy=True)
    loss_at(model, gates).backward()
    expected = torch.zeros_like(cost)
    for place, x in outputs.items():
        # A node that the output does not reach gets no gradient.
        expected[place] = 0 if x.grad is None else (x.grad * x).sum() / gates[place]
    assert len(outputs) == (len(topology.edges) * 2 if one_hot else len(topology.edges) * 2 * (len(CANDIDATES) - 1))
    assert cost.abs().max() > 1e-4
    torch.testing.assert_close(cost, expected.detach(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("edge", [0, 4])
def test_exact_cost_of_an_identity_skip_is_the_edges_not_the_nodes(edge: int) -> None:
    """Skip returns its input: the gradient of its output is that of the node it reads, with all the node's readers."""
    ops = ["sep_conv_3x3", "dil_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "dil_conv_5x5"]
    for e in {0: (0, 2), 4: (4,)}[edge]:
        ops[e] = "skip_connect"
    model, skip = network(eps=1e-30), CANDIDATES.index("skip_connect")
    gates = path(model, *ops)
    cost = costs(model, gates, *batch())[2][0]
    read = {}
    for copy in (True, False):
        fresh = network(eps=1e-30)
        outputs = captured(fresh, copy=copy)
        loss_at(fresh, gates).backward()
        x = outputs[0, edge, skip]
        read[copy] = (x.grad * x).sum().detach()
    torch.testing.assert_close(cost[edge, skip], read[True], rtol=1e-10, atol=1e-14)
    # Without a copy, what is read is the cost at the node: of both skips that leave node 0, of all that enters node 2.
    at_the_node = {0: cost[0, skip] + cost[2, skip], 4: cost[:2].sum()}[edge]
    torch.testing.assert_close(read[False], at_the_node, rtol=1e-10, atol=1e-14)
    assert (read[False] - cost[edge, skip]).abs() > 0.01 * cost.abs().max()


def test_exact_none_costs_nothing() -> None:
    model = network(darts_cell(3), layers=2)
    none = CANDIDATES.index("none")
    _, _, cost, _ = costs(model, mixture(model), *batch())
    assert (cost[..., none] == 0).all()
    assert (cost[..., none + 1 :] != 0).all()


def test_exact_output_gate_is_the_cost_at_the_output_node() -> None:
    """C_out = <dL/dX_out, X_out>, in every cell; the gates of ones change nothing."""
    model = network(minimal_cell(), layers=3, reductions=True)
    gates = mixture(model)
    loss, _, cost, output = costs(model, gates, *batch())
    maps: list[Tensor] = []

    def keep(module: nn.Module, args: object, out: Tensor) -> Tensor:
        maps.append(out.clone())
        maps[-1].retain_grad()
        return maps[-1]

    for cell in model.cells:
        cell.register_forward_hook(keep)
    z = gates.clone().requires_grad_()
    plain = loss_at(model, z)
    plain.backward()
    assert plain.item() == loss.item()
    torch.testing.assert_close(z.grad, cost, rtol=0, atol=0)
    expected = torch.stack([(x.grad * x).sum().detach() for x in maps])
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-14)


def test_exact_costs_scale_with_a_batch_mean() -> None:
    """Costs are those of the mean loss: the batch written twice has the same."""
    model, (images, labels) = network(), batch()
    gates = mixture(model)
    once = costs(model, gates, images, labels)[2]
    twice = costs(model, gates, torch.cat([images, images]), torch.cat([labels, labels]))[2]
    torch.testing.assert_close(once, twice, rtol=1e-9, atol=1e-12)
