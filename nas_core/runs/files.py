"""Writing to disk so that nothing is ever half-written, and saying in one sentence why it could not be."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas_core.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into a :class:`UserError` that names ``path``."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"cannot write to {path} ({reason}); free space there, or name a writable folder in NAS_RUNS."
        ) from error


def make_folder(path: Path) -> Path:
    """The folder, created if needed."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that at any moment either the old or the new content is there, whole."""
    aside = _aside(path)
    with writing(path):
        try:
            with open(aside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
            _sync(path.parent)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which appears at ``path`` when the block ends well, replacing what was there.

    A process killed between the two renames leaves no folder at ``path``, never half a one; what it left beside it
    goes now, so this is only for whoever holds the claim on ``path``.
    """
    for rest in path.parent.glob(f".{path.name}.*"):
        shutil.rmtree(rest, ignore_errors=True)
    fresh, old = make_folder(_aside(path)), _aside(path)
    try:
        yield fresh
        with writing(path):
            _sync(fresh)
            if path.exists():
                os.rename(path, old)
            os.rename(fresh, path)
            _sync(path.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")


def _sync(folder: Path) -> None:
    """Flush a folder's own entries to disk, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
