"""The recipes of the README run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import nas_core.runs
from nas_core import plugins
from nas_core.data import load
from nas_core.experiments import configs
from nas_core.trainers.kinds import kinds

README = Path(__file__).parents[2] / "README.md"


def block(start: str) -> str:
    """The block of Python whose text begins like this."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf8"), re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if text.startswith(start)]
    return found


def test_the_table_of_kinds_of_runs() -> None:
    """Every kind of the package, its class of settings, and a run of it."""
    rows = re.findall(r"^\| ([\w -]+) \| `(\w+Config)` \|.*\| `([\w-]+)` \|$", README.read_text("utf8"), re.MULTILINE)
    own = {tag: cls for tag, cls in kinds().items() if cls.__module__.startswith("nas_core.")}
    assert {tag: name for tag, name, _ in rows} == {tag: cls.__name__ for tag, cls in own.items()}
    for tag, _, run in rows:
        assert type(configs(run, "laptop")[0]) is own[tag], run


def test_the_recipe_for_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_plugin.py").write_text(block("# my_plugin.py\n"))
    monkeypatch.setattr("nas_core.experiments.configs", lambda run, profile, seeds: configs(run, "smoke", seeds))
    exec(block("from nas_core import plugins\n"), {})
    (record,) = (nas_core.runs.location() / "records").iterdir()
    assert record.name.startswith("my-search-smoke-s0-")
    assert set(plugins.loaded()) == {str(tmp_path / "my_plugin.py")}


def test_the_recipe_for_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    names = {
        "images": draw.integers(0, 256, (900, 2, 5, 7), dtype=np.uint8),
        "labels": draw.integers(0, 3, 900),
    }
    text = block("from nas_core.data.own import")
    exec(text[: text.index("from_folder(")], names)
    assert load("stripes", train=500, valid=200, test=160).title == "Stripes 5x7, 500 images"
