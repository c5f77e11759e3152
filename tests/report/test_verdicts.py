"""Verdicts for a reader: in a notebook and as text."""

from __future__ import annotations

import pytest

from nas_core.claims.verdict import VERDICTS, Null, Verdict
from nas_core.errors import UserError
from nas_core.report.verdicts import URGENCY, Verdicts, exact_line, findings, verdict_text

HOLDS = Verdict("C-W12", "holds", 1.0, ">= 1", met=1, n=1)
BROKEN = Verdict("C-W2", "fails", 1.0, "<= 0", met=0, n=1)
UNSURE = Verdict(
    "C-W12a", "inconclusive", 0.886, ">= 0.9", tuple(range(5)), (0.79, 0.99), met=3, p_holds=0.42, n=5,
    p_value=0.002, null=Null("operations shuffled on every edge", 0.16, False),
)  # fmt: skip
WEAK = Verdict(
    "C-W12b", "holds", 1.0, "> 0.5", tuple(range(5)), met=5, n=5, p_value=0.24, null=Null("shuffled", 0.82, True, True)
)
NOT_RUN = Verdict("C-SN3a", "not run", note="no check yet")


def test_the_order_has_every_verdict() -> None:
    assert URGENCY == VERDICTS


def test_exact_claims_are_one_line() -> None:
    assert exact_line([HOLDS, HOLDS]) == "2 of 2 exact claims hold"
    assert exact_line([HOLDS]) == "1 of 1 exact claim holds"
    assert exact_line([HOLDS, BROKEN, Verdict("C-W4a", "not run")]) == "1 of 2 exact claims hold, 1 not run"


def test_findings_are_in_words() -> None:
    assert findings(UNSURE) == (
        "89 % (95 %: 79 % to 99 %), to be at least 90 %; 3 of 5 seeds; P(holds) 0.42; "
        "operations shuffled on every edge: 16 %, p = 0.002"
    )
    assert findings(WEAK).endswith("shuffled: 82 %, p = 0.24, which meets the bound as well: no evidence")
    assert findings(NOT_RUN) == "no check yet"
    trend = Verdict("C-SN4c", "holds", -0.998, "< -0.8", met=1, n=1)
    assert findings(trend) == "rank correlation −0.998, to be below −0.8"


def test_a_notebook_shows_the_sentence_first_and_folds_what_holds_exactly() -> None:
    html = Verdicts([HOLDS, WEAK, UNSURE])._repr_html_()
    folded, _, rest = html.partition("</details>")
    assert "<summary><b>1 of 1 exact claim holds</b></summary>" in folded
    assert "C-W12 ·" in folded
    sentence, answer = "P1 in DSNAS, first half", "inconclusive</b>: 89 %"
    assert rest.index(sentence) < rest.index(answer) < rest.index("C-W12a ·") < rest.index("C-W12b ·")
    assert "no evidence" in rest


def test_an_exact_claim_that_fails_is_not_folded() -> None:
    folded, _, rest = Verdicts([HOLDS, BROKEN])._repr_html_().partition("</details>")
    assert "1 of 2 exact claims hold" in folded
    assert "C-W2 ·" not in folded
    assert "C-W2 ·" in rest


def test_text_is_short_and_in_the_same_order() -> None:
    text = verdict_text([HOLDS, NOT_RUN, WEAK, BROKEN, UNSURE])
    starts = [line.partition(":")[0] for line in text.splitlines() if not line.startswith("  ")]
    assert starts == ["1 of 2 exact claims hold", "fails", "inconclusive", "holds", "not run"]
    assert "DSNAS: edges are dropped early  [C-W12a, S]" in text
    assert max(map(len, text.splitlines())) <= 110
    assert repr(Verdicts([HOLDS])) == "1 of 1 exact claim holds"


def test_unknown_claims_are_named() -> None:
    with pytest.raises(UserError, match=r"no claim C-XX in claims\.csv"):
        verdict_text([Verdict("C-XX", "holds")])
