"""The command ``sweep``: settings and their values as words, and the runs or one of their tables as CSV."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nas_core.choices import Choice
from nas_core.errors import UserError
from nas_core.files import expanded, write_atomic
from nas_core.report.save import csv_bytes
from nas_core.runs.sweep import sweep


def sweep_command(
    run: str,
    given: Sequence[str],
    *,
    profile: str,
    seeds: Sequence[int],
    jobs: int | None,
    table: str,
    out: Path | None,
) -> int:
    """Compute what is missing of a sweep over the run ``run``; print its runs, or their table ``table``, or write it.

    Any seeds may be swept, also those that are set aside for choosing settings: nothing here is reported.
    """
    values = parsed(given)
    base, *_ = Choice(profile).configs(run)
    done = sweep(base, values, seeds=seeds, jobs=jobs, echo=partial(print, file=sys.stderr))
    frame = done.table(table) if table else done.runs()
    data = csv_bytes(frame)
    if out is None:
        sys.stdout.write(data.decode())
    else:
        write_atomic(expanded(out), data)
        print(f"{len(frame)} rows in {out}")
    return 0


def parsed(given: Sequence[str]) -> dict[str, list[Any]]:
    """Settings by dotted name with their values, from words such as ``alpha.lr=0.01,0.03``."""
    values: dict[str, list[Any]] = {}
    for word in given:
        name, equals, text = word.partition("=")
        if not name or not equals or not text:
            raise UserError(f"--set takes a setting and its values, as in alpha.lr=0.01,0.03, not {word!r}.")
        if name in values:
            raise UserError(f"{name} is set twice; put all its values behind one --set.")
        values[name] = _values(text)
    return values


def _values(text: str) -> list[Any]:
    """Values with commas between them: JSON, as in ``0.1,null`` or ``[1,0.03],[0.3,0.03]``, otherwise words."""
    try:
        return json.loads(f"[{text}]")
    except ValueError:
        return [_value(part) for part in text.split(",")]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
