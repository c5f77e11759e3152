"""The one ``save``: an artefact becomes a picture, its numbers and its provenance, whole or not at all."""

from __future__ import annotations

import io
import json
import math
import platform
from collections.abc import Mapping, Sequence
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
    place = Path(out) / str(known["paper"][choose("artefact", artefact, known.index)]) / artefact
    if table is None or not len(table.columns):
        raise UserError(f"{artefact} has no numbers: give save the table that was drawn.")
    figure = table_figure(table, title) if figure is None else figure
    caption(figure, caption_text(dataset, profile, seeds))
    content: dict[str, Any] = {"id": artefact, "title": title, "profile": profile, "dataset": dataset}
    content |= {"seeds": [int(s) for s in seeds], "runs": list(runs)}
    if formulation:
        content["formulation"] = formulation
    content |= {"versions": used_versions(), "claims": [_claim(v) for v in verdicts]}
    files = {"png": picture(figure)} | ({"svg": picture(figure, "svg")} if svg else {}) | {"csv": csv_bytes(table)}
    files["json"] = (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    write_files(artefact, {place.with_suffix(f".{kind}"): data for kind, data in files.items()})
    return place.with_suffix(".png")


def picture(figure: Figure, kind: str = "png", dpi: int = DPI) -> bytes:
    """A figure with its caption as PNG or SVG, without dates and versions, so that equal figures are equal bytes."""
    stripped = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    buffer, engine = io.BytesIO(), figure.get_layout_engine()
    figure.draw_without_rendering()  # lay out once, with room for legends outside; below their place is fixed
    figure.set_layout_engine("none")
    free = [legend for legend in figure.legends if legend.get_bbox_to_anchor() is figure.bbox]
    for legend in free:  # a figure's own legend must not slide onto the caption
        legend.set_bbox_to_anchor((0, 0, 1, 1), transform=figure.transFigure)
    try:
        with use_style():
            area = whole(figure)
            figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches=area, metadata=stripped, facecolor="white")
    finally:
        figure.set_layout_engine(engine)
        for legend in free:
            legend.set_bbox_to_anchor(None)
    return buffer.getvalue()


def stack(*rows: Figure | Sequence[Figure]) -> Figure:
    """Rows of figures below each other, a row being one or several side by side; exact at ``save``'s resolution."""
    pictures = [[picture(f) for f in ([row] if isinstance(row, Figure) else row)] for row in rows]
    pixels = _joined([_joined([imread(io.BytesIO(png))[..., :3] for png in row], 1) for row in pictures], 0)
    stacked = Figure(figsize=(pixels.shape[1] / DPI, pixels.shape[0] / DPI))
    ax = stacked.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.imshow(pixels, aspect="auto", interpolation="auto")
    return stacked


def _joined(images: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Images one after the other along ``axis``, padded with white to a common size across it."""
    across = max(image.shape[1 - axis] for image in images)
    gaps = [[(0, across - size if d == 1 - axis else 0) for d, size in enumerate(image.shape)] for image in images]
    return np.concatenate([np.pad(i, g, constant_values=1.0) for i, g in zip(images, gaps, strict=True)], axis)


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
    """The picture in 256 colours, spread over all that it has: a thin line of one kind keeps its colour."""
    small, whole_picture = io.BytesIO(), Image.open(io.BytesIO(png)).convert("RGB")
    whole_picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1).save(small, "png", optimize=True)
    return small.getvalue()


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV: floats so that they read back bit-equal, the index only where it says something."""
    plain = isinstance(table.index, pd.RangeIndex) and table.index.name is None
    return table.to_csv(index=not plain, lineterminator="\n").encode()


def used_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers and pictures depend on; torch is looked up, not imported."""
    installed = {name: list(metadata.distributions(name=name))[:1] for name in PACKAGES}
    return {"python": platform.python_version()} | {k: found[0].version for k, found in installed.items() if found}


def _claim(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON, all but its note; a number that is not finite is null."""
    interval = None if verdict.interval is None else [_finite(v) for v in verdict.interval]
    known = {name: value for name, value in vars(verdict).items() if name != "note"}
    return known | {"value": _finite(verdict.value), "seeds": [int(s) for s in verdict.seeds], "interval": interval}


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def write_files(artefact: str, files: Mapping[Path, bytes]) -> None:
    """Write all files of an artefact, or none of them, and remove a picture as SVG that is no longer one of them."""
    first = next(iter(files))
    with writing(first.parent, "name another folder", action=f"save {artefact} in"):
        first.parent.mkdir(parents=True, exist_ok=True)
        write_together(files)
        if (outdated := first.with_suffix(".svg")) not in files:
            outdated.unlink(missing_ok=True)
