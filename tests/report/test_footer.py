"""What stands below a picture: where it is, how it is worded, and in which order."""

import pytest
from matplotlib.figure import Figure

from nas_core import papers
from nas_core.claims.verdict import Null, Verdict
from nas_core.report.footer import Stamped, bound_in_words, footer, get_caption, quantity, stamp_lines, statement, whole


def test_it_hangs_below_replaces_itself_and_is_wrapped() -> None:
    figure = Figure(figsize=(3, 2))
    footer(figure, "first", [Stamped("holds", "a claim")])
    once = whole(figure)
    footer(figure, "second " * 30, [Stamped("fails", "a claim " * 20)])
    assert get_caption(figure) == ("second " * 30).strip()
    assert whole(figure).y0 < once.y0 < 0
    boxes = [text.get_window_extent().transformed(figure.dpi_scale_trans.inverted()) for text in figure.texts]
    for box in boxes:
        assert box.x1 <= 3
        assert whole(figure).y0 <= box.y0 < box.y1 <= 0
    word, claim, caption = boxes
    assert word.x1 < claim.x0
    assert caption.y1 <= claim.y0


def test_a_picture_without_words_stays_as_it_is() -> None:
    figure = Figure(figsize=(3, 2))
    footer(figure, "")
    assert whole(figure).y0 == 0
    assert not figure.texts


def test_the_stamp_has_failing_claims_first_and_exact_ones_in_one_line() -> None:
    verdicts = [
        Verdict("C-W12", "holds", 1.0),
        Verdict("C-W12a", "holds", 0.95),
        Verdict("C-W12b", "inconclusive", 0.5),
        Verdict("C-W12c", "fails", 0.0),
        Verdict("C-W12d", "not run"),
    ]
    lines = stamp_lines(verdicts)
    assert [line.word for line in lines] == ["fails", "inconclusive", "holds", "holds"]
    assert lines[-1].text == "1 of 1 exact claims"


def test_an_exact_claim_that_fails_stands_first() -> None:
    lines = stamp_lines([Verdict("C-W12", "fails", 0.0), Verdict("C-W12c", "fails", 0.0)])
    assert [line.word for line in lines] == ["fails", "fails"]
    assert lines[0].text.startswith("exact: ")


def test_a_statement_says_value_interval_seeds_and_a_null_that_does_as_well() -> None:
    null = Null("chance", 0.92, meets=True)
    verdict = Verdict("C-W12a", "inconclusive", 0.89, ">= 0.9", (0, 1, 2), (0.83, 0.93), met=1, p_holds=0.3, null=null)
    text = statement(verdict)
    assert text.startswith(f"Paper: {papers.claims()['short']['C-W12a']} (at least 90 %).")
    assert " Here 89 % (95 %: 83 % to 93 %), 1 of 3 seeds" in text
    assert text.endswith(", 1 of 3 seeds, P(holds) 0.30; no evidence, since chance gives 92 %.")


def test_what_we_expected_is_not_said_to_be_the_papers() -> None:
    assert statement(Verdict("C-W9d", "holds", 0.4, "> 0", (0, 1), met=2)).startswith("Expected: fixing (0, 1)")
    assert statement(Verdict("C-W9a", "holds", 0.4, "> 0", (0, 1), met=2)).startswith("Paper: ")


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.886, "share", "89 %"),
        (0.0123, "share", "1.2 %"),
        (-0.0003, "share", "0 %"),
        (-5.63, "points", "−5.63 points"),
        (12345.0, "", "12,345"),
        (1.5e-9, "", "1.5 × 10⁻⁹"),
        (None, "share", "–"),
        (0.0, "nats", "0 nats"),
    ],
)
def test_numbers_read_as_a_person_writes_them(value, unit, words) -> None:
    assert quantity(value, unit) == words


def test_bounds_are_words() -> None:
    assert bound_in_words(">=", 0.8, "share") == "at least 80 %"
    assert bound_in_words("<", 3.0, "points") == "below 3 points"
