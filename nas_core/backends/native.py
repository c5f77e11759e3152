"""The stage in C++, for processors: native.cpp, which says how. ``make native`` builds it; nothing else needs it.

What it does not support, :class:`NativeStage` leaves to the stage that it derives from, with the same numbers.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas_core.backends.fused import FusedCell, FusedSupernet
from nas_core.backends.grouped import Fixed, first_order, joined, wanted
from nas_core.backends.stage import Convolutions, Depthwise, Mixture, Norms, Reductions, Stage, stacked
from nas_core.cells.operations import FactorizedReduce
from nas_core.cells.supernet import Space
from nas_core.errors import UserError

SOURCE = Path(__file__).with_suffix(".cpp")
LANES = 4  # the number of channels must be a multiple
KERNELS = (3, 5)  # widths of depthwise filters that native.cpp has


def _flags() -> list[str]:
    flags = ["-O3", "-ffp-contract=fast", "-Wno-psabi"]
    vectors = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    if vectors and platform.machine() in ("x86_64", "AMD64"):
        flags += ["-mavx2", "-mfma"]
    return flags


def library() -> Path:
    """Where the library belongs that was built from this source for this torch and this kind of processor."""
    kind = [torch.__version__, platform.machine(), " ".join(_flags())]
    parts = [SOURCE.read_bytes(), *(text.encode() for text in kind)]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return SOURCE.parents[2] / "build" / f"native-{key}" / "nas_core_native.so"


def _digest_file(place: Path) -> Path:
    """What a library must hash to stands beside it, since to load a truncated one may end the process."""
    return place.with_suffix(".sha256")


def _whole(place: Path) -> bool:
    """Whether the library is there as it was built."""
    stated = _digest_file(place)
    if not place.is_file() or not stated.is_file():
        return False
    return hashlib.sha256(place.read_bytes()).hexdigest() == stated.read_text()


def build() -> Path:
    """Compile the library, half a minute, and load it; a :class:`UserError` if there is nothing to compile with.

    It is compiled in a folder of its own and moved into place when done, so that whatever ends this leaves neither a
    lock nor half a library there. One that loads already is left alone.
    """
    place = library()
    if built():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=place.parent) as folder:
        made = _compile(place.stem, Path(folder))
        digest = Path(folder) / "digest"
        digest.write_text(hashlib.sha256(made.read_bytes()).hexdigest())
        os.replace(made, place)
        os.replace(digest, _digest_file(place))
    return place


def _compile(name: str, folder: Path) -> Path:
    """The library of :data:`SOURCE`, made in an empty ``folder``."""
    from torch.utils import cpp_extension  # not needed to load it, and slow to import

    compiler = cpp_extension.get_cxx_compiler()
    if shutil.which(compiler) is None:
        raise UserError(f"no C++ compiler '{compiler}' was found; install one (Debian: g++) or name it with CXX=.")
    where_ninja_is = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([where_ninja_is, os.environ["PATH"]])
    where: dict[str, Any] = {"build_directory": str(folder), "is_python_module": False}
    try:
        cpp_extension.load(name, [str(SOURCE)], extra_cflags=_flags(), **where)
    except RuntimeError as error:
        raise UserError(f"'{compiler}' could not compile {SOURCE.name}; searches work without it. {error}") from None
    (made,) = folder.glob("*.so")  # torch numbers the names of what one process makes more than once
    return made


def built() -> bool:
    """Whether there is something that loads."""
    try:
        load()
    except UserError:
        return False
    return True


@cache
def load() -> None:
    """Make the operators of the library known to torch; a :class:`UserError` if it was not built or is damaged."""
    place = library()
    if not place.exists():
        raise UserError("the native formulation was not built for this version and this torch: make native builds it.")
    if not _whole(place):
        raise UserError(f"the native library {place} is damaged: make native builds it anew.")
    try:
        torch.ops.load_library(place)
    except OSError as error:
        raise UserError(f"the native library {place} does not load, make native builds it anew: {error}") from None


class _Native(torch.autograd.Function):
    """The operators of native.cpp, and of their gradients those that a backward pass wants."""

    @staticmethod
    def forward(ctx: Any, plan: tuple, fixed: Fixed | None, *tensors: Any) -> tuple[Tensor, ...]:
        x, gates, weight, bias, *others = tensors
        pools, *plan_of_units = plan
        units = len(plan_of_units[0])
        x = x.permute(0, 2, 3, 1).contiguous()
        given = x, pools, gates, others[:units], others[units:], weight, bias, *plan_of_units
        mean_and_var = (None, None) if fixed is None else fixed
        total, mean, var, ys = torch.ops.nas_core.stage_forward(*given, *mean_and_var)
        ctx.plan = plan
        ctx.of_batch = fixed is None
        ctx.save_for_backward(x, gates, weight, bias, *others, mean, var, *ys)
        ctx.mark_non_differentiable(mean, var)
        return total.permute(0, 3, 1, 2), mean, var

    @staticmethod
    @first_order
    def backward(ctx: Any, g: Tensor, *unused: None) -> tuple[Any, ...]:
        pools, *plan = ctx.plan
        units = len(plan[0])
        inputs = ctx.saved_tensors[: 4 + 2 * units]
        mean, var, *ys = ctx.saved_tensors[4 + 2 * units :]
        x, gates, weight, bias, *weights = inputs
        for_x, _, _, _, *for_weights = wanted(ctx, inputs)
        given = x, pools, gates, weights[:units], weights[units:], weight, bias, *plan, mean, var, ys
        g = g.permute(0, 2, 3, 1).contiguous()
        gx, gws, of_gates_and_norms = torch.ops.nas_core.stage_backward(
            *given, not ctx.of_batch, for_x, any(for_weights), g
        )
        gz, gw, gb = of_gates_and_norms
        if weight is None:
            gw = None
        if bias is None:
            gb = None
        of_x = gx[0].permute(0, 3, 1, 2) if gx else None
        of_weights = gws or [None] * 2 * units
        return None, None, of_x, gz, gw, gb, *of_weights


@dataclass
class Unit:
    """Convolutions of all slots and their norms.

    ``sample``: one of them; ``filters``: the depthwise ones, if any; ``input``: the unit that it reads, -1 for none.
    """

    sample: nn.Conv2d
    filters: Sequence[nn.Conv2d]
    matrices: Callable[[], Tensor]
    norms: Norms
    stride: int
    dilation: int = 1
    input: int = -1

    def taps(self) -> Tensor:
        """The depthwise filters, (slots x channels, 1, k, k), with k = 1 if there are none."""
        if not self.filters:
            return torch.ones(1, 1, 1, 1)
        return torch.cat([f.weight for f in self.filters])


class Operator:
    """The sum over terms of gate x BN: of units, pools and the identity, in this order."""

    def __init__(self, units: Sequence[Unit], mixture: Mixture | None, sources: int) -> None:
        self.units = units
        norms = [m for u in units for m in u.norms.modules]
        kinds = []
        identity = False
        if mixture is not None:
            norms += [m for of_pool in mixture.norms for m in of_pool.modules]
            kinds = [int(isinstance(pool, nn.MaxPool2d)) for pool in mixture.pools]
            identity = mixture.identity
        self.norms = Norms(norms)
        strides = [u.stride for u in units]
        dilations = [u.dilation for u in units]
        inputs = [u.input for u in units]
        self.plan = kinds, strides, dilations, inputs, sources, identity, self.norms.modules[0].eps

    def __call__(self, x: Tensor, gate: Tensor) -> Tensor:
        """A map of all targets, (batch, targets x C, height, width).

        ``x``: (batch, sources x C, height, width), a map of all sources; ``gate``: (slots, terms).
        """
        fixed = self.norms.fixed()
        taps = [u.taps().to(x) for u in self.units]
        matrices = [u.matrices() for u in self.units]
        total, mean, var = _Native.apply(self.plan, fixed, x, gate, *self.norms.affine(None), *taps, *matrices)
        if fixed is None:
            self.norms.track(mean, var, total.numel() // total.shape[1])
        return total

    def supports(self, tensors: Sequence[Tensor]) -> bool:
        """Whether native.cpp computes such maps and gates, of which the first is a map (batch, C, height, width).

        Moments need more than one pixel.
        """
        x, unit = tensors[0], self.units[0]
        kinds = {(t.dtype, t.device.type) for t in (*tensors, unit.sample.weight)}
        if kinds != {(torch.float32, "cpu")} and kinds != {(torch.float64, "cpu")}:
            return False
        if x.shape[1] % LANES or self.norms.modules[0].num_features % LANES:
            return False
        height = -(-x.shape[2] // unit.stride)
        width = -(-x.shape[3] // unit.stride)
        return x.shape[0] * height * width > 1


def _convolution(d: Depthwise, pointwise: tuple[Sequence[Any], Norms], reads: int) -> Unit:
    filters, norms = pointwise
    first = d.filters[0]
    return Unit(first, d.filters, partial(stacked, filters), norms, first.stride[0], first.dilation[0], reads)


def _convolutions(of: Convolutions) -> list[Unit]:
    """Two units for each candidate that is applied twice, of which the second reads the first; one for the others."""
    units: list[Unit] = []
    twice = len(of.first)
    for i in range(twice):
        units.append(_convolution(of.first[i], of.inner.each[i], -1))
        units.append(_convolution(of.second[i], of.last.each[i], len(units) - 1))
    for d, pointwise in zip(of.only, of.last.each[twice:], strict=True):
        units.append(_convolution(d, pointwise, -1))
    return units


def _reduction(of: Reductions) -> Unit:
    return Unit(of.straight[0], [], of.matrices, of.norms, stride=2)


class NativeStage(Stage):
    """The stage as one operator."""

    def __init__(
        self,
        modules: Sequence[Sequence[Any]],
        groupings: Sequence[str],
        edges: Sequence[int],
        ops: Sequence[int],
        targets: int,
    ) -> None:
        super().__init__(modules, groupings, edges, ops, targets)
        units: list[Unit] = []
        if self.convolutions is not None:
            units += _convolutions(self.convolutions)
        if self.reductions is not None:
            units.append(_reduction(self.reductions))
        known = all(f.kernel_size[0] in KERNELS for u in units for f in u.filters)
        self.operator = Operator(units, self.mixture, len(edges) // targets) if units and known else None

    def __call__(self, states: Sequence[Tensor], gates: Tensor, path_factors: Tensor | None = None) -> Tensor:
        """As of the stage that it derives from."""
        operator = self.operator
        if operator is None or path_factors is not None or not operator.supports((*states, gates)):
            return super().__call__(states, gates, path_factors)
        return operator(joined(states), gates[self.edges][:, self.order])


class Block:
    """The preprocessing of an input of a cell, which is a unit by itself."""

    def __init__(self, module: Any) -> None:
        self.module = module
        if isinstance(module, FactorizedReduce):
            unit = _reduction(Reductions([module]))
        else:
            _, convolution, norm = module
            unit = Unit(convolution, [], partial(stacked, [convolution]), Norms([norm]), stride=1)
        self.operator = Operator([unit], None, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """As of the module: (batch, C_in, height, width) -> (batch, C_out, height, width), or half of it a side."""
        if not self.operator.supports([x]):
            return self.module(x)
        return self.operator(x, x.new_ones(1, 1))


class NativeCell(FusedCell):
    """The same, with stages and preprocessing in C++ where that supports what is asked."""

    stage = NativeStage
    alone = 0

    def __init__(
        self, space: Space, previous: Sequence[int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__(space, previous, channels, reduction=reduction, after_reduction=after_reduction)
        self._blocks = [Block(module) for module in self.preprocess]

    def _states(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return [block(x) for block, x in zip(self._blocks, inputs, strict=True)]


class NativeSupernet(FusedSupernet):
    """The fused supernet with its stages in C++; a :class:`UserError` if ``make native`` has not built them."""

    cell = NativeCell

    def __init__(self, space: Space, **settings: Any) -> None:
        load()
        super().__init__(space, **settings)
