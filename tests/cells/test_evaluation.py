"""The evaluation network of a genotype: printed counts, shapes, drop-path, the auxiliary classifier."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from closed_forms import Count, auxiliary_count, evaluation_count
from hypothesis import given, settings
from hypothesis import strategies as st
from small import generator
from torch import Tensor, nn

from nas_core import papers
from nas_core.cells.counts import multiply_adds, parameters
from nas_core.cells.evaluation import EVALUATED, STEMS, EvaluationNetwork, TowerPool
from nas_core.cells.genotype import CellGenotype, Genotype, released
from nas_core.cells.operations import OPERATIONS, Operation, kept_paths
from nas_core.errors import UserError

COUNTS = papers.printed("counts").set_index("arch")
CIFAR = {"channels": 36, "layers": 20, "classes": 10}
IMAGENET = {"channels": 48, "layers": 14, "classes": 1000, "stem": "imagenet"}


def network(genotype: Genotype, *, channels: int = 4, layers: int = 6, **rest: Any) -> EvaluationNetwork:
    size = {"channels": channels, "layers": layers, "classes": 10, "in_channels": 3, **rest}
    return EvaluationNetwork(genotype, **size, generator=generator())


def counted(model: nn.Module, side: int) -> Count:
    """What the modules have and do."""
    return Count(parameters(model), multiply_adds(model, torch.zeros(1, 3, side, side)))


def millions(count: int, digits: int) -> float:
    return round(count / 1e6, digits)


@pytest.mark.parametrize("arch", COUNTS.index)
def test_exact_counts_on_cifar(arch: str) -> None:
    """Twenty cells of 36 channels: parameters and multiply-adds, from the modules and from the closed form."""
    expected = Count(COUNTS.cifar_params[arch], COUNTS.cifar_madds[arch])
    assert counted(network(released(arch), **CIFAR), 32) == expected
    assert evaluation_count(released(arch), **CIFAR, side=32) == expected
    normalised = evaluation_count(released(arch), **CIFAR, side=32, pools=2)
    assert normalised == Count(COUNTS.cifar_params_if_pools_have_affine_BN[arch], expected.madds)


@pytest.mark.parametrize("arch", [
    pytest.param(arch, marks=pytest.mark.claim("C-N7")) if arch == "DARTS_V2" else arch for arch in COUNTS.index
])  # fmt: skip
def test_exact_counts_on_imagenet(arch: str) -> None:
    """Fourteen cells of 48 channels on 224x224 pixels, 1000 classes."""
    expected = Count(COUNTS.imagenet_params[arch], COUNTS.imagenet_madds[arch])
    assert counted(network(released(arch), **IMAGENET), 224) == expected
    assert evaluation_count(released(arch), **IMAGENET, side=224) == expected
    if arch == "DARTS_V2":
        assert expected.params == 4_718_752
        assert millions(expected.params, 1) == 4.7


@pytest.mark.claim("C-SNT2a", "C-SNT2b")
def test_exact_parameters_against_table_2() -> None:
    """The darts row of the first order is V1, that of the second order V2."""
    count = {arch: evaluation_count(released(arch), **CIFAR, side=32).params for arch in COUNTS.index}
    printed = papers.printed("snas_table2").set_index("architecture")["params_M"]
    rows = {
        "DARTS_V1": "DARTS (1st order bi-level) + cutout",
        "DARTS_V2": "DARTS (2nd order bi-level) + cutout",
        **{f"SNAS_{c}": f"SNAS (single-level) + {c} constraint + cutout" for c in ("mild", "moderate", "aggressive")},
    }
    agrees = {arch: millions(count[arch], 1) == printed[row] for arch, row in rows.items()}
    assert [arch for arch, same in agrees.items() if same] == ["DARTS_V2", "SNAS_moderate", "SNAS_aggressive"]
    assert [printed[rows[arch]] for arch in ("DARTS_V2", "SNAS_moderate", "SNAS_aggressive")] == [3.3, 2.8, 2.3]
    assert (millions(count["SNAS_mild"], 2), printed[rows["SNAS_mild"]]) == (2.66, 2.9)
    assert (millions(count["DARTS_V1"], 2), printed[rows["DARTS_V1"]]) == (3.17, 3.3)


@pytest.mark.claim("C-SNT3a", "C-SNT3b", "C-SNT3c")
def test_exact_counts_against_table_3() -> None:
    count = {arch: evaluation_count(released(arch), **IMAGENET, side=224) for arch in COUNTS.index}
    archs = ("DARTS_V2", "SNAS_mild", "SNAS_moderate")
    assert [millions(count[arch].params, 2) for arch in archs] == [4.72, 3.94, 4.31]
    table = papers.printed("snas_table3").set_index("architecture")
    printed = [table["madds_M"][row] for row in ("DARTS", "SNAS (mild constraint)", "SNAS (mild constraint)")]
    ratios = [p * 1e6 / count[arch].madds for p, arch in zip(printed, archs, strict=True)]
    assert [round(ratio, 2) for ratio in ratios] == [1.12, 1.19, 1.12]
    searched = table[table["search_method"] != "manual"]
    assert len(searched) == 9
    assert (searched["madds_M"] < 600).all()


def test_exact_empty_nodes_are_counted_as_zero_maps() -> None:
    """Without the two empty nodes of its reduction cell, SNAS's aggressive network would be smaller than printed."""
    genotype = released("SNAS_aggressive")
    assert genotype.reduce is not None
    dropped = Genotype(genotype.normal, replace(genotype.reduce, output=(2, 3)))
    assert evaluation_count(dropped, **CIFAR, side=32).params == 2_209_942
    assert counted(network(dropped, **CIFAR), 32) == evaluation_count(dropped, **CIFAR, side=32)


