"""The supernet with its stages in C++ against the plain one, which is its definition."""

import copy
import shutil
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from declared import SPECIAL, assert_undeclared_equal, registered, undeclared_cases
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
from small import batch, generator, mixture, network
from torch import nn
from torch.utils import cpp_extension

from nas_core.backends import native
from nas_core.backends.native import NativeSupernet
from nas_core.backends.stage import Stage
from nas_core.cells import operations
from nas_core.cells.operations import CANDIDATES
from nas_core.cells.topology import Topology, darts_cell, simplified_cell
from nas_core.errors import UserError

LIBRARY = native.library
needs_library = pytest.mark.usefixtures("library")
SETTINGS = {"channels": 4, "layers": 1, "classes": 10, "in_channels": 1, "reductions": False, "head_bias": False}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The library, built aside if it was not built here, so that nothing else starts to use it."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            native.load()
        except UserError:
            place = tmp_path_factory.mktemp("native") / native.library().name
            patch.setattr(native, "library", lambda: place)
            try:
                native.build()
            except UserError as error:
                if "no C++ compiler" not in str(error):
                    raise
                pytest.skip(str(error))
        yield


def forbid(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    def called(*_: Any) -> None:
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(owner, name, called)


@needs_library
@given(cases(channels=(2, 4, 8, 12)))
def test_property_native_is_plain(case: dict[str, Any]) -> None:
    """Logits, gradients and running statistics, for any network, image size and gates, in either mode."""
    assert_case_equal(NativeSupernet, case)


@needs_library
@given(undeclared_cases(tuple(op for op in CANDIDATES if op != "max_pool_3x3")))
def test_property_native_is_plain_for_undeclared_operations(case: dict[str, Any]) -> None:
    """Without maxima, since a maximum of maxima has ties, and round-off says which pixel gets the gradient."""
    assert_undeclared_equal(NativeSupernet, case)


@needs_library
@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("reductions", [False, True])
def test_exact_each_undeclared_operation(name: str, reductions: bool) -> None:
    with registered({name: SPECIAL[name]}):
        candidates = (name, "sep_conv_3x3", "max_pool_3x3", "skip_connect")
        plain, model = pair(
            NativeSupernet, topology=simplified_cell(), candidates=candidates, layers=3, reductions=reductions
        )
    training = name != "dropout"
    assert_equal(plain.train(training), model.train(training), mixture(plain), *batch(5, 8))


@needs_library
@pytest.mark.parametrize("reductions", [False, True])
def test_exact_declared_under_another_name(reductions: bool) -> None:
    """A filter of width 7, which native.cpp does not have, and a second skip, for which it has no room."""
    skips = registered({"second skip": operations.skip}, "skip")
    wide = registered({"sep_conv_7x7": operations.separable(7, 2)}, "separable")
    with skips, wide:
        candidates = ("second skip", "sep_conv_7x7", "skip_connect", "dil_conv_3x3")
        plain, model = pair(
            NativeSupernet, topology=darts_cell(3), candidates=candidates, layers=3, reductions=reductions
        )
    assert_equal(plain, model, mixture(plain), *batch(5, 9))


@needs_library
@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda t: f"{t.name}{t.nodes}")
@pytest.mark.parametrize("side", [2, 7, 8])
@pytest.mark.parametrize("channels", [4, 8])
def test_exact_native_is_plain(topology: Topology, side: int, channels: int) -> None:
    """All operations, with reductions, mixed and sampled."""
    for affine in (False, True):
        plain, model = pair(NativeSupernet, topology=topology, layers=3, affine=affine, channels=channels)
        images, labels = batch(5, side)
        for kind in ("mixture", "one-hot", "sparse"):
            assert_equal(plain, model, gates_of(plain, kind, side), images, labels)


@needs_library
@pytest.mark.parametrize("op", CANDIDATES[4:])
@pytest.mark.parametrize("training", [False, True])
def test_exact_each_convolution(op: str, training: bool) -> None:
    """Alone, at odd and even sizes, wider and narrower than a row of pixels that is computed at once."""
    plain, model = pair(NativeSupernet, topology=darts_cell(2), layers=3, candidates=(op, "skip_connect"), channels=8)
    for side in (1, 3, 4, 5, 9, 12, 17):
        assert_equal(plain.train(training), model.train(training), mixture(plain), *batch(3, side))


