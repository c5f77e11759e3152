from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import toy
from toy_tools import interrupted_at, locked

from nas_core.errors import UserError
from nas_core.runs import cli, sources, store
from nas_core.runs.heartbeat import Heartbeat


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser.add_subparsers(required=True))
    args = parser.parse_args(["runs", *words])
    return args.call(args)


@pytest.fixture
def keys(obtain, source, root, monkeypatch) -> list[str]:
    """Two records at smoke, one of other source at laptop, and an interrupted run."""
    configs = [toy.ToyConfig(seed=0), toy.ToyConfig(seed=1), toy.ToyConfig(run="T-OLD", profile="laptop")]
    obtain(*configs[:2])
    with monkeypatch.context() as patch:
        patch.setattr("nas_core.runs.sources.fingerprint", lambda config: "old")
        obtain(configs[2])
    interrupted_at(7, toy.ToyConfig(seed=9), obtain, monkeypatch)
    return [config.key() for config in [*configs, toy.ToyConfig(seed=9)]]


def test_list_shows_every_run_and_its_state(keys: list[str], root: Path, capsys) -> None:
    (root / "records" / keys[1] / "record.json").write_text("{}")
    with locked(root / "records" / keys[3]):
        assert run("list") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {"key", *keys}
    assert lines[keys[0]].split()[1:3] == ["smoke", "15"]
    assert lines[keys[0]].endswith("  valid")
    assert "damaged: " in lines[keys[1]]
    assert "record.json" in lines[keys[1]]
    assert lines[keys[2]].endswith("source has changed, to be replayed")
    assert "computed at the moment by process 1 on " in lines[keys[3]]
    run("list")
    assert "interrupted, has a checkpoint" in capsys.readouterr().out


def test_list_of_an_empty_store(root: Path, capsys) -> None:
    assert run("list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run("unlock") == 0
    assert "nothing was locked" in capsys.readouterr().out
    assert not root.exists()


def test_show_prints_config_and_provenance(keys: list[str], capsys) -> None:
    assert run("show", "T-OLD") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["key"] == keys[2]
    assert shown["config"]["profile"] == "laptop"
    assert shown["provenance"]["fingerprints"] == ["old"]
    assert shown["tables"] == {"epochs": ["epoch", "loss", "late"]}


def test_an_unknown_or_ambiguous_key_is_named_with_the_nearest(keys: list[str]) -> None:
    with pytest.raises(UserError, match=rf"^unknown record 'T-ODL'.* {keys[2]}"):
        run("show", "T-ODL")
    with pytest.raises(UserError, match=r"^'T-TOY' is the beginning of 3 keys: T-TOY-s0"):
        run("show", "T-TOY")
    with pytest.raises(UserError, match="no intact record of T-TOY-s9"):
        run("show", keys[3])


def test_clear_deletes_what_is_named_and_nothing_else(keys: list[str], root: Path) -> None:
    def left() -> set[str]:
        return {path.name for path in (root / "records").iterdir()}

    with pytest.raises(UserError, match="name the records to delete"):
        run("clear")
    with pytest.raises(UserError, match="unknown record 'nothing'"):
        run("clear", keys[0], "nothing")
    with pytest.raises(UserError, match="must not be empty"):
        run("clear", "")
    assert left() == set(keys)
    assert run("clear", keys[0]) == 0
    assert left() == set(keys[1:])
    assert run("clear", "T-OLD") == 0
    assert left() == {keys[1], keys[3]}
    assert run("clear", "--all") == 0
    assert left() == set()


def test_clear_refuses_while_a_run_is_computed(keys: list[str], root: Path) -> None:
    with locked(root / "records" / keys[0]):
        with pytest.raises(UserError, match=rf"{keys[0]} is being computed by process 1 on .* `runs unlock {keys[0]}`"):
            run("clear", "--all")
        assert (root / "records" / keys[1]).exists()
        assert run("unlock") == 0
        assert run("clear", "--all") == 0


def test_unlock_says_what_it_released(root: Path, capsys) -> None:
    with locked(root / "records" / "T-X"):
        assert run("unlock", "T-X") == 0
    assert capsys.readouterr().out.startswith("unlocked T-X, held by process 1 on ")


def test_what_else_lies_in_the_store_stops_no_command(keys: list[str], root: Path, capsys) -> None:
    records = root / "records"
    (records / ".DS_Store").write_text("x")
    (records / "notes.txt").write_text("x")
    (records / ".hidden").mkdir()
    (records / "empty").mkdir()
    for name in ("lock", "heartbeat.json", "record.json", "step-000000001.safetensors"):
        (records / keys[0] / name).unlink(missing_ok=True)
        (records / keys[0] / name / "in it").mkdir(parents=True)
    (records / keys[1] / "away").symlink_to("nowhere")
    (records / keys[1] / "lock").write_bytes(b"\xff\xfe")
    capsys.readouterr()
    assert run("list") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {"key", "empty", *keys}
    assert "damaged: " in lines[keys[0]]
    assert lines[keys[1]].endswith("  valid")
    assert lines["empty"].endswith("  interrupted")
    assert run("unlock") == 0
    assert run("clear", "--all") == 0
    assert {path.name for path in records.iterdir()} == {".DS_Store", "notes.txt", ".hidden"}
    for path in (records / ".DS_Store", records / "notes.txt"):
        path.unlink()
    (records / ".hidden").rmdir()
    records.rmdir()
    records.write_text("a file where a folder is expected")
    assert run("list") == 0


def test_list_tells_how_far_a_run_is_and_what_cannot_be_known(keys: list[str], root: Path, capsys) -> None:
    with locked(root / "records" / keys[3]), Heartbeat(root / "records" / keys[3], total=15, first=0) as heart:
        heart.beat(8)
        run("list")
    assert "computed at the moment by process 1 on it, step 8 of 15" in capsys.readouterr().out
    sources.of_module.cache_clear()
    path = root / "records" / keys[0] / "record.json"
    content, _ = store.read(path.parent)
    content["provenance"]["trainer"] = "gone:Trainer"
    path.write_bytes(store._signed(content))
    run("list")
    assert "source unknown: the trainer's module 'gone' is no file" in capsys.readouterr().out


def test_a_store_that_is_a_file_is_not_shown_as_an_empty_one(root: Path) -> None:
    root.write_text("")
    with pytest.raises(UserError, match="is a file, not a folder of records"):
        run("list")


def test_clear_of_nothing_spares_the_only_record(obtain, root: Path) -> None:
    obtain(toy.ToyConfig())
    with pytest.raises(UserError, match="must not be empty"):
        run("clear", "")
    assert len(list((root / "records").iterdir())) == 1
