"""The toys of notebook 03: the free operation and when it grows, children, a unit of three edges, Taylor sums."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small import batch, costs, generator, mixture, network
from torch import Tensor, nn
from toys import random

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.operations import CANDIDATES, OPERATIONS, Style
from nas_core.cells.supernet import initialise
from nas_core.cells.topology import Topology, darts_cell
from nas_core.probes.accuracy import genotype_gates
from nas_core.relaxations import concrete_gradient, gumbel, one_hot_draw, one_hot_gradient
from nas_core.report import draw_cell

FOUR = ("sep_conv_3x3", "max_pool_3x3", "skip_connect", "none")
PARENT = Topology("parent", 1, 3, ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)), (3,))
Map = Callable[[Tensor], Tensor]


# ---------------------------------------------------------------------------------------------- the search space


@pytest.mark.claim("C-PO1")
@given(st.integers(1, 3), st.integers(1, 2), st.integers(0, 50))
def test_property_none_costs_nothing(nodes: int, layers: int, seed: int) -> None:
    """By its gate on every edge, and by its output, which the supernet never computes, at both strides."""
    model, none = network(darts_cell(nodes), layers=layers, seed=seed), CANDIDATES.index("none")
    _, _, cost, _ = costs(model, mixture(model, seed), *batch(4, 6))
    assert (cost[..., none] == 0).all()
    assert (cost[..., none + 1 :] != 0).all()
    x = random(2, 4, 6, 6, seed=seed)
    for stride in (1, 2):
        output = OPERATIONS["none"].build(4, stride, Style())(x)
        assert output.shape == (2, 4, 6 // stride, 6 // stride)
        assert (random(*output.shape, seed=1) * output).sum() == 0


@pytest.mark.claim("C-PO1b")
def test_exact_candidates_are_those_of_the_poster() -> None:
    poster = "none skip_connect max_pool_3x3 avg_pool_3x3 sep_conv_3x3 dil_conv_3x3 dil_conv_5x5 sep_conv_5x5"
    assert sorted(CANDIDATES) == sorted(poster.split())
    assert network().space.candidates == CANDIDATES


# ---------------------------------------------------------------------------------------------- when none grows


def mean_step(p: Tensor, cost: Tensor) -> Tensor:
    """The mean step of DSNAS on the logits with gradient descent and step 1, over all draws of one edge."""
    corners = torch.eye(len(p), dtype=torch.float64)
    gradients = [one_hot_gradient(p.log(), z, cost, 1.0) for z in corners]
    return -(p @ torch.stack(gradients))


@given(st.integers(2, 8), st.integers(0, 1000))
def test_property_the_logit_of_none_follows_the_mean_cost_and_its_probability_the_others_too(k: int, seed: int) -> None:
    p, cost = random(k, seed=seed).softmax(0), random(k, seed=seed + 1)
    cost[0] = 0
    mean = p @ cost
    move = mean_step(p, cost)
    assert (move[0] - p[0] * mean).abs() < 1e-14
    turned = p[0] * mean + (p**2 @ (cost - mean))  # its sign is that of the probability's move
    logits = p.log().requires_grad_()
    (slope,) = torch.autograd.grad(logits.softmax(0)[0], logits)
    assert (slope @ move - p[0] * turned).abs() < 1e-14
    equal = torch.full((k,), 1 / k, dtype=torch.float64)
    assert ((equal**2) @ (cost - equal @ cost)).abs() < 1e-14  # nothing else at the start of a search


def test_none_may_lose_probability_on_a_dear_edge_and_its_logit_with_adam() -> None:
    p, cost = torch.tensor([0.1, 0.8, 0.1]).double(), torch.tensor([0.0, -1.0, 9.0]).double()
    move = mean_step(p, cost)
    assert p @ cost > 0
    assert move[0] > 0
    assert (p.log() + 1e-3 * move).softmax(0)[0] < p[0]
    first = torch.zeros(3, dtype=torch.float64)
    for s, z in enumerate(torch.eye(3, dtype=torch.float64)):
        logits = nn.Parameter(p.log())
        logits.grad = one_hot_gradient(p.log(), z, cost, 1.0)
        torch.optim.Adam([logits], lr=1.0).step()
        first += p[s] * (logits.detach() - p.log())
    assert first[0] < 0


# ---------------------------------------------------------------------------------------------- children of a parent


def sample(seed: int) -> tuple[Tensor, CellGenotype]:
    """A one-hot matrix (edges, ops) and the child that it selects."""
    z = one_hot_draw(torch.zeros(1, 6, 4), generator(seed), 1.0)[0]
    picks = [(*e, FOUR[k]) for e, k in zip(PARENT.edges, z.argmax(-1).tolist(), strict=True)]
    return z, CellGenotype(1, 3, tuple(p for p in picks if p[2] != "none"), PARENT.output)


@pytest.mark.claim("C-SN1a")
@given(st.integers(0, 10_000))
def test_property_every_row_is_one_hot(seed: int) -> None:
    """And the gates that the child selects in a supernet are the matrix itself, its rows of ``none`` set to zero."""
    z, child = sample(seed)
    assert ((z == 0) | (z == 1)).all()
    assert (z.sum(-1) == 1).all()
    assert torch.equal(genotype_gates(child, FOUR, PARENT)[:, :3], z[:, :3])


@pytest.mark.claim("C-SN1b")
@given(st.integers(0, 1000))
def test_property_drawn_edges_are_the_rows_that_do_not_pick_zero(seed: int) -> None:
    z, child = sample(seed)
    gids = [str(patch.get_gid()).split() for patch in draw_cell(None, PARENT, child).patches]
    drawn = {(gid[1], gid[2]) for gid in gids if gid[0] == "kept"}
    dropped = {gid[1] for gid in gids if gid[0] == "dropped"}
    labels = dict(zip(FOUR, ("sep3", "max", "skip"), strict=False))
    rows = {f"{i}-{j}": FOUR[k] for (i, j), k in zip(PARENT.edges, z.argmax(-1).tolist(), strict=True)}
    assert drawn == {(edge, labels[op]) for edge, op in rows.items() if op != "none"}
    assert dropped == {edge for edge, op in rows.items() if op == "none"}


@pytest.mark.claim("C-SN1c")
def test_exact_effective_layers_are_the_longest_path() -> None:
    """All paths from the input to node 3, one by one; the samples have children of every depth from 0 to 3."""
    ways = [(0, *middle, 3) for k in range(3) for middle in itertools.combinations((1, 2), k)]
    depths = set()
    for seed in range(60):
        _, child = sample(seed)
        kept = {(i, j) for i, j, _ in child.edges}
        longest = max([len(way) - 1 for way in ways if set(itertools.pairwise(way)) <= kept], default=0)
        assert child.depth() == longest
        depths.add(longest)
    assert depths == {0, 1, 2, 3}


# ---------------------------------------------------------------------------------------------- a trajectory


@pytest.mark.claim("T-S3")
@given(st.integers(2, 4), st.integers(0, 100))
def test_property_trajectory_probability_is_the_product_of_the_policy(choices: int, seed: int) -> None:
    """Three decisions, each looking at all earlier ones; p(tau) by powers of the (deterministic) transitions."""
    states = [s for t in range(4) for s in itertools.product(range(choices), repeat=t)]
    number, policy = {s: n for n, s in enumerate(states)}, random(len(states), choices, seed=seed).softmax(-1)
    move = torch.zeros(choices, len(states), len(states), dtype=torch.float64)
    for s, k in itertools.product([s for s in states if len(s) < 3], range(choices)):
        move[k, number[s], number[(*s, k)]] = 1
    total = []
    for z in itertools.product(range(choices), repeat=3):
        at = F.one_hot(torch.tensor(0), len(states)).double()
        for k in z:
            at = (at * policy[:, k]) @ move[k]
        factors = [policy[number[z[:t]], z[t]].item() for t in range(3)]
        assert abs(at.sum().item() - math.prod(factors)) < 1e-15
        total.append(at.sum().item())
    assert abs(math.fsum(total) - 1) < 1e-15


# ---------------------------------------------------------------------------------------------- the unit of SNAS Fig. 6


class Unit:
    """Edges (0,1), (1,2), (1,3) of ``ops`` operations act(x theta^k); the loss reads x_2 + x_3 (SNAS eq. 18)."""

    def __init__(self, ops: int, width: int, seed: int, act: Map) -> None:
        self.ops, self.act = ops, act
        self.theta = [(random(ops, width, width, seed=seed + e) / width**0.5).requires_grad_() for e in range(3)]
        self.x = random(8, width, seed=seed + 3)

    def operations(self, e: int, x: Tensor) -> Tensor:
        """(images, ops, width)."""
        return self.act(torch.einsum("bi,kij->bkj", x, self.theta[e]))

    def nodes(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x_1, x_2, x_3 for edge variables (edges, ops)."""
        x_1 = torch.einsum("k,bkj->bj", z[0], self.operations(0, self.x))
        x_2, x_3 = (torch.einsum("k,bkj->bj", z[e], self.operations(e, x_1)) for e in (1, 2))
        return x_1, x_2, x_3

    def gap(self, p: Tensor, loss: Map) -> float:
        """|L(E Z) - E L(Z)| / |E L(Z)|: the mixture of DARTS against all children."""
        with torch.no_grad():
            mixed, expected = loss(sum(self.nodes(p)[1:])).item(), 0.0
            for picks in itertools.product(range(self.ops), repeat=3):
                z = F.one_hot(torch.tensor(picks), self.ops).double()
                expected += (z * p).sum(-1).prod().item() * loss(sum(self.nodes(z)[1:])).item()
        return abs(mixed - expected) / abs(expected)


