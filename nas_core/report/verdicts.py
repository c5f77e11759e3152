"""Verdicts for a reader: the sentence first, then value and bound in words; exact claims in one line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from nas_core import papers
from nas_core.errors import UserError
from nas_core.report.footer import COLOURS, bound_in_words, name_of, quantity
from nas_core.report.style import GREY

if TYPE_CHECKING:
    from nas_core.claims.verdict import Verdict

WIDTH = 110  # characters of a line of text
ANSWERS = ("fails", "inconclusive", "holds")  # of claims that were judged, what to read first
URGENCY = (*ANSWERS, "not at this scale", "reference", "not run")
Row = dict[str, Any]


class Verdicts(tuple["Verdict", ...]):
    """Verdicts that a notebook shows: exact claims in one line, then the statistical ones, failing ones first."""

    def _repr_html_(self) -> str:
        exact = [verdict for verdict in self if _row(verdict)["grade"] == "X"]
        others = [verdict for verdict in by_urgency(self) if _row(verdict)["grade"] != "X"]
        parts = [_folded(exact)] if exact else []
        parts += [_paragraph(verdict) for verdict in others]
        return f'<div style="max-width: 60em; text-align: left">{"".join(parts)}</div>'

    def __repr__(self) -> str:
        return verdict_text(self)


def verdict_text(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as plain text: a line for all exact claims, those that are open, then two a statistical claim."""
    exact = [verdict for verdict in verdicts if _row(verdict)["grade"] == "X"]
    lines = [exact_line(exact)] if exact else []
    for verdict in by_urgency(verdicts):
        row = _row(verdict)
        if row["grade"] == "X" and verdict.verdict == "holds":
            continue
        lines.append(f"{verdict.verdict}: {row['short'] or row['sentence']}  [{verdict.id}, {row['grade']}]")
        lines.append(textwrap.fill(findings(verdict), WIDTH, initial_indent="  ", subsequent_indent="  "))
    return "\n".join(line for line in lines if line.strip())


def by_urgency(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """What needs attention first: failing, inconclusive, holding; then what was not judged."""
    return sorted(verdicts, key=lambda verdict: URGENCY.index(verdict.verdict))


def exact_line(verdicts: Sequence[Verdict]) -> str:
    """``10 of 10 exact claims hold``, and how many of them were not run."""
    holding = sum(verdict.verdict == "holds" for verdict in verdicts)
    judged = sum(verdict.verdict in ANSWERS for verdict in verdicts)
    noun, verb = ("claim", "holds") if judged == 1 else ("claims", "hold")
    line = f"{holding} of {judged} exact {noun} {verb}"
    if judged < len(verdicts):
        line += f", {len(verdicts) - judged} not run"
    return line


def findings(verdict: Verdict) -> str:
    """Value, interval and bound in words, the seeds that meet it, and what the null gives."""
    row = _row(verdict)
    parts = []
    if verdict.value is not None and verdict.threshold:
        unit = row["unit"]
        value = f"{name_of(unit)}{quantity(verdict.value, unit)}"
        if verdict.interval is not None:
            low, high = verdict.interval
            value += f" (95 %: {quantity(low, unit)} to {quantity(high, unit)})"
        parts.append(f"{value}, to be {bound_in_words(row['comparison'], row['bound'], unit)}")
    if count := _count(verdict):
        parts.append(count)
    if verdict.p_holds is not None:
        parts.append(f"P(holds) {verdict.p_holds:.2f}")
    if verdict.null is not None:
        parts.append(null_words(verdict))
    if verdict.note:
        parts.append(verdict.note)
    return "; ".join(parts)


def null_words(verdict: Verdict) -> str:
    """What the null gives, and whether the claim is evidence beside it."""
    assert verdict.null is not None
    text = f"{verdict.null.words}: {quantity(verdict.null.value, _row(verdict)['unit'])}"
    if verdict.p_value is not None:
        text += f", p = {verdict.p_value:.2g}"
    if verdict.null.meets:
        text += ", which meets the bound as well: no evidence"
    elif verdict.null.reaches:
        text += ", which meets the bound as well, though not as far"
    return text


def _count(verdict: Verdict) -> str:
    """How many of several seeds, or networks, meet the bound."""
    if verdict.met is None or verdict.n is None or verdict.n < 2:
        return ""
    of = "seeds" if verdict.seeds else "networks"
    return f"{verdict.met} of {verdict.n} {of}"


def _folded(exact: Sequence[Verdict]) -> str:
    """One line for all exact claims, which opens; those that do not hold are below it, open."""
    hidden = [_paragraph(verdict) for verdict in exact if verdict.verdict != "fails"]
    shown = [_paragraph(verdict) for verdict in exact if verdict.verdict == "fails"]
    return f"<details><summary><b>{exact_line(exact)}</b></summary>{''.join(hidden)}</details>{''.join(shown)}"


def _paragraph(verdict: Verdict) -> str:
    """The sentence, and below it the answer with its numbers; id and grade small."""
    row = _row(verdict)
    colour = COLOURS.get(verdict.verdict, GREY)
    small = f'<small style="white-space: nowrap; color: {GREY}">{verdict.id} · {papers.GRADES[row["grade"]]}</small>'
    answer = f'<b style="color: {colour}">{verdict.verdict}</b>'
    told = escape(findings(verdict))
    second = f"{answer}: {told}" if told else answer
    style = f"border-left: 3px solid {colour}; padding-left: 0.6em; margin: 0.5em 0"
    return f'<div style="{style}">{escape(row["sentence"])}<br>{second} {small}</div>'


def _row(verdict: Verdict) -> Row:
    """What claims.csv says about the claim."""
    known = papers.claims()
    if verdict.id not in known.index:
        raise UserError(f"no claim {verdict.id} in claims.csv.")
    return dict(known.loc[verdict.id])
