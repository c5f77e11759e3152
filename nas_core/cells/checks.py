"""What must hold of the numbers and the graph of a cell or network, each said once, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from nas_core.errors import UserError

Edge = tuple[int, int]


def at_least_one(what: str, **numbers: int) -> None:
    """Raise :class:`UserError` unless all ``numbers`` of ``what`` (channels, layers, classes, ...) are 1 or more."""
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"{what}: {name} must be 1 or more, not {number}.")


def different(what: str, members: Sequence) -> None:
    """Raise :class:`UserError` unless ``members`` are at least one, and all different."""
    if not members:
        raise UserError(f"{what} must be at least one, not none at all.")
    if len(set(members)) < len(members):
        raise UserError(f"{what} must all be different, not {members}.")


def check_kernels(what: str, kernels: Sequence[int]) -> None:
    """Raise :class:`UserError` unless ``kernels`` are different odd sizes, which alone keep the resolution."""
    different(what, kernels)
    for kernel in kernels:
        if kernel < 1 or kernel % 2 == 0:
            raise UserError(f"{what} must be odd sizes of 1 or more, not {kernel}.")


def check_graph(what: str, inputs: int, nodes: int, edges: Sequence[Edge], output: Sequence[int]) -> None:
    """Raise :class:`UserError` unless these numbers describe a cell.

    Nodes are numbered from 0, input nodes first. There are 1 or 2 ``inputs`` (the cell before, or the two before) and
    one or more intermediate ``nodes``; ``edges`` (source, target) lead forward to an intermediate node; ``output``
    names different intermediate nodes, at least one.
    """
    if inputs not in (1, 2):
        raise UserError(f"{what}: inputs must be 1 (the cell before) or 2 (the two cells before), not {inputs}.")
    at_least_one(what, nodes=nodes)
    intermediate = range(inputs, inputs + nodes)
    allowed = f"{intermediate[0]} to {intermediate[-1]}"
    for source, target in edges:
        if not 0 <= source < target or target not in intermediate:
            raise UserError(
                f"{what}: an edge must lead forward to an intermediate node, which is {allowed}, "
                f"not {source} -> {target}."
            )
    different(f"{what}: the nodes of the output", output)
    for node in output:
        if node not in intermediate:
            raise UserError(f"{what}: the output may only name intermediate nodes, which are {allowed}, not {node}.")


def check_stride(what: str, stride: int) -> None:
    """Raise :class:`UserError` unless ``stride`` keeps or halves the resolution."""
    if stride not in (1, 2):
        raise UserError(f"{what}: stride must be 1 or 2, not {stride}.")


def check_drop(probability: float, generator: object | None) -> None:
    """Raise :class:`UserError` unless drop-path's ``probability`` is in [0, 1) and has a generator where it draws."""
    if not 0 <= probability < 1:
        raise UserError(f"the probability of drop-path must be 0 or more and below 1, not {probability}.")
    if probability and generator is None:
        raise UserError(f"drop-path with probability {probability} needs a generator to draw from.")
