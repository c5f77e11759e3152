"""Writing to disk so that nothing is ever half-written, and saying in one sentence why it could not be."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas_core.errors import UserError


@contextmanager
def writing(path: Path, remedy: str = "name a writable folder in NAS_RUNS") -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into a :class:`UserError` that names ``path``."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write to {path} ({reason}); free space there, or {remedy}.") from error


def make_folder(path: Path) -> Path:
    """The folder, created if needed."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that at any moment either the old or the new content is there, whole."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with writing(path):
        try:
            with open(aside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
