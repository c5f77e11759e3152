"""Is an artefact still the same? Numbers and verdicts are compared, never pixels, versions or wall times."""

import json
import math
from collections.abc import Sequence
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


def compare(old: str | Path, new: str | Path) -> Difference:
    """Compare an artefact with its older self; ``old`` and ``new`` are paths of any of its files, or without suffix.

    Numbers are within tolerance if they differ by at most RTOL times the larger one, or by ATOL. Columns of wall times
    do not count. A damaged older artefact counts as changed, so it is replaced.
    """
    was, now = ([Path(path).with_suffix(suffix) for suffix in (".json", ".csv")] for path in (old, new))
    if not all(path.exists() for path in now):
        return Difference(MISSING)
    if not any(path.exists() for path in was):
        return Difference(NEW)
    try:
        before, held = _read(was)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Difference(CHANGED, (f"the older one is damaged ({type(error).__name__})",))
    after, holds = _read(now)
    pairs = [(claim, held.get(claim, "absent"), holds.get(claim, "absent")) for claim in dict.fromkeys([*held, *holds])]
    verdicts = tuple((claim, a, b) for claim, a, b in pairs if a != b)
    changed, largest, moved = [], 0.0, False
    for name in dict.fromkeys([*before, *after]):
        a, b = before.get(name, []), after.get(name, [])
        apart = [(x, y) for x, y in zip(a, b, strict=False) if x != y]
        numbers = [(x, y) for x, y in apart if isinstance(x, float | int) and isinstance(y, float | int)]
        close = [math.isclose(x, y, rel_tol=RTOL, abs_tol=ATOL) for x, y in numbers]
        if len(a) != len(b) or len(numbers) < len(apart) or not all(close):
            changed.append(name)
        moved = moved or bool(apart)
        largest = max([largest, *(_apart(x, y) for x, y in numbers)])
    if changed or verdicts:
        return Difference(CHANGED, tuple(changed), largest, verdicts)
    return Difference(WITHIN if moved else IDENTICAL, largest=largest)


def _read(files: Sequence[Path]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Everything that counts, as lists by name, and the verdicts by claim."""
    content, table = json.loads(files[0].read_text("utf8")), pd.read_csv(files[1], dtype=str, keep_default_na=False)
    counted = [name for name in map(str, table) if not any(t in name.lower() for t in TIMES)]
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


def _apart(a: float, b: float) -> float:
    """Relative difference of two different numbers."""
    return abs(a - b) / max(abs(a), abs(b)) if math.isfinite(a) and math.isfinite(b) else math.inf
