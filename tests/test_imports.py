"""What may be read off the source: one-way imports, and nothing forbidden."""

import ast
import itertools
from pathlib import Path

import pytest

import nas_core

PACKAGE = Path(nas_core.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Nothing imports from its right, and what stands together does not import each other.
ORDER = [
    {"errors"},
    {"files", "imports", "registry"},
    {"plugins"},
    {"data", "papers"},
    {"cells"},
    {"backends"},
    {"relaxations"},
    {"probes"},
    {"trainers"},
    {"experiments"},
    {"runs"},
    {"choices", "claims", "parameters"},
    {"report"},
    {"session"},
    {"explore"},
    {"driver"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def part(file: Path) -> str:
    """The top-level name that a file belongs to: ``cells`` for cells/genotype.py, ``config`` for config.py."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path, tree: ast.AST) -> set[str]:
    """The full names of all modules and names that a file imports, lazily or not, relatively or not."""
    package = ["nas_core", *file.relative_to(PACKAGE).parts[:-1]]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {ast.literal_eval(a) for a in node.args[:1] if isinstance(a, ast.Constant)}
    return names


def faults(file: Path, text: str) -> list[str]:
    """Everything in a source that this project forbids, in words."""
    tree, own = ast.parse(text), part(file)
    found = []
    for name in imported(file, tree):
        if name == "nas_core" or name.startswith("nas_core."):
            other = name.split(".")[1] if "." in name else "nas_core"
            if other == own or other == "__version__":
                continue
            if other not in RANK:
                found.append(f"imports {name}, which has no place in the order")
            elif RANK[other] >= RANK.get(own, len(ORDER)):
                found.append(f"{own} imports {name} from its right")
        if own == "report" and name.split(".")[0] == "torch":
            found.append("report imports torch")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            found.append("star import")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append("bare except")
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.append(f"{node.func.id}()")
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
                found.append(".cuda()")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_source_keeps_the_rules(file: Path) -> None:
    assert part(file) in RANK or file == PACKAGE / "__init__.py"
    assert faults(file, file.read_text()) == []


def test_the_top_of_the_package_imports_nothing() -> None:
    assert imported(PACKAGE / "__init__.py", ast.parse((PACKAGE / "__init__.py").read_text())) == set()


@pytest.mark.parametrize(("place", "text", "fault"), [
    ("cells/a.py", "from nas_core.relaxations import x", "cells imports nas_core.relaxations.x from its right"),
    ("cells/a.py", "def f():\n    from nas_core.trainers import build", "cells imports nas_core.trainers.build"),
    ("cells/a.py", "from nas_core import trainers", "cells imports nas_core.trainers from its right"),
    ("cells/a.py", "import nas_core.runs.store", "cells imports nas_core.runs.store from its right"),
    ("cells/a.py", "from ..probes import x", "cells imports nas_core.probes.x from its right"),
    ("cells/a.py", "importlib.import_module('nas_core.probes')", "cells imports nas_core.probes from its right"),
    ("data/a.py", "from nas_core.papers import x", "data imports nas_core.papers.x from its right"),
    ("papers/a.py", "from nas_core import data", "papers imports nas_core.data from its right"),
    ("errors.py", "import nas_core.data", "errors imports nas_core.data from its right"),
    ("runs/a.py", "from nas_core.tools import x", "imports nas_core.tools.x, which has no place in the order"),
    ("report/a.py", "import torch.nn", "report imports torch"),
    ("runs/a.py", "from os import *", "star import"),
    ("runs/a.py", "try:\n    f()\nexcept:\n    pass", "bare except"),
    ("runs/a.py", "eval('1')", "eval()"),
    ("runs/a.py", "exec('1')", "exec()"),
    ("runs/a.py", "model.cuda()", ".cuda()"),
])  # fmt: skip
def test_a_fault_is_found(place: str, text: str, fault: str) -> None:
    assert [f for f in faults(PACKAGE / place, text) if f.startswith(fault)]


def test_what_is_allowed_is_no_fault() -> None:
    for text in (
        "from nas_core.errors import UserError",
        "from nas_core import cells",
        "from . import b",
        "model.eval()",
    ):
        assert faults(PACKAGE / "runs/a.py", text) == []
    assert faults(PACKAGE / "cells/a.py", "from nas_core.cells.topology import Topology") == []


def test_the_order_is_complete() -> None:
    assert len(RANK) == len(list(itertools.chain(*ORDER)))
    assert {part(f) for f in FILES} - {"__init__"} <= set(RANK)
