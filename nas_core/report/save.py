"""The one ``save``: an artefact becomes a picture, its numbers and its provenance, whole or not at all."""

from __future__ import annotations

import io
import json
import math
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

from nas_core import papers
from nas_core.errors import UserError, choose
from nas_core.files import write_together, writing
from nas_core.report.style import caption, caption_text, use_style, whole
from nas_core.report.tables import table_figure

if TYPE_CHECKING:
    from nas_core.claims.verdict import Verdict

DPI = 150
NO_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
PACKAGES = ("nas-core", "torch", "numpy", "pandas", "matplotlib")


def save(
    artefact: str,
    figure: Figure | None,
    table: pd.DataFrame,
    *,
    title: str,
    profile: str,
    dataset: str,
    seeds: Sequence[int],
    runs: Sequence[str],
    verdicts: Sequence[Verdict],
    out: str | Path,
    formulation: str = "",
    svg: bool = False,
) -> Path:
    """Write ``<out>/<paper>/<artefact>`` as .png, .csv, .json and, with ``svg``, .svg; return the path of the .png.

    ``figure=None`` draws the table, which otherwise has the numbers that were drawn. The caption line (data set,
    profile, number of seeds) goes below the picture. ``formulation`` is that of the runs' supernets, if there are
    runs. Files are written aside and renamed at the end, the
    .json last; the same arguments give the same bytes. Raises :class:`UserError` for an unknown artefact and for a
    folder that cannot be written.
    """
    known = papers.artefacts()
    paper = str(known["paper"][choose("artefact", artefact, known.index)])
    place = Path(out) / paper / artefact
    if table is None or not len(table.columns):
        raise UserError(f"{artefact} has no numbers: give save the table that was drawn.")
    if figure is None:
        figure = table_figure(table, title)
    caption(figure, caption_text(dataset, profile, seeds))
    content = {
        "id": artefact,
        "title": title,
        "profile": profile,
        "dataset": dataset,
        "seeds": [int(seed) for seed in seeds],
        "runs": list(runs),
        "formulation": formulation,
        "versions": used_versions(),
        "claims": [_claim(verdict) for verdict in verdicts],
    }
    if not formulation:
        del content["formulation"]
    files = {place.with_suffix(".png"): picture(figure)}
    if svg:
        files[place.with_suffix(".svg")] = picture(figure, "svg")
    files[place.with_suffix(".csv")] = csv_bytes(table)
    files[place.with_suffix(".json")] = _json_bytes(content)
    write_files(artefact, files)
    return place.with_suffix(".png")


def picture(figure: Figure, kind: str = "png", dpi: int = DPI) -> bytes:
    """A figure with its caption as PNG or SVG, without dates and versions, so that equal figures are equal bytes."""
    figure.draw_without_rendering()  # lay out once, with room for legends outside; below their place is fixed
    buffer = io.BytesIO()
    with use_style(), _fixed_layout(figure):
        figure.savefig(
            buffer,
            format=kind,
            dpi=dpi,
            bbox_inches=whole(figure),
            metadata=NO_METADATA[kind],
            facecolor="white",
        )
    if kind == "svg":
        return number_clip_paths(buffer.getvalue())
    return buffer.getvalue()


@contextmanager
def _fixed_layout(figure: Figure) -> Iterator[None]:
    """Keep everything where it has been laid out; a figure's own legend must not slide onto the caption."""
    engine = figure.get_layout_engine()
    free = [legend for legend in figure.legends if legend.get_bbox_to_anchor() is figure.bbox]
    figure.set_layout_engine("none")
    for legend in free:
        legend.set_bbox_to_anchor((0, 0, 1, 1), transform=figure.transFigure)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)
        for legend in free:
            legend.set_bbox_to_anchor(None)


def number_clip_paths(svg: bytes) -> bytes:
    """The same picture with its clip paths named clip0, clip1, ... in the order in which they are defined.

    Matplotlib names them by a hash of their coordinates before these are rounded to what the file says, and the last
    bits of a layout differ from machine to machine.
    """
    names = re.findall(rb'<clipPath id="(\w+)"', svg)
    numbers = {name: b"clip%d" % number for number, name in enumerate(names)}
    return re.sub(
        rb'(<clipPath id="|clip-path="url\(#)(\w+)',
        lambda found: found[1] + numbers[found[2]],
        svg,
    )


def stack(*rows: Figure | Sequence[Figure]) -> Figure:
    """Rows of figures below each other, a row being one or several side by side; exact at ``save``'s resolution."""
    pixels = _joined([_row_pixels(row) for row in rows], 0)
    height, width, _ = pixels.shape
    stacked = Figure(figsize=(width / DPI, height / DPI))
    ax = stacked.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.imshow(pixels, aspect="auto", interpolation="auto")
    return stacked


def _row_pixels(row: Figure | Sequence[Figure]) -> np.ndarray:
    """One or several figures side by side, (height, width, 3), values in [0, 1]."""
    figures = [row] if isinstance(row, Figure) else row
    images = [imread(io.BytesIO(picture(figure))) for figure in figures]
    return _joined([image[..., :3] for image in images], 1)


def _joined(images: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Images (height, width, 3) one after the other along ``axis``, padded with white to a common size across it."""
    across = 1 - axis
    largest = max(image.shape[across] for image in images)
    padded = []
    for image in images:
        gaps = [(0, 0), (0, 0), (0, 0)]
        gaps[across] = (0, largest - image.shape[across])
        padded.append(np.pad(image, gaps, constant_values=1.0))
    return np.concatenate(padded, axis)


def show(figure: Figure, dpi: int = 100) -> None:
    """Show a figure in a notebook, with its caption, in 256 colours (a third of the bytes); elsewhere do nothing."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is not None:
        display({"image/png": few_colours(picture(figure, dpi=dpi))}, raw=True)


def few_colours(png: bytes) -> bytes:
    """The picture in 256 colours, taken from all over those it has: a thin line of one kind keeps its colour."""
    full = Image.open(io.BytesIO(png)).convert("RGB")
    reduced = full.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1)
    buffer = io.BytesIO()
    reduced.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV: floats so that they read back bit-equal, the index only where it says something."""
    plain = isinstance(table.index, pd.RangeIndex) and table.index.name is None
    return table.to_csv(index=not plain, lineterminator="\n").encode()


def _json_bytes(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def used_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers and pictures depend on; torch is looked up, not imported."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _claim(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON, all but its note; a number that is not finite is null."""
    interval = None
    if verdict.interval is not None:
        interval = [_finite(end) for end in verdict.interval]
    return {
        "id": verdict.id,
        "verdict": verdict.verdict,
        "value": _finite(verdict.value),
        "threshold": verdict.threshold,
        "seeds": [int(seed) for seed in verdict.seeds],
        "interval": interval,
    }


def _finite(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def write_files(artefact: str, files: Mapping[Path, bytes]) -> None:
    """Write all files of an artefact, or none of them, and remove a picture as SVG that is no longer one of them."""
    first = next(iter(files))
    with writing(first.parent, "name another folder", action=f"save {artefact} in"):
        first.parent.mkdir(parents=True, exist_ok=True)
        write_together(files)
        outdated = first.with_suffix(".svg")
        if outdated not in files:
            outdated.unlink(missing_ok=True)
