"""The fused supernet against the plain one, which is its definition."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from equality import (
    TOPOLOGIES,
    assert_as_near,
    assert_case_equal,
    assert_equal,
    assert_equal_training,
    cases,
    gates_of,
    pair,
)
from hypothesis import given
from small import NOT_NONE, batch, generator, kept_paths, mixture, network, random_path, shape_of_gates
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from nas_core.backends import depthwise, native
from nas_core.backends.formulations import FORMULATIONS, possible
from nas_core.backends.fused import FusedSupernet, rectangles
from nas_core.backends.grouped import pointwise
from nas_core.cells.operations import CANDIDATES, Style
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import Topology, darts_cell, modified_cell


@given(cases())
def test_property_fused_is_plain(case: dict[str, Any]) -> None:
    """Logits, gradients and running statistics, for any network, image size and gates, in either mode."""
    assert_case_equal(FusedSupernet, case)


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda t: f"{t.name}{t.nodes}")
@pytest.mark.parametrize("side", [2, 7, 8])
def test_exact_fused_is_plain(topology: Topology, side: int) -> None:
    """All operations, with reductions, mixed and sampled."""
    for affine in (False, True):
        plain, model = pair(topology=topology, layers=3, affine=affine)
        images, labels = batch(5, side)
        for kind in ("mixture", "one-hot", "sparse"):
            for path_factors in (None, kept_paths(plain, 5, 0.3, side)):
                assert_equal(plain, model, gates_of(plain, kind, side), images, labels, path_factors)


@pytest.mark.parametrize("big", [False, True])
def test_exact_maps_joined_or_not(monkeypatch: pytest.MonkeyPatch, big: bool) -> None:
    monkeypatch.setattr("nas_core.backends.stage.SMALL", 0 if big else 2**40)
    plain, model = pair(topology=darts_cell(3), layers=3, affine=True)
    assert_equal(plain, model, mixture(plain), *batch())


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("channels", [1, 4, 8, 24])
def test_exact_packing_of_pointwise_convolutions(slots: int, channels: int) -> None:
    x = torch.randn(3, slots * channels, 5, 5, dtype=torch.float64, generator=generator())
    p = torch.randn(slots, channels, channels, dtype=torch.float64, generator=generator(1))
    expected = torch.einsum("bsihw,soi->bsohw", x.unflatten(1, (slots, channels)), p).flatten(1, 2)
    torch.testing.assert_close(pointwise(x, p), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_exact_depthwise_gradients(dtype: torch.dtype, kernel: int, stride: int, dilation: int) -> None:
    """Against autograd, at every small height and width; float32 has kernels of its own."""
    for height in (1, 2, 3, 4, 5, 7, 8, 16):
        for width in (1, 2, 3, 6, 7, 8):
            x = torch.randn(2, 4, height, width, dtype=dtype, generator=generator())
            w = torch.randn(4, 1, kernel, kernel, dtype=dtype, generator=generator(1))
            x = x.contiguous(memory_format=torch.channels_last)
            inputs, wide = x.double().requires_grad_(), w.double().requires_grad_()
            y = F.conv2d(inputs, wide, None, stride, dilation * (kernel // 2), dilation, 4)
            g = torch.randn(y.shape, dtype=dtype, generator=generator(2)).contiguous(memory_format=torch.channels_last)
            gx, gw = torch.autograd.grad(y, [inputs, wide], g.double())
            close = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 1e-4}
            where = stride, dilation
            torch.testing.assert_close(depthwise.convolution(x, w, *where).double(), y, **close)
            torch.testing.assert_close(depthwise.input_gradient(g, x, w, *where).double(), gx, **close)
            torch.testing.assert_close(depthwise.weight_gradient(g, x, w, *where).double(), gw, **close)


@pytest.mark.parametrize("one_hot", [False, True])
def test_exact_twenty_training_steps(one_hot: bool) -> None:
    assert_equal_training(*pair(topology=darts_cell(3), layers=3), one_hot)


def test_float32_is_as_near_to_float64_as_plain() -> None:
    assert_as_near(FusedSupernet)


def test_state_loads_both_ways() -> None:
    """Names, order, shapes and buffers; and the fused one has nothing else to save."""
    plain, model = pair(topology=darts_cell(2), layers=2, affine=True)
    model(batch()[0], mixture(plain))
    assert list(plain.state_dict()) == list(model.state_dict())
    assert [n for n, _ in plain.named_parameters()] == [n for n, _ in model.named_parameters()]
    plain.load_state_dict(model.state_dict())
    again = copy.deepcopy(model)
    assert_equal(plain, again, mixture(plain), *batch())
    assert model.cell_type == plain.cell_type
    assert model.edge_costs(8) == plain.edge_costs(8)


def test_weights_are_drawn_as_the_plain_ones() -> None:
    settings = {"channels": 4, "layers": 2, "classes": 10, "in_channels": 1, "reductions": True, "head_bias": False}
    first, second = (
        formulation(network().space, generator=generator(4), **settings) for formulation in (Supernet, FusedSupernet)
    )
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_which_formulations_can_compute_what(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest last; native only where it was built, and on a processor."""
    for change in ({"normaliser": "instance"}, {"normaliser": "layer"}, {"order": "crb"}, {"order": "cbr"}):
        assert possible(Style(**change), twice=False, device="cpu") == ("plain",)
    assert possible(Style(), twice=True, device="cpu") == ("plain",)
    assert possible(Style(affine=True, eps=0.1), twice=False, device="cpu") == ("plain", "fused")
    monkeypatch.setattr(native, "built", lambda: True)
    assert possible(Style(), twice=False, device="cpu") == ("plain", "fused", "native") == tuple(FORMULATIONS)
    assert possible(Style(), twice=False, device="cuda") == ("plain", "fused")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_exact_fused_is_plain_on_cuda() -> None:
    plain, model = (m.cuda() for m in pair(topology=darts_cell(3), layers=3, affine=True))
    for kind in ("mixture", "one-hot"):
        arguments = [t.cuda() for t in (gates_of(plain, kind, 0), *batch(5, 7), kept_paths(plain, 5, 0.3, 0))]
        assert_equal(plain, model, *arguments)