def identity(x: Tensor) -> Tensor:
    return x


def mean(y: Tensor) -> Tensor:
    return (y @ random(y.shape[1], seed=77)).mean()


def square(y: Tensor) -> Tensor:
    return ((y - random(*y.shape, seed=78)) ** 2).sum(1).mean()


@pytest.mark.claim("T-S5", "C-SN6b")
@given(st.integers(2, 3), st.integers(2, 6), st.integers(0, 100))
def test_property_a_linear_unit_has_no_gap(ops: int, width: int, seed: int) -> None:
    """A mean that is nearly zero for all children would only measure round-off, so the loss is shifted by one."""
    p = random(3, ops, seed=seed + 9).softmax(-1)
    assert Unit(ops, width, seed, identity).gap(p, lambda y: 1 + mean(y)) < 1e-12


@pytest.mark.claim("T-S5b", "C-SN6c")
@pytest.mark.parametrize(("act", "loss"), [(torch.relu, mean), (identity, square), (torch.relu, square)])
@pytest.mark.parametrize("seed", range(5))
def test_exact_any_nonlinearity_opens_a_gap(act: Map, loss: Map, seed: int) -> None:
    assert Unit(3, 6, 10 * seed, act).gap(random(3, 3, seed=seed).softmax(-1), loss) > 1e-3