@st.composite
def genotypes(draw: st.DrawFn) -> CellGenotype:
    """Any cell of one or two inputs, parallel edges and empty nodes included."""
    inputs, nodes = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    pairs = [(i, j) for j in range(inputs, inputs + nodes) for i in range(j)]
    edges = st.lists(st.tuples(st.sampled_from(pairs), st.sampled_from(sorted(EVALUATED))), max_size=6)
    output = draw(st.sets(st.integers(inputs, inputs + nodes - 1), min_size=1))
    return CellGenotype(inputs, nodes, tuple((i, j, op) for (i, j), op in draw(edges)), tuple(sorted(output)))


@settings(max_examples=20)
@given(genotypes(), genotypes(), st.sampled_from(sorted(STEMS)), st.integers(1, 7), st.integers(1, 4), st.data())
def test_property_closed_form(
    normal: CellGenotype, reduce: CellGenotype, stem: str, layers: int, half: int, data: st.DataObject
) -> None:
    genotype = Genotype(normal, reduce if data.draw(st.booleans()) else None)
    size = {"channels": 2 * half, "layers": layers, "classes": data.draw(st.integers(1, 20)), "stem": stem}
    side = data.draw(st.sampled_from((7, 14, 16, 32)))
    assert counted(network(genotype, **size), side) == evaluation_count(genotype, **size, side=side)


def test_exact_parameters_of_a_cell_with_one_input() -> None:
    """It reads the cell before it and nothing else: stem 132, cells 296 and 280, classifier 90."""
    cell = CellGenotype(1, 2, ((0, 1, "sep_conv_3x3"), (0, 2, "max_pool_3x3"), (1, 2, "sep_conv_3x3")), (1, 2))
    size = {"channels": 4, "layers": 2, "classes": 10, "in_channels": 1}
    model = network(Genotype(cell), **size)
    parts = [parameters(part) for part in (model.stem, *model.cells, model.classifier)]
    assert parts == [132, 296, 280, 90]
    assert parameters(model) == evaluation_count(Genotype(cell), **size, side=8).params == 798
    first = model.cells[0]
    x = torch.randn(2, 12, 8, 8, generator=generator())
    assert torch.equal(first(x + 1, x, 0.0, None), first(x, x, 0.0, None))


def test_odd_channels_are_counted_like_even_ones() -> None:
    """A reduction cell has twice the channels, so its halves are whole; only the ImageNet stem needs an even number."""
    size = {"channels": 3, "layers": 3, "classes": 10}
    assert counted(network(released("DARTS_V2"), **size), 8) == evaluation_count(released("DARTS_V2"), **size, side=8)


