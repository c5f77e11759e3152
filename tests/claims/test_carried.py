"""Every exact claim that the notebooks show is carried by a test of its own, marked with the claim's id."""

import ast
from pathlib import Path

from nas_core import papers

TESTS = Path(__file__).resolve().parents[1]


def carried(text: str) -> set[str]:
    """The claims in ``pytest.mark.claim(...)`` above the tests of a file, in marks of single parameters too."""
    marks = {
        mark
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_")
        for decorator in function.decorator_list
        for mark in ast.walk(decorator)
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.claim"
    }
    return {ast.literal_eval(claim) for mark in marks for claim in mark.args}


def test_markers_are_read() -> None:
    text = "@pytest.mark.claim('A', 'B')\n@given(x)\ndef test_a(): ...\n@pytest.mark.claim('C')\ndef helper(): ...\n"
    text += "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.claim('D'))])\ndef test_d(x): ...\n"
    assert carried(text) == {"A", "B", "D"}


def test_every_exact_claim_that_is_shown_has_a_test() -> None:
    table, made = papers.claims(), papers.artefacts()["notebook"]
    shown = set(table.index[(table["grade"] == "X") & table["artefact"].map(made).fillna("").ne("")])
    theory = set(table.index[(table["grade"] == "X") & table.index.str.startswith("T-")])
    found = {claim for file in TESTS.rglob("test_*.py") for claim in carried(file.read_text())}
    assert found <= set(table.index)
    assert (shown | theory) - found == set()