def test_exact_cumulative_statistics() -> None:
    """A batch norm without momentum averages over all batches: so recalibration sets it."""
    plain, model = pair(topology=darts_cell(2), layers=3)
    for m in (plain, model):
        update_bn([(batch(seed=seed)[0], None) for seed in range(3)], _Mixed(m))
    for (name, a), b in zip(plain.named_buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, msg=name)


class _Mixed(nn.Module):
    """A supernet with its gates set."""

    def __init__(self, model: Supernet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images, mixture(self.model))


def test_exact_without_running_statistics() -> None:
    """Then evaluation mode, too, normalises by the batch."""
    plain, model = pair(topology=darts_cell(2), layers=3)
    for m in (plain, model):
        for norm in m.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    for training in (True, False):
        assert_equal(plain.train(training), model.train(training), mixture(plain), *batch())


def test_one_pixel_cannot_be_normalised() -> None:
    plain, model = pair(topology=darts_cell(1), reductions=True)
    images, _ = batch(1, 2)  # one pixel behind the reduction
    for m in (plain, model):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
            m(images, mixture(plain))


def saved_bytes(model: Supernet, gates: Tensor, images: Tensor) -> int:
    """What a forward pass keeps for the backward pass, every memory once."""
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        logits = model(images, gates.requires_grad_())
    assert logits.requires_grad
    return sum(kept.values())


def test_memory_of_a_mixture() -> None:
    plain, model = pair(topology=darts_cell(4), channels=8, reductions=False)
    images, _ = batch(32, 8)
    assert saved_bytes(model, mixture(plain), images) < 0.55 * saved_bytes(plain, mixture(plain), images)


@pytest.mark.parametrize("reductions", [False, True])
def test_what_is_not_drawn_is_neither_computed_nor_kept(reductions: bool) -> None:
    """A path is as small as a network that has nothing else; the batches seen by each norm are those of its draws."""
    plain, model = pair(topology=darts_cell(4), layers=3, reductions=reductions)
    images, _ = batch(32, 8)
    gates = random_path(plain, NOT_NONE, seed=1)
    assert saved_bytes(model, gates, images) <= saved_bytes(plain, gates, images)
    assert saved_bytes(model, gates, images) < saved_bytes(model, mixture(plain), images) / 2
    before = {name: b.clone() for name, b in model.named_buffers()}
    model(images, gates)
    drawn = {(layer, e, k) for layer, e, k in gates.detach().nonzero().tolist()}
    moved = {name for name, b in model.named_buffers() if "num_batches" in name and b != before[name]}
    for name in before:
        if "operations" in name and "num_batches" in name:
            _, layer, _, e, k, *_ = name.split(".")
            assert (name in moved) == ((int(layer), int(e), int(k)) in drawn)