@pytest.mark.parametrize(("stem", "side"), [("cifar", 32), ("imagenet", 224)])
def test_exact_resolutions_of_the_two_inputs(stem: str, side: int) -> None:
    """The first cell reads 32x32 pixels twice, or 56x56 (its older input) and 28x28, and keeps the smaller side."""
    model = network(released("DARTS_V2"), layers=3, stem=stem).eval()
    seen: list[tuple[int, ...]] = []
    model.cells[0].register_forward_hook(lambda m, a, out: seen.extend((a[0].shape, a[1].shape, out.shape)))
    model(torch.zeros(1, 3, side, side))
    assert (
        seen
        == {
            "cifar": [(1, 12, 32, 32), (1, 12, 32, 32), (1, 16, 32, 32)],
            "imagenet": [(1, 4, 56, 56), (1, 4, 28, 28), (1, 16, 28, 28)],
        }[stem]
    )


@pytest.mark.parametrize(("stem", "side", "at", "width"), [("cifar", 32, 8, 36), ("imagenet", 224, 7, 4)])
def test_exact_auxiliary_classifier(stem: str, side: int, at: int, width: int) -> None:
    """476,426 parameters at 36 channels on CIFAR-10; it stands after cell 2/3 and answers in training only."""
    size = {"channels": width, "layers": 3, "stem": stem}
    plain, extra = (network(released("DARTS_V2"), **size, auxiliary=a) for a in (False, True))
    added = parameters(extra) - parameters(plain)
    madds = multiply_adds(extra.tower, torch.zeros(1, 16 * width, at, at))
    assert Count(added, madds) == auxiliary_count(16 * width, 10, stem)
    assert added == 476_426 or stem == "imagenet"
    assert extra.tower_at == 2
    images = torch.randn(2, 3, side, side, generator=generator())
    logits, auxiliary = extra(images)
    assert logits.shape == auxiliary.shape == (2, 10)
    assert extra.eval()(images)[1] is None
    assert plain(images)[1] is None


def rows(*edges: str) -> tuple[tuple[int, int, str], ...]:
    """Edges of a cell of two inputs from ``source operation``, two for each node in turn."""
    split = [edge.split() for edge in edges]
    return tuple((int(source), 2 + e // 2, op) for e, (source, op) in enumerate(split))


# Genotypes as people post them, with the parameters of their networks of 20 cells, without and with auxiliary tower.
P_DARTS = Genotype(
    CellGenotype(2, 4, rows(
        "0 skip_connect", "1 dil_conv_3x3", "0 skip_connect", "1 sep_conv_3x3",
        "1 sep_conv_3x3", "3 sep_conv_3x3", "0 sep_conv_3x3", "4 dil_conv_5x5",
    ), (2, 3, 4, 5)),
    CellGenotype(2, 4, rows(
        "0 avg_pool_3x3", "1 sep_conv_5x5", "0 sep_conv_3x3", "2 dil_conv_5x5",
        "0 max_pool_3x3", "1 dil_conv_3x3", "1 dil_conv_3x3", "3 dil_conv_5x5",
    ), (2, 3, 4, 5)),
)  # fmt: skip
ON_FASHION = Genotype(
    CellGenotype(2, 4, rows(
        "0 max_pool_3x3", "1 dil_conv_5x5", "0 max_pool_3x3", "1 sep_conv_3x3",
        "1 sep_conv_5x5", "3 sep_conv_3x3", "4 sep_conv_5x5", "3 dil_conv_5x5",
    ), (2, 3, 4, 5)),
    CellGenotype(2, 4, rows(
        "1 sep_conv_3x3", "0 avg_pool_3x3", "0 avg_pool_3x3", "2 skip_connect",
        "3 skip_connect", "0 avg_pool_3x3", "2 sep_conv_3x3", "3 skip_connect",
    ), (2, 3, 4, 5)),
)  # fmt: skip


@pytest.mark.parametrize(("genotype", "channels", "images", "plain", "towered"), [
    (P_DARTS, 36, (3, 32, 32), 3_433_798, 3_910_224),
    (ON_FASHION, 16, (1, 28, 28), 759_386, 1_194_852),
])  # fmt: skip
def test_exact_posted_genotypes(
    genotype: Genotype, channels: int, images: tuple[int, int, int], plain: int, towered: int
) -> None:
    """The tower of the second stands on 7x7 pixels, which a stride of 3 would leave at one."""
    size = {"channels": channels, "layers": 20, "in_channels": images[0]}
    assert parameters(network(genotype, **size)) == plain
    model = network(genotype, **size, auxiliary=True)
    assert parameters(model) == towered
    logits, auxiliary = model(torch.randn(2, *images, generator=generator()))
    assert logits.shape == auxiliary.shape == (2, 10)


@given(st.integers(6, 40), st.integers(6, 40))
def test_property_the_tower_pools_to_four_pixels(height: int, width: int) -> None:
    """Whatever the map, and each from 5x5 pixels that together touch its four corners."""
    x = torch.randn(2, 3, height, width, dtype=torch.float64, generator=generator())
    out = TowerPool()(x)
    assert out.shape == (2, 3, 2, 2)
    corners = [x[:, :, :5, :5], x[:, :, :5, -5:], x[:, :, -5:, :5], x[:, :, -5:, -5:]]
    means = torch.stack([corner.mean((2, 3)) for corner in corners], -1)
    torch.testing.assert_close(out.flatten(2), means)


@pytest.mark.parametrize(("side", "stride"), [(8, 3), (7, 2)])
def test_exact_the_tower_is_the_published_one(side: int, stride: int) -> None:
    """Stride 3 on CIFAR-10, stride 2 on ImageNet, bit for bit."""
    x = torch.randn(2, 3, side, side, generator=generator())
    assert torch.equal(TowerPool()(x), nn.AvgPool2d(5, stride, count_include_pad=False)(x))


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (1, 1)])
def test_a_map_too_small_for_the_tower_is_named(shape: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=f"maps of 6x6 pixels or more, not {shape[0]}x{shape[1]}"):
        TowerPool()(torch.zeros(1, 2, *shape))


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
    """Zero, or rescaled; the share of zeros is the probability."""
    y = kept_paths((20_000, 3), 0.2, generator())
    assert y.shape == (20_000, 3)
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


