"""``python -m nas_core runs list | show | clear | unlock``: looking after the record store by hand."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

from nas_core.errors import UserError, choose
from nas_core.runs.engine import holders, unlock
from nas_core.runs.files import writing
from nas_core.runs.replay import fingerprint
from nas_core.runs.store import location, read_meta
from nas_core.runs.tree import Damaged


def add_arguments(subparsers: Any) -> None:
    """Add the command ``runs``; the parsed arguments get ``call``, a function of them that returns the exit code."""
    parser = subparsers.add_parser("runs", help="look after the record store", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, call, keys, about in (
        ("list", list_runs, 0, "the records and the runs under way"),
        ("show", show_run, 1, "config and provenance of one record, as JSON"),
        ("clear", clear_runs, "*", "delete records and checkpoints"),
        ("unlock", unlock_runs, "*", "release claims that a vanished process left; all, if no key is given"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(call=call)
        if keys:
            command.add_argument("keys", nargs=keys, metavar="KEY", help="a key or the beginning of it")
        if name == "clear":
            command.add_argument("--all", action="store_true", help="all of them")


def list_runs(args: Namespace) -> int:
    """Print one line for every run of the store: key, profile, steps, seconds, size in MB, state."""
    root = location()
    held = holders(root)
    print(f"{'key':44} {'profile':8} {'steps':>7} {'seconds':>8} {'MB':>6}  state")
    for key in _keys(root):
        folder = root / "records" / key
        facts, state = _state(folder)
        state = f"computed at the moment by {held[key]}" if key in held else state
        size = sum(path.stat().st_size for path in folder.glob("*")) / 1e6
        profile, steps, seconds = (facts.get(name, "-") for name in ("profile", "steps", "wall_seconds"))
        print(f"{key:44} {profile:8} {steps:>7} {str(seconds).partition('.')[0]:>8} {size:6.1f}  {state}")
    return 0


def show_run(args: Namespace) -> int:
    """Print one record's config, provenance and files as JSON."""
    key = _resolve(args.keys[0], _keys(location()))
    try:
        meta = read_meta(location() / "records" / key)
    except Damaged as error:
        raise UserError(f"no intact record of {key}: {error}.") from error
    print(json.dumps({k: meta[k] for k in ("key", "config", "provenance", "tables", "files")}, indent=2))
    return 0


def clear_runs(args: Namespace) -> int:
    """Delete the named records with their checkpoints; refuses while one of them is being computed."""
    root = location()
    if not (args.keys or args.all):
        raise UserError("name the records to delete: keys or --all.")
    every = _keys(root)
    keys = every if args.all else [_resolve(key, every) for key in args.keys]
    for key, holder in holders(root, keys).items():
        raise UserError(f"{key} is being computed by {holder}; stop that first, or `runs unlock {key}` if it is gone.")
    for key in dict.fromkeys(keys):
        for folder in (root / "records" / key, root / "checkpoints" / key):
            with writing(folder):
                if folder.exists():
                    shutil.rmtree(folder)
        print(f"deleted {key}")
    return 0


def unlock_runs(args: Namespace) -> int:
    """Release the claims on the named runs, or all claims."""
    freed = unlock(location(), args.keys or None)
    for key, holder in freed.items():
        print(f"unlocked {key}, claimed by {holder}")
    if not freed:
        print("nothing was locked")
    return 0


def _keys(root: Path) -> list[str]:
    """The keys of all records and of all runs that have checkpoints."""
    return sorted({folder.name for kind in ("records", "checkpoints") for folder in (root / kind).glob("[!.]*")})


def _state(folder: Path) -> tuple[dict[str, Any], str]:
    """A record's provenance, if any, and its state in words."""
    if not folder.exists():
        return {}, "interrupted, has a checkpoint"
    try:
        facts = read_meta(folder)["provenance"]
    except Damaged as error:
        return {}, f"damaged: {error}"
    return facts, "valid" if fingerprint() in facts["fingerprints"] else "source has changed, to be replayed"


def _resolve(key: str, keys: list[str]) -> str:
    """The key that is ``key`` or the only one that begins with it."""
    begun = [k for k in keys if k.startswith(key)]
    if len(begun) > 1 and key not in keys:
        raise UserError(f"{key!r} is the beginning of {len(begun)} keys: {', '.join(begun)}.")
    return begun[0] if len(begun) == 1 else choose("record", key, keys)
