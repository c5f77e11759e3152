"""What a disk, a system or a person's paths lack is one sentence, with the remedy that fits."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from nas_core.errors import UserError, choose
from nas_core.files import check_can_write, check_system, expanded, writing


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_supported_systems(platform: str) -> None:
    check_system(platform)


@pytest.mark.parametrize("platform", ["win32", "cygwin", "emscripten"])
def test_other_systems_are_refused_with_what_is_supported(platform: str) -> None:
    with pytest.raises(UserError, match=f"runs on Linux and macOS, and on Windows within WSL, not on '{platform}'"):
        check_system(platform)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "; free space there, or name a writable folder in NAS_RUNS."),
        (errno.EACCES, "; name a writable folder in NAS_RUNS."),
        (errno.EROFS, "; name a writable folder in NAS_RUNS."),
        (errno.ENOLCK, "; its file system has no locks: name a writable folder in NAS_RUNS on another one."),
    ],
)
def test_the_remedy_fits_the_fault(code: int, remedy: str) -> None:
    with pytest.raises(UserError) as told, writing(Path("/Store/It")):
        raise OSError(code, os.strerror(code))
    text = os.strerror(code)
    assert str(told.value) == f"cannot write to /Store/It ({text[0].lower()}{text[1:]}){remedy}"


def test_the_name_of_a_file_keeps_its_capitals() -> None:
    """Wherever in a sentence of our own it stands, at its beginning, too."""
    for sentence in ("Abc.json is a folder", "there is no file ABC"):
        with pytest.raises(UserError, match=re.escape(f"({sentence})")), writing(Path("x")):
            raise IsADirectoryError(errno.EISDIR, sentence)


def test_a_home_folder_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="'~nosuchuser/x' begins with the home folder of somebody who is not known"):
        expanded("~nosuchuser/x")
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/x") == Path("/home/me/x")
    assert expanded("x") == Path.cwd() / "x"


def test_whether_one_may_write_is_known_without_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_can_write(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder"):
        check_can_write(tmp_path / "file" / "b")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UserError, match=r"may not be written to\); name a writable folder in NAS_RUNS\.$"):
        check_can_write(tmp_path / "a" / "b")


def test_where_nothing_is_allowed_that_is_said() -> None:
    with pytest.raises(UserError) as told:
        choose("record", "x", [])
    assert str(told.value) == "unknown record 'x': there is none at all."
