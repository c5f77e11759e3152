"""The stage in C++, for processors: native.cpp, which says how. ``make native`` builds it; nothing else needs it.

What it does not support, :class:`NativeStage` leaves to the stage that it derives from, with the same numbers.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas_core.backends.fused import FusedCell, FusedSupernet
from nas_core.backends.grouped import Fixed, first_order, joined, wanted
from nas_core.cells.operations import FactorizedReduce
from nas_core.backends.stage import Depthwise, Mixture, Norms, Reductions, Stage, stacked
from nas_core.errors import UserError

SOURCE = Path(__file__).with_suffix(".cpp")
LANES = 4  # the number of channels must be a multiple


def _flags() -> list[str]:
    vectors = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    extra = ["-mavx2", "-mfma"] if vectors and platform.machine() in ("x86_64", "AMD64") else []
    return ["-O3", "-ffp-contract=fast", "-Wno-psabi", *extra]


def library() -> Path:
    """Where the library belongs that was built from this source for this torch and this kind of processor."""
    parts = SOURCE.read_bytes(), torch.__version__.encode(), platform.machine().encode(), " ".join(_flags()).encode()
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return SOURCE.parents[2] / "build" / f"native-{key}" / "nas_core_native.so"


def build() -> Path:
    """Compile the library, half a minute, and load it; a :class:`UserError` if there is nothing to compile with."""
    from torch.utils import cpp_extension  # not needed to load it, and slow to import

    compiler, place = cpp_extension.get_cxx_compiler(), library()
    if shutil.which(compiler) is None:
        raise UserError(f"no C++ compiler '{compiler}' was found; install one (Debian: g++) or name it with CXX=.")
    place.parent.mkdir(parents=True, exist_ok=True)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # where ninja is
    where: dict[str, Any] = {"build_directory": str(place.parent), "is_python_module": False}
    try:
        cpp_extension.load(place.stem, [str(SOURCE)], extra_cflags=_flags(), **where)
    except RuntimeError as error:
        raise UserError(f"'{compiler}' could not compile {SOURCE.name}; searches work without it. {error}") from None
    return place


@cache
def built() -> bool:
    """Whether there is something to load."""
    return library().exists()


@cache
def load() -> None:
    """Make the operators of the library known to torch; a :class:`UserError` if it was not built."""
    if not (place := library()).exists():
        raise UserError("the native formulation was not built for this version and this torch: make native builds it.")
    torch.ops.load_library(place)


class _Native(torch.autograd.Function):
    """The operators of native.cpp, and of their gradients those that a backward pass wants."""

    @staticmethod
    def forward(ctx: Any, plan: tuple, fixed: Fixed | None, *tensors: Any) -> tuple[Tensor, ...]:
        x, gates, weight, bias, *others = tensors
        units = len(plan[1])
        x, pools = x.permute(0, 2, 3, 1).contiguous(), plan[0]
        given = x, pools, gates, others[:units], others[units:], weight, bias, *plan[1:]
        total, mean, var, ys = torch.ops.nas_core.stage_forward(*given, *(fixed or (None, None)))
        ctx.plan, ctx.of_batch = plan, fixed is None
        ctx.save_for_backward(x, gates, weight, bias, *others, mean, var, *ys)
        ctx.mark_non_differentiable(mean, var)
        return total.permute(0, 3, 1, 2), mean, var

    @staticmethod
    @first_order
    def backward(ctx: Any, g: Tensor, *unused: None) -> tuple[Any, ...]:
        (pools, *plan), saved = ctx.plan, ctx.saved_tensors
        units = len(plan[0])
        (x, gates, weight, bias, *weights), (mean, var, *ys) = saved[: 4 + 2 * units], saved[4 + 2 * units :]
        for_x, _, _, _, *others = wanted(ctx, saved[: 4 + 2 * units])
        given = x, pools, gates, weights[:units], weights[units:], weight, bias, *plan, mean, var, ys
        gx, gws, (gz, gw, gb) = torch.ops.nas_core.stage_backward(
            *given, not ctx.of_batch, for_x, any(others), g.permute(0, 2, 3, 1).contiguous()
        )
        affine = None if weight is None else gw, None if bias is None else gb
        of_x = gx[0].permute(0, 3, 1, 2) if gx else None
        return None, None, of_x, gz, *affine, *(gws or [None] * 2 * units)


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
        return torch.cat([f.weight for f in self.filters]) if self.filters else torch.ones(1, 1, 1, 1)


class Operator:
    """The sum over terms of gate x BN: of units, pools and the identity, in this order."""

    def __init__(self, units: Sequence[Unit], pools: Mixture | None, sources: int) -> None:
        self.units, kinds = units, [int(isinstance(p, nn.MaxPool2d)) for p in pools.pools] if pools else []
        norms = [u.norms for u in units] + (pools.norms if pools else [])
        self.norms = Norms([m for n in norms for m in n.modules])
        lists = [u.stride for u in units], [u.dilation for u in units], [u.input for u in units]
        self.plan = kinds, *lists, sources, pools is not None and pools.identity, self.norms.modules[0].eps

    def __call__(self, x: Tensor, gate: Tensor) -> Tensor:
        """``x``: a map of all sources; ``gate``: (slots, terms)."""
        fixed = self.norms.fixed()
        weights = [u.taps().to(x) for u in self.units] + [u.matrices() for u in self.units]
        total, mean, var = _Native.apply(self.plan, fixed, x, gate, *self.norms.affine(None), *weights)
        if fixed is None:
            self.norms.track(mean, var, total.numel() // total.shape[1])
        return total

    def supports(self, tensors: Sequence[Tensor]) -> bool:
        """Whether native.cpp computes such maps and gates; they need more than one pixel to take moments of."""
        x, unit = tensors[0], self.units[0]
        kinds = {(t.dtype, t.device.type) for t in (*tensors, unit.sample.weight)}
        pixels = x.shape[0] * -(-x.shape[2] // unit.stride) * -(-x.shape[3] // unit.stride)
        known = kinds in ({(torch.float32, "cpu")}, {(torch.float64, "cpu")})
        return known and x.shape[1] % LANES == self.norms.modules[0].num_features % LANES == 0 and pixels > 1


class NativeStage(Stage):
    """The stage as one operator."""

    def __init__(
        self, modules: Sequence[Sequence[Any]], edges: Sequence[int], ops: Sequence[int], targets: int
    ) -> None:
        super().__init__(modules, edges, ops, targets)
        units: list[Unit] = []
        if c := self.convolutions:
            inner = [(d, *layer) for d, layer in zip(c.first, c.inner.each, strict=True)]
            last = [(d, *layer) for d, layer in zip([*c.second, *c.only], c.last.each, strict=True)]
            for i, (d, p, norms) in enumerate(last):
                if i < len(inner):
                    units.append(self._unit(*inner[i], -1))
                units.append(self._unit(d, p, norms, len(units) - 1 if i < len(inner) else -1))
        if r := self.reductions:
            units.append(Unit(r.straight[0], [], r.matrices, r.norms, stride=2))
        self.operator = Operator(units, self.mixture, len(edges) // targets) if units else None

    @staticmethod
    def _unit(d: Depthwise, p: Sequence[nn.Conv2d], norms: Norms, reads: int) -> Unit:
        first = d.filters[0]
        return Unit(first, d.filters, partial(stacked, p), norms, first.stride[0], first.dilation[0], reads)

    def __call__(self, states: Sequence[Tensor], gates: Tensor, kept: Tensor | None = None) -> Tensor:
        """As of the stage that it derives from."""
        if self.operator is None or kept is not None or not self.operator.supports((*states, gates)):
            return super().__call__(states, gates, kept)
        return self.operator(joined(states), gates[self.edges][:, self.order])


class Block:
    """The preprocessing of an input of a cell, which is a unit by itself."""

    def __init__(self, module: Any) -> None:
        self.module = module
        if isinstance(module, FactorizedReduce):
            r = Reductions([module])
            unit = Unit(module.straight, [], r.matrices, r.norms, stride=2)
        else:
            _, convolution, norm = module
            unit = Unit(convolution, [], partial(stacked, [convolution]), Norms([norm]), stride=1)
        self.operator = Operator([unit], None, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """As of the module."""
        return self.operator(x, x.new_ones(1, 1)) if self.operator.supports([x]) else self.module(x)


class NativeCell(FusedCell):
    """The same, with stages and preprocessing in C++ where that supports what is asked."""

    stage = NativeStage
    alone = 0

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._blocks = [Block(module) for module in self.preprocess]

    def _states(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return [f(x) for f, x in zip(self._blocks, inputs, strict=True)]


class NativeSupernet(FusedSupernet):
    """The fused supernet with its stages in C++; a :class:`UserError` if ``make native`` has not built them."""

    cell = NativeCell

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        load()
        super().__init__(*arguments, **settings)
