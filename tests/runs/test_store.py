from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
import toy
from toy_tools import FILES, content

from nas_core import files
from nas_core.errors import UserError
from nas_core.runs import Damaged, Record, RunsFailed, store
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
                "line": ["a\rb", "\r\n", "\n", "\r", " "],
                "name": ["NA", "", 'a "b", c', "nan", "x\ny"],
            }
        ),
        "odd": pd.DataFrame({"": ["x", ""], 'a, "b"': [1, 2], "c\nd": [True, False], " e": [-0.0, 1e300]}),
        "empty": pd.DataFrame({"a": pd.Series([], dtype="float64"), "b": pd.Series([], dtype="bool")}),
        "nothing": pd.DataFrame(),
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


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (Result({"a/b": pd.DataFrame()}), "table 'a/b' cannot be stored: the name of a table is the name of its file"),
        (Result({"": pd.DataFrame()}), "table '' cannot be stored"),
        (Result(arrays={"x": np.array(["text"])}), "the arrays cannot be stored: "),
        (Result(arrays={"x": np.array([None])}), "the arrays cannot be stored: "),
        (Result(arrays={"x": np.array([1.0], dtype=">f8")}), "the arrays cannot be stored: "),
    ],
)
def test_what_has_no_place_in_a_record_is_refused_before_anything_is_written(tmp_path, result, sentence) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        write_record(tmp_path, toy.ToyConfig(), result, {}, {})
    assert not list(tmp_path.iterdir())


def test_arrays_and_weights_come_back_bit_for_bit_whatever_their_layout(tmp_path: Path) -> None:
    arrays = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "view": np.arange(12)[::3],
        "scalar": np.array(-0.0, dtype=np.float32),
        "none": np.zeros((0, 3), dtype=np.int8),
        "nan": np.array([np.nan, -np.nan, np.inf], dtype=np.float16),
        "a/b c": np.array([True, False]),
    }
    shared = torch.arange(6.0)
    channels_last = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    weights = {"one": shared, "two": shared[2:], "channels last": channels_last}
    result = Result(arrays=arrays, weights=weights)
    write_record(tmp_path, toy.ToyConfig(), result, {}, {})
    record = open_record(tmp_path, toy.ToyConfig())
    assert digests(record.result) == digests(result)
    for name, array in arrays.items():
        assert record.array(name).dtype == array.dtype
        assert record.array(name).tobytes() == array.tobytes()
    assert all(record.weights[name].equal(weight) for name, weight in weights.items())


def test_digests_tell_single_bits_apart() -> None:
    changed = RESULT.arrays["prob"].copy()
    changed[0, 0, 0] = np.nextafter(changed[0, 0, 0], 1)
    other = digests(Result(RESULT.tables, {**RESULT.arrays, "prob": changed}, {}))
    assert {k for k, v in digests(RESULT).items() if other[k] != v} == {"array prob"}


def test_a_records_digest_does_not_depend_on_the_order_of_its_parts(tmp_path: Path) -> None:
    def record(*names: str) -> Record:
        arrays = {name: np.zeros(2) for name in names}
        return Record(toy.ToyConfig(), tmp_path, {}, Result(arrays=arrays))  # type: ignore

    assert record("a", "b").digest == record("b", "a").digest
    assert record("a", "b").digest != record("a", "c").digest


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


@pytest.mark.parametrize("name", ["record.json", "epochs.csv", "arrays.safetensors", "weights.safetensors"])
@pytest.mark.parametrize("how", ["flip", "first", "last", "cut", "empty", "gone", "folder"])
def test_a_damaged_record_is_named_and_the_run_recomputed(obtain, lines, how: str, name: str) -> None:
    config = toy.ToyConfig()
    (record,) = obtain(config)
    whole = content(record)
    path = record.folder / name
    if how in ("gone", "folder"):
        path.unlink()
    if how == "folder":
        (path / "in it").mkdir(parents=True)
    if path.is_file():
        damage(path, how)
    lines.clear()
    (again,) = obtain(config)
    assert len(lines) == 1
    if (name, how) == ("record.json", "gone"):
        assert lines[0].endswith(": no record; computing it")
    else:
        assert re.fullmatch(rf".* damaged record: \S*/{re.escape(name)} .*; computing it", lines[0])
    assert content(again) == whole
    assert obtain(config)[0].folder == record.folder


def test_flipped_bits_and_truncations_of_the_json_are_noticed(obtain) -> None:
    config = toy.ToyConfig(epochs=1)
    (record,) = obtain(config)
    path = record.folder / "record.json"
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(Damaged, match=r"record\.json"):
                read(record.folder)