@needs_library
@pytest.mark.parametrize("one_hot", [False, True])
def test_exact_twenty_training_steps(one_hot: bool) -> None:
    assert_equal_training(*pair(NativeSupernet, topology=darts_cell(3), layers=3), one_hot)


@needs_library
@pytest.mark.parametrize("channels", [4, 8, 16])
def test_float32_is_as_near_to_float64_as_plain(channels: int) -> None:
    assert_as_near(NativeSupernet, channels)


@needs_library
def test_float32_variance_of_a_large_mean() -> None:
    """Squares are taken about the mean: those of a map of mean 1000 and deviation 1 do not cancel."""
    norm = nn.BatchNorm2d(8, momentum=1.0)
    layer = nn.Conv2d(8, 8, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(8)[:, :, None, None])
    x = 1000 + torch.randn(16, 8, 8, 8, generator=generator())
    native.load()
    native.Block(nn.Sequential(nn.ReLU(), layer, norm))(x)
    expected = x.double().transpose(0, 1).flatten(1).var(1)
    torch.testing.assert_close(norm.running_var.double(), expected, rtol=1e-4, atol=0)


@needs_library
def test_a_mixture_is_computed_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every stage, with and without reduction."""
    _, model = pair(NativeSupernet, topology=darts_cell(4), layers=3)
    forbid(monkeypatch, Stage, "__call__")
    model(batch()[0], mixture(model))


@needs_library
@pytest.mark.parametrize("change", [{"channels": 6}, {"candidates": ("max_pool_3x3", "avg_pool_3x3")}, "float16"])
def test_what_is_not_supported_is_fused(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any] | str) -> None:
    """Six channels, no convolution, another type; a supernet on a GPU is not tried here."""
    settings = change if isinstance(change, dict) else {}
    plain, model = pair(NativeSupernet, topology=darts_cell(3), reductions=False, **settings)
    images, labels = batch()
    assert_equal(plain, model, mixture(plain), images, labels)
    if change == "float16":
        gates, model, images = mixture(plain).bfloat16(), model.bfloat16(), images.bfloat16()
        forbid(monkeypatch, native._Native, "apply")
        assert model(images, gates).dtype == torch.bfloat16


@needs_library
def test_one_pixel_cannot_be_normalised() -> None:
    _, model = pair(NativeSupernet, topology=darts_cell(1), reductions=True)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        model(batch(1, 2)[0], mixture(model))


@needs_library
@pytest.mark.parametrize("statistics", ["cumulative", "none"])
def test_exact_unusual_statistics(statistics: str) -> None:
    """A batch norm without momentum averages over all batches; one without statistics always uses the batch's own."""
    plain, model = pair(NativeSupernet, topology=darts_cell(2), layers=3)
    for module in (*plain.modules(), *model.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            if statistics == "none":
                module.running_mean = module.running_var = module.num_batches_tracked = None
    for training in (True, True, False):
        assert_equal(plain.train(training), model.train(training), mixture(plain), *batch())


@needs_library
@pytest.mark.parametrize("wanted", ["gates", "weights"])
def test_only_wanted_gradients_are_computed(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """A step on the gates computes no gradient of a filter, and none of the maps that no gate changes."""
    calls: list[tuple[bool, bool]] = []
    _, model = pair(NativeSupernet, topology=darts_cell(2), reductions=False)
    operator = torch.ops.nas_core.stage_backward
    spy = lambda *a: (calls.append(a[-3:-1]), operator(*a))[1]  # noqa: E731
    monkeypatch.setattr(torch.ops.nas_core, "stage_backward", spy)
    gates = mixture(model).requires_grad_()
    images, labels = batch()
    loss = F.cross_entropy(model(images, gates), labels)
    torch.autograd.grad(loss, [gates] if wanted == "gates" else list(model.parameters()))
    # (maps, filters) of two stages, the last first; the inputs' blocks then read the stem.
    assert calls[:2] == ([(True, False), (False, False)] if wanted == "gates" else [(True, True)] * 2)
    assert calls[2:] == ([] if wanted == "gates" else [(True, True)] * 2)


@needs_library
def test_the_same_bits_with_any_number_of_threads() -> None:
    _, model = pair(NativeSupernet, topology=darts_cell(3), layers=3, channels=8)
    images, _ = batch()
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        with torch.no_grad():
            states = [model.stem(images)] * 2
        cell, gates = copy.deepcopy(model.cells[0]), mixture(model)[0].requires_grad_()
        out = cell([x.requires_grad_() for x in states], gates)
        found.append((out, *torch.autograd.grad(out.square().sum(), [gates, *cell.operations.parameters()])))
    torch.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a, b)


@needs_library
def test_a_second_derivative_is_an_error() -> None:
    _, model = pair(NativeSupernet, reductions=False)
    gates = mixture(model).requires_grad_()
    loss = F.cross_entropy(model(batch()[0], gates), batch()[1])
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss, list(model.parameters()), create_graph=True)


