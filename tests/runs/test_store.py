from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import toy
from toy_tools import content

from nas_core.errors import UserError
from nas_core.runs import Damaged, RunsFailed, store
from nas_core.runs.store import digests, open_record, read, write_record
from nas_core.trainers.result import Result

RESULT = Result(
    tables={
        "mixed": pd.DataFrame(
            {
                "loss": [0.1, 1 / 3, float("nan"), float("-inf"), 5e-324],
                "single": np.array([0.1, 2.5, 3, 4, 5], dtype=np.float32),
                "step": [0, 1, 2, 3, 2**62],
                "kept": [True, False, True, True, False],
                "name": ["NA", "", 'a "b", c', "nan", "x\ny"],
            }
        ),
        "odd": pd.DataFrame({"": ["x", ""], 'a, "b"': [1, 2], "c\nd": [True, False], " e": [-0.0, 1e300]}),
        "empty": pd.DataFrame({"a": pd.Series([], dtype="float64")}),
    },
    arrays={"prob": np.random.default_rng(0).random((2, 3, 4)), "count": np.arange(3)},
    genotypes={},
)


def test_tables_and_arrays_come_back_exactly(tmp_path: Path) -> None:
    config = toy.ToyConfig()
    write_record(tmp_path, config, RESULT, {"steps": 1}, {})
    record = open_record(tmp_path, config)
    for name, frame in RESULT.tables.items():
        pd.testing.assert_frame_equal(record.table(name), frame, check_exact=True)
    assert record.array("prob").tobytes() == RESULT.arrays["prob"].tobytes()
    assert record.array("count").dtype == np.int64
    assert (record.genotypes, record.provenance) == ({}, {"steps": 1})
    with pytest.raises(UserError, match="unknown table 'mix'; did you mean 'mixed'"):
        record.table("mix")
    with pytest.raises(UserError, match="unknown array 'probs'; did you mean 'prob'"):
        record.array("probs")


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1.0]}, index=[5]),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({1: [1.0]}),
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
        pd.DataFrame({"a": ["x", None]}),
        pd.DataFrame({"a": [[1, 2], (3,)]}),
        pd.DataFrame({"a": [1j]}),
        pd.DataFrame(index=range(2)),
    ],
)
def test_a_table_that_would_not_come_back_is_refused(tmp_path: Path, frame: pd.DataFrame) -> None:
    result = Result({"odd": frame}, {}, {})
    with pytest.raises(ValueError, match="table 'odd' cannot be stored exactly"):
        write_record(tmp_path, toy.ToyConfig(), result, {}, {})
    assert not list(tmp_path.iterdir())


def test_digests_tell_single_bits_apart() -> None:
    changed = RESULT.arrays["prob"].copy()
    changed[0, 0, 0] = np.nextafter(changed[0, 0, 0], 1)
    other = digests(Result(RESULT.tables, {**RESULT.arrays, "prob": changed}, {}))
    assert {k for k, v in digests(RESULT).items() if other[k] != v} == {"array prob"}


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {
        "flip": data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :],
        "first": bytes([data[0] ^ 4]) + data[1:],
        "last": data[:-1] + bytes([data[-1] ^ 4]),
        "cut": data[:middle],
        "empty": b"",
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["flip", "first", "last", "cut", "empty"])
def test_a_damaged_record_is_named_and_the_run_recomputed(obtain, lines, how: str) -> None:
    config = toy.ToyConfig()
    (record,) = obtain(config)
    whole = content(record)
    damage(record.folder / "record.json", how)
    lines.clear()
    (again,) = obtain(config)
    assert len(lines) == 1
    assert re.fullmatch(r".* damaged record: \S*/record\.json .*; computing it", lines[0])
    assert content(again) == whole
    assert obtain(config)[0].folder == record.folder


def test_a_record_of_another_format_is_not_used(obtain, lines, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "FORMAT", 2)
        obtain(toy.ToyConfig())
    obtain(toy.ToyConfig())
    assert re.search(r"damaged record: \S*/record\.json has format 2, not 3; computing it", lines[-1])


def test_a_record_of_another_configuration_is_not_used(obtain, lines, root: Path) -> None:
    (record,) = obtain(toy.ToyConfig(seed=1))
    os.rename(record.folder, root / "records" / toy.ToyConfig(seed=2).key())
    (other,) = obtain(toy.ToyConfig(seed=2))
    assert "record.json belongs to another configuration" in lines[-1]
    assert read(other.folder)["config"]["seed"] == 2


def test_a_record_is_open_and_says_where_the_numbers_come_from(obtain) -> None:
    (record,) = obtain(toy.ToyConfig(seed=3))
    columns = safetensors.numpy.load_file(record.folder / "record.json")
    assert columns["result/table/epochs/loss"].tolist() == record.table("epochs")["loss"].tolist()
    assert columns["result/array/prob_normal"].tobytes() == record.array("prob_normal").tobytes()
    provenance = record.provenance
    assert provenance["seed"] == 3
    assert provenance["steps"] == 15
    assert set(provenance["versions"]) == {"nas-core", "torch", "numpy", "python"}
    for name in ("fingerprints", "platform", "threads", "device", "wall_seconds", "peak_memory_mib"):
        assert provenance[name], name
    assert provenance["resumes"] == 0
    assert record.genotypes["derived"][0].normal.edges == ((0, 2, "skip"), (1, 2, "conv"))


def test_the_store_is_where_nas_runs_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAS_RUNS", str(tmp_path))
    assert store.location() == tmp_path
    monkeypatch.delenv("NAS_RUNS")
    repo = Path(store.__file__).parents[2]
    assert store.location() == repo / ".runs"
    monkeypatch.setattr(store, "repository", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert store.location() == tmp_path / ".runs"


def test_a_store_that_cannot_be_made_is_one_sentence(obtain, root: Path) -> None:
    root.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=rf"^cannot write to {root}\S* \(.*\); free space there, or name a writable"):
        obtain(toy.ToyConfig())
    assert root.read_text() == "a file where the folder should be"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("when", ["step-", "anchors.safetensors", "record.json"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(obtain, root, monkeypatch, when, code) -> None:
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name.startswith(when):
            raise OSError(code, os.strerror(code), str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunsFailed) as failed:
        obtain(toy.ToyConfig())
    (message,) = failed.value.failures.values()
    assert re.fullmatch(rf"cannot write to {root}/\S*{when}\S* \({os.strerror(code).lower()}\); free space .*", message)
    assert not list(root.glob("records/*/record.*"))
    assert not list(root.glob("**/.*"))
    monkeypatch.setattr(os, "replace", real)
    assert obtain(toy.ToyConfig())[0].provenance["steps"] == 15


def test_found_records_need_no_writable_store(obtain, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    obtain(toy.ToyConfig())
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    obtain(toy.ToyConfig())
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


def test_a_record_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    config = toy.ToyConfig()
    write_record(tmp_path, config, RESULT, {"n": 1}, {})
    odd = Result({"odd": pd.DataFrame({"a": [1]}, index=[5])}, {}, {})
    with pytest.raises(ValueError, match="odd"):
        write_record(tmp_path, config, odd, {"n": 2}, {})
    assert open_record(tmp_path, config).provenance == {"n": 1}
    write_record(tmp_path, config, RESULT, {"n": 3}, {})
    assert open_record(tmp_path, config).provenance == {"n": 3}
    assert {p.name for p in tmp_path.iterdir()} == {"record.json", "anchors.safetensors"}
    with pytest.raises(Damaged, match=r"record\.json"):
        open_record(tmp_path / "none", config)
