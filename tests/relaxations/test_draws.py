"""What the relaxations draw: the laws, the support, the generators."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from small import generator
from torch import Tensor

from nas_core import relaxations
from nas_core.relaxations import RELAXATIONS, concrete_draw, gumbel, one_hot_draw, uniform_draw

N = 20_000
LOGITS = torch.tensor([[0.0, 1.0, -1.0, 2.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0], [3.0, -2.0, 0.0, 0.0, 1.0]])


def counts(draw: object, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """How often each operation is the largest in N draws: (edges, ops)."""
    z = draw(logits.expand(N, *logits.shape), generator(11), temperature)
    return torch.nn.functional.one_hot(z.argmax(-1), logits.shape[-1]).sum(0).double()


def assert_law(observed: Tensor, p: Tensor) -> None:
    """Chi-square test of every edge's counts; nothing outside the support may be drawn."""
    assert (observed[p == 0] == 0).all()
    for row, expected in zip(observed, p, strict=True):
        some = expected > 0
        if some.sum() > 1:
            assert stats.chisquare(row[some], N * expected[some] / expected[some].sum()).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_hot_follows_the_softmax(dtype: torch.dtype) -> None:
    logits = LOGITS.to(dtype)
    assert_law(counts(one_hot_draw, logits), torch.softmax(logits.double(), -1))


@pytest.mark.claim("T-S1")
@pytest.mark.parametrize("temperature", [0.03, 0.5, 1.0, 5.0])
def test_largest_concrete_entry_follows_the_softmax_at_any_temperature(temperature: float) -> None:
    """T-S1: Gumbel-max, for every temperature and not only in the limit."""
    assert_law(counts(concrete_draw, LOGITS.double(), temperature), torch.softmax(LOGITS.double(), -1))


@pytest.mark.parametrize("name", ["one-hot", "concrete", "uniform"])
def test_only_allowed_operations_are_drawn(name: str) -> None:
    logits = LOGITS.clone()
    logits[0, 1:4] = -torch.inf
    logits[1, 1:] = -torch.inf
    allowed = logits.isfinite().double()
    p = allowed / allowed.sum(-1, keepdim=True) if name == "uniform" else torch.softmax(logits.double(), -1)
    assert_law(counts(RELAXATIONS[name].draw, logits), p)


def test_uniform_ignores_the_logits() -> None:
    assert_law(counts(uniform_draw, 100 * LOGITS), torch.full((3, 5), 0.2, dtype=torch.float64))


def test_edges_and_cell_types_are_drawn_independently() -> None:
    """Pairs of edges show all pairs of operations equally often."""
    z = uniform_draw(torch.zeros(N, 2, 2, 3), generator(5), 1.0).argmax(-1)
    pairs = 27 * z[:, 0, 0] + 9 * z[:, 0, 1] + 3 * z[:, 1, 0] + z[:, 1, 1]
    assert stats.chisquare(torch.bincount(pairs, minlength=81)).pvalue > 1e-3


def test_gumbel_law() -> None:
    g = gumbel(torch.zeros(N, dtype=torch.float64), generator(2))
    assert stats.kstest(g.numpy(), stats.gumbel_r.cdf).pvalue > 1e-3


def test_gumbel_noise_is_finite_where_the_uniform_number_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    monkeypatch.setattr(relaxations.torch, "rand", lambda *args, **kwargs: ends)
    for dtype in (torch.float32, torch.float64):
        assert gumbel(torch.zeros(2, dtype=dtype), generator()).isfinite().all()


@given(
    st.sampled_from(sorted(RELAXATIONS)),
    st.lists(st.floats(-80, 80, width=32), min_size=6, max_size=6),
    st.floats(0.03, 10),
    st.integers(0, 1000),
)
def test_property_draws_lie_in_the_simplex(name: str, logits: list[float], temperature: float, seed: int) -> None:
    z = RELAXATIONS[name].draw(torch.tensor(logits).reshape(1, 2, 3), generator(seed), temperature)
    assert z.dtype == torch.float32
    assert ((z >= 0) & (z <= 1)).all()
    torch.testing.assert_close(z.sum(-1), torch.ones(1, 2))
    if name in ("one-hot", "uniform"):
        assert set(z.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("name", RELAXATIONS)
def test_a_draw_depends_on_its_generator_only(name: str) -> None:
    """The same state gives the same draw and moves on; the global generator is neither read nor moved."""
    draw, g = RELAXATIONS[name].draw, generator(7)
    logits = torch.zeros(2, 14, 8)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    start = g.get_state()
    first, second = draw(logits, g, 1.0), draw(logits, g, 1.0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    again = torch.Generator()
    again.set_state(start)
    assert torch.equal(draw(logits, again, 1.0), first)
    assert torch.equal(draw(logits, again, 1.0), second)
    assert torch.equal(first, second) == (name == "softmax")
