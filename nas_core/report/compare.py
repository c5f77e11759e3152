"""Is an artefact still the same? Numbers and verdicts are compared, never pixels, versions or wall times."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

IDENTICAL, WITHIN, CHANGED, NEW, MISSING = "identical", "within tolerance", "changed", "new", "missing"
FILES = (".json", ".csv")
RTOL, ATOL = 1e-6, 1e-12
TIMES = ("wall", "seconds", "time_s", "duration", "peak_memory")  # a column with one of these in its name
SETTINGS = ("title", "caption", "profile", "dataset", "seeds", "runs")


@dataclass(frozen=True)
class Difference:
    """How an artefact differs from its older self.

    ``kind`` is identical (all numbers bit-equal), within tolerance, changed, new or missing. ``changed`` names what
    differs beyond the tolerance: columns of the table, settings, values of claims. ``largest`` is the largest relative
    difference of all numbers; ``verdicts`` are the claims whose verdict is another (id, old, new).
    """

    kind: str
    changed: tuple[str, ...] = ()
    largest: float = 0.0
    verdicts: tuple[tuple[str, str, str], ...] = ()

    def __str__(self) -> str:
        parts = [f"{claim}: {old} -> {new}" for claim, old, new in self.verdicts]
        if self.changed:
            parts.append(", ".join(self.changed))
        if self.largest:
            parts.append(f"largest relative difference {self.largest:.2g}")
        if not parts:
            return self.kind
        return f"{self.kind} ({'; '.join(parts)})"


def compare(old: str | Path, new: str | Path) -> Difference:
    """Compare an artefact with its older self; ``old`` and ``new`` are paths of any of its files, or without suffix.

    Numbers are within tolerance if they differ by at most RTOL times the larger one, or by ATOL. Columns of wall times
    do not count. A damaged older artefact counts as changed, so it is replaced.
    """
    old, new = Path(old), Path(new)
    if not all(new.with_suffix(suffix).exists() for suffix in FILES):
        return Difference(MISSING)
    if not any(old.with_suffix(suffix).exists() for suffix in FILES):
        return Difference(NEW)
    try:
        before, held = _read(old)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Difference(CHANGED, (f"the older one is damaged ({type(error).__name__})",))
    after, holds = _read(new)
    verdicts = _changed_verdicts(held, holds)
    changed = []
    largest = 0.0
    for name in dict.fromkeys([*before, *after]):
        a = before.get(name, [])
        b = after.get(name, [])
        if not _close(a, b):
            changed.append(name)
        largest = max(largest, _largest_difference(a, b))
    if changed or verdicts:
        return Difference(CHANGED, tuple(changed), largest, verdicts)
    if largest:
        return Difference(WITHIN, largest=largest)
    return Difference(IDENTICAL)


def parts(path: Path) -> list[Path]:
    """The parts of an artefact, which is a path without suffix, that stand beside it: WI-F1-b, WI-F1-c, ..."""
    return sorted(found.with_suffix("") for found in path.parent.glob(f"{path.name}-[a-z].json"))


def _read(path: Path) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Everything that counts, as lists by name, and the verdicts by claim."""
    content = json.loads(path.with_suffix(".json").read_text("utf8"))
    table = pd.read_csv(path.with_suffix(".csv"), dtype=str, keep_default_na=False)
    found: dict[str, list[Any]] = {}
    for name in table.columns:
        if not any(word in name.lower() for word in TIMES):
            found[name] = [_value(text) for text in table[name]]
    for name in SETTINGS:
        found[name] = [content.get(name)]
    for claim in content["claims"]:
        found[f"{claim['id']} value"] = [claim["value"], *(claim["interval"] or ())]
        found[f"{claim['id']} test"] = [claim["threshold"], claim["seeds"]]
    return found, {claim["id"]: claim["verdict"] for claim in content["claims"]}


def _value(text: str) -> float | str:
    """A cell as a number if it is one (nan stays text, so that it equals itself)."""
    try:
        number = float(text)
    except ValueError:
        return text
    return text if math.isnan(number) else number


def _changed_verdicts(old: dict[str, str], new: dict[str, str]) -> tuple[tuple[str, str, str], ...]:
    """The claims whose verdict is another: id, old, new."""
    changed = []
    for claim in dict.fromkeys([*old, *new]):
        before = old.get(claim, "absent")
        after = new.get(claim, "absent")
        if before != after:
            changed.append((claim, before, after))
    return tuple(changed)


def _close(old: list[Any], new: list[Any]) -> bool:
    """Whether the lists are equally long, their numbers within tolerance and all else equal."""
    left, right = pd.Series(old, dtype=object), pd.Series(new, dtype=object)
    try:
        pd.testing.assert_series_equal(left, right, rtol=RTOL, atol=ATOL)
    except AssertionError:
        return False
    return True


def _largest_difference(old: list[Any], new: list[Any]) -> float:
    """The largest relative difference of two numbers in the same place, infinite if one of them is; 0 for equal ones.

    ``pandas.testing`` tells only that numbers differ, not by how much.
    """
    largest = 0.0
    for a, b in zip(old, new, strict=False):
        if a == b or not isinstance(a, float | int) or not isinstance(b, float | int):
            continue
        if not math.isfinite(a) or not math.isfinite(b):
            return math.inf
        largest = max(largest, abs(a - b) / max(abs(a), abs(b)))
    return largest
