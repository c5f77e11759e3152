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

README = Path(__file__).parents[2] / "README.md"


def block(start: str) -> str:
    """The block of Python whose text begins like this."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf8"), re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if text.startswith(start)]
    return found


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
