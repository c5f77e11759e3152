"""The one ``save``: an artefact becomes a picture, its numbers and its provenance, whole or not at all."""

from __future__ import annotations

import dataclasses
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

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from nas_core import papers
from nas_core.errors import UserError, choose
from nas_core.files import write_together, writing
from nas_core.report.footer import footer, stamp_lines, whole
from nas_core.report.paper_table import plain_table
from nas_core.report.standard import problems
from nas_core.report.style import use_style

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
    caption: str,
    profile: str,
    dataset: str,
    seeds: Sequence[int],
    runs: Sequence[str],
    verdicts: Sequence[Verdict],
    out: str | Path,
    formulation: str = "",
    part: str = "",
    svg: bool = False,
) -> Path:
    """Write ``<out>/<paper>/<artefact>`` as .png, .csv, .json and, with ``svg``, .svg; return the path of the .png.

    ``table`` has every number that is drawn; ``figure=None`` draws the table itself. Below the picture stand the
    verdicts and the ``caption``. ``part``: "b", "c", ... for what is shown beyond the paper's item. ``formulation`` is
    that of the runs' supernets, if there are runs. Files are written aside and renamed at the end, the .json last; the
    same arguments give the same bytes. Raises :class:`UserError` for an unknown artefact, for a picture below the
    standard (:mod:`nas_core.report.standard`) and for a folder that cannot be written.
    """
    known = papers.artefacts()
    paper = str(known["paper"][choose("artefact", artefact, known.index)])
    name = f"{artefact}-{part}" if part else artefact
    place = Path(out) / paper / name
    if table is None or not len(table.columns):
        raise UserError(f"{name} has no numbers: give save the table that was drawn.")
    if figure is None:
        figure = plain_table(table, title).figure()
    footer(figure, caption, stamp_lines(verdicts))
    wrong = problems(figure, table)
    if wrong:
        raise UserError(f"{name} cannot be saved: {'; '.join(wrong[:8])}.")
    figure.set_label(f"{title.rstrip('.')}. {caption}".strip())
    content = {
        "id": name,
        "title": title,
        "caption": caption,
        "profile": profile,
        "dataset": dataset,
        "seeds": [int(seed) for seed in seeds],
        "runs": list(runs),
        "formulation": formulation,
        "versions": used_versions(),
        "claims": [verdict_content(verdict) for verdict in verdicts],
    }
    if not formulation:
        del content["formulation"]
    files = {place.with_suffix(".png"): picture(figure)}
    if svg:
        files[place.with_suffix(".svg")] = picture(figure, "svg")
    files[place.with_suffix(".csv")] = csv_bytes(table)
    files[place.with_suffix(".json")] = json_bytes(content)
    write_files(name, files)
    return place.with_suffix(".png")


@use_style()  # also while it is laid out: how many ticks an axis has depends on the style
def picture(figure: Figure, kind: str = "png", dpi: int = DPI) -> bytes:
    """A figure with its caption as PNG or SVG, without dates and versions, so that equal figures are equal bytes."""
    figure.draw_without_rendering()  # lay out once, with room for legends outside; below their place is fixed
    buffer = io.BytesIO()
    with _fixed_layout(figure):
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


def show(figure: Figure, alt: str = "", dpi: int = 100) -> None:
    """Show a figure in a notebook, with what stands below it, in 256 colours (a third of the bytes); elsewhere nothing.

    ``alt``: one sentence for whoever cannot see it; a saved figure has its title and caption. Raises
    :class:`UserError` for a picture without any.
    """
    alt = alt or str(figure.get_label())
    if not alt:
        raise UserError("a picture needs a sentence for whoever cannot see it: report.show(figure, alt='...').")
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is not None:
        shown = {"image/png": few_colours(picture(figure, dpi=dpi)), "text/plain": f"[{alt}]"}
        display(shown, raw=True, metadata={"image/png": {"alt": alt}})


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


def json_bytes(content: dict[str, Any]) -> bytes:
    """Content as JSON, readable."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def used_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers and pictures depend on; torch is looked up, not imported."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def verdict_content(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON; a number that is not finite is null."""
    content = dataclasses.asdict(verdict)
    if verdict.interval is not None:
        content["interval"] = [_finite(end) for end in verdict.interval]
    if verdict.null is not None:
        content["null"]["value"] = _finite(verdict.null.value)
    for name in ("value", "p_holds", "p_value"):
        content[name] = _finite(content[name])
    content["seeds"] = [int(seed) for seed in verdict.seeds]
    return content


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
