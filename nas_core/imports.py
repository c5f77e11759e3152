"""What a module of Python is made of: its source and that of all it imports, read and never executed."""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# What the papers print is what runs are compared with: its tables may change, with every claim, and no run does.
WITHOUT_DATA = ("nas_core.papers",)


class Source(NamedTuple):
    """A module: ``package`` is what its relative imports start from."""

    path: Path
    package: str


def digest(sources: dict[str, Source]) -> str:
    """The digest of modules, by their syntax tree, and of the data files that belong to them, by their bytes."""
    total = hashlib.sha256()
    for name in sorted(sources):
        path = sources[name].path
        source = path.read_text("utf8")
        _add(total, name, normalised(source).encode())
        data = [] if name in WITHOUT_DATA else data_files(path, source)
        for file in data:
            _add(total, f"{name} {file.name}", file.read_bytes())
    return total.hexdigest()


def _add(total: "hashlib._Hash", name: str, content: bytes) -> None:
    total.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())


def normalised(source: str) -> str:
    """Python source reduced to what it does: no comments, layout or docstrings."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(module)


def data_files(module: Path, source: str) -> list[Path]:
    """The files beside a module that it names in a string, or that share its name, as native.cpp does native.py's."""
    named = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    beside = [path for path in sorted(module.parent.iterdir()) if path.is_file()]
    others = [path for path in beside if path.suffix not in (".py", ".pyc")]
    return [path for path in others if path.name in named or path.stem == module.stem]


def follow(module: str, folders: Mapping[str, Path]) -> dict[str, Source]:
    """``module``, all modules that it imports, those they import and so on, by name, as far as they lie in ``folders``.

    ``folders``: where modules are looked for, by the first part of their name, and for all others under "" if anywhere.
    """
    found: dict[str, Source] = {}
    names = [module]
    while names:
        name = names.pop()
        source = _locate(name, folders)
        if source is None or name in found:
            continue
        found[name] = source
        names += _parents(name)
        names += imported(source)
    return found


def imported(source: Source) -> Iterator[str]:
    """The full names of all that a module may import: modules, and names in modules that may be modules themselves."""
    for node in _executed(ast.parse(source.path.read_text("utf8"), str(source.path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from (alias.name, *_parents(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), source.package)
            yield from (base, *_parents(base))
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            constants = [each.value for each in node.args[:1] if isinstance(each, ast.Constant)]
            for name in constants:
                yield from (str(name), *_parents(str(name)))


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers read."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _executed(other)
        else:
            yield from _executed(child)


def _parents(name: str) -> list[str]:
    """The packages that are imported on the way to ``name``."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _locate(name: str, folders: Mapping[str, Path]) -> Source | None:
    """The file of a module, if it is ours."""
    top, _, _ = name.partition(".")
    folder = folders.get(top) or folders.get("")
    if folder is None:
        return None
    place = folder.joinpath(*name.split("."))
    if (place / "__init__.py").is_file():
        return Source(place / "__init__.py", name)
    if place.with_name(f"{place.name}.py").is_file():
        return Source(place.with_name(f"{place.name}.py"), name.rpartition(".")[0])
    return None
