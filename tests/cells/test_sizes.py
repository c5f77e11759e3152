"""The sizes of evaluation networks: posted genotypes with their numbers, and the closed forms."""

import pytest
from closed_forms import auxiliary_count, evaluation_count

from nas_core.cells.counts import Counted
from nas_core.cells.exchange import read
from nas_core.cells.genotype import CellGenotype, Genotype, released
from nas_core.cells.sizes import CIFAR, IMAGENET, Size, counts_with_tower, memory_accesses, network_counts
from nas_core.errors import UserError

# As its authors released it, from P-DARTS.
PDARTS = """Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0),('sep_conv_3x3', 1),
('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3',0), ('dil_conv_5x5', 4)], normal_concat=range(2, 6),
reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0),
('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"""
# As somebody posted it after a search on Fashion-MNIST, nested by node.
FASHION = """Genotype(normal=[[('max_pool_3x3', 0), ('dil_conv_5x5', 1)], [('max_pool_3x3', 0), ('sep_conv_3x3', 1)],
[('sep_conv_5x5', 1), ('sep_conv_3x3', 3)], [('sep_conv_5x5', 4), ('dil_conv_5x5', 3)]], normal_concat=range(2, 6),
reduce=[[('sep_conv_3x3', 1), ('avg_pool_3x3', 0)], [('avg_pool_3x3', 0), ('skip_connect', 2)],
[('skip_connect', 3), ('avg_pool_3x3', 0)], [('sep_conv_3x3', 2), ('skip_connect', 3)]], reduce_concat=range(2, 6))"""
GREY = Size(channels=16, layers=20, classes=10, side=28, in_channels=1)


@pytest.mark.parametrize(("text", "size", "without", "with_tower"), [
    (PDARTS, CIFAR, 3_433_798, 3_910_224),
    (FASHION, GREY, 759_386, 1_194_852),
], ids=["P-DARTS", "Fashion-MNIST"])  # fmt: skip
def test_exact_posted_genotypes_have_the_posted_parameters(
    text: str, size: Size, without: int, with_tower: int
) -> None:
    genotype = read(text)
    assert network_counts(genotype, size).params == without
    assert counts_with_tower(genotype, size).params == with_tower


@pytest.mark.parametrize(("genotype", "size"), [
    (released("DARTS_V2"), CIFAR),
    (released("SNAS_aggressive"), IMAGENET),
    (Genotype(released("SNAS_mild").normal), Size(channels=6, layers=3, classes=4, side=9, in_channels=2)),
], ids=["cifar", "imagenet", "without reductions"])  # fmt: skip
def test_exact_counts_are_those_of_the_closed_forms(genotype: Genotype, size: Size) -> None:
    """The tower reads the cell at 2/3: its channels are those after all reductions, times the concatenated nodes."""
    network = evaluation_count(
        genotype,
        channels=size.channels,
        layers=size.layers,
        classes=size.classes,
        side=size.side,
        stem=size.stem,
        in_channels=size.in_channels,
    )
    width = 4 * size.channels if genotype.reduce else size.channels
    tower = auxiliary_count(4 * width, size.classes, size.stem)
    assert network_counts(genotype, size) == Counted(network.params, network.madds)
    assert counts_with_tower(genotype, size) == Counted(network.params + tower.params, network.madds + tower.madds)


def test_a_network_that_cannot_be_is_refused() -> None:
    genotype = released("DARTS_V2")
    with pytest.raises(UserError, match="tower needs maps of 6x6 pixels or more, not 4x4"):
        counts_with_tower(genotype, Size(channels=4, layers=6, classes=10, side=16))
    with pytest.raises(UserError, match="side must be 1 or more, not 0"):
        network_counts(genotype, Size(channels=4, layers=6, classes=10, side=0))
    with pytest.raises(UserError, match="layers must be 1 or more, not 0"):
        network_counts(genotype, Size(channels=4, layers=0, classes=10, side=32))


def test_exact_memory_accesses() -> None:
    """By hand, C = 2 and 5x5 pixels: skips and pools of a normal cell at 5x5, then of two reductions at 3x3 and 2x2.

    At stride 1 a skip and a pool read and write 2 C y^2 numbers; at stride 2 a pool reads and writes 5 C y^2.
    """
    normal = CellGenotype(2, 2, ((0, 2, "skip_connect"), (2, 3, "max_pool_3x3")), (2, 3))
    reduce = CellGenotype(2, 2, ((0, 2, "avg_pool_3x3"), (2, 3, "skip_connect")), (2, 3))
    size = Size(channels=2, layers=3, classes=10, side=5)
    of_normal = 2 * (2 * 2 * 25)
    of_reductions = (5 + 2) * 4 * 9 + (5 + 2) * 8 * 4
    assert memory_accesses(Genotype(normal, reduce), size) == of_normal + of_reductions
    with pytest.raises(UserError, match="unknown stem that keeps the resolution 'imagenet'"):
        memory_accesses(Genotype(normal), IMAGENET)
