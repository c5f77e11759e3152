"""``python -m nas_core runs list | show | clear | unlock``: looking after the record store by hand."""

import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

from nas_core.errors import UserError
from nas_core.files import writing
from nas_core.runs import checkpoints, heartbeat, sources
from nas_core.runs.find import keys as all_keys
from nas_core.runs.find import one_key
from nas_core.runs.lock import holder, unlock
from nas_core.runs.store import RECORD, folder_of, read
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
        folder = folder_of(key)
        facts, state = _facts_and_state(folder)
        sizes = [path.stat().st_size for path in folder.glob("*") if path.is_file()]
        size = sum(sizes) / 1e6
        profile = facts.get("profile", "-")
        steps = facts.get("steps", "-")
        seconds = str(facts.get("wall_seconds", "-")).partition(".")[0]
        print(f"{key:44} {profile:8} {steps:>7} {seconds:>8} {size:6.1f}  {state}")
    return 0


def _facts_and_state(folder: Path) -> tuple[dict[str, Any], str]:
    """The provenance of the record in ``folder``, if it is intact, and how the run is, in words."""
    facts: dict[str, Any] = {}
    state = "interrupted"
    if checkpoints.paths(folder):
        state = "interrupted, has a checkpoint"
    if (folder / RECORD).exists():
        try:
            content, _ = read(folder)
        except Damaged as error:
            state = f"damaged: {error}"
        else:
            facts = content["provenance"]
            state = _validity(facts)
    who = holder(folder)
    if who is not None:
        beat = heartbeat.read(folder)
        step = f", step {beat.done} of {beat.total}" if beat else ""
        state = f"computed at the moment by {who}{step}"
    return facts, state


def _validity(facts: dict[str, Any]) -> str:
    """Whether the record with this provenance comes from the present source."""
    module, _, _ = facts.get("trainer", "").partition(":")
    try:
        source = sources.of_module(module)
    except (UserError, ImportError) as error:
        return f"source unknown: {error}"
    return "valid" if source in facts.get("fingerprints", ()) else "source has changed, to be replayed"


def _show(args: Namespace) -> int:
    """Config, provenance and the tables' columns of one record, as JSON."""
    (key,) = _keys(args.keys)
    try:
        content, _ = read(folder_of(key))
    except Damaged as error:
        raise UserError(f"no intact record of {key}: {error}.") from error
    shown = {
        "key": key,
        "config": content["config"],
        "provenance": content["provenance"],
        "tables": {name: list(columns) for name, columns in content["tables"].items()},
    }
    print(json.dumps(shown, indent=2))
    return 0


def _clear(args: Namespace) -> int:
    """Delete records with their checkpoints, unless one of them is being computed."""
    if not (args.keys or args.all):
        raise UserError("name the records to delete: keys or --all.")
    keys = _keys([] if args.all else args.keys)
    for key in keys:
        who = holder(folder_of(key))
        if who is not None:
            raise UserError(f"{key} is being computed by {who}; stop that first, or `runs unlock {key}`.")
    for key in keys:
        with writing(folder_of(key)):
            shutil.rmtree(folder_of(key))
        print(f"deleted {key}")
    return 0


def _unlock(args: Namespace) -> int:
    """Release locks, whoever holds them; all, if no key is given."""
    held = 0
    for key in _keys(args.keys):
        who = holder(folder_of(key))
        if who is not None:
            unlock(folder_of(key))
            print(f"unlocked {key}, held by {who}")
            held += 1
    if not held:
        print("nothing was locked")
    return 0


def _keys(given: list[str]) -> list[str]:
    """The keys that begin as ``given``, each the only one; those of all runs in the store if none is given."""
    if not given:
        return all_keys()
    found = [one_key(beginning) for beginning in given]
    return list(dict.fromkeys(found))
