"""A paper's table: one description, shown as HTML, drawn as a picture and kept as numbers."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nas_core.errors import UserError
from nas_core.report.paper_table import Column, PaperTable, number_texts, over_seeds, paper_table, plain_table
from nas_core.report.style import text_width

DATA = pd.DataFrame(
    {
        "net": ["A", "B & C", "ours"],
        "err": [2.76, 10.9, 3.5],
        "pm": [0.09, np.nan, 0.25],
        "params": ["~5", 3.3, np.nan],
        "count": [np.nan, 3_349_342, 2_661_382],
        "kind": ["x", "x", "y"],
        "own": [False, False, True],
    }
)
COLUMNS = [
    Column("kind", "Kind", merge=True),
    Column("net", "Architecture"),
    Column("err", "Error (%)", spread="pm", digits=2, best="lowest"),
    Column("params", "printed", group="Params (M)"),
    Column("count", "counted", group="Params (M)", digits=2, unit=1e6, ours=True),
]


def table() -> PaperTable:
    return paper_table(DATA, COLUMNS, title="A table", ours="own", section="kind", shaded="counted here")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def cell(row: int, column: str) -> str:
    names = [c.name for c in COLUMNS]
    return table().grid.rows[row][names.index(column)].text


def test_cells_are_as_papers_print_them() -> None:
    assert cell(0, "err") == "2.76 ± 0.09"
    assert cell(1, "err") == "10.90"  # no spread is printed
    assert cell(0, "params") == "~5"
    assert cell(2, "params") == ""  # our row: nothing is printed, and nothing is missing from print
    assert cell(1, "count") == "3.35"
    missing = paper_table(DATA, [Column("pm", "Spread")])
    assert missing.grid.rows[1][0].text == "–"


def test_best_is_sought_in_print_and_in_ours_each_for_itself() -> None:
    assert [row[2].bold for row in table().grid.rows] == [True, False, True]
    highest = paper_table(DATA, [Column("err", "Error", best="highest")])
    assert [row[0].bold for row in highest.grid.rows] == [False, True, False]


def test_ours_is_told_by_shade() -> None:
    assert [row[1].ours for row in table().grid.rows] == [False, False, True]
    assert [row[4].ours for row in table().grid.rows] == [False, True, True]  # what is empty is nobody's
    assert table().grid.note == "shaded: counted here"
    assert paper_table(DATA, COLUMNS[:2], shaded="counted here").grid.note == ""


def test_equal_cells_become_one_and_sections_get_a_line() -> None:
    assert [row[0].span for row in table().grid.rows] == [2, 0, 1]
    assert table().grid.lines == (2,)
    assert texts(table().figure()).count("x") == 1
    parted = paper_table(DATA.assign(kind="x", part=[0, 1, 1]), COLUMNS[:1], section="part")
    assert [row[0].span for row in parted.grid.rows] == [1, 2, 0]


def test_the_numbers_are_kept_as_they_are() -> None:
    kept = table().data
    assert list(kept) == ["kind", "net", "err", "pm", "params", "count", "own"]
    pd.testing.assert_frame_equal(kept, DATA[list(kept)])


def test_picture_has_every_cell_inside_and_none_over_another() -> None:
    figure = table().figure()
    shown = texts(figure)
    assert {"A table", "Params (M)", "printed", "counted", "B & C"} <= set(shown)
    assert {"2", ".76 ± 0.09", "shaded: counted here"} <= set(shown)
    assert figure.get_size_inches()[0] <= 7
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    pairs = [(a, b) for k, a in enumerate(boxes) for b in boxes[:k]]
    assert not any(a.padded(-0.6).overlaps(b) for a, b in pairs)


def test_decimal_points_stand_below_each_other() -> None:
    figure = table().figure()
    places = [text for text in figure.axes[0].texts if text.get_text().startswith((".76", ".90", ".50"))]
    assert len(places) == 3
    assert len({text.get_position()[0] for text in places}) == 1


def of_width(inches: float) -> PaperTable:
    """A column whose words are as wide as said in letters of 8 points."""
    letters = round(inches * 72 / (text_width("n" * 100) / 100))
    return paper_table(pd.DataFrame({"a": ["n" * letters]}), [Column("a", "A", wrap=1000)])


def test_words_that_are_numbers_are_aligned_as_numbers() -> None:
    columns = [Column("size", "Size"), Column("name", "Name")]
    grid = paper_table(pd.DataFrame({"size": ["8¹²", "~5", "new"], "name": ["2 nodes", "3 nodes", "B"]}), columns).grid
    assert [heading.number for heading in grid.headings] == [True, False]


def test_letters_get_smaller_and_a_table_that_is_too_wide_is_refused() -> None:
    for inches, size in ((6.0, 8.0), (7.1, 7.5), (7.5, 7.0)):
        figure = of_width(inches).figure()
        assert {text.get_size() for text in figure.axes[0].texts} == {size}
        assert figure.get_size_inches()[0] <= 7
    with pytest.raises(UserError, match=r"7 in are allowed.*the widest is 'A'"):
        of_width(8.0).figure()


def test_html_is_the_same_in_every_session_and_escapes_words() -> None:
    page = table()._repr_html_()
    assert page == table()._repr_html_()
    assert "B &amp; C" in page
    assert 'colspan="2"' in page  # the group above two columns
    assert "http" not in page
    assert "<script" not in page
    other = paper_table(DATA, COLUMNS[:2])._repr_html_()
    assert page.split('id="')[1][:12] != other.split('id="')[1][:12]


def test_plain_text_has_every_cell() -> None:
    lines = repr(table()).splitlines()
    assert "Params (M) counted" in lines[0]
    assert "2.76 ± 0.09" in lines[1]


def test_bad_descriptions_are_named() -> None:
    with pytest.raises(UserError, match="no column area; it has net"):
        paper_table(DATA, [Column("area", "Area")])
    with pytest.raises(UserError, match="two columns have the heading 'Net'"):
        paper_table(DATA, [Column("net", "Net"), Column("kind", "Net")])
    with pytest.raises(UserError, match="lowest or highest, not 'low'"):
        paper_table(DATA, [Column("err", "Error", best="low")])


def test_mean_and_spread_over_seeds() -> None:
    measured = pd.DataFrame({"net": ["b", "b", "a", "a"], "seed": [0, 1, 0, 1], "acc": [80.0, 82.0, 70.0, 70.0]})
    table = over_seeds(measured, "net", ["acc"])
    assert list(table) == ["net", "acc", "acc_spread", "seeds"]
    assert table.iloc[0].tolist() == ["b", 81.0, np.sqrt(2), 2]
    assert table.iloc[1].tolist() == ["a", 70.0, 0.0, 2]
    with pytest.raises(UserError, match="no column child"):
        over_seeds(measured, "net", ["child"])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.9195, 23.26083, 5.35351], ["0.92", "23.26", "5.35"]),
        ([3.0, 2.85, 3.1], ["3.00", "2.85", "3.10"]),
        ([0.0312, 45.2], ["0.0312", "45.2"]),  # of different sizes: each for itself
        ([1800.0, 0.5], ["1,800", "0.5"]),
        ([8.644e-4, 1.0], ["8.64 × 10⁻⁴", "1"]),
        ([1e-13, 0.0], ["10⁻¹³", "0"]),
        ([-3.2e-5, 0.0], ["−3.2 × 10⁻⁵", "0"]),
        ([-1.5, 2.0], ["−1.5", "2.0"]),
        ([1930618, 3], ["1,930,618", "3"]),
        ([8**12, 255, 256**18], ["6.87 × 10¹⁰", "255", "2.23 × 10⁴³"]),
        ([None, True, "~5"], ["", "yes", "~5"]),
    ],
)
def test_numbers_read_well(values: list[object], shown: list[str]) -> None:
    assert number_texts(pd.Series(values)) == shown


def test_a_plain_index_is_not_shown() -> None:
    assert list(plain_table(DATA[["net"]]).data) == ["net"]
    assert list(plain_table(DATA.set_index("net")[["err"]]).data) == ["net", "err"]
