"""Puts finished artefacts where they belong: compared with what was there, then replaced, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from nas_core import papers, report
from nas_core.driver.ledger import ledger
from nas_core.report.compare import MISSING
from nas_core.report.save import write_files
from nas_core.runs.files import write_atomic


def publish(artefact: str, saved: Path, out: Path) -> report.Difference:
    """Bring ``artefact`` from ``saved`` to ``out``; returns how it differs from the one it replaces."""
    paper = str(papers.artefacts()["paper"][artefact])
    difference = report.compare(*(folder / paper / f"{artefact}.json" for folder in (out, saved)))
    if difference.kind != MISSING:
        files = sorted((saved / paper).glob(f"{artefact}.*"), key=lambda path: path.suffix == ".json")  # that one last
        write_files(artefact, {out / paper / path.name: path.read_bytes() for path in files})
    return difference


def write_ledger(out: Path) -> Path:
    """Write ``ledger.csv``: every claim, with its verdict where an artefact in ``out`` carries one."""
    text = ledger(out).to_csv(float_format="%.6g", lineterminator="\n")
    write_atomic(out / "ledger.csv", text.encode())
    return out / "ledger.csv"
