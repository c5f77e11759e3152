"""Tables as papers print them: one description gives HTML for a notebook, a picture for print and tidy numbers."""

from __future__ import annotations

import hashlib
import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from nas_core.errors import UserError
from nas_core.report.typeset import Cell, Grid, Heading, typeset

DASH = "–"  # where a paper prints nothing
SHADE = "rgba(110, 150, 205, 0.22)"  # behind what is ours, in light and in dark notebooks
HUGE = 1e15
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Column:
    """One column of a paper's table.

    ``name``: the column of the numbers or words; ``heading``: what stands above it (a line break breaks it);
    ``group``: what stands above this and the neighbours with the same group; ``spread``: the column with what follows
    after ±; ``digits``: decimals, by default as many as the numbers need; ``unit``: the number that is shown as 1 (1e6
    shows 2,661,382 as 2.66); ``best``: ``lowest`` or ``highest`` is bold; ``ours``: measured or counted here, so
    shaded; ``merge``: equal cells below each other are one cell; ``wrap``: characters after which words go on in the
    next line.
    """

    name: str
    heading: str
    group: str = ""
    spread: str = ""
    digits: int | None = None
    unit: float = 1.0
    best: str = ""
    ours: bool = False
    merge: bool = False
    wrap: int = 40


@dataclass(frozen=True)
class PaperTable:
    """What :func:`paper_table` describes: shown as HTML by a notebook, ``figure()`` and ``data`` are to be saved."""

    data: pd.DataFrame
    grid: Grid

    def figure(self) -> Figure:
        """The table as a picture: at most 7 inches wide, letters of 7 points or more."""
        return typeset(self.grid)

    def styler(self) -> Styler:
        """The table as pandas' Styler, for notebooks."""
        return _styler(self.grid)

    def _repr_html_(self) -> str:
        return str(self.styler().to_html())

    def __repr__(self) -> str:
        columns = [" ".join([h.group, h.text]).replace("\n", " ").strip() for h in self.grid.headings]
        rows = []
        for row in self.grid.rows:
            rows.append([cell.text for cell in row])
        return pd.DataFrame(rows, columns=columns).to_string(index=False)


def paper_table(
    data: pd.DataFrame,
    columns: Sequence[Column],
    *,
    title: str = "",
    ours: str = "",
    section: str = "",
    shaded: str = "ours",
) -> PaperTable:
    """Describe a table as a paper prints it, e.g. accuracies that are printed beside the mean of our seeds::

        table = paper_table(
            printed.merge(over_seeds(measured, "net", ["acc"]), on="net", how="left"),
            [
                Column("net", "Architecture"),
                Column("acc_printed", "printed", group="Accuracy (%)", digits=2, best="highest"),
                Column("acc", "ours, 5 seeds", group="Accuracy (%)", spread="acc_spread", digits=1, ours=True),
            ],
        )
        session.save("SN-T1", table.figure(), table.data, title="...")
        table

    ``data``: one row a row of the table, in its order; ``columns``: in the order of the paper. Numbers of a column are
    aligned at their decimal point; where one is missing stands a dash, in what is ours nothing; a word among numbers
    ("~5") is kept. The best number is sought among what is printed and among what is ours, each for itself. ``ours``:
    the column of booleans that says which rows are ours; ``section``: the column whose changes draw a thin line;
    ``shaded``: what the shade means, in words. ``PaperTable.data`` has the columns that are shown, under their names.
    Raises :class:`UserError` for a missing column and for a heading that two columns of a group have.
    """
    names = []
    for column in columns:
        names += [name for name in (column.name, column.spread) if name]
    extra = [name for name in (ours, section) if name]
    _check(data, columns, [*names, *extra])
    own = data[ours].to_numpy(bool) if ours else np.zeros(len(data), bool)
    lines: tuple[int, ...] = ()
    if section:
        changes = data[section].ne(data[section].shift()).to_numpy()
        lines = tuple(int(row) for row in np.flatnonzero(changes) if row)
    made = [_cells(data, column, own, lines) for column in columns]
    headings = [Heading(c.heading, c.group, _is_number(data[c.name])) for c in columns]
    rows = [list(row) for row in zip(*made, strict=True)]
    any_ours = bool(own.any()) or any(column.ours for column in columns)
    grid = Grid(title, headings, rows, lines, f"shaded: {shaded}" if any_ours else "")
    kept = list(dict.fromkeys([*names, *extra]))
    return PaperTable(data[kept].reset_index(drop=True), grid)


def plain_table(data: pd.DataFrame, title: str = "") -> PaperTable:
    """All columns of a table under their own names, its index first if that says something."""
    named = data.index.name is not None or not isinstance(data.index, pd.RangeIndex)
    shown = data.reset_index() if named else data
    return paper_table(shown, [Column(str(name), str(name)) for name in shown], title=title)


