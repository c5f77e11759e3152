"""Genotypes as text, in the forms that the field exchanges them in; they are read as data and never evaluated.

The common form is the one of DARTS's code, ``Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=range(2, 6),
reduce=[...], reduce_concat=...)``: for every node two pairs (operation, source), node after node. Nodes 0 and 1 are the
outputs of cells k-2 and k-1, and the last node is always among the concatenated ones, which therefore tell how many
nodes there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from reprlib import repr as short
from typing import Any

from pydantic import ValidationError

from nas_core.cells.checks import check_graph
from nas_core.cells.evaluation import EVALUATED, build_of
from nas_core.cells.genotype import CellGenotype, Genotype
from nas_core.cells.literals import LAST, Fields, read_fields
from nas_core.cells.topology import darts_cell
from nas_core.errors import UserError, choose

Edge = tuple[int, int, str]  # source, target, operation
Entries = Callable[[str, CellGenotype], list]  # of what the cell is called, and the cell


def read(text: str) -> Genotype:
    """Read the one genotype that ``text`` holds, whatever stands around it (a name, comments, a log's time).

    ``Genotype(...)`` with fields by name or position, where the edges of a cell are

        (operation, source) pairs, two a node (DARTS) or for all pairs of nodes (SNAS, "edge_all"),
        lists of such pairs, one a node,
        (operation, target, source) triples,

    with weights (numbers with a point) beside them or without; or what :meth:`Genotype.to_json` wrote. ``none`` is
    the absence of an edge. Raises :class:`UserError` on anything else, on an unknown operation, and on edges and
    concatenations that make no cell.
    """
    if text.lstrip().startswith("{"):
        return _from_json(text)
    fields = read_fields(text)
    normal = _cell("the normal cell", fields.normal, fields.normal_concat)
    if not fields.reduce:
        return Genotype(normal)
    return Genotype(normal, _cell("the reduction cell", fields.reduce, fields.reduce_concat))


def _from_json(text: str) -> Genotype:
    try:
        genotype = Genotype.from_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise cause from error
        place = ".".join(map(str, first["loc"])) or "the text"
        raise UserError(f"the JSON of a genotype: {place}: {first['msg']}.") from error
    for cell in (genotype.normal, genotype.reduce):
        if cell is not None:
            _check_cell("a genotype's cell", cell.intermediate[-1], cell.edges)
    return genotype


def _check_cell(what: str, last: int, edges: Sequence[Edge]) -> None:
    """Raise :class:`UserError` if the ``last`` node has a number out of all reason, or an operation is unknown."""
    if last > LAST:
        raise UserError(f"{what}: nodes have numbers up to {LAST}, not {last}.")
    for _, _, op in edges:
        if op != "none":
            build_of(op)


def _cell(what: str, edges: Any, output: Any) -> CellGenotype:
    """The cell of these ``edges``, in any form, and concatenated nodes."""
    last = _last(what, output)
    found = _edges(what, edges, last)
    _check_cell(what, last, found)
    nodes = last - 1
    check_graph(what, 2, nodes, [(source, target) for source, target, _ in found], output)
    kept = [edge for edge in found if edge[2] != "none"]
    return CellGenotype(2, nodes, tuple(kept), output)


def _last(what: str, output: Any) -> int:
    """The last of the concatenated nodes."""
    if not isinstance(output, tuple) or not output:
        raise UserError(f"{what}: the concatenated nodes must be a list or range of at least one, not {short(output)}.")
    for node in output:
        if type(node) is not int or not 2 <= node <= LAST:
            raise UserError(f"{what}: only intermediate nodes, from 2 on, can be concatenated, not {short(node)}.")
    return max(output)


def _edges(what: str, given: Any, last: int) -> list[Edge]:
    """The edges of a cell, ``none`` included, from any of the forms."""
    if not isinstance(given, tuple):
        raise UserError(f"{what}: its edges must be a list, not {short(given)}.")
    targets: Sequence[int | None]
    if _is_nested(given):
        if len(given) != last - 1:
            raise UserError(f"{what}: {len(given)} lists of edges do not fit {_the_nodes(last)}.")
        targets = [node for node, group in enumerate(given, start=2) for _ in group]
        given = [entry for group in given for entry in group]
    elif any(len(_numbers(what, entry)) == 2 for entry in given):
        targets = [None] * len(given)
    else:
        targets = _targets(what, len(given), last)
    return [_edge(what, entry, target) for entry, target in zip(given, targets, strict=True)]


def _is_nested(given: tuple) -> bool:
    """Whether these are lists of edges, one a node, and not edges, which begin with a name."""
    for element in given:
        if not isinstance(element, tuple):
            return False
        if element and isinstance(element[0], str):
            return False
    return bool(given)


def _the_nodes(last: int) -> str:
    return f"nodes 2 to {last}, with which the concatenation ends"


def _targets(what: str, count: int, last: int) -> list[int]:
    """The targets of ``count`` edges that stand node after node: two a node, or all that there can be."""
    two = sorted([*range(2, last + 1)] * 2)
    every = [target for _, target in darts_cell(last - 1).edges]
    if count == len(two):
        return two
    if count == len(every):
        return every
    raise UserError(
        f"{what}: {count} edges do not fit {_the_nodes(last)}: two a node are {len(two)}, all of them {len(every)}."
    )


def _numbers(what: str, entry: Any) -> list[int]:
    """The nodes that an edge names, one or two, without the weights beside them."""
    if isinstance(entry, tuple) and entry and isinstance(entry[0], str):
        nodes = [number for number in entry[1:] if type(number) is int]
        weights = [number for number in entry[1:] if type(number) is float]
        if len(nodes) in (1, 2) and len(nodes) + len(weights) == len(entry) - 1:
            return nodes
    raise UserError(
        f"{what}: an edge is (operation, source) or (operation, target, source), with weights beside or without, "
        f"not {short(entry)}."
    )


def _edge(what: str, entry: Any, target: int | None) -> Edge:
    """One edge; where it does not name its target, it is ``target``."""
    *named, source = _numbers(what, entry)
    if named:
        (target,) = named
    if target is None:
        raise UserError(f"{what}: its other edges name their target, {short(entry)} does not.")
    return source, target, entry[0]


def write(genotype: Genotype, form: str = "darts") -> str:
    """One line that :func:`read` reads back as the same genotype, the edges of a cell ordered by target.

    ``form``: ``darts`` (two pairs a node, for DARTS's code), ``nested`` (lists of pairs, one a node), ``triples``
    ((operation, target, source)), ``edge_all`` (pairs for all edges, ``none`` among them, for SNAS's code) or ``json``.
    Raises :class:`UserError` on another form, and on a genotype that the form cannot say.
    """
    choose("form of a genotype", form, [*FORMS, "json"])
    if form == "json":
        return genotype.to_json()
    entries = FORMS[form]
    normal, reduce = genotype.normal, genotype.reduce
    if reduce is None and form == "darts":
        raise UserError("DARTS's code needs a reduction cell, which this genotype has not.")
    fields = Fields(_written("the normal cell", normal, entries), _concatenation(normal))
    if reduce is not None:
        fields = fields._replace(
            reduce=_written("the reduction cell", reduce, entries),
            reduce_concat=_concatenation(reduce),
        )
    named = [f"{name}={value!r}" for name, value in fields._asdict().items()]
    return f"Genotype({', '.join(named)})"


def _written(what: str, cell: CellGenotype, entries: Entries) -> list:
    """The edges of ``cell`` as a form has them, if it is a cell that any form but JSON can say."""
    if cell.inputs != 2:
        raise UserError(f"{what} has {cell.inputs} input; only as json can a genotype have another number than 2.")
    last = cell.intermediate[-1]
    if last not in cell.output:
        raise UserError(f"{what} does not concatenate its last node, {last}; only json can say that.")
    return entries(what, cell)


def _concatenation(cell: CellGenotype) -> range | list[int]:
    whole = range(cell.output[0], cell.output[-1] + 1)
    return whole if tuple(whole) == cell.output else list(cell.output)


def _nested(what: str, cell: CellGenotype) -> list:
    groups = []
    for node in cell.intermediate:
        groups.append([(op, source) for source, target, op in cell.edges if target == node])
    return groups


def _two_a_node(what: str, cell: CellGenotype) -> list:
    pairs = []
    for node, group in enumerate(_nested(what, cell), start=2):
        if len(group) != 2:
            raise UserError(
                f"{what}: node {node} does not have two edges, as DARTS's code needs, but {len(group)}; "
                "nested and triples can say that."
            )
        pairs += group
    for op, _ in pairs:
        choose("operation of DARTS's code", op, EVALUATED)
    return pairs


def _triples(what: str, cell: CellGenotype) -> list:
    edges = sorted(cell.edges, key=lambda edge: edge[1])
    triples = [(op, target, source) for source, target, op in edges]
    return triples or [("none", 2, 0)]


def _every_edge(what: str, cell: CellGenotype) -> list:
    pairs = []
    for node, group in enumerate(_nested(what, cell), start=2):
        times = Counter(source for _, source in group)
        if any(number > 1 for number in times.values()):
            raise UserError(f"{what}: node {node} reads a node twice, which edge_all cannot say.")
        pairs += group
        pairs += [("none", source) for source in range(node) if source not in times]
    return pairs


FORMS: dict[str, Entries] = {
    "darts": _two_a_node,
    "nested": _nested,
    "triples": _triples,
    "edge_all": _every_edge,
}
