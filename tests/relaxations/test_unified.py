"""One formula for all methods (wiring paper, eq. 4), on a random edge of a real supernet."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small import batch, darts, generator, mixture, network
from torch import Tensor

from nas_core.cells.operations import CANDIDATES
from nas_core.relaxations import RELAXATIONS, gumbel

TEMPERATURE = 0.6


def cost_on(edge: int, z: Tensor, seed: int) -> Tensor:
    """dL/dZ of one edge whose variable is ``z`` (ops,), all costs observed; the other edges carry mixtures."""
    model, (images, labels) = network(darts(2), seed=seed), batch(8, 6)
    gates, observed = mixture(model), torch.zeros(1, 5, 8, dtype=torch.bool)
    gates[0, edge], observed[0, edge] = z, True
    gates.requires_grad_()
    loss = F.cross_entropy(model(images, gates, observed=observed), labels)
    return torch.autograd.grad(loss, gates)[0][0, edge]


@pytest.mark.claim("C-WU")
@pytest.mark.parametrize("name", ["softmax", "concrete", "one-hot", "binary"])
@given(edge=st.integers(0, 4), seed=st.integers(0, 50))
def test_property_one_formula_for_all(name: str, edge: int, seed: int) -> None:
    """Autograd through Z (DARTS, SNAS), through p at the costs of all gates (ProxylessNAS), or log p(Z) (DSNAS)."""
    method = RELAXATIONS[name]
    a = torch.randn(8, dtype=torch.float64, generator=generator(seed)).requires_grad_()
    z = method.draw(a.detach(), generator(seed + 1), TEMPERATURE)
    cost = cost_on(edge, z, seed)
    variable = {
        "softmax": a.softmax(-1),
        "concrete": ((a + gumbel(a.detach(), generator(seed + 1))) / TEMPERATURE).softmax(-1),
        "binary": a.softmax(-1),
        "one-hot": z * a.log_softmax(-1),
    }[name]
    (expected,) = torch.autograd.grad((variable * cost).sum(), a)
    ours = method.logit_gradient(a.detach(), z, cost, TEMPERATURE)
    assert (ours - expected).abs().max() < 1e-13
    assert cost[CANDIDATES.index("none")] == 0