@pytest.mark.claim("C-SN6a")
@given(st.integers(2, 4), st.integers(2, 6), st.floats(0.3, 2), st.integers(0, 100))
def test_property_gradients_of_the_unit_by_hand(ops: int, width: int, temperature: float, seed: int) -> None:
    """SNAS eqs. 25 to 27 for x_1, theta and alpha on all three edges, and the package's gradient of the logits."""
    unit, alpha = Unit(ops, width, seed, torch.relu), random(3, ops, seed=seed + 5).exp().requires_grad_()
    z = ((alpha.log() + gumbel(alpha.detach(), generator(seed))) / temperature).softmax(-1)
    x_1, x_2, x_3 = unit.nodes(z)
    ends = [x_1, x_2, x_3]
    automatic = torch.autograd.grad(square(x_2 + x_3), [*ends, *unit.theta, alpha])
    back = []
    with torch.no_grad():
        for e, (x, g) in enumerate(zip((unit.x, x_1, x_1), automatic[:3], strict=True)):
            outputs = unit.operations(e, x)
            credit = torch.einsum("bkj,bj->k", outputs, g)  # v_k
            on = (outputs > 0) * g[:, None]
            back.append(torch.einsum("k,bkj,kij->bi", z[e], on, unit.theta[e]))
            by_theta = torch.einsum("k,bi,bkj->kij", z[e], x, on)
            by_alpha = z[e] / (temperature * alpha[e]) * (credit - z[e] @ credit)
            scale = max(1.0, credit.abs().max().item() / alpha[e].min().item() / temperature)
            assert (by_theta - automatic[3 + e]).abs().max() < 1e-13 * scale
            assert (by_alpha - automatic[6][e]).abs().max() < 1e-13 * scale
            ours = concrete_gradient(alpha[e].log(), z[e], credit, temperature)
            assert (ours - alpha[e] * automatic[6][e]).abs().max() < 1e-13 * scale
    assert (back[1] + back[2] - automatic[0]).abs().max() < 1e-13


# ---------------------------------------------------------------------------------------------- Taylor decomposition


def gradient_times_input(module: nn.Module, seed: int) -> tuple[float, float, float]:
    """f = <weights, module(x)>, the sum of its gradient times its input, and the scale |weights| |module(x)|."""
    x, weights = random(8, 4, 6, 6, seed=seed).requires_grad_(), random(8, 4, 6, 6, seed=seed + 1)
    output = module(x)
    f = (weights * output).sum()
    (gradient,) = torch.autograd.grad(f, x)
    return f.item(), (gradient * x).sum().item(), (weights.norm() * output.norm()).item()


NORMALISED = [op for op in CANDIDATES if op not in ("none", "skip_connect")]


@pytest.mark.claim("T-S6", "T-S6b")
@pytest.mark.parametrize("op", NORMALISED)
@given(seed=st.integers(0, 50))
def test_property_taylor_decomposition_needs_a_network_without_batch_norm(op: str, seed: int) -> None:
    """As they are in the search space, gradient times input sums to zero; without the normalisers it sums to f."""
    module = OPERATIONS[op].build(4, 1, Style(eps=1e-30)).double()
    initialise(module, generator(seed))
    _, total, scale = gradient_times_input(module, seed)
    assert abs(total) < 1e-12 * scale
    assert isinstance(module, nn.Sequential)
    bare = nn.Sequential(*(part for part in module if not isinstance(part, nn.BatchNorm2d)))
    f, total, scale = gradient_times_input(bare, seed)
    assert abs(total - f) < 1e-12 * scale
    assert abs(f) > 1e-6 * scale


def test_a_bias_breaks_the_decomposition() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1)).double()
    initialise(module, generator())
    for conv in (module[0], module[2]):
        nn.init.constant_(conv.bias, 0.1)
    f, total, _ = gradient_times_input(module, 0)
    assert abs(total - f) > 1e-3 * abs(f)
