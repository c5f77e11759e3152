"""Where things are kept, and writing so that nothing is ever half-written; why it could not be, in one sentence."""

import errno
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from nas_core.errors import UserError

SYSTEMS = ("linux", "darwin")  # as Python names them; Windows's subsystem for Linux is one of them
FULL = (errno.ENOSPC, errno.EDQUOT)
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def check_system(platform: str = sys.platform) -> None:
    """Raise :class:`UserError` where the locks and the process groups that runs rely on do not exist."""
    if platform not in SYSTEMS:
        raise UserError(f"nas_core runs on Linux and macOS, and on Windows within WSL, not on {platform!r}.")


check_system()  # before modules are imported that other systems lack


def location() -> Path:
    """Where records live: ``$NAS_RUNS``, or ``.runs`` beside the package's pyproject.toml, or in the current folder."""
    if chosen := os.environ.get("NAS_RUNS"):
        return expanded(chosen)
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
        if error.errno in WITHOUT_LOCKS:
            remedy = f"its file system has no locks: {remedy} on another one"
        if error.errno in FULL:
            remedy = f"free space there, or {remedy}"
        raise UserError(f"cannot {action} {path} ({reason(error)}); {remedy}.") from error


def reason(error: OSError) -> str:
    """Why, in words; what the system says itself loses its capital letter, and names of files keep theirs."""
    text = error.strerror or str(error) or type(error).__name__
    if error.errno is not None and text == os.strerror(error.errno):
        return text[:1].lower() + text[1:]
    return text


def expanded(path: str | Path) -> Path:
    """``path`` from the root on, ~ and ~name being home folders; a :class:`UserError` where there is no such person."""
    try:
        whole = Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{str(path)!r} begins with the home folder of somebody who is not known here.") from None
    return Path(os.path.abspath(whole))


def check_can_write(folder: Path) -> None:
    """Raise :class:`UserError` if ``folder`` can neither be made nor written to; nothing is made."""
    nearest = folder
    with writing(folder):
        while not nearest.exists():
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is not a folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"{nearest} may not be written to")


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
