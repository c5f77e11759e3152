"""Records are found by what they are of, whatever their kind, with the settings that they were computed with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small import config

import nas_core.runs
from nas_core.errors import UserError
from nas_core.experiments import RUN_IDS, configs
from nas_core.files import make_folder
from nas_core.papers import PROFILES
from nas_core.runs import store
from nas_core.runs.find import find, keys, load
from nas_core.trainers.kinds import kinds, settings_from
from nas_core.trainers.result import Result
from nas_core.trainers.settings import RunConfig

TINY = config(probes=(), epochs=1)


@pytest.fixture
def stored(root: Path) -> list[RunConfig]:
    """Three searches and a random search, without results."""
    (other,) = configs("S-RAND", "smoke", [3]) if "S-RAND" in RUN_IDS else [TINY.but(run="S-RAND")]
    every: list[RunConfig] = [TINY, TINY.but(seed=4), TINY.but(run="more"), other]
    for each in every:
        folder = make_folder(store.folder_of(each.key()))
        store.write_record(folder, each, Result(), {}, {})
    return every


def test_find_takes_what_it_is_given(stored: list[RunConfig]) -> None:
    def found(**wanted: object) -> list[RunConfig]:
        return [record.config for record in find(**wanted)]  # type: ignore[arg-type]

    assert found() == sorted(stored, key=lambda each: each.key())
    assert found(run="tiny") == [stored[0], stored[1]]
    assert found(run="tiny", seed=4) == [stored[1]]
    assert found(profile="smoke") == [stored[3]]
    assert found(seed=99) == []
    assert type(found(profile="smoke")[0]) is type(stored[3])


def test_load_takes_a_key_or_its_beginning(stored: list[RunConfig]) -> None:
    assert load(TINY.key()).config == TINY
    assert load("more").config == stored[2]
    with pytest.raises(UserError, match=r"^'tiny' is the beginning of 2 keys: tiny-test-s3-"):
        load("tiny")
    with pytest.raises(UserError, match="unknown record 'moer'"):
        load("moer")
    with pytest.raises(UserError, match="must not be empty"):
        load("")


def test_what_cannot_be_read_is_left_out_and_load_says_why(stored: list[RunConfig], root: Path) -> None:
    path = store.folder_of(TINY.key()) / "record.json"
    content, _ = store.read(path.parent)
    content["config"]["kind"] = "sarch"
    path.write_bytes(store._signed(content))
    with pytest.raises(UserError, match=r"unknown kind of run 'sarch'; did you mean 'search'\?"):
        load(TINY.key())
    path.write_text("{")
    with pytest.raises(UserError, match=f"no intact record of {TINY.key()}"):
        load(TINY.key())
    (root / "records" / "begun").mkdir()
    (root / "records" / ".DS_Store").write_text("")
    assert len(find()) == len(stored) - 1
    assert "begun" in keys()


def test_a_store_that_is_a_file_is_no_empty_store(root: Path) -> None:
    assert find() == []
    root.write_text("")
    with pytest.raises(UserError, match=r"is a file, not a folder of records; name another one in NAS_RUNS\."):
        find()


def test_a_store_that_cannot_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "records").mkdir(parents=True)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=rf"^cannot read {root}/records \(permission denied\)"):
        keys()
    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(UserError, match=rf"^cannot read {root}/records/{TINY.key()} \(permission denied\)"):
        nas_core.runs.explain([TINY])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("run", RUN_IDS)
def test_settings_come_back_from_their_json(run: str, profile: str) -> None:
    (settings,) = configs(run, profile, [1])
    assert settings_from(json.loads(json.dumps(settings.identity()))) == settings


def test_settings_of_another_version_are_refused() -> None:
    content = json.loads(json.dumps(TINY.identity()))
    del content["batch"]
    with pytest.raises(UserError, match="batch"):
        settings_from(content)
    content = json.loads(json.dumps(TINY.identity()))
    del content["weights"]["momentum"]  # has a default today, perhaps not the one of then
    with pytest.raises(UserError, match="the settings of tiny seed 3 mean another run in this version"):
        settings_from(content)


def test_a_kind_of_ones_own_is_known() -> None:
    assert {"search", "random search"} <= set(kinds())

    class Own(RunConfig):
        kind: str = "of my own"

    assert kinds()["of my own"] is Own
