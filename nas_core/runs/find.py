"""Records by what they are of: ``find(run=..., profile=..., seed=...)`` and ``load(key)``."""

from nas_core.errors import UserError, choose
from nas_core.files import writing
from nas_core.runs.store import RECORD, Record, folder_of, location, open_record, read
from nas_core.runs.tree import Damaged
from nas_core.trainers.kinds import settings_from


def load(key: str) -> Record:
    """The record of ``key``, or of the only key that begins so; a :class:`UserError` if there is none intact."""
    return _opened(one_key(key))


def find(*, run: str | None = None, profile: str | None = None, seed: int | None = None) -> list[Record]:
    """All records in the store of this run, profile and seed, in the order of their keys; what is not given is free.

    Records that are damaged, of a kind that is not known here, or from settings of another version, are left out:
    :func:`load` says what is wrong with one of them.
    """
    wanted = {"run": run, "profile": profile, "seed": seed}
    given = {name: value for name, value in wanted.items() if value is not None}
    found = []
    for key in keys():
        if not (folder_of(key) / RECORD).is_file():
            continue
        try:
            record = _opened(key)
        except UserError:
            continue
        if all(getattr(record.config, name) == value for name, value in given.items()):
            found.append(record)
    return found


def keys() -> list[str]:
    """The keys of all runs in the store, done or not; a :class:`UserError` where the store is no folder."""
    if location().exists() and not location().is_dir():
        raise UserError(f"{location()} is a file, not a folder of records; name another one in NAS_RUNS.")
    folder = location() / "records"
    if not folder.is_dir():
        return []
    with writing(folder, action="read"):
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def one_key(beginning: str) -> str:
    """The only key that begins so; a :class:`UserError` that names what there is otherwise."""
    every = keys()
    if beginning in every:
        return beginning
    if not beginning:
        raise UserError("a key, or the beginning of one, must not be empty.")
    begun = [key for key in every if key.startswith(beginning)]
    if len(begun) > 1:
        raise UserError(f"{beginning!r} is the beginning of {len(begun)} keys: {', '.join(begun)}.")
    return begun[0] if begun else choose("record", beginning, every)


def _opened(key: str) -> Record:
    try:
        content, _ = read(folder_of(key))
        config = settings_from(content["config"])
        return open_record(folder_of(key), config)
    except Damaged as error:
        raise UserError(f"no intact record of {key}: {error}.") from error
