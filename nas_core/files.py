"""Where things are kept, and writing so that nothing is ever half-written; why it could not be, in one sentence."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from nas_core.errors import UserError


def location() -> Path:
    """Where records live: ``$NAS_RUNS``, or ``.runs`` beside the package's pyproject.toml, or in the current folder."""
    if chosen := os.environ.get("NAS_RUNS"):
        return Path(chosen).expanduser().absolute()
    return (repository() or Path.cwd()) / ".runs"


def repository() -> Path | None:
    """The checkout this package runs from, or None when it is installed elsewhere."""
    above = Path(__file__).resolve().parents[1]
    return above if (above / "pyproject.toml").exists() else None


@contextmanager
def writing(path: Path, remedy: str = "name a writable folder in NAS_RUNS", action: str = "write to") -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into a :class:`UserError` that names ``path``."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot {action} {path} ({reason}); free space there, or {remedy}.") from error


def make_folder(path: Path) -> Path:
    """The folder, created if needed."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that at any moment either the old or the new content is there, whole."""
    with writing(path):
        write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write all files beside their places, then rename all; a failure leaves what was there before."""
    mark = uuid.uuid4().hex[:8]
    aside = {path: path.with_name(f".{path.name}.{mark}") for path in files}
    try:
        for path, data in files.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
            with open(aside[path], "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in aside.items():
            os.replace(temporary, path)
    finally:
        for temporary in aside.values():
            with suppress(OSError):
                temporary.unlink()
