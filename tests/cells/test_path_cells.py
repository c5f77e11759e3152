"""MixPath in the space of DARTS: the law of the draw, the norm of every number of paths, and what a child costs."""

from collections import Counter
from itertools import combinations, product
from math import prod

import numpy as np
import pytest
import torch
from small import generator
from torch import nn

from nas_core.cells.counts import multiply_adds
from nas_core.cells.evaluation import EvaluationNetwork
from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.mixpath import ShadowBatchNorm
from nas_core.cells.multipath import SPACES
from nas_core.cells.multipath_cells import PATHS, CellChildren, CellsSupernet, PathCell
from nas_core.cells.sizes import Size, network_counts
from nas_core.errors import UserError

SMALL = Size(channels=4, layers=3, classes=10, side=7, in_channels=1)


def supernet(most: int = 3, norms: str = "shadow", nodes: int = 4) -> CellsSupernet:
    return CellsSupernet(
        channels=4, most=most, norms=norms, classes=10, in_channels=1, generator=generator(), layers=3, nodes=nodes
    )


def edges_of(cell: CellGenotype) -> dict[tuple[int, int], tuple[str, ...]]:
    """The paths of every edge that is read."""
    found: dict[tuple[int, int], tuple[str, ...]] = {}
    for source, target, op in cell.edges:
        found[source, target] = (*found.get((source, target), ()), op)
    return found


def images(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 1, 7, 7, generator=generator(5))


def test_exact_law_of_the_draw() -> None:
    """Numbers of paths and pairs of read nodes are uniform, within five standard errors; every path is drawn."""
    model, draw = supernet(), generator(1)
    numbers: Counter[int] = Counter()
    pairs: Counter[tuple[int, ...]] = Counter()
    operations: Counter[str] = Counter()
    draws = 500
    for _ in range(draws):
        child = model.draw(draw)
        assert child.reduce is not None
        for cell in (child.normal, child.reduce):
            of_cell = edges_of(cell)
            assert Counter(target for _, target in of_cell) == dict.fromkeys(cell.intermediate, 2)
            numbers.update(len(paths) for paths in of_cell.values())
            operations.update(op for paths in of_cell.values() for op in paths)
            pairs[tuple(source for source, target in of_cell if target == 4)] += 1
    assert set(operations) == set(PATHS)
    for found, values in ((numbers, [1, 2, 3]), (pairs, list(combinations(range(4), 2)))):
        share, total = 1 / len(values), found.total()
        error = (share * (1 - share) / total) ** 0.5
        assert set(found) == set(values)
        assert all(abs(found[value] / total - share) < 5 * error for value in values)


@pytest.mark.parametrize(("norms", "count"), [("shadow", 3), ("plain", 1)])
def test_the_norm_of_an_edge_is_that_of_its_number_of_paths(norms: str, count: int) -> None:
    """After one pass exactly the norms of the child's edges have seen a batch."""
    model = supernet(norms=norms)
    child = model.draw(generator(2))
    model(images(), child)
    for kind, cell in zip(model.cell_type, model.cells, strict=True):
        assert isinstance(cell, PathCell)
        chosen = child.reduce if kind else child.normal
        assert chosen is not None
        active = edges_of(chosen)
        for edge, shadows in zip(cell.topology.edges, cell.norms, strict=True):
            assert isinstance(shadows, ShadowBatchNorm)
            seen = [int(norm.num_batches_tracked) for norm in shadows.norms]
            number = len(active.get(edge, ()))
            assert seen == [int(number == n or (number > 0 and count == 1)) for n in range(1, count + 1)]


def test_the_sum_of_the_paths_is_normalised() -> None:
    """X_2 of a cell of one node: SBN of the sum of two paths, plus SBN of one path."""
    model = supernet(nodes=1)
    cell = model.cells[0]
    assert isinstance(cell, PathCell)
    chosen = CellGenotype(2, 1, ((0, 2, "skip_connect"), (0, 2, "sep_conv_3x3"), (1, 2, "max_pool_3x3")), (2,))
    maps = [torch.randn(4, 12, 7, 7, generator=generator(seed)) for seed in (6, 7)]
    states = [prepare(x) for prepare, x in zip(cell.preprocess, maps, strict=True)]
    path = dict(zip(PATHS, cell.candidates(0), strict=True))
    other = dict(zip(PATHS, cell.candidates(1), strict=True))
    both = nn.functional.batch_norm(
        path["skip_connect"](states[0]) + path["sep_conv_3x3"](states[0]), None, None, training=True
    )
    alone = nn.functional.batch_norm(other["max_pool_3x3"](states[1]), None, None, training=True)
    assert torch.allclose(cell(maps, chosen), both + alone, atol=1e-6)


def test_only_the_paths_of_the_child_learn() -> None:
    model = supernet()
    child = model.draw(generator(2))
    model(images(), child).sum().backward()
    for kind, cell in zip(model.cell_type, model.cells, strict=True):
        assert isinstance(cell, PathCell)
        chosen = child.reduce if kind else child.normal
        assert chosen is not None
        active = edges_of(chosen)
        for edge, paths in zip(cell.topology.edges, cell.operations, strict=True):
            assert isinstance(paths, nn.ModuleList)
            for op, module in zip(PATHS, paths, strict=True):
                learns = any(parameter.grad is not None for parameter in module.parameters())
                has = any(True for _ in module.parameters())
                assert learns == (has and op in active.get(edge, ()))