def over_seeds(measured: pd.DataFrame, key: str, columns: Sequence[str]) -> pd.DataFrame:
    """Mean, spread (standard deviation, n - 1) and number of seeds for every value of ``key``.

    ``measured`` has one row per key and seed. The result has, one row per key, the columns ``key``, each quantity,
    each with ``_spread``, and ``seeds``. Raises :class:`UserError` for a missing column.
    """
    _require(measured, [key, "seed", *columns])
    groups = measured.groupby(key, sort=False)
    parts: dict[str, Any] = {}
    for column in columns:
        parts[column] = groups[column].mean()
        parts[f"{column}_spread"] = groups[column].std(ddof=1)
    parts["seeds"] = groups["seed"].nunique()
    return pd.DataFrame(parts).reset_index()


def _require(data: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in data]
    if missing:
        has = ", ".join(map(str, data))
        raise UserError(f"the table has no column {', '.join(missing)}; it has {has}.")


def _check(data: pd.DataFrame, columns: Sequence[Column], needed: Sequence[str]) -> None:
    _require(data, needed)
    heads = [(column.group, column.heading) for column in columns]
    twice = [head for head in heads if heads.count(head) > 1]
    if twice:
        raise UserError(f"two columns have the heading {' '.join(twice[0]).strip()!r}.")
    for column in columns:
        if column.best not in ("", "lowest", "highest"):
            raise UserError(f"best is lowest or highest, not {column.best!r} ({column.name}).")


def _cells(data: pd.DataFrame, column: Column, own: np.ndarray, lines: Sequence[int]) -> list[Cell]:
    """All cells of one column, from above."""
    texts = _column_texts(data, column)
    ours = own | column.ours
    bold = _best(data[column.name], column.best, ours)
    cells = []
    for k, text in enumerate(texts):
        shown = text or ("" if ours[k] else DASH)
        shaded = bool(own[k]) or (column.ours and bool(text))
        cells.append(Cell(shown, bold=bool(bold[k]), ours=shaded, wrap=column.wrap))
    return _merged(cells, lines) if column.merge else cells


def _column_texts(data: pd.DataFrame, column: Column) -> list[str]:
    texts = number_texts(data[column.name], column.unit, column.digits)
    if not column.spread:
        return texts
    spreads = number_texts(data[column.spread], column.unit, column.digits)
    return [f"{text} ± {spread}" if text and spread else text for text, spread in zip(texts, spreads, strict=True)]


def _merged(cells: Sequence[Cell], lines: Sequence[int]) -> list[Cell]:
    """Equal cells below each other, if no line parts them, as one over several rows; it covers cells of span 0."""
    merged: list[Cell] = []
    first = 0
    for k, cell in enumerate(cells):
        if k and k not in lines and cell == cells[k - 1]:
            merged[first] = merged[first].over(k - first + 1)
            merged.append(cell.over(0))
        else:
            merged.append(cell)
            first = k
    return merged


def _best(values: pd.Series, best: str, ours: np.ndarray) -> np.ndarray:
    """Which numbers are the best among those that are printed, or among ours."""
    bold = np.zeros(len(values), bool)
    if not best:
        return bold
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float)
    for group in (ours, ~ours):
        known = group & ~np.isnan(numbers)
        if known.any():
            target = numbers[known].min() if best == "lowest" else numbers[known].max()
            bold |= known & (numbers == target)
    return bold


def _is_number(values: pd.Series) -> bool:
    """Whether a column is one of numbers, also of such that are words ("~5", "8¹²"), with few others among them."""
    known = [value for value in values if not _missing(value)]
    numbers = [value for value in known if Cell(str(value)).numeric and " " not in str(value)]
    return len(numbers) * 2 > len(known)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def number_texts(values: pd.Series, unit: float = 1.0, digits: int | None = None) -> list[str]:
    """The cells of a column as a person reads them, "" for what is missing; words stay as they are.

    ``digits``: decimals; by default four significant digits, equally many decimals for numbers of about one size. In a
    column with numbers of 10¹⁵ and more, those of a million and more are written as powers of ten, too.
    """
    if digits is None and _largest(values) / unit >= HUGE:
        return [_power_text(value, unit) for value in values]
    plain = [value for value in values if isinstance(value, float | np.floating)]
    whole = all(math.isnan(value) or float(value).is_integer() for value in plain)
    if digits is None and plain and not whole:
        digits = _common_decimals([float(value) / unit for value in plain])
    return [_number_text(value, unit, digits) for value in values]


def _largest(values: pd.Series) -> float:
    sizes = [abs(float(value)) for value in values if isinstance(value, int | float | np.number)]
    return max((size for size in sizes if math.isfinite(size)), default=0.0)


def _power_text(value: Any, unit: float) -> str:
    """Three digits and a power of ten from a million on."""
    if isinstance(value, int | float | np.number) and abs(float(value)) / unit >= 1e6:
        return _true_signs(f"{float(value) / unit:.3g}")
    return _number_text(value, unit, None)


