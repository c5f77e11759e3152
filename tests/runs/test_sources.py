from __future__ import annotations

import sys
from pathlib import Path

import pytest
import toy

from nas_core.errors import UserError
from nas_core.imports import data_files, digest, normalised
from nas_core.runs import sources
from nas_core.runs.sources import closure

FAKE = {
    "__init__.py": "",
    "errors.py": "x = 1\n",
    "trainers/__init__.py": "import typing\nif typing.TYPE_CHECKING:\n    from nas_core.trainers import other\n",
    "trainers/search.py": "import nas_core.cells.supernet\nfrom nas_core import data\nfrom . import batches\n",
    "trainers/batches.py": "def f():\n    from nas_core.probes import costs\n",
    "trainers/other.py": "import nas_core.report\n",
    "cells/__init__.py": "NAME = 'operations'\n",
    "cells/supernet.py": "from ..errors import x\nfrom .operations import y\n",
    "cells/operations.py": "from nas_core import papers\nimportlib.import_module('nas_core.backends.native')\n",
    "cells/unused.py": "",
    "backends/__init__.py": "",
    "backends/native.py": "from pathlib import Path\nSOURCE = Path(__file__).with_suffix('.cpp')\n",
    "backends/native.cpp": "int x = 1;\n",
    "backends/other.cpp": "int x = 1;\n",
    "data/__init__.py": "FILE = 'images.npz'\n",
    "data/images.npz": "1",
    "data/others.npz": "1",
    "probes/__init__.py": "",
    "probes/costs.py": "",
    "papers/__init__.py": "FILE = 'claims.csv'\n",
    "papers/claims.csv": "1",
    "report.py": "",
}
COMPUTES = {
    "__init__.py",
    "errors.py",
    "trainers/__init__.py",
    "trainers/search.py",
    "trainers/batches.py",
    "cells/__init__.py",
    "cells/supernet.py",
    "cells/operations.py",
    "backends/__init__.py",
    "backends/native.py",
    "backends/native.cpp",
    "data/__init__.py",
    "data/images.npz",
    "probes/__init__.py",
    "probes/costs.py",
    "papers/__init__.py",
}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package in the place of this one."""
    package = tmp_path / "nas_core"
    for name, text in FAKE.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(sources, "__file__", str(package / "runs" / "sources.py"))
    return package


def test_comments_layout_and_docstrings_do_not_count() -> None:
    bare = "def f(x):\n    return x + 1\nclass A:\n    pass"
    dressed = '"""Module."""\n# why\ndef f(x):\n  """Doc."""\n  return (x   + 1)  # what\nclass A:\n  "Doc."\n  pass\n'
    assert normalised(bare) == normalised(dressed)
    assert normalised(bare) != normalised(bare.replace("1", "2"))
    assert normalised("x = 'text'") != normalised("x = 'other'")
    assert normalised('def f():\n    """Only this."""') != normalised('def f():\n    """Only this."""\n    return 1')


@pytest.mark.parametrize("name", FAKE)
def test_the_fingerprint_sees_what_the_trainer_imports_and_nothing_else(fake: Path, name: str) -> None:
    before = digest(closure("nas_core.trainers.search"))
    path = fake / name
    path.write_text(path.read_text() + "\nx = 2\n")
    assert (digest(closure("nas_core.trainers.search")) != before) == (name in COMPUTES)


def test_new_files_comments_and_compiled_ones_change_nothing(fake: Path) -> None:
    before = digest(closure("nas_core.trainers.search"))
    for name in ("trainers/evolution.py", "cells/new.py", "claims.py", "papers/new.csv", "cells/__pycache__/a.pyc"):
        (fake / name).parent.mkdir(exist_ok=True)
        (fake / name).write_text("x = 1\n")
    path = fake / "cells/supernet.py"
    path.write_text(f'"""The supernet."""\n# why\n{path.read_text()}')
    assert digest(closure("nas_core.trainers.search")) == before
    path.rename(fake / "cells/renamed.py")
    assert digest(closure("nas_core.trainers.search")) != before


def test_the_fingerprint_of_a_search() -> None:
    found = set(closure("nas_core.trainers.search"))
    assert {"nas_core.cells.supernet", "nas_core.data", "nas_core.trainers.settings", "nas_core.relaxations"} <= found
    rooms = {name.split(".")[1] for name in found if "." in name}
    assert not rooms & {"runs", "report", "claims", "driver", "session", "catalogue", "experiments"}
    data = data_files(found_path("nas_core.data"), found_path("nas_core.data").read_text())
    assert {path.name for path in data} == {"fashion_mnist_14.npz", "fashion_mnist_14.json"}
    assert len(sources.of_module("nas_core.trainers.search")) == 16


def found_path(name: str) -> Path:
    return closure("nas_core.trainers.search")[name].path


def test_torch_and_numpy_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    for module, version in (("torch", ""), ("torch", "0"), ("numpy", "0")):
        with monkeypatch.context() as patch:
            if version:
                patch.setattr(sys.modules[module], "__version__", version)
            seen.add(sources.of_module.__wrapped__("toy"))
    assert len(seen) == 3


def test_a_trainer_elsewhere_has_its_own_source_and_what_lies_beside_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text("import mine_too\nimport json\nfrom nas_core.cells import topology\n")
    (tmp_path / "mine_too.py").write_text("x = 1\n")
    (tmp_path / "not_mine.py").write_text("x = 1\n")
    found = closure("mine")
    assert {"mine", "mine_too", "nas_core.cells.topology"} <= set(found)
    assert not {"json", "not_mine", "numpy"} & set(found)
    before = digest(found)
    (tmp_path / "mine_too.py").write_text("x = 2\n")
    assert digest(closure("mine")) != before
    (tmp_path / "group" / "sub").mkdir(parents=True)
    (tmp_path / "group" / "__init__.py").write_text("")
    (tmp_path / "group" / "sub" / "__init__.py").write_text("")
    (tmp_path / "group" / "sub" / "trainer.py").write_text("from .. import other\nimport mine\n")
    (tmp_path / "group" / "other.py").write_text("")
    assert set(closure("group.sub.trainer")) == {"group", "group.sub", "group.sub.trainer", "group.other"}


def test_a_toy_is_one_of_those() -> None:
    assert {"toy", "nas_core.cells.genotype"} <= set(closure("toy"))
    assert sources.fingerprint(toy.ToyConfig()) == sources.of_module("toy")  # type: ignore[arg-type]


@pytest.mark.parametrize("module", ["__main__", "no_such_module", "math"])
def test_a_trainer_without_source_is_refused(module: str) -> None:
    with pytest.raises(UserError, match=f"the trainer's module '{module}' is no file of Python source"):
        closure(module)
