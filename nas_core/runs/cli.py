"""``python -m nas_core runs list | show | clear | unlock``: looking after the record store by hand."""

import json
import shutil
from argparse import Namespace
from typing import Any

from nas_core.errors import UserError, choose
from nas_core.files import writing
from nas_core.runs.lock import holder, unlock
from nas_core.runs.replay import fingerprint
from nas_core.runs.store import FILE, checkpoints, folder_of, location, read
from nas_core.runs.tree import Damaged


def add_arguments(subparsers: Any) -> None:
    """Add the command ``runs``; the parsed arguments get ``call``, a function of them that returns the exit code."""
    parser = subparsers.add_parser("runs", help="look after the record store", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, call, keys in (("list", _list, 0), ("show", _show, 1), ("clear", _clear, "*"), ("unlock", _unlock, "*")):
        command = commands.add_parser(name, help=call.__doc__, description=call.__doc__)
        command.set_defaults(call=call)
        if keys:
            command.add_argument("keys", nargs=keys, metavar="KEY", help="a key or the beginning of it")
        if name == "clear":
            command.add_argument("--all", action="store_true", help="all of them")


def _list(args: Namespace) -> int:
    """The records and the runs under way, one a line."""
    print(f"{'key':44} {'profile':8} {'steps':>7} {'seconds':>8} {'MB':>6}  state")
    for key in _keys([]):
        folder, facts = folder_of(key), dict[str, Any]()
        state = "interrupted, has a checkpoint" if checkpoints(folder) else "interrupted"
        if (folder / FILE).exists():
            try:
                facts = read(folder)["provenance"]
                state = "valid" if fingerprint() in facts["fingerprints"] else "source has changed, to be replayed"
            except Damaged as error:
                state = f"damaged: {error}"
        if who := holder(folder):
            state = f"computed at the moment by {who}"
        size = sum(path.stat().st_size for path in folder.glob("*")) / 1e6
        profile, steps, seconds = (facts.get(name, "-") for name in ("profile", "steps", "wall_seconds"))
        print(f"{key:44} {profile:8} {steps:>7} {str(seconds).partition('.')[0]:>8} {size:6.1f}  {state}")
    return 0


def _show(args: Namespace) -> int:
    """Config, provenance and the tables' columns of one record, as JSON."""
    (key,) = _keys(args.keys)
    try:
        content = read(folder_of(key))
    except Damaged as error:
        raise UserError(f"no intact record of {key}: {error}.") from error
    tables = {name: list(columns) for name, columns in content["result"]["table"].items()}
    print(json.dumps({"key": key, **{k: content[k] for k in ("config", "provenance")}, "tables": tables}, indent=2))
    return 0


def _clear(args: Namespace) -> int:
    """Delete records with their checkpoints, unless one of them is being computed."""
    if not (args.keys or args.all):
        raise UserError("name the records to delete: keys or --all.")
    keys = _keys([] if args.all else args.keys)
    for key in keys:
        if who := holder(folder_of(key)):
            raise UserError(f"{key} is being computed by {who}; stop that first, or `runs unlock {key}`.")
    for key in keys:
        with writing(folder_of(key)):
            shutil.rmtree(folder_of(key))
        print(f"deleted {key}")
    return 0


def _unlock(args: Namespace) -> int:
    """Release claims, whoever holds them; all, if no key is given."""
    held = {key: who for key in _keys(args.keys) if (who := holder(folder_of(key)))}
    for key, who in held.items():
        unlock(folder_of(key))
        print(f"unlocked {key}, claimed by {who}")
    if not held:
        print("nothing was locked")
    return 0


def _keys(given: list[str]) -> list[str]:
    """The keys that begin as ``given``, each the only one; those of all runs in the store if none is given."""
    every = sorted(folder.name for folder in (location() / "records").glob("*"))
    found = []
    for key in given:
        begun = [key] if key in every else [k for k in every if k.startswith(key)]
        if len(begun) > 1:
            raise UserError(f"{key!r} is the beginning of {len(begun)} keys: {', '.join(begun)}.")
        found += begun or [choose("record", key, every)]
    return list(dict.fromkeys(found)) if given else every
