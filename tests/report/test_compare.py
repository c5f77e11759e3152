"""Compare: bit-equal, close, changed, new, missing; versions and times do not count."""

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from nas_core.claims.verdict import Verdict
from nas_core.report import Difference, compare, save

TABLE = pd.DataFrame({"op": ["none", "skip"], "cost": [0.0, 1.5], "wall_s": [1.0, 2.0]})


def put(
    out: Path, *, table: pd.DataFrame = TABLE, verdict: str = "holds", value: float | None = 0.5, **changes
) -> Path:
    claim = Verdict("C-W4b", verdict, value, "> 0", (0, 1), (0.4, 0.6))
    settings = {"title": "t", "profile": "laptop", "dataset": "d", "seeds": [0, 1], "runs": ["W-MC1i"]} | changes
    return save("WI-F4", Figure(figsize=(2, 1)), table, caption="c", verdicts=[claim], out=out, **settings)


def difference(tmp_path: Path, **changes) -> Difference:
    return compare(put(tmp_path / "old"), put(tmp_path / "new", **changes))


def test_equal_numbers_are_identical_whatever_versions_and_times_are(tmp_path: Path) -> None:
    old, new = put(tmp_path / "old"), put(tmp_path / "new", table=TABLE.assign(wall_s=[9.0, 9.0]))
    described = old.with_suffix(".json")
    described.write_text(json.dumps(json.loads(described.read_text()) | {"versions": {"numpy": "0"}}))
    found = compare(old, new)
    assert found == Difference("identical")
    assert str(found) == "identical"


@pytest.mark.parametrize("suffix", ["", ".json", ".csv", ".png"])
def test_any_path_of_the_artefact_will_do(tmp_path: Path, suffix: str) -> None:
    old, new = put(tmp_path / "old").with_suffix(suffix), put(tmp_path / "new").with_suffix(suffix)
    assert compare(old, new).kind == "identical"


def test_small_differences_are_within_tolerance(tmp_path: Path) -> None:
    found = difference(tmp_path, table=TABLE.assign(cost=[1e-13, 1.5 * (1 + 1e-7)]))
    assert found.kind == "within tolerance"
    assert found.largest == 1.0  # 0 against 1e-13: below the absolute tolerance
    found = difference(tmp_path, value=0.5 + 1e-8)
    assert (found.kind, found.verdicts) == ("within tolerance", ())
    assert found.largest == pytest.approx(2e-8)
    assert difference(tmp_path, table=TABLE.assign(cost=[0.0, 1.5 * (1 + 2e-6)])).kind == "changed"
    assert difference(tmp_path, table=TABLE.assign(cost=[1e-11, 1.5])).kind == "changed"


def test_a_changed_column_is_named_with_the_largest_difference(tmp_path: Path) -> None:
    found = difference(tmp_path, table=TABLE.assign(cost=[0.0, 3.0]))
    assert found == Difference("changed", ("cost",), 0.5)
    assert str(found) == "changed (cost; largest relative difference 0.5)"


@pytest.mark.parametrize(
    "table",
    [
        TABLE.assign(op=["none", "max"]),
        TABLE.rename(columns={"op": "operation"}),
        TABLE[:1],
        TABLE.assign(more=1),
        TABLE.assign(cost=[0.0, float("nan")]),
        TABLE.assign(cost=[0.0, float("inf")]),
    ],
    ids=["word", "renamed", "shorter", "new column", "nan", "inf"],
)
def test_other_tables_have_changed(tmp_path: Path, table: pd.DataFrame) -> None:
    assert difference(tmp_path, table=table).kind == "changed"


def test_a_number_that_is_no_longer_finite_is_infinitely_far(tmp_path: Path) -> None:
    assert difference(tmp_path, table=TABLE.assign(cost=[0.0, float("inf")])).largest == float("inf")


def test_nan_equals_nan(tmp_path: Path) -> None:
    table = TABLE.assign(cost=[float("nan"), 1.0], op=["nan", "skip"])
    assert compare(put(tmp_path / "a", table=table), put(tmp_path / "b", table=table)).kind == "identical"


def test_a_changed_verdict_is_named(tmp_path: Path) -> None:
    found = difference(tmp_path, verdict="fails", value=-0.5)
    assert found.verdicts == (("C-W4b", "holds", "fails"),)
    assert found.changed == ("C-W4b value",)
    assert str(found).startswith("changed (C-W4b: holds -> fails; C-W4b value; largest")
    assert difference(tmp_path, value=None).changed == ("C-W4b value",)


@pytest.mark.parametrize(
    "setting", [{"profile": "smoke"}, {"seeds": [0]}, {"dataset": "e"}, {"runs": []}, {"title": "u"}]
)
def test_other_settings_are_named(tmp_path: Path, setting: dict) -> None:
    assert difference(tmp_path, **setting) == Difference("changed", tuple(setting))


def test_new_and_missing(tmp_path: Path) -> None:
    there, nowhere = put(tmp_path), tmp_path / "nowhere" / "WI-F4.json"
    assert compare(nowhere, there).kind == "new"
    assert compare(there, nowhere).kind == "missing"
    there.with_suffix(".csv").unlink()
    assert compare(there, there).kind == "missing"


DAMAGES = ["", "{", '{"claims": [{}]}', '{"claims": ["x"]}', "[1]", "[" * 100_000]


@pytest.mark.parametrize("damage", DAMAGES, ids=len)
def test_a_damaged_older_one_counts_as_changed(tmp_path: Path, damage: str) -> None:
    old, new = put(tmp_path / "old"), put(tmp_path / "new")
    old.with_suffix(".json").write_text(damage)
    assert "the older one is damaged" in str(compare(old, new))
    assert compare(old, new).kind == "changed"


def test_a_cut_csv_is_noticed(tmp_path: Path) -> None:
    old, new = put(tmp_path / "old"), put(tmp_path / "new")
    path = old.with_suffix(".csv")
    path.write_text(path.read_text()[:-6])
    assert compare(old, new).kind == "changed"
    path.write_text("")
    assert compare(old, new).kind == "changed"
    assert json.loads(new.with_suffix(".json").read_text())["id"] == "WI-F4"