def without_norms_of_sums(model: nn.Module) -> None:
    """Make the norms of sums and of pools, which a network of a child alone lacks, the identity."""
    for module in model.modules():
        pool = isinstance(module, nn.Sequential) and isinstance(module[0], nn.MaxPool2d | nn.AvgPool2d)
        if pool or isinstance(module, ShadowBatchNorm):
            for norm in module.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    norm.eps = 0.0


def test_a_child_is_its_network_alone_with_the_same_weights() -> None:
    """But for the norms of sums and of pools, which are made the identity here."""
    model = supernet().double().eval()
    draw = generator(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.1, generator=draw)
    without_norms_of_sums(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.eps == 0.0:
            nn.init.zeros_(module.running_mean)
    child = model.draw(draw)
    alone = EvaluationNetwork(child, channels=4, layers=3, classes=10, in_channels=1, generator=generator(9))
    alone = alone.double().eval()
    alone.stem[0].load_state_dict(model.stem.state_dict())
    alone.classifier.load_state_dict(model.classifier.state_dict())
    for kind, ours, theirs in zip(model.cell_type, model.cells, alone.cells, strict=True):
        assert isinstance(ours, PathCell)
        chosen = child.reduce if kind else child.normal
        assert chosen is not None
        theirs.preprocess.load_state_dict(ours.preprocess.state_dict())
        for (source, target, op), module in zip(chosen.edges, theirs.operations, strict=True):
            path = ours.candidates(ours.topology.edges.index((source, target)))[PATHS.index(op)]
            module.load_state_dict(path.state_dict(), strict=not op.endswith("pool_3x3"))
    x = images().double()
    logits, _ = alone(x)
    assert torch.allclose(model(x, child), logits, atol=1e-12)


def test_exact_number_of_children_and_their_extremes() -> None:
    """All of a small space: one node, one path on each of two edges, in two cells."""
    children = CellChildren(nodes=1, most=1, size=SMALL)
    assert children.counts == (1, 7, 7, 1, 7, 7)
    genes = list(product(*map(range, children.counts)))
    assert len({children.child(each) for each in genes}) == prod(children.counts) == 7**4
    costs = [children.madds(each) for each in genes]
    assert children.extremes() == (min(costs), max(costs))


def test_exact_extremes_where_a_node_chooses_what_it_reads() -> None:
    """The cells are independent, so that each is enumerated beside a fixed one."""
    children = CellChildren(nodes=2, most=1, size=SMALL)
    half = list(product(*map(range, children.counts[:6])))
    base = half[0]
    normal = [children.madds((*each, *base)) for each in half]
    reduction = [children.madds((*base, *each)) for each in half]
    fixed = children.madds((*base, *base))
    assert children.extremes() == (min(normal) + min(reduction) - fixed, max(normal) + max(reduction) - fixed)


def test_exact_counts_of_the_whole_space() -> None:
    """63 sets of 1 to 3 of 7 paths; 1, 3, 6 and 10 pairs of nodes to read."""
    children = CellChildren(most=3, size=SMALL)
    assert children.counts == (1, 63, 63, 3, 63, 63, 6, 63, 63, 10, 63, 63) * 2


def test_exact_multiply_adds_are_those_that_run() -> None:
    """In the supernet, and of the child alone, which has as many."""
    children, rng, model = CellChildren(most=3, size=SMALL), np.random.default_rng(0), supernet()
    for _ in range(4):
        genes = rng.integers(children.counts).tolist()
        child = children.child(genes)
        assert children.madds(genes) == multiply_adds(model, images(1), child) == network_counts(child, SMALL).madds


def test_exact_multiply_adds_of_eight_cells() -> None:
    """As many as the child alone has where the reductions are the third and the sixth cell."""
    size = Size(channels=4, layers=8, classes=10, side=14, in_channels=1)
    children = CellChildren(most=1, nodes=2, size=size)
    for genes in ([count - 1 for count in children.counts], [0, 3, 5] * 4):
        assert children.madds(genes) == network_counts(children.child(genes), size).madds


def test_the_space_has_eight_cells_and_at_the_laptop_three() -> None:
    for name, cells in (("DARTS", 8), ("DARTS of 3 cells", 3)):
        model = SPACES[name](channels=4, most=3, norms="shadow", classes=10, in_channels=1, generator=generator())
        assert len(model.cells) == cells
        assert [i for i, kind in enumerate(model.cell_type) if kind] == [cells // 3, 2 * cells // 3]


def test_more_paths_than_there_are_are_refused() -> None:
    with pytest.raises(UserError, match="has 7 paths, so at most 8 cannot be active"):
        supernet(most=8)


@pytest.mark.parametrize(("edges", "sentence"), [
    (((0, 2, "sep_conv_7x7"), (1, 2, "skip_connect")), "unknown path 'sep_conv_7x7'"),
    ((), "node 2 of a cell of several paths reads no other node"),
    (tuple((0, 2, op) for op in PATHS[:4]), "4 active paths, but there are batch norms for 1 to 3"),
])  # fmt: skip
def test_what_is_no_child_is_refused(edges: tuple[tuple[int, int, str], ...], sentence: str) -> None:
    cell = CellGenotype(2, 1, edges, (2,))
    with pytest.raises(UserError, match=sentence):
        supernet(nodes=1)(images(), Genotype(cell, cell))
