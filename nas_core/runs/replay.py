"""Is a record still valid although the source has changed? Replay three short stretches of its run and compare.

While a run is computed, its *anchors* are collected: for its first steps, the close of the first epoch and the last
steps, the state just before and a digest of the whole state after.
"""

import ast
import copy
import hashlib
import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas_core.trainers.settings import RunConfig
from nas_core.runs import store, tree
from nas_core.trainers.search import Search

ROOMS = ("config.py", "data", "cells", "relaxations", "probes", "trainers")  # what a run's numbers depend on
FIRST, TAIL = 3, 2  # steps replayed from the start; steps replayed up to the close of an epoch and of the run


@cache
def fingerprint() -> str:
    """A digest of all that computes a run, as this process has it: source without comments, data, torch, numpy, CPU."""
    parts = [source_digest(Path(__file__).parents[1]), torch.__version__, np.__version__, platform.machine()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def source_digest(package: Path) -> str:
    """The digest of the rooms of ``package``: modules by their syntax tree, other files by their bytes."""
    total = hashlib.sha256()
    files = [p for room in ROOMS for p in [package / room, *(package / room).rglob("*")] if p.is_file()]
    for path in sorted(p for p in files if p.suffix != ".pyc"):
        content = normalised(path.read_text("utf8")).encode() if path.suffix == ".py" else path.read_bytes()
        total.update(f"{path.relative_to(package).as_posix()} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def normalised(source: str) -> str:
    """Python source reduced to what it does: no comments, layout or docstrings."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(module)


def stretches(total: int, steps_per_epoch: int) -> dict[str, tuple[int, int]]:
    """The stretches of a run that are replayed, as (first step, step after the last)."""
    out = {"first": (0, min(FIRST, total))}
    if steps_per_epoch < total:
        out["epoch"] = (max(0, steps_per_epoch - TAIL), steps_per_epoch)
    return out | {"end": (max(0, total - TAIL), total)}


def anchors_of(search: Search) -> dict[str, dict[str, Any]]:
    """The anchors of a run that has not begun, by stretch: nothing is in them yet."""
    parts = stretches(search.total, search.steps_per_epoch).items()
    return {k: {"start": a, "stop": b, "state": None, "after": ""} for k, (a, b) in parts}


def step(search: Search, anchors: dict[str, dict[str, Any]]) -> None:
    """One step of the run, remembered in the anchors that it belongs to."""
    for anchor in anchors.values():
        if anchor["start"] == search.done > 0:
            anchor["state"] = copy.deepcopy(search.state())
    search.step()
    for anchor in anchors.values():
        if anchor["stop"] == search.done:
            anchor["after"] = tree.digest(search.state())


def replay(record: store.Record, build: Callable[[RunConfig], Search]) -> str | None:
    """None when the present source gives the record's numbers bit for bit, otherwise the first difference, in words."""
    try:
        for anchor in tree.load(record.folder / store.ANCHORS).values():
            search = build(record.config)
            if anchor["state"] is not None:
                search.load_state(anchor["state"])
            for _ in range(anchor["start"], anchor["stop"]):
                search.step()
            if tree.digest(search.state()) != anchor["after"]:
                return f"the state after step {search.done} is another"
        now, then = digests(store.plain(search.result())), digests(record.result)
    except Exception as error:  # changed source can fail in any way; recomputing then says how
        return f"it fails with {type(error).__name__}: {error}"
    other = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    return f"another result: {', '.join(other)}" if other else None


def digests(result: dict[str, dict[str, Any]]) -> dict[str, str]:
    """A digest of every table, array and genotype list: what "equal bit for bit" compares."""
    return {f"{kind} {k}": tree.digest(v) for kind, values in result.items() for k, v in values.items()}
