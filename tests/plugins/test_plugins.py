"""Loading and registering: what is refused and how it is said, and who knows a plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nas_core import plugins
from nas_core.__main__ import main
from nas_core.errors import UserError
from nas_core.papers import artefacts, claims
from nas_core.relaxations import RELAXATIONS, Relaxation, no_gradient, uniform_draw

SOME = Path(__file__).with_name("some_plugin.py")
MINE = """
from nas_core.relaxations import RELAXATIONS, Relaxation, no_gradient, uniform_draw
RELAXATIONS.register("mine", Relaxation("mine", uniform_draw, no_gradient))
"""
OTHER = MINE.replace("mine", "other")


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def refused(path: Path) -> str:
    """The sentence with which a plugin is refused; nothing that is registered changes."""
    before = dict(RELAXATIONS), dict(RELAXATIONS.origin), plugins.loaded(), list(sys.path)
    with pytest.raises(UserError) as error:
        plugins.load(path)
    assert (dict(RELAXATIONS), dict(RELAXATIONS.origin), plugins.loaded(), list(sys.path)) == before
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("text", "sentence"), [
    ("\n1 / 0\n", ", line 2 cannot be loaded (ZeroDivisionError: division by zero)."),
    ("def f(:\n", "cannot be loaded (SyntaxError: invalid syntax (broken_plugin.py, line 1))."),
    ("import sys\nsys.exit(3)\n", ", line 2 cannot be loaded (SystemExit: 3)."),
    ("import no_such_module\n", ", line 1 cannot be loaded (ModuleNotFoundError: No module named 'no_such_module')."),
    (MINE.replace('"mine"', '"softmax"'), "there is a relaxation 'softmax' already, which is the package's; choose"),
    (MINE.replace('"mine"', '"../mine"'), "'../mine' cannot name a relaxation: allowed are 1 to 64 letters"),
    (MINE + MINE, "the relaxation 'mine' is registered twice."),
    (OTHER + "1 / 0\n", "ZeroDivisionError"),
])  # fmt: skip
def test_a_plugin_that_fails_is_one_sentence_and_changes_nothing(tmp_path: Path, text: str, sentence: str) -> None:
    path = written(tmp_path / "broken_plugin.py", text)
    said = refused(path)
    assert said.startswith(f"plugin {path}")
    assert sentence in said


def test_a_reload_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = written(tmp_path / "my_plugin.py", MINE)
    module = plugins.load(path)
    written(path, OTHER + "1 / 0\n")
    refused(path)
    assert "mine" in RELAXATIONS
    assert sys.modules["my_plugin"] is module


@pytest.mark.parametrize("name", ["json.py", "my-plugin.py", "plugin.txt", "missing.py", "imaplib.py"])
def test_a_file_that_cannot_be_a_plugin_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name != "missing.py":
        written(path, MINE)
    assert refused(path).startswith(f"the plugin {path}")


def test_the_same_file_may_register_again_and_another_may_not(tmp_path: Path) -> None:
    path = written(tmp_path / "my_plugin.py", MINE)
    plugins.load(path)
    written(path, MINE + OTHER)
    plugins.load(path)
    assert {"mine", "other"} <= set(RELAXATIONS)
    written(path, OTHER)
    plugins.load(path)
    assert "mine" not in RELAXATIONS, "taken back"
    other = written(tmp_path / "other_plugin.py", OTHER)
    assert f"there is a relaxation 'other' already, of {path}; choose another name" in refused(other)
    plugins.unload(path)
    assert "other" not in RELAXATIONS
    plugins.load(other)


def test_only_plugins_register() -> None:
    with pytest.raises(UserError, match="the relaxation 'mine' must be registered by a plugin"):
        RELAXATIONS.register("mine", Relaxation("mine", uniform_draw, no_gradient))


def test_what_a_plugin_imports_from_its_folder_counts_and_is_loaded_again(tmp_path: Path) -> None:
    helper = written(tmp_path / "lib" / "helper_of_mine.py", "FACTOR = 1\n")
    path = written(tmp_path / "lib" / "my_plugin.py", f"from helper_of_mine import FACTOR\n{MINE}")
    assert plugins.load(path).FACTOR == 1
    before = RELAXATIONS.digest("mine")
    written(helper, "FACTOR = 2\n")
    assert plugins.load(path).FACTOR == 2
    assert RELAXATIONS.digest("mine") != before
    sys.modules.pop("helper_of_mine")


def test_cells_of_a_notebook_replace_each_other(store: Path) -> None:
    plugins.load_source(MINE)
    before = RELAXATIONS.digest("mine")
    (first,) = plugins.loaded()
    plugins.load_source(f"# why\n{MINE}")
    assert RELAXATIONS.digest("mine") == before
    plugins.load_source(MINE + "FACTOR = 2\n")
    assert RELAXATIONS.digest("mine") != before
    (second,) = plugins.loaded()
    assert Path(second).parent == store / "plugins" == Path(first).parent
    assert os.environ[plugins.VARIABLE] == second
    with pytest.raises(UserError, match=r"the cell cannot be loaded as a plugin \(SyntaxError: "):
        plugins.load_source("def f(:")


def test_a_cell_with_the_magic_is_a_plugin() -> None:
    shell = InteractiveShell.instance()
    try:
        plugins.load_ipython_extension(shell)
        shell.run_cell(f"%%plugin\n{MINE}FACTOR = 3\n").raise_error()
        shell.run_cell("assert FACTOR == 3 and 'mine' in RELAXATIONS").raise_error()
    finally:
        InteractiveShell.clear_instance()
    assert "mine" in RELAXATIONS.origin


@pytest.mark.parametrize("start", [
    "from nas_core.session import Session; Session('00_start_here', profile='smoke')",
    "from nas_core.__main__ import main; assert main(['runs', 'list']) == 0",
])  # fmt: skip
def test_the_environment_names_plugins_for_sessions_and_commands(tmp_path: Path, start: str) -> None:
    written(tmp_path / "my_plugin.py", MINE)
    written(tmp_path / "other_plugin.py", OTHER)
    code = f"{start}; from nas_core.relaxations import RELAXATIONS; assert {{'mine', 'other'}} <= set(RELAXATIONS)"
    environment = {**os.environ, plugins.VARIABLE: "my_plugin.py:other_plugin.py", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_plugin_that_the_environment_misnames_is_one_sentence(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path / "missing.py"))
    assert main(["claims"]) == 2
    assert capsys.readouterr().err == f"nas_core: the plugin {tmp_path / 'missing.py'} is no file of Python (*.py).\n"


def test_own_claims_and_artefacts_follow_those_of_the_papers() -> None:
    before = artefacts(), claims()
    plugins.load(SOME)
    assert artefacts().index[-1] == "OWN-F1"
    assert claims().loc["OWN-C1", "bound"] == 0
    assert len(claims()) == len(before[1]) + 1
    plugins.unload(SOME)
    assert artefacts().equals(before[0])
    assert claims().equals(before[1])


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ('"OWN-F1"', '"WI-F12"', "WI-F12 stands in artefacts.csv already; choose another id."),
    ('Claim("OWN-F1"', 'Claim("OWN-F2"', "unknown artefact of OWN-C1 in claims.csv 'OWN-F2'"),
    ('">", 0.0', '"=", 0.0', "unknown comparison of OWN-C1 in claims.csv '='"),
    ("/ temperature, dim=-1)", "/ temperature, dim=-1)[0]", "'tempered': Z must have the shape"),
    ("cost) / temperature", "cost) / (temperature - 1)", "'tempered': dL/da must have the shape"),
    ("(channels, channels, 1, stride,", "(channels, channels, 1,", "'conv_1x1': of maps (2, 16, 5, 7) at stride 2"),
    ("return Cost(size, size * side**2,", "return (size, size * side**2,", "its cost must be a Cost(params, madds"),
    ("lambda: LADDER", "LADDER", "cell 'ladder': register a function that returns a Topology, not Topology("),
    ('"#7A5C00"', '"dirt"', "style of 'conv_1x1': 'dirt' is no colour."),
    ('"p"', '"q"', "style of 'conv_1x1': 'q' is no marker of matplotlib."),
    ('"c1"', '"sep3"', "style of 'conv_1x1': 'sep3' has the label 'sep3' and colour #D55E00."),
])  # fmt: skip
def test_what_is_registered_wrongly_is_one_sentence(copy: Path, old: str, new: str, sentence: str) -> None:
    copy.write_text(copy.read_text().replace(old, new))
    assert sentence in refused(copy)
