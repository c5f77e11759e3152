"""MixPath: several paths of a layer at once, their sum normalised by a batch norm for each number of paths.

The spaces are data, as in :mod:`nas_core.cells.chain`; the forward of a supernet takes what was drawn and computes
only that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torchvision.ops import Conv2dNormActivation

from nas_core.cells.chain import Bottleneck, Choice, Macro, Slot, depthwise, initialise_fan_out, slots
from nas_core.cells.checks import at_least_one, check_kernels, different
from nas_core.cells.gates import GatedBlock, Row, rows
from nas_core.errors import UserError, choose

T = TypeVar("T")
KERNELS = (3, 5, 7, 9)
EXPANSIONS = (3, 6)
S1 = Macro(32, 1, slots(32, [(48, 2, 1), (96, 3, 2), (192, 3, 2), (256, 2, 1), (320, 2, 1)]), 1280)
# 18 layers are printed, their widths are not: the stages of ProxylessNAS, cut to 18 blocks (our default).
S2 = S3 = Macro(32, 2, slots(32, [(24, 2, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 3, 2), (320, 1, 1)]), 1280)


class ShadowBatchNorm(nn.Module):
    """MixPath's SBN: y = BN_n(x), one batch norm for every number n = 1..``most`` of summed paths.

    With ``most = 1`` a single batch norm serves every n: the baseline without shadows.
    """

    def __init__(self, channels: int, most: int) -> None:
        super().__init__()
        at_least_one("a shadow batch norm", channels=channels, most=most)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(most))

    def forward(self, x: Tensor, active: int) -> Tensor:
        """Normalise ``x``, (batch, channels, height, width), the sum of ``active`` paths."""
        most = len(self.norms)
        if active < 1 or 1 < most < active:
            raise UserError(f"{active} active paths, but there are batch norms for 1 to {most}.")
        return self.norms[min(active, most) - 1](x)


# Where the shadow batch norm stands beside the projection W of a sum; see :func:`normalised`.
AFTER_PROJECTION = "after the projection"
AFTER_SUM = "after the sum"
NEVER = "never called"
PLACEMENTS = (AFTER_PROJECTION, AFTER_SUM, NEVER)
S1_PLACEMENTS = (AFTER_PROJECTION, AFTER_SUM)


class Normalised(NamedTuple):
    """A sum of paths on its way out of a layer, (batch, channels, height, width) each.

    ``given``: what the shadow batch norm is given; ``out``: what leaves both the norm and the projection.
    """

    given: Tensor
    out: Tensor


def normalised(
    total: Tensor, active: int, *, project: nn.Module, norm: ShadowBatchNorm, placement: str
) -> Normalised:
    """The sum ``total`` of ``active`` paths through projection W and norm, in the order that ``placement`` says.

    After the projection SBN_n(W total), as released for S1; after the sum W SBN_n(total), so that nothing normalises
    what W makes of it (our reading: the norm is moved, none is added); never called W total, as released for S4.
    """
    if placement == AFTER_SUM:
        return Normalised(total, project(norm(total, active)))
    projected = project(total)
    if placement == NEVER:
        return Normalised(projected, projected)
    return Normalised(projected, norm(projected, active))


class _Rate(Bottleneck):
    """What a mixed block has for one expansion: all kernels, of which only those drawn are computed."""

    def __init__(self, slot: Slot, expansion: int, kernels: Sequence[int], most: int, placement: str) -> None:
        width = expansion * slot.inputs if placement == AFTER_SUM else slot.outputs
        super().__init__(slot, expansion, kernels, ShadowBatchNorm(width, most))
        self.placement = placement

    def gated(self, x: Tensor, row: Row) -> Tensor:
        """W and SBN_|S| of sum_k Z_k f_k(E x) by their placement, S the drawn kernels, at least one."""
        mixed = row.total(self.paths.values(), self.expand(x))
        assert mixed is not None, "a block asks only where a path is drawn"
        norm = cast(ShadowBatchNorm, self.norm)
        return normalised(mixed, row.active, project=self.project, norm=norm, placement=self.placement).out


class MixedBottleneck(GatedBlock):
    """The block of S1's supernet, and with one expansion that of S2: ``forward`` takes one :class:`Choice`.

    y = SBN_|S|(W sum_{k in S} f_k(E x)), plus x where the shapes agree; ``placement``: W and SBN in this order, or
    exchanged (:data:`S1_PLACEMENTS`). Each expansion owns its weights and its SBN. Which one S2 has is not printed ("as
    MixNet"). Gates stand in the order of ``expansions``, then of ``kernels``; where they draw paths of several
    expansions, which the released sampler never does, the y of these are summed. The SBN undoes the scale of what it
    normalises, so that the costs sum_k Z_k C_k over the drawn paths of an expansion are zero up to eps, and that of a
    path alone is zero.
    """

    def __init__(
        self,
        slot: Slot,
        most: int,
        expansions: Sequence[int] = EXPANSIONS,
        kernels: Sequence[int] = KERNELS,
        placement: str = AFTER_PROJECTION,
    ) -> None:
        super().__init__()
        choose("placement of the shadow batch norm in a mixed block", placement, S1_PLACEMENTS)
        different("the expansions of a mixed block", expansions)
        check_kernels("the kernels of a mixed block", kernels)
        self.residual = slot.residual
        self.kernels = tuple(kernels)
        self.choices = len(expansions) * len(kernels)
        self.rates = nn.ModuleDict()
        for expansion in expansions:
            at_least_one("a mixed block", expansion=expansion)
            self.rates[str(expansion)] = _Rate(slot, expansion, kernels, most, placement)

    def gated(self, x: Tensor, row: Row) -> Tensor:
        terms = []
        for i, rate in enumerate(self.rates.values()):
            own = row.part(i * len(self.kernels), len(self.kernels))
            if own.active:
                terms.append(cast(_Rate, rate).gated(x, own))
            elif any(own.wanted):
                raise UserError("a path can only be observed beside a drawn one of its expansion, whose norm it needs.")
        if not terms:
            raise UserError("a layer of parallel paths needs at least one path whose gate is not zero.")
        y = sum(terms[1:], start=terms[0])
        return x + y if self.residual else y

    def marked(self, choice: Choice) -> list[bool]:
        choose("expansion", str(choice.expansion), self.rates)
        for kernel in choice.kernels:
            choose("kernel", str(kernel), map(str, self.kernels))
        found = []
        for expansion in self.rates:
            found += [expansion == str(choice.expansion) and kernel in choice.kernels for kernel in self.kernels]
        return found


class GroupedBottleneck(Bottleneck, GatedBlock):
    """The block of S3: the hidden channels fall into ``groups`` equal groups, each with a depthwise kernel of its own.

    y = BN(W [f_1(E x)_1, ..., f_4(E x)_4]), plus x where the shapes agree; ``forward`` takes one kernel per group.
    Expansion 6 is our default. Gates stand in the order of groups, then of ``kernels``.
    """

    def __init__(self, slot: Slot, expansion: int = 6, kernels: Sequence[int] = KERNELS, groups: int = 4) -> None:
        at_least_one("a grouped block", expansion=expansion, groups=groups)
        check_kernels("the kernels of a grouped block", kernels)
        hidden = expansion * slot.inputs
        if hidden % groups:
            raise UserError(f"the {hidden} hidden channels of a grouped block must fall into {groups} equal groups.")
        super().__init__(slot, expansion, (), nn.BatchNorm2d(slot.outputs))
        self.count = groups
        self.kernels = tuple(kernels)
        self.choices = groups * len(kernels)
        self.groups = nn.ModuleDict()
        for i, kernel in itertools.product(range(groups), kernels):
            self.groups[f"{i}:{kernel}"] = depthwise(hidden // groups, kernel, slot.stride)

    def gated(self, x: Tensor, row: Row) -> Tensor:
        maps = []
        for i, part in enumerate(self.expand(x).chunk(self.count, dim=1)):
            own = row.part(i * len(self.kernels), len(self.kernels))
            mixed = own.total([self.groups[f"{i}:{kernel}"] for kernel in self.kernels], part)
            if mixed is None or not own.active:
                raise UserError(f"group {i} of a grouped block needs at least one kernel whose gate is not zero.")
            maps.append(mixed)
        return self.shortcut(x, self.norm(self.project(torch.cat(maps, dim=1))))

    def marked(self, choice: Sequence[int]) -> list[bool]:
        if len(choice) != self.count:
            raise UserError(f"a grouped block takes one kernel for each of its {self.count} groups, not {len(choice)}.")
        found = []
        for chosen in choice:
            choose("kernel", str(chosen), map(str, self.kernels))
            found += [kernel == chosen for kernel in self.kernels]
        return found


def _conv1x1(channels: int) -> nn.Module:
    return Conv2dNormActivation(channels, channels, 1)


def _conv3x3(channels: int) -> nn.Module:
    return Conv2dNormActivation(channels, channels, 3)


def _maxpool3x3(channels: int) -> nn.Module:
    return nn.MaxPool2d(3, 1, 1)


S4_OPERATIONS = {"conv1x1": _conv1x1, "conv3x3": _conv3x3, "maxpool3x3": _maxpool3x3}
S4_CHOICES = (None, *S4_OPERATIONS)  # of a node; None is its absence
S4_NODES = 4
STAGES = 3  # of the network of S4, between which it pools
Cell = Sequence[str | None]  # the choice of each node


class ParallelCell(nn.Module):
    """The cell of S4: four parallel nodes, each absent or one operation after its own 1x1 convolution, and a fifth.

    y = ReLU(SBN_|S|(W sum_{i in S} o_i(P_i x))). The released code never calls its SBN; its place, after the
    convolution W of the fifth node and before the ReLU, is our choice, and ``placement`` another one
    (:data:`PLACEMENTS`). W has a bias only where the norm is never called, as released: elsewhere the norm's own shift
    does what a bias would.
    """

    def __init__(
        self, inputs: int, outputs: int, most: int = S4_NODES, placement: str = AFTER_PROJECTION
    ) -> None:
        super().__init__()
        at_least_one("a parallel cell", inputs=inputs, outputs=outputs)
        self.placement = choose("placement of the shadow batch norm", placement, PLACEMENTS)
        self.nodes = nn.ModuleDict()
        for i, (op, build) in itertools.product(range(S4_NODES), S4_OPERATIONS.items()):
            self.nodes[f"{i}:{op}"] = nn.Sequential(Conv2dNormActivation(inputs, outputs, 1), build(outputs))
        self.project = nn.Conv2d(outputs, outputs, 1, bias=placement == NEVER)
        self.norm = ShadowBatchNorm(outputs, most)

    def normalised(self, total: Tensor, active: int) -> Normalised:
        """The sum of ``active`` nodes through W and the norm, before the ReLU; shapes as of :class:`Normalised`."""
        return normalised(total, active, project=self.project, norm=self.norm, placement=self.placement)

    def gated(self, x: Tensor, nodes: Sequence[Row]) -> Tensor:
        """``nodes``: the gates of each node, over ``S4_CHOICES``; a node with an open gate other than None is active.

        The operations of one node are alternatives, so that a mixture of them counts as one path for the SBN.
        """
        terms = []
        active = 0
        for i, row in enumerate(nodes):
            own = row.part(1, len(S4_OPERATIONS))
            term = own.total([self.nodes[f"{i}:{op}"] for op in S4_OPERATIONS], x)
            if term is not None:
                terms.append(term)
            active += any(own.drawn)
        if not active:
            raise UserError("a parallel cell needs at least one node whose gate is not zero.")
        return torch.relu(self.normalised(sum(terms[1:], start=terms[0]), active).out)

    def forward(self, x: Tensor, cell: Cell) -> Tensor:
        """``cell``: the operation of each node, None where it is absent; at least one is not."""
        return self.gated(x, [Row.of(marks) for marks in marked_nodes(cell)])


def marked_nodes(cell: Cell) -> list[list[bool]]:
    """The gates (nodes, choices) that a cell of S4 opens; raises :class:`UserError` on what is no cell."""
    if len(cell) != S4_NODES:
        raise UserError(f"a cell of S4 has {S4_NODES} nodes, not {len(cell)}.")
    found = []
    for op in cell:
        if op is not None:
            choose("operation of S4", op, S4_OPERATIONS)
        found.append([op == choice for choice in S4_CHOICES])
    return found


class ParallelNetwork(nn.Module):
    """S4: a 3x3 stem, nine cells that share one choice, 2x2 max-pool after cells 2 and 5, pool, linear classifier.

    ``channels`` (128 in the release) double in cells 3 and 6. With another number of ``cells``, a multiple of three,
    width and pools change at a third and at two thirds of them. ``placement``: of the norms of all cells.
    """

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        in_channels: int,
        most: int,
        generator: Generator,
        cells: int = 9,
        placement: str = AFTER_PROJECTION,
    ) -> None:
        super().__init__()
        at_least_one("the network of S4", channels=channels, classes=classes, in_channels=in_channels, cells=cells)
        if cells % STAGES:
            raise UserError(f"the network of S4 has {STAGES} stages of equally many cells: not {cells} cells.")
        self.stem = Conv2dNormActivation(in_channels, channels, 3)
        self.cells = nn.ModuleList()
        before = channels
        self.stage = cells // STAGES
        for i in range(cells):
            width = channels * 2 ** (i // self.stage)
            self.cells.append(ParallelCell(before, width, most, placement))
            before = width
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Linear(before, classes)
        initialise_fan_out(self, generator)

    def forward(self, images: Tensor, cell: Cell) -> Tensor:
        """Class logits (batch, classes) of the network whose cells are all ``cell``."""
        return self._through(images, lambda part, x: part(x, cell))

    def _through(self, images: Tensor, apply: Callable[[Any, Tensor], Tensor]) -> Tensor:
        x = self.stem(images)
        for i, part in enumerate(self.cells):
            x = apply(part, x)
            x = self.pool(x) if i + 1 in (self.stage, 2 * self.stage) else x
        return self.classifier(x.mean(dim=(2, 3)))


class ParallelSupernet(ParallelNetwork):
    """S4 under gates: :class:`Gated`, with gates of shape (nodes, choices) that all cells share."""

    gate_shape = (S4_NODES, len(S4_CHOICES))

    def mask(self) -> np.ndarray:
        """Every node may make every choice: bool, (nodes, choices)."""
        return np.ones(self.gate_shape, dtype=bool)

    def forward(self, images: Tensor, gates: Tensor, *, observed: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Class logits (batch, classes) of ``images`` (batch, channels, height, width).

        ``gates``: (nodes, choices), choices in the order of ``S4_CHOICES``; ``observed``: bool, of the same shape,
        choices whose cost is wanted although their gate is zero.
        """
        nodes = rows(gates, observed, self.gate_shape)
        return self._through(images, lambda part, x: part.gated(x, nodes))

    def gates(self, cell: Cell) -> Tensor:
        """The gates (nodes, choices) of a discrete cell: zeros and ones, float32."""
        return torch.tensor(marked_nodes(cell), dtype=torch.float32)


def subsets(paths: Iterable[T], most: int) -> list[tuple[T, ...]]:
    """All sets of 1 to ``most`` of the ``paths``: what is active in a layer; S1 prints 8, 36, 92, 162 of 8 paths."""
    at_least_one("sets of paths", most=most)
    members = tuple(paths)
    found: list[tuple[T, ...]] = []
    for n in range(1, most + 1):
        found += itertools.combinations(members, n)
    return found


def draw_paths(paths: int, most: int, generator: Generator) -> tuple[int, ...]:
    """Which of ``paths`` paths are active: their number m' ~ U{1..``most``}, then m' of them without replacement."""
    active = 1 + int(torch.randint(most, (1,), generator=generator))
    order = torch.randperm(paths, generator=generator)[:active]
    return tuple(sorted(order.tolist()))


def sampled_choices(most: int, expansions: Sequence[int] = EXPANSIONS) -> list[Choice]:
    """A layer's choices under the released sampler, which draws one expansion and then 1 to ``most`` kernels.

    8, 20, 28, 30 in S1 for ``most`` = 1, 2, 3, 4; with one expansion and ``most = 2`` the 10 of S2.
    """
    pairs = itertools.product(expansions, subsets(KERNELS, most))
    return [Choice(expansion, kernels) for expansion, kernels in pairs]


def grouped_choices(groups: int = 4) -> list[tuple[int, ...]]:
    """A layer's choices in S3: one kernel for each group of channels, 256 in all."""
    return list(itertools.product(KERNELS, repeat=groups))


def s4_cells(most: int = S4_NODES) -> list[tuple[str | None, ...]]:
    """The labelled cells of S4 with 1 to ``most`` of the four nodes: 12, 66, 174, 255; None is an absent node."""
    at_least_one("cells of S4", most=most)
    cells = itertools.product(S4_CHOICES, repeat=S4_NODES)
    return [cell for cell in cells if 1 <= S4_NODES - cell.count(None) <= most]


def s4_distinct(most: int = S4_NODES) -> list[tuple[str | None, ...]]:
    """One cell of S4 for each function: 3, 9, 19, 34 with 1 to ``most`` nodes; the absent nodes come last.

    The four nodes are alike, so that only which operations there are counts, and how many of each.
    """
    at_least_one("cells of S4", most=most)
    found: list[tuple[str | None, ...]] = []
    for n in range(1, most + 1):
        for operations in itertools.combinations_with_replacement(S4_OPERATIONS, n):
            found.append((*operations, *[None] * (S4_NODES - n)))
    return found


def s4_sorted(cell: Cell) -> tuple[str | None, ...]:
    """The cell of :func:`s4_distinct` that computes what ``cell`` does."""
    marked_nodes(cell)
    present = sorted((op for op in cell if op is not None), key=list(S4_OPERATIONS).index)
    return (*present, *[None] * (S4_NODES - len(present)))


def s4_text(cell: Cell) -> str:
    """The operations of a cell of S4, as in ``conv1x1 conv3x3 conv3x3``: equal for cells that compute the same."""
    return " ".join(op for op in s4_sorted(cell) if op is not None)


def s4_cell(text: str) -> tuple[str | None, ...]:
    """The cell of :func:`s4_distinct` that :func:`s4_text` writes as ``text``."""
    operations = text.split()
    return s4_sorted((*operations, *[None] * (S4_NODES - len(operations))))