def _common_decimals(values: Sequence[float]) -> int | None:
    """The decimals that show numbers of about one size with up to four significant digits; None if sizes differ."""
    sizes = [abs(value) for value in values if value and not math.isnan(value)]
    if not sizes or not 1e-3 <= max(sizes) < 1000 or min(sizes) < max(sizes) / 1000:
        return None
    most = max(len(f"{size:.4g}".partition(".")[2]) for size in sizes)
    return max(0, min(most, 3 - math.floor(math.log10(max(sizes)))))


def _number_text(value: Any, unit: float, digits: int | None) -> str:
    if _missing(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, int | float | np.number):
        return str(value)
    scaled = value / unit if unit != 1.0 else value
    if digits is not None:
        return _true_signs(f"{scaled:,.{digits}f}")
    if float(scaled).is_integer() and abs(scaled) < HUGE:
        return _true_signs(f"{int(scaled):,}")
    if 0 < abs(scaled) < 1e-3:
        mantissa, _, exponent = f"{scaled:.2e}".partition("e")
        return _true_signs(f"{float(mantissa):g}e{exponent}")
    return _true_signs(f"{scaled:,.4g}")


def _true_signs(text: str) -> str:
    """A minus sign that is one, and powers of ten: -3e-05 is −3 × 10⁻⁵."""
    mantissa, e, exponent = text.partition("e")
    shown = mantissa.replace("-", "−")
    if not e:
        return shown
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    if mantissa in ("1", "-1"):
        return shown.replace("1", power)
    return f"{shown} × {power}"


def _styler(grid: Grid) -> Styler:
    """HTML without scripts or addresses: the same table gives the same bytes."""
    grouped = any(heading.group for heading in grid.headings)
    names = [html.escape(heading.text).replace("\n", "<br>") for heading in grid.headings]
    columns: Any = names
    if grouped:
        columns = pd.MultiIndex.from_tuples(zip([h.group for h in grid.headings], names, strict=True))
    texts = [_aligned_html(grid, k) for k in range(len(names))]
    frame = pd.DataFrame(dict(enumerate(texts)))
    frame.columns = columns
    looks_of_rows = []
    for row in range(len(frame)):
        looks_of_rows.append([_look(grid, row, column) for column in range(len(names))])
    looks = pd.DataFrame(looks_of_rows)
    looks.columns = columns
    styler = Styler(frame, uuid=_identity(grid), uuid_len=8, cell_ids=False).hide(axis="index")
    styler = styler.apply(lambda _: looks, axis=None)
    styler = styler.set_table_styles(_table_styles())
    caption = html.escape(grid.title)
    if grid.note:
        caption += f' <span style="background-color: {SHADE}; font-weight: normal">&nbsp;{grid.note}&nbsp;</span>'
    return styler.set_caption(caption)


def _identity(grid: Grid) -> str:
    """A name for the styles of this table that no other table of a page has, the same in every session."""
    return hashlib.sha256(repr(grid).encode()).hexdigest()


def _table_styles() -> list[Any]:
    rule = "1px solid currentColor"
    return [
        {"selector": "", "props": f"border-top: {rule}; border-bottom: {rule}; border-collapse: collapse"},
        {"selector": "caption", "props": "text-align: left; font-weight: bold; padding-bottom: 0.4em"},
        {"selector": "th", "props": "text-align: center; vertical-align: bottom"},
        {"selector": "thead tr:last-child th", "props": f"border-bottom: {rule}"},
        {"selector": "td", "props": "font-variant-numeric: tabular-nums"},
    ]


def _look(grid: Grid, r: int, c: int) -> str:
    cell = grid.rows[r][c]
    number = grid.headings[c].number
    parts = [f"text-align: {'center' if number else 'left'}"]
    if cell.ours:
        parts.append(f"background-color: {SHADE}")
    if cell.bold:
        parts.append("font-weight: bold")
    if r in grid.lines:
        parts.append("border-top: 1px solid rgba(128, 128, 128, 0.5)")
    if number:
        parts.append("white-space: nowrap")
    return "; ".join(parts)


def _aligned_html(grid: Grid, c: int) -> list[str]:
    """The cells of a column; numbers are padded by hidden characters, so that their decimal points meet."""
    cells = [row[c] for row in grid.rows]
    if not grid.headings[c].number:
        return [html.escape(cell.text) if cell.span else "" for cell in cells]
    longest_before = max((cell.before for cell in cells), key=len, default="")
    longest_after = max((cell.after for cell in cells if cell.numeric), key=len, default="")
    texts = []
    for cell in cells:
        if not cell.span or not cell.numeric:
            texts.append(html.escape(cell.text) if cell.span else "")
            continue
        before = longest_before[: len(longest_before) - len(cell.before)]
        after = longest_after[len(cell.after) :]
        texts.append(_hidden(before) + html.escape(cell.text) + _hidden(after))
    return texts


def _hidden(text: str) -> str:
    return f'<span style="visibility: hidden">{re.sub("[0-9]", "0", text)}</span>' if text else ""
