"""What the site shows of a folder of artefacts: every item of the papers, with pictures and verdicts if it is made."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nas_core import papers
from nas_core.claims.verdict import VERDICTS
from nas_core.driver.ledger import ledger, no_evidence
from nas_core.report import parts
from nas_core.report.footer import bound_in_words, quantity

UNITS = {"count": ""}  # a number of things needs no unit
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
    """A numbered item of a paper, or one of a study; its own picture comes first, what is shown beyond it follows."""

    id: str
    paper: str
    shows: str
    notebook: str
    pictures: list[Picture]
    tally: dict[str, int]  # verdicts of its claims, what to read first coming first
    claims: list[dict[str, str]]  # rows of the ledger


def gallery(folder: Path) -> list[Item]:
    """All items of the papers and of our studies, by artefacts.csv; a damaged one is a :class:`UserError`."""
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
    """The item's picture and those of its parts."""
    for name in [artefact, *(part.name for part in parts(folder / paper / artefact))]:
        told = json.loads((folder / paper / f"{name}.json").read_text("utf8"))
        yield Picture(f"{paper}/{name}", told["title"], told.get("caption", ""))


def rows(claims: pd.DataFrame) -> list[dict[str, str]]:
    """Rows of the ledger as texts for a template, those to read first coming first; what there is not is empty."""
    order = claims["verdict"].map(list(VERDICTS).index)
    table = claims.assign(order=order).sort_values("order", kind="stable")
    return [_row(str(key), claim) for key, claim in table.iterrows()]


def _row(key: str, claim: pd.Series) -> dict[str, str]:
    """What is shown of a claim, with numbers as a person reads them; the bound is the one that it was judged by."""
    texts = {
        "id": key,
        "artefact": claim.artefact,
        "paper": claim.paper,
        "grade": papers.GRADES[claim.grade],
        "sentence": claim.sentence,
        "verdict": claim.verdict,
        "value": "",
        "interval": "",
        "seeds": "",
        "bound": "",
        "null": f"No evidence: {claim.null} does as well." if no_evidence(claim) else "",
    }
    if not claim.threshold:
        return texts
    comparison, bound = claim.threshold.split(" ")
    share = "share" if claim.unit == "share" else ""  # in percent; other units stand with the bound alone
    texts["value"] = quantity(claim.value, share)
    texts["bound"] = bound_in_words(comparison, float(bound), UNITS.get(claim.unit, claim.unit))
    if pd.notna(claim.low):
        texts["interval"] = f"{quantity(claim.low, share)} to {quantity(claim.high, share)}"
    if pd.notna(claim.met) and claim.n > 1:
        texts["seeds"] = f"{claim.met} of {claim.n}"
    return texts


def count_words(count: int, verdict: str) -> str:
    """How many claims have a verdict: ``8 hold``, ``1 fails``, ``3 not run``."""
    return f"{count} {verdict if count == 1 else PLURAL.get(verdict, verdict)}"
