"""``python -m nas_core runs list | show | clear | unlock``: looking after the record store by hand."""

from __future__ import annotations

import argparse
import difflib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nas_core.errors import UserError
from nas_core.runs.engine import holders, unlock
from nas_core.runs.files import writing
from nas_core.runs.replay import fingerprint
from nas_core.runs.store import location, read_meta
from nas_core.runs.tree import Damaged


def add_arguments(subparsers: Any) -> None:
    """Add the command ``runs``; the parsed arguments get ``call``, a function of them that returns the exit code."""
    parser = subparsers.add_parser("runs", help="look after the record store", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="the records and the runs under way")
    listing.add_argument("--profile", help="only those of this profile")
    listing.set_defaults(call=list_runs)

    show = commands.add_parser("show", help="config and provenance of one record, as JSON")
    show.add_argument("key", metavar="KEY", help="the record's key or the beginning of it")
    show.set_defaults(call=show_run)

    clear = commands.add_parser("clear", help="delete records and checkpoints")
    clear.add_argument("keys", nargs="*", metavar="KEY", help="keys or beginnings of keys")
    clear.add_argument("--all", action="store_true", help="all of them")
    clear.add_argument("--profile", help="all of this profile")
    clear.set_defaults(call=clear_runs)

    free = commands.add_parser("unlock", help="release claims that a vanished process left")
    free.add_argument("keys", nargs="*", metavar="KEY", help="keys; all claims if none is given")
    free.set_defaults(call=unlock_runs)


def list_runs(args: argparse.Namespace) -> int:
    """Print one line for every run of the store: key, profile, state, steps, seconds, size in MB."""
    root = location()
    held = holders(root)
    print(f"{'key':44} {'profile':8} {'steps':>7} {'seconds':>8} {'MB':>6}  state")
    for key in _keys(root):
        meta, state = _meta(root, key)
        where = meta.get("provenance", {})
        if args.profile and where.get("profile") != args.profile:
            continue
        if key in held:
            state = f"computed at the moment by {held[key]}"
        size = sum(p.stat().st_size for p in (root / "records" / key).rglob("*") if p.is_file()) / 1e6
        steps, seconds = where.get("steps", "-"), where.get("wall_seconds")
        took = "-" if seconds is None else f"{seconds:.0f}"
        print(f"{key:44} {where.get('profile', '-'):8} {steps:>7} {took:>8} {size:6.1f}  {state}")
    return 0


def show_run(args: argparse.Namespace) -> int:
    """Print one record's config, provenance and files as JSON."""
    root = location()
    key = _resolve(args.key, _keys(root))
    try:
        meta = read_meta(root / "records" / key)
    except Damaged as error:
        raise UserError(f"no intact record of {key}: {error}.") from error
    print(json.dumps({k: meta[k] for k in ("key", "config", "provenance", "tables", "files")}, indent=2))
    return 0


def clear_runs(args: argparse.Namespace) -> int:
    """Delete the named records with their checkpoints; refuses while one of them is being computed."""
    root = location()
    if not (args.keys or args.all or args.profile):
        raise UserError("name the records to delete: keys, --profile P or --all.")
    every = _keys(root)
    keys = every if args.all else [_resolve(key, every) for key in args.keys]
    if args.profile:
        keys += [key for key in every if _meta(root, key)[0].get("provenance", {}).get("profile") == args.profile]
    for key, holder in holders(root, keys).items():
        raise UserError(f"{key} is being computed by {holder}; stop that first, or `runs unlock {key}` if it is gone.")
    for key in dict.fromkeys(keys):
        for folder in (root / "records" / key, root / "checkpoints" / key):
            with writing(folder):
                if folder.exists():
                    shutil.rmtree(folder)
        print(f"deleted {key}")
    return 0


def unlock_runs(args: argparse.Namespace) -> int:
    """Release the claims on the named runs, or all claims."""
    root = location()
    freed = unlock(root, args.keys or None)
    for key, holder in freed.items():
        print(f"unlocked {key}, claimed by {holder}")
    if not freed:
        print("nothing was locked")
    return 0


def _keys(root: Path) -> list[str]:
    """The keys of all records and of all runs that have checkpoints."""
    folders = [*(root / "records").glob("[!.]*"), *(root / "checkpoints").glob("[!.]*")]
    return sorted({folder.name for folder in folders})


def _meta(root: Path, key: str) -> tuple[dict[str, Any], str]:
    """A record's meta data, if any, and its state in words."""
    folder = root / "records" / key
    if not folder.exists():
        return {}, "interrupted, has a checkpoint"
    try:
        meta = read_meta(folder)
    except Damaged as error:
        return {}, f"damaged: {error}"
    known = fingerprint() in meta["provenance"]["fingerprints"]
    return meta, "valid" if known else "source has changed, to be replayed"


def _resolve(key: str, keys: Iterable[str]) -> str:
    """The key that is ``key`` or the only one that begins with it."""
    options = list(keys)
    begun = [k for k in options if k.startswith(key)]
    if key in options or len(begun) == 1:
        return key if key in options else begun[0]
    if begun:
        raise UserError(f"{key!r} is the beginning of {len(begun)} keys: {', '.join(begun)}.")
    near = difflib.get_close_matches(key, options, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"no record {key!r}{hint} `runs list` shows all {len(options)}.")