@pytest.mark.parametrize(("drop", "draws", "sentence"), [
    (0.3, None, "drop-path with probability 0.3 needs a generator"),
    (1.0, generator(), "must be 0 or more and below 1, not 1.0"),
    (-0.1, generator(), "must be 0 or more and below 1, not -0.1"),
    (float("nan"), generator(), "must be 0 or more and below 1, not nan"),
])  # fmt: skip
def test_drop_path_that_would_do_nothing_or_harm_is_refused(
    drop: float, draws: torch.Generator | None, sentence: str
) -> None:
    model = network(released("DARTS_V2"), layers=1)
    for mode in (True, False):
        with pytest.raises(UserError, match=sentence):
            model.train(mode)(torch.zeros(2, 3, 8, 8), drop, draws)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"channels": 0}, "channels must be 1 or more, not 0"),
    ({"layers": 0}, "layers must be 1 or more, not 0"),
    ({"classes": 0}, "classes must be 1 or more, not 0"),
    ({"in_channels": 0}, "in_channels must be 1 or more, not 0"),
    ({"channels": 3, "stem": "imagenet"}, "imagenet stem halves the channels, so they must be even, not 3"),
    ({"stem": "mnist"}, "unknown stem 'mnist'"),
])  # fmt: skip
def test_numbers_that_make_no_network_are_refused(change: dict[str, Any], sentence: str) -> None:
    """By the network and by the closed form."""
    size = {"channels": 4, "layers": 2, "classes": 10, "in_channels": 3} | change
    with pytest.raises(UserError, match=sentence):
        network(released("DARTS_V2"), **size)
    with pytest.raises(UserError, match=sentence):
        evaluation_count(released("DARTS_V2"), **size, side=32)


def test_unknown_operation_is_named() -> None:
    """By the network and by the closed form."""
    genotype = Genotype(CellGenotype(2, 1, ((0, 2, "sep_conv_9x9"),), (2,)))
    with pytest.raises(UserError, match="unknown operation 'sep_conv_9x9'"):
        network(genotype)
    with pytest.raises(UserError, match="unknown operation 'sep_conv_9x9'"):
        evaluation_count(genotype, **CIFAR, side=32)


def test_an_operation_registered_later_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is built for the search, also where it takes the place of another."""
    cost = OPERATIONS["skip_connect"].cost
    for name in ("conv_1x1", "sep_conv_3x3"):
        build = lambda channels, stride, style: nn.Conv2d(channels, channels, 1, stride)  # noqa: E731
        monkeypatch.setitem(OPERATIONS, name, Operation(name, build, cost))
        model = network(Genotype(CellGenotype(2, 1, ((0, 2, name),), (2,))), layers=1)
        assert isinstance(model.cells[0].operations[0], nn.Conv2d)
