"""Accuracies inside the supernet: of what is drawn, of derived children, with statistics as trained or recalibrated."""

import copy

import pytest
import torch
from small import assert_same, batch, generator, mixture, network, path
from torch import Tensor, nn

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import minimal_cell
from nas_core.probes.accuracy import Child, accuracy, genotype_gates, recalibrated


def trained() -> Supernet:
    """A supernet whose running statistics are not those of the start."""
    model = network(layers=2)
    for seed in range(4):
        model(2 + 3 * batch(seed=seed)[0], mixture(model))
    return model


def parts(sizes: tuple[int, ...] = (16, 16, 5)) -> list[tuple[Tensor, Tensor]]:
    return [batch(n, seed=seed) for seed, n in enumerate(sizes)]


@pytest.mark.parametrize("training", [True, False])
def test_exact_accuracy_counts_hits_and_leaves_the_network_alone(training: bool) -> None:
    """Running statistics are used and not moved; batches of unequal size weigh by images; the mode comes back."""
    model = trained().eval()
    seen = [(x, model(x, mixture(model)).argmax(1)) for x, _ in parts()]
    for _, labels in seen[1:]:
        labels[:3] = (labels[:3] + 1) % 10
    child = Child(model, lambda: mixture(model)).train(training)
    before = copy.deepcopy(model.state_dict())
    assert accuracy(child, iter(seen)) == 31 / 37
    assert_same(model.state_dict(), before)
    assert all(m.training == training for m in child.modules())
    model.train()
    assert sum((model(x, mixture(model)).argmax(1) == y).sum().item() for x, y in seen) != 31


def test_a_child_draws_its_gates_for_every_batch() -> None:
    model, drawn = trained(), []

    def gates() -> Tensor:
        drawn.append(path(model, *[CANDIDATES[len(drawn) + 3]] * 5))
        return drawn[-1]

    child = Child(model, gates).eval()
    for i, (x, _) in enumerate(parts()):
        torch.testing.assert_close(child(x), model(x, drawn[i]))
    assert len(drawn) == 3


def test_exact_recalibrated_statistics_are_those_of_the_child() -> None:
    """Averages over the batches of the child's own passes; the original keeps its statistics, mode and weights."""
    model = trained()
    child = Child(model, lambda: path(model, *["sep_conv_3x3"] * 5))
    before = copy.deepcopy(model.state_dict())
    fresh = recalibrated(child, parts((16, 16)))
    assert_same(model.state_dict(), before)
    assert fresh.supernet is not model
    assert [m.momentum for m in fresh.modules() if isinstance(m, nn.BatchNorm2d)] == [
        m.momentum for m in child.modules() if isinstance(m, nn.BatchNorm2d)
    ]
    maps = [model.stem[0](x) for x, _ in parts((16, 16))]
    stem = fresh.supernet.stem[1]
    torch.testing.assert_close(stem.running_mean, sum(m.mean((0, 2, 3)) for m in maps) / 2)
    torch.testing.assert_close(stem.running_var, sum(m.var((0, 2, 3)) for m in maps) / 2)
    assert not torch.allclose(model.stem[1].running_mean, stem.running_mean)
    for a, b in zip(model.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()


def test_exact_genotype_gates_select_the_derived_cell() -> None:
    cell = CellGenotype(2, 2, ((1, 2, "sep_conv_3x3"), (0, 3, "skip_connect"), (2, 3, "max_pool_3x3")), (2, 3))
    gates = genotype_gates(cell, CANDIDATES, minimal_cell())
    rows = ["none", "sep_conv_3x3", "skip_connect", "none", "max_pool_3x3"]
    for row, op in zip(gates.tolist(), rows, strict=True):
        assert row == [float(k == op) for k in CANDIDATES] if op != "none" else row == [0.0] * 8
    model = network(seed=1)
    x = torch.randn(4, 1, 8, 8, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(model(x, gates[None].double()), model(x, path(model, *rows)))
