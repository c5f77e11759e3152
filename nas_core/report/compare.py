"""Is an artefact still the same? Numbers and verdicts are compared, never pixels, versions or wall times."""

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

IDENTICAL, WITHIN, CHANGED, NEW, MISSING = "identical", "within tolerance", "changed", "new", "missing"
RTOL, ATOL = 1e-6, 1e-12
TIMES = ("wall", "seconds", "time_s", "duration", "peak_memory")  # a column with one of these in its name
SETTINGS = ("title", "profile", "dataset", "seeds", "runs")


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
        parts += [", ".join(self.changed)] if self.changed else []
        parts += [f"largest relative difference {self.largest:.2g}"] if self.largest else []
        return f"{self.kind} ({'; '.join(parts)})" if parts else self.kind


def compare(
    old: str | Path, new: str | Path, *, rtol: float = RTOL, atol: float = ATOL, ignore: Collection[str] = ()
) -> Difference:
    """Compare an artefact with its older self; ``old`` and ``new`` are paths of any of its files, or without suffix.

    Numbers are within tolerance if they differ by at most ``rtol`` times the larger one, or by ``atol``. Columns of
    wall times and those in ``ignore`` do not count. A damaged older artefact counts as changed, so it is replaced.
    """
    was, now = ([Path(path).with_suffix(suffix) for suffix in (".json", ".csv")] for path in (old, new))
    if not all(path.exists() for path in now):
        return Difference(MISSING)
    if not any(path.exists() for path in was):
        return Difference(NEW)
    try:
        before, held = _read(was, ignore)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Difference(CHANGED, (f"the older one is damaged ({type(error).__name__})",))
    after, holds = _read(now, ignore)
    pairs = [(claim, held.get(claim, "absent"), holds.get(claim, "absent")) for claim in dict.fromkeys([*held, *holds])]
    verdicts = tuple((claim, a, b) for claim, a, b in pairs if a != b)
    changed, largest, moved = [], 0.0, False
    for name in dict.fromkeys([*before, *after]):
        a, b = before.get(name, []), after.get(name, [])
        apart = [(x, y) for x, y in zip(a, b, strict=False) if x != y]
        if len(a) != len(b) or not all(_close(x, y, rtol, atol) for x, y in apart):
            changed.append(name)
        moved = moved or bool(apart)
        largest = max([largest, *(_apart(x, y) for x, y in apart)])
    if changed or verdicts:
        return Difference(CHANGED, tuple(changed), largest, verdicts)
    return Difference(WITHIN if moved else IDENTICAL, largest=largest)


def _read(files: Sequence[Path], ignore: Collection[str]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Everything that counts, as lists by name, and the verdicts by claim."""
    content, table = json.loads(files[0].read_text("utf8")), pd.read_csv(files[1], dtype=str, keep_default_na=False)
    counted = [name for name in map(str, table) if name not in ignore and not any(t in name.lower() for t in TIMES)]
    found: dict[str, list[Any]] = {name: [_value(text) for text in table[name]] for name in counted}
    found |= {name: [content[name]] for name in SETTINGS}
    for claim in content["claims"]:
        found[f"{claim['id']} value"] = [claim["value"], *(claim["interval"] or ())]
        found[f"{claim['id']} test"] = [claim["threshold"], claim["seeds"]]
    return found, {claim["id"]: claim["verdict"] for claim in content["claims"]}


def _value(text: str) -> float | str:
    """A cell as a number if it is one (nan stays text, so that it equals itself)."""
    try:
        return text if math.isnan(number := float(text)) else number
    except ValueError:
        return text


def _close(a: Any, b: Any, rtol: float, atol: float) -> bool:
    numbers = isinstance(a, float | int) and isinstance(b, float | int)
    return numbers and math.isclose(a, b, rel_tol=rtol, abs_tol=atol)


def _apart(a: Any, b: Any) -> float:
    """Relative difference of two different numbers; 0 where one of them is none, which is named as changed."""
    if not (isinstance(a, float | int) and isinstance(b, float | int)):
        return 0.0
    return abs(a - b) / max(abs(a), abs(b)) if math.isfinite(a) and math.isfinite(b) else math.inf
