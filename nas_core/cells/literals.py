"""Find the ``Genotype(...)`` in a text and read its fields as plain data: nothing is evaluated."""

from __future__ import annotations

import ast
import re
from typing import Any, NamedTuple

from nas_core.errors import UserError, choose

LAST = 99  # the largest number of a node; anything beyond is a mistake, and would take for ever to build
CALL = re.compile(r"(?:\b(?P<name>\w+)\s*=\s*)?(?P<call>\b\w*Genotype\w*\s*\()")
COMMENT = re.compile(r"#.*")
QUOTES = str.maketrans("‘’“”", "''\"\"")
# What may stand around a number or a list: some print numpy's and PyTorch's numbers so.
WRAPPERS = ("list", "tuple", "int", "int64", "int32", "float", "float64", "float32", "tensor")


class Fields(NamedTuple):
    """What DARTS's code calls Genotype: edges and concatenated nodes of the two cells."""

    normal: Any
    normal_concat: Any
    reduce: Any = None
    reduce_concat: Any = None


def read_fields(text: str) -> Fields:
    """The fields of the one ``Genotype(...)`` in ``text``: names, numbers and None, and tuples of them.

    Raises :class:`UserError` unless there is one, made of these alone.
    """
    try:
        return _fields(_call(text))
    except RecursionError as error:
        raise UserError(f"`{_begin(text)}` is nested too deeply for a genotype.") from error


def _call(text: str) -> ast.Call:
    """The syntax tree of the one ``Genotype(...)`` in ``text``."""
    text = COMMENT.sub("", text)
    found = list(CALL.finditer(text))
    if not found:
        raise UserError(f"no genotype in `{_begin(text)}`: give Genotype(normal=[...], ...) or the JSON of one.")
    if len(found) > 1:
        names = dict.fromkeys(match["name"] or "without a name" for match in found)
        raise UserError(f"{len(found)} genotypes in one text ({_begin(', '.join(names))}): give one of them.")
    call = _closed(text[found[0].start("call") :])
    # Nothing that may stand here needs white space, and lines may be broken anywhere, names of operations included.
    source = "".join(call.split()).translate(QUOTES)
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError) as error:
        reason = getattr(error, "msg", error)
        raise UserError(f"cannot read `{_begin(source)}` as a genotype ({reason}).") from error
    assert isinstance(tree, ast.Call)
    return tree


def _begin(text: str) -> str:
    """The beginning of ``text`` in one line, to show which one is meant."""
    line = " ".join(text.split())
    if len(line) > 60:
        line = line[:60] + "..."
    return line


def _closed(text: str) -> str:
    """The beginning of ``text`` up to the bracket that closes its first one."""
    depth = 0
    for end, letter in enumerate(text, start=1):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth == 0:
                return text[:end]
    raise UserError(f"the genotype `{_begin(text)}` is cut off: {depth} of its brackets are never closed.")


def _fields(call: ast.Call) -> Fields:
    """The fields of a genotype as plain data, by position or name."""
    if len(call.args) > len(Fields._fields):
        raise UserError(f"a genotype has the fields {', '.join(Fields._fields)}, not {len(call.args)}.")
    given = {}
    for name, node in zip(Fields._fields, call.args, strict=False):
        given[name] = _value(node)
    for keyword in call.keywords:
        name = choose("field of a genotype", str(keyword.arg), Fields._fields)
        if name in given:
            raise UserError(f"the field {name} of a genotype is given twice.")
        given[name] = _value(keyword.value)
    needed = ["normal", "normal_concat"]
    if given.get("reduce"):
        needed.append("reduce_concat")
    for name in needed:
        if name not in given:
            raise UserError(f"the genotype lacks its field {name}.")
    return Fields(**given)


def _value(node: ast.expr) -> Any:
    """A name, number or None as such, a list, tuple or range as a tuple; anything else is a :class:`UserError`."""
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_value(element) for element in node.elts)
    if isinstance(node, ast.Call):
        return _called(node)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise _not_data(node) from error


def _called(node: ast.Call) -> Any:
    """The numbers of a range, or what a wrapper is around."""
    name = ast.unparse(node.func).rpartition(".")[2]
    if name in WRAPPERS and node.args:
        return _value(node.args[0])
    limits = [_value(argument) for argument in node.args]
    if name != "range" or not 1 <= len(limits) <= 3:
        raise _not_data(node)
    for limit in limits:
        if type(limit) is not int or abs(limit) > LAST + 1:
            raise _not_data(node)
    if limits[2:] == [0]:
        raise _not_data(node)
    return tuple(range(*limits))


def _not_data(node: ast.expr) -> UserError:
    return UserError(
        f"a genotype is made of names, numbers, lists and ranges of nodes up to {LAST}, "
        f"not of {_begin(ast.unparse(node))}."
    )
