"""The standard of pictures: each rule is seen to refuse what breaks it, and the committed pictures keep to it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from nas_core.report import new_figure
from nas_core.report.save import DPI
from nas_core.report.standard import WIDEST, emptiest, problems

PICTURES = sorted((Path(__file__).resolve().parents[2] / "figures").glob("*/*.png"))
TABLE = pd.DataFrame({"x": [0.1, 0.7, 1.3], "y": [0.25, 1 / 3, 0.125], "low": [0.2, 0.3, 0.1], "high": [0.3, 0.4, 0.2]})


def chart(draw: Callable[[Axes], object], width: float = 4.0) -> Figure:
    figure, axes = new_figure(width, 2)
    draw(axes[0, 0])
    return figure


DRAWN = {
    "line": lambda ax: ax.plot(TABLE.x, TABLE.y),
    "dots": lambda ax: ax.scatter(TABLE.x, TABLE.y),
    "bars": lambda ax: ax.bar(["a", "b", "c"], TABLE.y),
    "lying bars": lambda ax: ax.barh(["a", "b", "c"], TABLE.y),
    "band": lambda ax: ax.fill_between(TABLE.x, TABLE.low, TABLE.high),
    "sticks": lambda ax: ax.vlines(TABLE.x, TABLE.low, TABLE.high),
    "steps": lambda ax: ax.stairs(TABLE.y, [0, 1, 2, 3]),
    "image": lambda ax: ax.imshow([[0.25, 1 / 3], [0.125, 0.1]]),
    "mesh": lambda ax: ax.pcolormesh(np.array([[0.25, 1 / 3], [0.125, np.nan]])),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_all_numbers_that_are_drawn_stand_in_the_table(kind: str) -> None:
    figure = chart(DRAWN[kind])
    assert not problems(figure, TABLE)
    (problem, *_) = problems(figure, TABLE + 0.05)
    assert "is not in its table" in problem


def test_rounding_is_no_difference_and_another_digit_is() -> None:
    figure = chart(DRAWN["line"])
    assert not problems(figure, TABLE * (1 + 1e-9))
    assert problems(figure, TABLE * (1 + 1e-4))


def test_guides_and_drawings_show_no_data() -> None:
    def draw(ax: Axes) -> None:
        ax.axhline(0.77)
        ax.axvspan(0.2, 0.3)
        ax.plot([0.123, 0.456], [0.7, 0.8], gid="guide diagonal")

    assert not problems(chart(draw), TABLE)
    figure = chart(DRAWN["line"])
    figure.axes[0].set_axis_off()
    assert not problems(figure, TABLE * 2)


def test_several_panels_need_a_column_that_tells_them_apart() -> None:
    figure, axes = new_figure(4, 2, 1, 2)
    for ax in axes.flat:
        ax.plot(TABLE.x, TABLE.y)
    (problem,) = problems(figure, TABLE)
    assert "needs a column 'panel', since it has 2 panels" in problem
    assert not problems(figure, TABLE.assign(panel="a"))


def test_a_picture_fits_on_a_page() -> None:
    assert not problems(chart(DRAWN["line"], WIDEST), TABLE)
    (problem,) = problems(chart(DRAWN["line"], WIDEST + 0.1), TABLE)
    assert "7.10 in wide; at most 7 in" in problem


def test_letters_can_be_read() -> None:
    assert not problems(chart(lambda ax: ax.set_title("small", size=7)), TABLE)
    (problem,) = problems(chart(lambda ax: ax.set_title("small", size=6.9)), TABLE)
    assert "'small' is 6.9 pt high" in problem


@pytest.mark.parametrize(
    "words", ["W-SNAS8r by epoch", "S-DARTS1", "head_bias", "1e-05", "a change of -3", "7x7 images", "4 x 4"]
)
def test_internal_words_and_signs_of_programs_are_refused(words: str) -> None:
    (problem,) = problems(chart(lambda ax: ax.set_title(words)), TABLE)
    assert problem.startswith(f"{words!r} has ")


PRINTED = ["WI-F3", "C-W3a", "DARTS-V2", "10⁻⁵", "−3", "7 × 7", r"$a_{i-1} x_2$", "3–5", "one-hot"]


@pytest.mark.parametrize("words", PRINTED)
def test_what_a_paper_prints_is_allowed(words: str) -> None:
    assert not problems(chart(lambda ax: ax.set_title(words)), TABLE)


def test_the_largest_empty_rectangle_is_found() -> None:
    picture = np.zeros((140, 280, 3))
    assert emptiest(picture) == 0
    picture[70:, :140] = 1
    assert emptiest(picture) == pytest.approx(0.25)
    picture[100, 70] = 0
    assert emptiest(picture) == pytest.approx(38 * 140 / (140 * 280))


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_committed_pictures_fit_on_a_page_and_are_not_empty(path: Path) -> None:
    picture = imread(path)[..., :3]
    assert picture.shape[1] <= WIDEST * DPI + 1
    assert emptiest(picture) <= 0.2