def test_well_formed_json_that_is_no_record_is_damage(obtain, lines) -> None:
    (record,) = obtain(toy.ToyConfig())
    path = record.folder / "record.json"
    stored, _ = read(record.folder)
    whole = content(record)
    foreign: list[Any] = [{}, [], 3, None, {"format": 4, "sha256": "0"}]
    for section in store.SECTIONS:
        foreign.append({**stored, section: ["no object"]})
        foreign.append({name: value for name, value in stored.items() if name != section})
    foreign.append({**stored, "files": {}})
    foreign.append({**stored, "tables": {"epochs": {"epoch": "int64"}}})
    foreign.append({**stored, "genotypes": {"derived": [{"normal": 1}]}})
    for wrong in foreign:
        path.write_bytes(store._signed(wrong) if isinstance(wrong, dict) else json.dumps(wrong).encode())
        lines.clear()
        assert content(obtain(toy.ToyConfig())[0]) == whole, wrong
        assert re.fullmatch(r".* damaged record: \S*record\.json .*; computing it", lines[0])


def test_what_else_lies_in_the_store_stops_no_run(obtain, lines, root: Path) -> None:
    config = toy.ToyConfig()
    folder = root / "records" / config.key()
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    (root / "records" / ".DS_Store").write_text("x")
    (whole,) = obtain(config)
    assert f"{folder} is a file where the run's folder should be; removing it" in lines[0]
    ours = ("lock", "heartbeat.json", "failure.txt", "anchors.safetensors", "step-000000099.safetensors")
    for name in (*ours, ".hidden"):
        path = folder / name
        path.unlink(missing_ok=True)
        (path / "in it").mkdir(parents=True)
    (folder / "record.json").unlink()
    (folder / ".DS_Store").write_text("x")
    (again,) = obtain(config)
    assert digests(again.result) == digests(whole.result)
    assert {path.name for path in folder.iterdir()} == {*FILES, ".DS_Store", ".hidden"}


def test_a_record_of_another_format_is_not_used(obtain, lines, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "FORMAT", 2)
        obtain(toy.ToyConfig())
    obtain(toy.ToyConfig())
    assert re.search(r"damaged record: \S*/record\.json has format 2, not 4; computing it", lines[-1])


def test_a_record_of_another_configuration_is_not_used(obtain, lines, root: Path) -> None:
    (record,) = obtain(toy.ToyConfig(seed=1))
    os.rename(record.folder, root / "records" / toy.ToyConfig(seed=2).key())
    (other,) = obtain(toy.ToyConfig(seed=2))
    assert "record.json belongs to another configuration" in lines[-1]
    assert read(other.folder)[0]["config"]["seed"] == 2


def test_a_record_is_known_by_its_configs_identity_and_nothing_else(obtain, lines, monkeypatch) -> None:
    monkeypatch.setattr(toy.ToyConfig, "identity", lambda self: {"seed": self.seed, "pair": (1, 2)})
    monkeypatch.setattr(toy.ToyConfig, "key", lambda self: f"T-{self.seed}")
    (record,) = obtain(toy.ToyConfig())
    assert json.loads((record.folder / "record.json").read_text())["config"] == {"seed": 0, "pair": [1, 2]}
    obtain(toy.ToyConfig(run="T-NEW", device="new"))
    assert lines[-1] == "T-NEW: 1 of 1 records found"


def texts(value: Any) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


def test_a_record_is_open_and_says_where_the_numbers_come_from(obtain) -> None:
    (record,) = obtain(toy.ToyConfig(seed=3))
    frame = pd.read_csv(record.folder / "epochs.csv")
    assert frame["loss"].tolist() == record.table("epochs")["loss"].tolist()
    arrays = safetensors.numpy.load_file(record.folder / "arrays.safetensors")
    assert arrays["prob_normal"].tobytes() == record.array("prob_normal").tobytes()
    weights = safetensors.numpy.load_file(record.folder / "weights.safetensors")
    assert weights["w"].tobytes() == record.weights["w"].numpy().tobytes()
    stored = json.loads((record.folder / "record.json").read_text())
    assert stored["config"] == toy.ToyConfig(seed=3).identity()
    assert stored["genotypes"]["derived"][0]["normal"]["edges"] == [[0, 2, "skip"], [1, 2, "conv"]]
    assert not [text for text in texts(stored) if text.startswith(("{", "["))]  # no JSON inside JSON
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
    monkeypatch.setattr(files, "repository", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert store.location() == tmp_path / ".runs"


def test_a_store_that_cannot_be_made_is_one_sentence(obtain, root: Path) -> None:
    root.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=rf"^cannot write to {root}\S* \(.*\); name a writable folder in NAS_RUNS"):
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
    remedy = "free space" if code == errno.ENOSPC else "name a writable folder"
    assert re.fullmatch(rf"cannot write to {root}/\S*{when}\S* \({os.strerror(code).lower()}\); {remedy} .*", message)
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
    tables = {"mixed.csv", "odd.csv", "empty.csv", "nothing.csv"}
    assert {p.name for p in tmp_path.iterdir()} == {"record.json", "anchors.safetensors", "arrays.safetensors", *tables}
    fewer = Result({"mixed": RESULT.tables["mixed"]}, RESULT.arrays)
    write_record(tmp_path, config, fewer, {"n": 4}, {})
    assert not (tmp_path / "odd.csv").exists()
    with pytest.raises(Damaged, match=r"record\.json"):
        open_record(tmp_path / "none", config)
