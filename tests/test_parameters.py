"""What papermill injects: names and types are those of the notebook's own parameters, or the notebook stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_project
import papermill
import pytest

from nas_core.choices import check_seeds, whole_number
from nas_core.errors import UserError
from nas_core.parameters import check_injected

OWN = 'profile: str = ""\nseeds: list = []\nepochs: int = 16\nrate = 0.5\nderived = epochs + 1'


@pytest.mark.parametrize(
    "injected", ['profile = "smoke"\nseeds = [0, 1]', "epochs = 3", "rate = 1", "rate = 0.25", 'profile = "labtop"']
)
def test_parameters_that_the_notebook_has(injected: str) -> None:
    check_injected([OWN, f"# Parameters\n{injected}\n", "import nas_core"])


@pytest.mark.parametrize(
    ("injected", "message"),
    [
        ("sedes = [0]", "unknown parameter of this notebook 'sedes'; did you mean 'seeds'? Allowed: profile,"),
        ('epochs = "abc"', "the parameter epochs must be of type int, like 16, not 'abc'."),
        ("epochs = True", "the parameter epochs must be of type int, like 16, not True."),
        ("epochs = 1.5", "the parameter epochs must be of type int"),
        ("seeds = 3", "the parameter seeds must be of type list, like [], not 3."),
        ("profile = 3", "the parameter profile must be of type str, like '', not 3."),
        ("profile = None", "the parameter profile must be of type str"),
        ("rate = float('nan')", "the parameter rate must be of type float"),
    ],
)
def test_other_parameters_are_named(injected: str, message: str) -> None:
    with pytest.raises(UserError) as told:
        check_injected(["", OWN, f"# Parameters\n{injected}\n"])
    assert str(told.value).startswith(message)


def test_cells_that_are_no_python_do_not_matter() -> None:
    check_injected(["%matplotlib inline", "!ls", OWN])
    check_injected()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"sedes": [0]}, "unknown parameter of this notebook 'sedes'"), ({"epochs": "abc"}, "epochs must be of type int")],
)
def test_under_plain_papermill_nothing_runs(tmp_path: Path, parameters: dict[str, Any], message: str) -> None:
    cells = ("from nas_core.parameters import check_injected\ncheck_injected()", "raise SystemExit('it ran on')")
    path = fake_project.write(tmp_path, "odd", *cells, parameters=OWN)
    with pytest.raises(papermill.PapermillExecutionError, match=message):
        papermill.execute_notebook(path, tmp_path / "out.ipynb", parameters, progress_bar=False)


@pytest.mark.parametrize("value", ["abc", True, 1.5, 1, None, float("nan")])
def test_a_whole_number_is_one(value: object) -> None:
    with pytest.raises(UserError, match=r"epochs must be a whole number from 2, not "):
        whole_number("epochs", value, least=2)
    assert whole_number("epochs", 2, least=2) == 2


def test_seeds_have_an_end() -> None:
    with pytest.raises(UserError, match=r"below 2\*\*31.* not 4611686018427387904\.$"):
        check_seeds([2**62])
