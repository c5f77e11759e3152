"""The evaluation network of a genotype: printed counts, shapes, drop-path, the auxiliary classifier."""

import pytest
import torch
from small import generator
from torch import Tensor, nn

from nas_core import papers
from nas_core.cells.evaluation import EvaluationNetwork, drop_path
from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.errors import UserError

COUNTS = papers.printed("counts").set_index("arch")


def released(arch: str) -> Genotype:
    """A released genotype as package data has it."""
    cells = papers.released_cells(arch)
    return Genotype(**{name: CellGenotype(2, c.nodes, c.edges, c.output) for name, c in cells.items()})


def network(genotype: Genotype, *, channels: int = 4, layers: int = 6, auxiliary: bool = False) -> EvaluationNetwork:
    size = {"channels": channels, "layers": layers, "classes": 10, "in_channels": 3}
    return EvaluationNetwork(genotype, **size, auxiliary=auxiliary, generator=generator())


@pytest.mark.parametrize("arch", COUNTS.index)
def test_exact_counts_on_cifar(arch: str) -> None:
    """Twenty cells of 36 channels: parameters, and multiply-adds of convolutions and classifier for one image."""
    model, seen = network(released(arch), channels=36, layers=20).eval(), []
    assert sum(p.numel() for p in model.parameters()) == COUNTS.cifar_params[arch]

    def count(layer: nn.Module, args: object, out: Tensor) -> None:
        seen.append(layer.weight[0].numel() * out.numel())

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    assert sum(seen) == COUNTS.cifar_madds[arch]


def test_exact_auxiliary_classifier() -> None:
    """476,426 parameters at 36 channels; it stands after cell 2/3 and answers in training only."""
    plain, extra = (network(released("DARTS_V2"), channels=36, layers=3, auxiliary=a) for a in (False, True))
    counts = [sum(p.numel() for p in model.parameters()) for model in (plain, extra)]
    assert counts[1] - counts[0] == 476_426
    assert extra.tower_at == 2
    images = torch.randn(2, 3, 32, 32, generator=generator())
    logits, auxiliary = extra(images)
    assert logits.shape == auxiliary.shape == (2, 10)
    assert extra.eval()(images)[1] is None
    assert plain(images)[1] is None


def test_a_node_without_edges_is_a_map_of_zeros() -> None:
    """It stays in the concatenation, in normal and in reduction cells, at odd sizes too."""
    cell = CellGenotype(2, 2, ((0, 2, "sep_conv_3x3"),), (2, 3))
    model = network(Genotype(cell, cell), layers=3)
    seen: list[Tensor] = []
    for part in model.cells:
        part.register_forward_hook(lambda m, a, out: seen.append(out))
    model(torch.randn(2, 3, 7, 7, generator=generator()))
    assert [tuple(x.shape) for x in seen] == [(2, 8, 7, 7), (2, 16, 4, 4), (2, 32, 2, 2)]
    for x in seen:
        assert (x.chunk(2, 1)[0] != 0).any()
        assert (x.chunk(2, 1)[1] == 0).all()


def test_exact_drop_path_keeps_the_mean() -> None:
    """Whole maps are zeroed, the others rescaled; the share is the probability."""
    y = drop_path(torch.ones(20_000, 2, 3, 3), 0.2, generator()).flatten(1)
    assert (y == y[:, :1]).all()
    assert y.unique().tolist() == [0.0, 1.25]
    assert y.mean().item() == pytest.approx(1, abs=5 * 0.5 / 20_000**0.5)


def test_drop_path_acts_in_training_and_never_on_an_identity() -> None:
    images = torch.randn(8, 3, 8, 8, generator=generator())
    skips = CellGenotype(2, 2, ((0, 2, "skip_connect"), (1, 3, "skip_connect")), (2, 3))
    convolutions = CellGenotype(2, 2, ((0, 2, "dil_conv_3x3"), (1, 3, "sep_conv_3x3")), (2, 3))
    for cell, changes in ((skips, False), (convolutions, True)):
        model = network(Genotype(cell), layers=2)
        plain, dropped = model(images)[0], model(images, 0.5, generator(1))[0]
        again = model(images, 0.5, generator(1))[0]
        assert torch.equal(plain, dropped) != changes
        assert torch.equal(dropped, again)
        model.eval()
        assert torch.equal(model(images, 0.5, generator(1))[0], model(images)[0])


def test_unknown_operation_is_named() -> None:
    with pytest.raises(UserError, match="unknown operation 'sep_conv_9x9'"):
        network(Genotype(CellGenotype(2, 1, ((0, 2, "sep_conv_9x9"),), (2,))))
