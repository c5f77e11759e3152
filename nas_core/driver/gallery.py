"""What the site shows of a folder of artefacts: every item of the papers, with pictures and verdicts if it is made."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nas_core import papers
from nas_core.claims.verdict import VERDICTS
from nas_core.driver.ledger import ledger

COMPARISONS = {">": "more than", ">=": "at least", "<": "less than", "<=": "at most"}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PLURAL = {"holds": "hold", "fails": "fail"}


@dataclass(frozen=True)
class Picture:
    """``place`` is the path within the folder without its suffix, as of ``wiring/WI-F1-b``."""

    place: str
    title: str
    caption: str

    @property
    def name(self) -> str:
        """The last part of its place."""
        return self.place.rpartition("/")[2]


@dataclass(frozen=True)
class Item:
    """A numbered item of a paper; its own picture comes first, what is shown beyond it follows."""

    id: str
    paper: str
    shows: str
    notebook: str
    pictures: list[Picture]
    tally: dict[str, int]  # verdicts of its claims, what to read first coming first
    claims: list[dict[str, Any]]  # rows of the ledger, in the order of the verdicts

    @property
    def title(self) -> str:
        """What its picture is called, and before there is one, what the paper shows."""
        return self.pictures[0].title if self.pictures else sentence(self.shows)


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def gallery(folder: Path) -> list[Item]:
    """All items of the papers in the order of artefacts.csv. Raises :class:`UserError` for a damaged artefact."""
    claims = ledger(folder)
    return [_item(folder, row, claims) for row in papers.artefacts().itertuples()]


def _item(folder: Path, row: Any, claims: pd.DataFrame) -> Item:
    own = claims[claims["artefact"] == row.Index]
    if not (folder / row.paper / f"{row.Index}.png").exists():
        return Item(row.Index, row.paper, row.shows, row.notebook, [], {}, rows(own))
    pictures = list(_pictures(folder, row.paper, row.Index))
    counts = own["verdict"].value_counts()
    tally = {verdict: int(counts[verdict]) for verdict in VERDICTS if verdict in counts}
    return Item(row.Index, row.paper, row.shows, row.notebook, pictures, tally, rows(own))


def _pictures(folder: Path, paper: str, artefact: str) -> Iterator[Picture]:
    """The item's picture and those of its parts, whose names have a letter behind a dash."""
    parts = sorted(path.stem for path in (folder / paper).glob(f"{artefact}-*.png"))
    for name in [artefact, *parts]:
        told = json.loads((folder / paper / f"{name}.json").read_text("utf8"))
        yield Picture(f"{paper}/{name}", told["title"], told.get("caption", ""))


def rows(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the ledger as mappings for a template, those to read first coming first; no value is an empty text."""
    order = claims["verdict"].map(list(VERDICTS).index)
    table = claims.assign(order=order).sort_values("order", kind="stable").reset_index(names="id")
    table["grade"] = table["grade"].map(papers.GRADES)
    table["bound"] = [bound_words(threshold) for threshold in table["threshold"]]
    table["value"] = [number(value) for value in table["value"]]
    table["interval"] = [interval(low, high) for low, high in zip(table["low"], table["high"], strict=True)]
    return [{str(name): value for name, value in row.items()} for row in table.fillna("").to_dict("records")]


def number(value: float) -> str:
    """Three significant digits with true signs, thousands separators and powers of ten."""
    if pd.isna(value):
        return ""
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    mantissa, power, exponent = digits.partition("e")
    if power:
        mantissa += " × 10" + str(int(exponent)).translate(RAISED)
    return mantissa.replace("-", "−")


def bound_words(threshold: str) -> str:
    """The bound of a claim in words: ``>= 0.9`` is ``at least 0.9``."""
    comparison, _, bound = threshold.partition(" ")
    return f"{COMPARISONS[comparison]} {bound.replace('-', '−')}" if threshold else ""


def count_words(count: int, verdict: str) -> str:
    """How many claims have a verdict: ``8 hold``, ``1 fails``, ``3 not run``."""
    return f"{count} {verdict if count == 1 else PLURAL.get(verdict, verdict)}"


def interval(low: float, high: float) -> str:
    """``low to high``, or nothing where there is none."""
    return "" if pd.isna(low) else f"{number(low)} to {number(high)}"
