"""Chains of inverted bottlenecks: released networks against their logs, the space they come from, the blocks."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from closed_forms import Count, bottleneck, chain_count
from hypothesis import given, settings
from hypothesis import strategies as st
from small import generator
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from nas_core import papers
from nas_core.cells.chain import (
    MOBILENET_V2,
    PROXYLESS,
    ZERO,
    ChainNetwork,
    Choice,
    InvertedBottleneck,
    Macro,
    Slot,
    blocks,
    candidates,
    proxyless,
    released_chain,
    slots,
    space_size,
)
from nas_core.cells.counts import multiply_adds, parameters
from nas_core.errors import UserError

LOGS = papers.printed("proxyless_released").set_index("model")


def network(macro: Macro, choices: tuple[Choice, ...], classes: int = 1000) -> ChainNetwork:
    return ChainNetwork(macro, blocks(macro, choices), classes=classes, in_channels=3, generator=generator())


def counted(model: nn.Module, side: int) -> Count:
    return Count(parameters(model), multiply_adds(model, torch.zeros(1, 3, side, side)))


@pytest.mark.claim("C-N13b")
@pytest.mark.parametrize(("net", "count"), [
    ("mobile", Count(4_080_512, 320_427_584)),
    ("gpu", Count(7_119_848, 465_260_160)),
    ("cpu", Count(4_361_648, 439_243_864)),
])  # fmt: skip
def test_exact_counts_of_the_released_networks(net: str, count: Count) -> None:
    """Modules, closed form and the digits that the official logs print, in millions."""
    macro, choices = released_chain(net)
    assert chain_count(macro, choices, side=224, classes=1000) == count
    assert counted(network(macro, choices), 224) == count
    log = LOGS.loc[f"proxyless_{net}"]
    assert (round(count.params / 1e6, 2), round(count.madds / 1e6, 1)) == (log["params_M_log"], log["flops_M_log"])


def test_exact_counts_of_mobilenet_v2() -> None:
    count = Count(3_504_872, 300_774_272)
    assert counted(mobilenet_v2(), 224) == count
    assert chain_count(*MOBILENET_V2, side=224, classes=1000) == count


def test_mobilenet_v2_as_a_chain_has_the_layers_of_torchvision() -> None:
    """The same shapes in the same order."""
    ours = [p.shape for p in network(*MOBILENET_V2).parameters()]
    assert ours == [p.shape for p in mobilenet_v2().parameters()]


@pytest.mark.claim("C-N13")
def test_exact_size_of_the_imagenet_space() -> None:
    """21 blocks, 6 without a shortcut and 15 with one."""
    assert space_size() == 6**6 * 7**15 == 221_502_229_807_900_608
    sizes = [len(set(candidates(slot))) for slot in PROXYLESS.slots[1:]]
    assert sorted(sizes) == [6] * 6 + [7] * 15
    assert [slot for slot in PROXYLESS.slots[1:] if ZERO in candidates(slot)] == [
        slot for slot in PROXYLESS.slots[1:] if slot.residual
    ]


@pytest.mark.parametrize("net", ["mobile", "gpu", "cpu"])
def test_released_choices_are_candidates(net: str) -> None:
    macro, choices = released_chain(net)
    assert all(c in candidates(slot) for slot, c in zip(macro.slots[1:], choices[1:], strict=True))
    firsts = [i for i, slot in enumerate(macro.slots) if slot.stride == 2]
    assert firsts[0] == 1, "the first stage, after the fixed block"
    assert len(firsts) == 4


def test_unknown_network_is_named() -> None:
    with pytest.raises(UserError, match="unknown released network 'cqu'; did you mean 'cpu'"):
        released_chain("cqu")


def test_slots_of_stages() -> None:
    assert slots(3, [(4, 2, 2), (4, 1, 1)]) == (Slot(3, 4, 2), Slot(4, 4, 1), Slot(4, 4, 1))
    assert [slot.residual for slot in slots(3, [(4, 2, 2), (4, 1, 1)])] == [False, True, True]
    with pytest.raises(ValueError, match="zip"):
        proxyless((32, 16, 24, 1280), (4,))


KERNELS = st.sets(st.sampled_from((3, 5, 7, 9)), min_size=1).map(lambda kernels: tuple(sorted(kernels)))
CHOICES = st.builds(Choice, st.sampled_from((1, 2, 3, 6)), KERNELS)


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from((1, 2)), CHOICES, st.integers(3, 9))
def test_property_a_block_is_its_equation(inputs: int, outputs: int, stride: int, choice: Choice, side: int) -> None:
    """y = BN(W sum_k ReLU6(BN(D_k ReLU6(BN(E x))))), plus x where the shapes agree, in float64; and its closed form."""
    slot = Slot(inputs, outputs, stride)
    block = InvertedBottleneck(slot, choice).double()
    assert Count(parameters(block), multiply_adds(block, torch.zeros(1, inputs, side, side))) == bottleneck(
        slot, choice, side
    )
    x = torch.randn(3, inputs, side, side, dtype=torch.float64, generator=generator())
    weights = [m.weight for m in block.modules() if isinstance(m, nn.Conv2d)]

    def standard(y: Tensor) -> Tensor:
        return F.batch_norm(y, None, None, training=True)

    wide = x if choice.expansion == 1 else F.relu6(standard(F.conv2d(x, weights.pop(0))))
    paths = [
        F.relu6(standard(F.conv2d(wide, w, None, stride, w.shape[-1] // 2, groups=wide.shape[1]))) for w in weights[:-1]
    ]
    assert [w.shape[-1] for w in weights[:-1]] == list(choice.kernels)
    expected = standard(F.conv2d(torch.stack(paths).sum(0), weights[-1]))
    expected = expected + x if slot.residual else expected
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=20)
@given(st.data(), st.integers(1, 2), st.integers(1, 20), st.integers(5, 20))
def test_property_closed_form_of_a_chain(data: st.DataObject, stride: int, classes: int, side: int) -> None:
    """Zero included, which leaves the input as it is and counts nothing."""
    stages = data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 2), st.integers(1, 2)), min_size=1))
    macro = Macro(3, stride, slots(3, stages[:3]), 7)
    choices = tuple(data.draw(CHOICES | st.just(ZERO)) if slot.residual else data.draw(CHOICES) for slot in macro.slots)
    model = network(macro, choices, classes)
    assert counted(model, side) == chain_count(macro, choices, side=side, classes=classes)
    model.eval()
    assert model(torch.zeros(2, 3, side, side)).shape == (2, classes)


def test_zero_is_the_identity() -> None:
    macro = Macro(2, 1, (Slot(2, 2, 1),), 3)
    x = torch.randn(2, 2, 4, 4, generator=generator())
    assert blocks(macro, (ZERO,))[0](x) is x


def test_eps_reaches_every_batch_norm() -> None:
    """1e-3 in ProxylessNAS, with momentum 0.1."""
    norms = [m for m in network(*released_chain("mobile")).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.1)}
    assert len(norms) == 1 + 2 + 3 * 19 + 1


def test_exact_initial_weights() -> None:
    """Standard deviation sqrt(2 / (k^2 C_out)) of convolutions, uniform up to 1/sqrt(classes) in the classifier."""
    model = network(Macro(64, 1, (Slot(64, 96, 1),), 512), (Choice(6, (3, 5)),), classes=10)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    for layer in convolutions:
        law = math.sqrt(2 / (layer.kernel_size[0] ** 2 * layer.out_channels))
        n = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(law, rel=5 / math.sqrt(2 * n))
    weight = model.classifier.weight
    assert 0.99 / math.sqrt(10) < weight.abs().max().item() <= 1 / math.sqrt(10)
    assert not model.classifier.bias.any()
    again = network(Macro(64, 1, (Slot(64, 96, 1),), 512), (Choice(6, (3, 5)),), classes=10)
    assert all(torch.equal(a, b) for a, b in itertools.zip_longest(model.parameters(), again.parameters()))
