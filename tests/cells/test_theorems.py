"""Theorem 1 of the wiring paper and its corollaries, in float64 on the supernet itself."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from passes import DEGREE_0, FIXED, NO_EPS, PASSES_NOTHING_ON, SKIP, at_node_2
from small import NOT_NONE, batch, costs, mixture, network, path, random_path
from torch import Tensor, nn

from nas_core.cells.operations import CANDIDATES, OPERATIONS, Style
from nas_core.cells.topology import Topology, darts_cell, minimal_cell, modified_cell, simplified_cell
from nas_core.probes.passes import backward

ANY = st.sampled_from(CANDIDATES)
COMPUTED = st.sampled_from(DEGREE_0)
SEED = st.integers(0, 1000)


def whole_path(edges: int) -> st.SearchStrategy[list[str]]:
    """Any operation on any edge; something on the first one, for a network of none alone depends on no gate."""
    rest = st.lists(ANY, min_size=edges - 1, max_size=edges - 1)
    return st.tuples(st.sampled_from(NOT_NONE), rest).map(lambda drawn: [drawn[0], *drawn[1]])


# ---------------------------------------------------------------------------------------------- what is drawn of cells


@pytest.mark.claim("C-W17")
def test_exact_the_cell_of_the_proof_is_the_minimal_cell() -> None:
    """Edges as the paper numbers them: e(i, j) = (j - 2)(j + 1) / 2 + i."""
    numbered = {}
    for j in (2, 3):
        for i in range(j):
            numbered[(j - 2) * (j + 1) // 2 + i] = (i, j)
    edges = tuple(numbered[e] for e in range(5))
    proof = Topology("minimal", 2, 2, edges, (2, 3))
    assert proof == minimal_cell()
    assert proof.intermediate_edges == (4,)


@pytest.mark.claim("C-W8")
def test_exact_output_edges_of_simplified_and_modified_cell() -> None:
    assert [(i, 3) for i in simplified_cell().output] == [(1, 3), (2, 3)]
    assert [(i, 3) for i in modified_cell().output] == [(2, 3)]
    assert simplified_cell().edges == modified_cell().edges == ((0, 1), (0, 2), (1, 2))


@pytest.mark.claim("C-W18", "C-W18b")
@pytest.mark.parametrize("op", DEGREE_0)
def test_exact_stacking_order(op: str) -> None:
    """ReLU, convolution(s), batch norm, once or twice; a pool and batch norm without ReLU."""
    letters = {nn.ReLU: "r", nn.Conv2d: "c", nn.BatchNorm2d: "b"}
    orders = {"sep": "rccbrccb", "dil": "rccb", "max": "pb", "avg": "pb"}
    modules = OPERATIONS[op].build(4, 1, Style())
    order = "".join(letters.get(type(module), "p") for module in modules)
    assert order == orders[op[:3]]


# ------------------------------------------------------------------------------------------------- Theorem 1, the node


@pytest.mark.claim("T-W1", "C-W5a", "C-PO5")
@pytest.mark.parametrize("last", PASSES_NOTHING_ON)
def test_exact_theorem_1_at_the_node(last: str) -> None:
    """Without skip on edge 4, the edges into node 2 together cost what its output edge costs."""
    seen, rest, scale = at_node_2(network(eps=NO_EPS), last)
    assert seen.to_output(2).abs() > 1e-4
    assert rest.abs() < 1e-12 * min(1.0, scale.item())


@pytest.mark.claim("T-W1")
@given(st.integers(2, 4), st.data(), SEED)
def test_property_theorem_1_at_every_node(nodes: int, data: st.DataObject, seed: int) -> None:
    """In any DARTS cell, on any path: a node pays its output edge and what skips that leave it pass on."""
    topology = darts_cell(nodes)
    ops = data.draw(whole_path(len(topology.edges)))
    model = network(topology, eps=NO_EPS, seed=seed)
    seen = backward(model, path(model, *ops), *batch(8, seed=seed))
    skips = [e for e, op in enumerate(ops) if op == "skip_connect"]
    for node in topology.intermediate:
        paid = seen.cost[list(topology.incoming[node])].sum()
        leaving = [e for e in skips if topology.edges[e][0] == node]
        passed_on = seen.to_output(node) + seen.cost[leaving].sum()
        assert (paid - passed_on).abs() < 1e-12 * seen.cost.abs().max()


@pytest.mark.claim("T-W1c")
def test_exact_theorem_1_leaks_through_skip() -> None:
    """The exception: with skip on edge 4, node 2 pays on exactly the cost of that edge."""
    seen, rest, scale = at_node_2(network(eps=NO_EPS), "skip_connect")
    assert seen.cost[4].abs() > 0.1 * scale
    assert (rest - seen.cost[4]).abs() < 1e-12 * seen.cost[4].abs()


@pytest.mark.claim("T-W1b")
@pytest.mark.parametrize("last", DEGREE_0)
def test_exact_theorem_1_residual_is_linear_in_eps(last: str) -> None:
    """Between eps = 1e-12 and 1e-5 the residual grows by 1e7; on this batch it is well above round-off at 1e-12."""
    _, small, _ = at_node_2(network(eps=1e-12), last, seed=8)
    _, large, _ = at_node_2(network(eps=1e-5), last, seed=8)
    assert large.abs() > 1e-7
    assert abs(large / small / 1e7 - 1) <= 0.03


@pytest.mark.parametrize("last", DEGREE_0)
def test_exact_theorem_1_residual_in_closed_form(last: str) -> None:
    """r = sum_c eps / (var_c + eps) <dL/dY_c, Y_c> at the first batch norm of edge 4, Y its output."""
    model, seen = network(eps=1e-5), []
    op = model.cells[0].candidates(4)[CANDIDATES.index(last)]
    norm = next(m for m in op if isinstance(m, nn.BatchNorm2d))
    norm.register_forward_hook(lambda module, args, out: seen.append((args[0].detach(), out)))
    images, labels = batch()
    loss = F.cross_entropy(model(images, path(model, *FIXED, last)), labels)
    x, y = seen[0]
    (gradient,) = torch.autograd.grad(loss, y)
    by_channel = (gradient * y).sum((0, 2, 3))
    variance = x.var((0, 2, 3), unbiased=False)
    closed = (1e-5 / (variance + 1e-5) * by_channel).sum()
    _, rest, scale = at_node_2(model, last)
    assert closed.abs() > 1e-7
    assert (rest - closed).abs() < 1e-12 * scale


def test_exact_theorem_1_needs_training_mode() -> None:
    """With running statistics the blocks are no longer scale invariant."""
    model = network(eps=NO_EPS)
    model(batch()[0], mixture(model))
    _, rest, scale = at_node_2(model.eval(), "sep_conv_3x3")
    assert rest.abs() > 1e-3 * scale


# ------------------------------------------------------------------------------------------ Theorem 1, the single edge


@pytest.mark.claim("T-W2")
@given(COMPUTED, COMPUTED, COMPUTED, SEED)
def test_property_single_edges_cancel(first: str, second: str, last: str, seed: int) -> None:
    """The second-path terms of two active edges into a node are opposite numbers, as a rule not zeros."""
    model = network(eps=NO_EPS, seed=seed)
    seen = backward(model, path(model, first, second, *FIXED[2:], last), *batch(seed=seed))
    terms = [(seen.cost[e] - seen.first_path(e, 2)).item() for e in (0, 1)]
    assert abs(sum(terms)) < 1e-12 * seen.cost.abs().max()


@pytest.mark.claim("T-W2d", "C-W5b")
@given(COMPUTED, COMPUTED, SEED)
def test_property_a_single_input_obeys_the_printed_theorem(only: str, last: str, seed: int) -> None:
    """With none on edge 1, edge 0 is paid over the output edge alone."""
    model = network(eps=NO_EPS, seed=seed)
    seen = backward(model, path(model, only, "none", *FIXED[2:], last), *batch(seed=seed))
    assert (seen.cost[0] - seen.first_path(0, 2)).abs() < 1e-12 * seen.cost.abs().max()


@pytest.mark.claim("C-W5c")
@pytest.mark.parametrize("last", DEGREE_0)
def test_exact_edge_4_passes_a_gradient_on(last: str) -> None:
    """It reaches the weights of edge 0 although no cost does."""
    model = network(eps=NO_EPS)
    weights = list(model.cells[0].candidates(0)[CANDIDATES.index("sep_conv_3x3")].parameters())
    seen: list[Tensor] = []
    model.cells[0].register_forward_hook(lambda module, args, out: seen.append(out))
    images, labels = batch()
    gates = path(model, "sep_conv_3x3", "none", *FIXED[2:], last)
    loss = F.cross_entropy(model(images, gates), labels)
    whole = torch.autograd.grad(loss, weights, retain_graph=True)
    (at_output,) = torch.autograd.grad(loss, seen[0], retain_graph=True)
    direct = torch.autograd.grad(seen[0][:, :4], weights, at_output[:, :4])
    over_edge_4 = torch.cat([(w - d).flatten() for w, d in zip(whole, direct, strict=True)])
    in_all = torch.cat([w.flatten() for w in whole])
    assert over_edge_4.norm() > 1e-3 * in_all.norm()


@pytest.mark.claim("T-W2b", "T-W2c")
def test_exact_single_edges_over_random_networks() -> None:
    """The second-path term of edge 0: its mean is zero within 3 standard errors, its size is not small."""
    terms = []
    for seed in range(300):
        model = network(eps=NO_EPS, seed=seed)
        gates = random_path(model, DEGREE_0, seed)
        seen = backward(model, gates, *batch(seed=1000 + seed))
        first = seen.first_path(0, 2)
        terms.append((seen.cost[0] - first, first))
    second, first = torch.tensor(terms, dtype=torch.float64).T
    assert second.mean().abs() <= 3 * second.std() / 300**0.5
    assert second.abs().mean() > 0.1 * first.abs().mean()


@pytest.mark.claim("C-PO4")
@given(st.lists(COMPUTED, min_size=5, max_size=5), SEED)
def test_property_costs_of_both_types(ops: list[str], seed: int) -> None:
    """Poster, indices repaired: into node 3 <dL/dX_4^3, X_3^i>; into node 2 also what J_4 carries back."""
    model = network(eps=NO_EPS, seed=seed)
    seen = backward(model, path(model, *ops), *batch(seed=seed))
    x2 = seen.out[:, seen.part(2)].clone().requires_grad_()
    on_edge_4 = model.cells[0].candidates(4)[CANDIDATES.index(ops[4])](x2)
    (back,) = torch.autograd.grad(on_edge_4, x2, seen.gradient[:, seen.part(3)])
    arriving = seen.gradient[:, seen.part(2)] + back
    formulas = [(arriving * seen.maps[e]).sum() for e in (0, 1)]
    formulas += [seen.first_path(e, 3) for e in (2, 3, 4)]
    scale = seen.cost.abs().max().item()
    torch.testing.assert_close(torch.stack(formulas), seen.cost, rtol=0, atol=1e-12 * scale)


# --------------------------------------------------------------------------------------------------------- corollaries


@pytest.mark.claim("T-W6b", "C-PO6b")
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
        scale = edge.abs().max().item()
        leaked = torch.maximum(leaked, leak.abs().max() / scale)
        # A node that reaches the output by no path costs nothing; in the modified cell node 1 needs edge 2 for that.
        torch.testing.assert_close(edge.sum(-1) - leak, output, rtol=0, atol=1e-12 * min(1.0, scale))
        assert output[-1].abs() > 1e-4 * scale
    assert leaked > 0.01


@pytest.mark.claim("T-W6", "C-W6", "C-PO6b")
@given(st.sampled_from([darts_cell(3), minimal_cell(), simplified_cell()]), st.data(), SEED)
@settings(max_examples=15)
def test_property_only_the_last_output_costs(topology: Topology, data: st.DataObject, seed: int) -> None:
    """Whatever is sampled, skip and none included, in every cell anew."""
    model = network(topology, layers=2, eps=NO_EPS, seed=seed)
    paths = whole_path(len(topology.edges))
    first = path(model, *data.draw(paths))
    last = path(model, *data.draw(paths))
    gates = torch.stack([first[0], last[1]])
    _, _, cost, output = costs(model, gates, *batch(8, seed=seed))
    scale = (gates * cost).abs().max().item()
    assert output[0].abs() < 1e-12 * min(1.0, scale)


@pytest.mark.claim("T-W5", "C-PO6")
@given(whole_path(5), SEED, st.sampled_from([1e-5, NO_EPS]), st.booleans())
def test_property_output_cost_is_split_among_nodes(ops: list[str], seed: int, eps: float, training: bool) -> None:
    """Concatenation and sum: <dL/dX_out, X_out> = sum_j <dL/dX_out^j, sum_i X_j^i>, at any eps, in any mode."""
    model = network(eps=eps, seed=seed).train(training)
    gates, (images, labels) = path(model, *ops), batch(seed=seed)
    seen = backward(model, gates, images, labels)
    _, _, _, output = costs(model, gates, images, labels)
    whole = output[-1]
    by_node = seen.to_output(2) + seen.to_output(3)
    assert (whole - by_node).abs() < 1e-15
    split = torch.zeros_like(whole)
    for node, edges in minimal_cell().incoming.items():
        x = torch.zeros_like(seen.out[:, :4])
        for e in edges:
            x = x + seen.maps.get(e, 0)
        split = split + (seen.gradient[:, seen.part(node)] * x).sum()
    assert (whole - split).abs() < 1e-15


@pytest.mark.claim("C-W8b")
@given(st.lists(COMPUTED, min_size=3, max_size=3), SEED)
def test_property_modified_cell_starves_its_first_edge(ops: list[str], seed: int) -> None:
    """Node 1 reaches the output only through (1, 2), which passes no cost on: (0, 1) is free, unless that is a skip."""
    model = network(modified_cell(), eps=NO_EPS, seed=seed)
    seen = backward(model, path(model, *ops), *batch(seed=seed))
    scale = seen.cost.abs().max().item()
    assert seen.cost[0].abs() < 1e-12 * min(1.0, scale)
    with_skip = path(model, *ops[:2], "skip_connect")
    other = backward(model, with_skip, *batch(seed=seed)).cost
    torch.testing.assert_close(other[0], other[2], rtol=0, atol=1e-12)
    assert other[0] != 0


def test_exact_corollary_holds_with_reductions() -> None:
    """FactorizedReduce has degree 0 and passes nothing on; the skips between intermediate nodes of its cell do."""
    model = network(minimal_cell(), layers=3, reductions=True, eps=NO_EPS)
    gates = path(model, *["skip_connect"] * 5)
    _, _, cost, output = costs(model, gates, *batch())
    edge = (gates * cost).sum(-1)
    scale = edge.abs().max().item()
    torch.testing.assert_close(edge.sum(-1) - edge[:, 4], output, rtol=0, atol=1e-11 * scale)
    assert (output[:-1].abs() < 1e-11 * scale).all()