def test_sampled_operations_are_the_only_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a path of pools and skips not one depthwise convolution runs; of a mixture, one for all slots of a stage."""
    channels: list[int] = []
    convolution = depthwise.convolution

    def count(x: Tensor, w: Tensor, *where: int) -> Tensor:
        channels.append(x.shape[1])
        return convolution(x, w, *where)

    monkeypatch.setattr(depthwise, "convolution", count)
    plain, model = pair(topology=darts_cell(4), reductions=False)
    model(batch()[0], random_path(plain, ("max_pool_3x3", "skip_connect"), seed=0))
    assert channels == []
    model(batch()[0], mixture(plain))
    assert channels == [4 * slots for slots in (8, 3, 2, 1) for _ in range(6)]


@pytest.mark.parametrize("wanted", ["gates", "weights"])
def test_only_wanted_gradients_are_computed(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """A step on the gates computes no gradient of a filter, and in the first stage none of a map."""
    calls: list[str] = []
    for name in ("weight_gradient", "input_gradient"):
        original = getattr(depthwise, name)
        monkeypatch.setattr(depthwise, name, lambda *a, n=name, f=original: (calls.append(n), f(*a))[1])
    _, model = pair(topology=darts_cell(2), reductions=False)
    gates = mixture(model).requires_grad_()
    images, labels = batch()
    loss = F.cross_entropy(model(images, gates), labels)
    torch.autograd.grad(loss, [gates] if wanted == "gates" else list(model.parameters()))
    # Two stages of six depthwise convolutions.
    assert calls.count("weight_gradient") == (0 if wanted == "gates" else 12)
    assert calls.count("input_gradient") == (6 if wanted == "gates" else 12)


def test_exact_dead_ends_have_no_gradient() -> None:
    """What was drawn but leads nowhere keeps its weights, and its running statistics move, as in the plain one."""
    plain, model = pair(topology=modified_cell(), layers=2, reductions=False)
    for ops in (("sep_conv_3x3", "dil_conv_5x5", "none"), ("sep_conv_3x3", "none", "none"), ("none",) * 3):
        gates = torch.zeros(shape_of_gates(plain), dtype=torch.float64)
        for e, op in enumerate(ops):
            gates[:, e, CANDIDATES.index(op)] = 1
        assert_equal(plain, model, gates, *batch())
    # A stage of two targets, of which only one leads on.
    gates = mixture(plain) * (torch.arange(3) < 2)[:, None]
    assert_equal(plain, model, gates, *batch())


def test_exact_observed_gates_get_their_cost() -> None:
    """The gradient of a gate that is zero is <dL/dX, O(x)>; nothing else changes, statistics of what is seen aside."""
    _, model = pair(topology=darts_cell(3), layers=2, reductions=True)
    images, labels = batch()
    gates = random_path(model, NOT_NONE, seed=3)
    observed = random_path(model, NOT_NONE, seed=4).bool()
    tiny, h = gates.clone().requires_grad_(), 1e-6
    plain_cost = torch.autograd.grad(F.cross_entropy(model(images, tiny), labels), tiny)[0]
    z = gates.clone().requires_grad_()
    older = newer = model.stem(images)
    for layer, cell in enumerate(model.cells):
        older, newer = newer, cell((older, newer), z[layer], observed[layer])
    loss = F.cross_entropy(model.classifier(newer.mean((2, 3))), labels)
    cost = torch.autograd.grad(loss, z)[0]
    drawn = gates != 0
    torch.testing.assert_close(cost[drawn], plain_cost[drawn], rtol=1e-10, atol=1e-13)
    assert (cost[~drawn & ~observed] == 0).all()
    for place in (observed & ~drawn).nonzero().tolist()[::5]:
        step = torch.zeros_like(gates)
        step[tuple(place)] = h
        with torch.no_grad():
            ends = [F.cross_entropy(model(images, gates + s), labels) for s in (step, -step)]
            slope = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(cost[tuple(place)], slope, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_second_derivative_is_an_error(one_hot: bool) -> None:
    """Not a wrong number, which is what autograd would give if only part of the graph were differentiable."""
    _, model = pair(reductions=False)
    gates = (random_path(model, ("sep_conv_3x3",), 0) if one_hot else mixture(model)).requires_grad_()
    images, labels = batch()
    loss = F.cross_entropy(model(images, gates), labels)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss, list(model.parameters()), create_graph=True)


def test_rectangles() -> None:
    """A mixture is one rectangle; a path falls into one for each operation and set of targets."""
    topology = darts_cell(2)
    all_drawn = ((True, True, False),) * 5
    assert rectangles(topology, (0, 1), all_drawn) == (((0, 1), (2, 3), (0, 1)),)
    assert rectangles(topology, (2,), all_drawn) == (((2,), (3,), (0, 1)),)
    rows = [[True, False], [False, True], [True, False], [True, False], [False, False]]
    found = rectangles(topology, (0, 1), tuple(map(tuple, rows)))
    assert set(found) == {((0,), (2, 3), (0,)), ((1,), (3,), (0,)), ((1,), (2,), (1,))}
    assert rectangles(topology, (2,), tuple(map(tuple, rows))) == ()
