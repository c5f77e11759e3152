"""Puts finished artefacts where they belong: compared with what was there, then replaced, whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from nas_core import papers, report
from nas_core.driver.ledger import ledger
from nas_core.report.compare import MISSING
from nas_core.runs.files import write_atomic


def publish(artefact: str, saved: Path, out: Path) -> report.Difference:
    """Bring ``artefact`` from ``saved`` to ``out``; returns how it differs from the one it replaces."""
    paper = str(papers.artefacts()["paper"][artefact])
    difference = report.compare(*(folder / paper / f"{artefact}.json" for folder in (out, saved)))
    if difference.kind != MISSING:
        replace(files_of(artefact, saved / paper), files_of(artefact, out / paper), out / paper)
    return difference


def files_of(artefact: str, folder: Path) -> list[Path]:
    """The files of an artefact, its JSON last."""
    found = [path for path in folder.glob(f"{artefact}.*") if path.stem == artefact]
    return sorted(found, key=lambda path: (path.suffix == ".json", path.name))


def replace(new: list[Path], old: list[Path], folder: Path) -> None:
    """Copy the files ``new`` into ``folder`` in place of ``old``; a full disk is noticed before any is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = f".{uuid.uuid4().hex[:8]}"
    aside = {folder / path.name: folder / f"{mark}-{path.name}" for path in new}
    try:
        for path, copy in zip(new, aside.values(), strict=True):
            shutil.copyfile(path, copy)
            with open(copy, "rb+") as file:
                os.fsync(file.fileno())
        for target, copy in aside.items():
            os.replace(copy, target)
        for path in old:
            if path not in aside:
                path.unlink()
    finally:
        for copy in aside.values():
            copy.unlink(missing_ok=True)


def write_ledger(out: Path) -> Path:
    """Write ``ledger.csv``: every claim, with its verdict where an artefact in ``out`` carries one."""
    text = ledger(out).to_csv(float_format="%.6g", lineterminator="\n")
    write_atomic(out / "ledger.csv", text.encode())
    return out / "ledger.csv"