@needs_library
def test_state_loads_both_ways() -> None:
    """Names and buffers are those of the plain one, also after a copy."""
    plain, model = pair(NativeSupernet, topology=darts_cell(2), layers=2, affine=True)
    model(batch()[0], mixture(plain))
    assert list(plain.state_dict()) == list(model.state_dict())
    plain.load_state_dict(model.state_dict())
    assert_equal(plain, copy.deepcopy(model), mixture(plain), *batch())


def test_a_library_that_was_not_built_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(native, "library", lambda: tmp_path / "none.so")
    native.load.cache_clear()
    with pytest.raises(UserError, match="was not built for this version and this torch: make native builds it"):
        NativeSupernet(network().space, generator=generator(), **SETTINGS)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module as it is when imported, with the place of the library in an empty folder, and a source of one line."""
    spec = find_spec(native.__name__)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    source = tmp_path / "tiny.cpp"
    source.write_text('extern "C" int answer() { return 42; }\n')
    place = tmp_path / "build" / "native-0" / "nas_core_native.so"
    monkeypatch.setattr(module, "SOURCE", source)
    monkeypatch.setattr(module, "library", lambda: place)
    return module


needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")


@needs_compiler
def test_built_means_that_it_loads(fresh: ModuleType) -> None:
    """A file that is there is not enough: truncated, something else, or without what it must hash to."""
    assert not fresh.built()
    place = fresh.build()
    whole, digest = place.read_bytes(), place.with_suffix(".sha256")
    assert {path.name for path in place.parent.iterdir()} == {place.name, digest.name}
    for some in (whole[: len(whole) // 2], b"", whole + b"more"):
        place.write_bytes(some)
        assert not fresh.built()
        with pytest.raises(UserError, match="is damaged: make native builds it anew"):
            fresh.load()
    text = b"no library"
    place.write_bytes(text)
    digest.write_text(fresh.hashlib.sha256(text).hexdigest())
    assert not fresh.built()
    with pytest.raises(UserError, match="does not load, make native builds it anew"):
        fresh.load()
    place.unlink()
    place.write_bytes(whole)
    digest.unlink()
    assert not fresh.built()
    assert fresh.build() == place
    assert fresh.built()


@needs_compiler
def test_what_a_killed_build_left_does_not_stop_the_next(fresh: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a lock, for which older versions of torch wait for ever, nor half a library, nor another folder."""
    compiled = cpp_extension.load

    def load(*arguments: Any, build_directory: str, **settings: Any) -> Any:
        assert list(Path(build_directory).iterdir()) == [], "compiled where something else is"
        return compiled(*arguments, build_directory=build_directory, **settings)

    monkeypatch.setattr(cpp_extension, "load", load)
    place = fresh.library()
    (place.parent / "building-killed").mkdir(parents=True)
    for folder in (place.parent, place.parent / "building-killed"):
        (folder / "lock").touch()
        (folder / place.name).write_bytes(b"half")
    assert fresh.build() == place
    assert fresh.built()


@needs_compiler
def test_a_build_that_fails_leaves_nothing(fresh: ModuleType) -> None:
    fresh.SOURCE.write_text("no C++\n")
    with pytest.raises(UserError, match=r"could not compile tiny.cpp; searches work without it"):
        fresh.build()
    assert list(fresh.library().parent.iterdir()) == []
    assert not fresh.built()


@needs_compiler
def test_what_loads_is_not_built_again(fresh: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    place = fresh.build()
    forbid(monkeypatch, fresh, "_compile")
    assert fresh.build() == place


def test_no_compiler_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(native, "library", lambda: tmp_path / "none.so")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="no C\\+\\+ compiler 'no-such-compiler' was found"):
        native.build()


def test_another_torch_has_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    before = LIBRARY()
    monkeypatch.setattr(torch, "__version__", "2.99")
    assert LIBRARY() != before
