"""What stands below a picture: the stamp with the verdicts, and one caption line in plain words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from nas_core import papers
from nas_core.report.style import GREY, use_style

if TYPE_CHECKING:
    from nas_core.claims.verdict import Verdict

SIZE = 7.0  # points
LINE = 1.4 * SIZE / 72  # inches from line to line
LETTER = 0.55 * SIZE / 72  # inches that a letter takes on average
MARGIN, GAP, WORD = 0.1, 0.06, 0.82  # inches: at the left, above a block, and for the word of a verdict
UNITS = ("points", "nats", "nats an epoch", "epochs", "days", "standard errors", "million", "decades")  # after numbers
COLOURS = {"fails": "#A3262A", "inconclusive": "#8A5A00", "holds": "#23703A"}
PART = "footer"  # how the gids of all of this begin


@dataclass(frozen=True)
class Stamped:
    """A line of the stamp: the verdict, and what it is about."""

    word: str
    text: str


@use_style()
def footer(figure: Figure, caption: str, stamp: Sequence[Stamped] = ()) -> None:
    """Put the stamp and then the caption below a picture, wrapped to its width; a second call replaces the first.

    Both hang below the figure's own area, so they never squeeze or meet what is drawn: :func:`whole` is the area to
    save (``save`` and ``show`` do).
    """
    for old in _parts(figure):
        old.remove()
    width = figure.get_size_inches()[0]
    below = GAP
    for line in stamp:
        colour = COLOURS.get(line.word, GREY)
        _write(figure, MARGIN, below, line.word, colour=colour, weight="bold")
        below += _write(figure, MARGIN + WORD, below, _wrapped(line.text, width - WORD), colour=GREY)
    if caption:
        below += GAP if stamp else 0.0
        _write(figure, MARGIN, below, _wrapped(caption, width), colour=GREY, name="caption")


def get_caption(figure: Figure) -> str:
    """The caption of a figure as one line, empty if it has none."""
    for text in _parts(figure):
        if text.get_gid() == f"{PART} caption":
            return " ".join(text.get_text().split())
    return ""


def whole(figure: Figure) -> Bbox:
    """The area of a figure with what stands below it, in inches."""
    width, height = figure.get_size_inches()
    below = 0.0
    for text in _parts(figure):
        top = -text.get_position()[1] * height
        below = max(below, top + _height(text.get_text()) + GAP)
    return Bbox([[0, -below], [width, height]])


def stamp_lines(verdicts: Sequence[Verdict]) -> list[Stamped]:
    """One line a statistical claim, what needs attention first; then one for all exact claims together.

    Claims that were not run, or do not apply at this scale, have none: a picture speaks of what it shows.
    """
    table = papers.claims()
    exact = [verdict for verdict in verdicts if table["grade"][verdict.id] == "X" and verdict.verdict != "not run"]
    lines = []
    for word in COLOURS:
        for verdict in verdicts:
            if table["grade"][verdict.id] == "S" and verdict.verdict == word:
                lines.append(Stamped(word, statement(verdict)))
    broken = [verdict for verdict in exact if verdict.verdict != "holds"]
    if exact and not broken:
        lines.append(Stamped("holds", f"{len(exact)} of {len(exact)} exact claims"))
    first = [Stamped("fails", f"exact: {table['short'][verdict.id]}") for verdict in broken]
    return first + lines


def statement(verdict: Verdict) -> str:
    """What is claimed, and what is seen here: value, interval, seeds, how sure, and a null that does as well."""
    row = dict(papers.claims().loc[verdict.id])
    source = "Expected" if row["paper"] == papers.OWN else "Paper"
    text = f"{source}: {row['short']} ({bound_in_words(row['comparison'], row['bound'], row['unit'])})."
    text += f" Here {name_of(row['unit'])}{quantity(verdict.value, row['unit'])}"
    if verdict.interval is not None:
        low, high = (quantity(end, row["unit"]) for end in verdict.interval)
        text += f" (95 %: {low} to {high})"
    if verdict.met is not None and len(verdict.seeds) > 1:
        text += f", {verdict.met} of {len(verdict.seeds)} seeds"
    if verdict.p_holds is not None:
        text += f", P(holds) {verdict.p_holds:.2f}"
    if verdict.null is not None and verdict.null.meets:
        text += f"; no evidence, since {verdict.null.words} gives {quantity(verdict.null.value, row['unit'])}"
    return f"{text}."


def bound_in_words(comparison: str, bound: float, unit: str) -> str:
    """``at least 80 %`` for ``>= 0.8`` of a share."""
    words = {">=": "at least", "<=": "at most", ">": "above", "<": "below", "==": "exactly"}
    return f"{words[comparison]} {quantity(bound, unit)}"


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit as a person reads it: shares in percent, a true minus, three digits."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == "share":
        percent = round(100 * value, 1 if abs(value) < 0.095 else 0)
        return f"{_signed(percent + 0.0)} %"  # a zero has no minus
    return f"{_signed(value)} {unit}" if unit in UNITS else _signed(value)


def name_of(unit: str) -> str:
    """What a number without unit is, to stand before it once: ``rank correlation ``; nothing for shares and counts."""
    return "" if unit in ("", "share", "count", *UNITS) else f"{unit} "


def _signed(value: float) -> str:
    """Three significant digits, thousands separated, powers of ten as such."""
    if value and not 1e-3 <= abs(value) < 1e7:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa} × 10{raised}".replace("-", "−")
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")


def _write(
    figure: Figure, left: float, below: float, text: str, *, colour: str, name: str = "stamp", weight: str = "normal"
) -> float:
    """A text whose upper left corner is given in inches from the figure's lower left one; returns its height."""
    width, height = figure.get_size_inches()
    shown = figure.text(left / width, -below / height, text, size=SIZE, color=colour, weight=weight, va="top")
    shown.set_gid(f"{PART} {name}")
    return _height(text)


def _height(text: str) -> float:
    return LINE * (text.count("\n") + 1)


def _wrapped(text: str, width: float) -> str:
    return textwrap.fill(text, max(20, int((width - 2 * MARGIN) / LETTER)))


def _parts(figure: Figure) -> list[Text]:
    return [text for text in figure.texts if str(text.get_gid()).startswith(PART)]
