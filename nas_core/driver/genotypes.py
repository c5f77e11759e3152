"""What the command line does with a genotype: find it, count its networks, draw it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from nas_core import papers
from nas_core.cells.counts import Counted
from nas_core.cells.exchange import read
from nas_core.cells.genotype import Genotype, released
from nas_core.cells.sizes import Size, counts_with_tower, network_counts
from nas_core.errors import UserError, choose
from nas_core.files import write_together, writing
from nas_core.report.genotypes import genotype_figure
from nas_core.report.save import picture


def find(given: str) -> Genotype:
    """The genotype in the file ``given``, of the released architecture of this name, or that ``given`` is itself.

    Raises :class:`UserError` where there is none.
    """
    if os.path.isfile(given):
        try:
            return read(Path(given).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(f"{given} is not a text file.") from error
    if "(" in given or "{" in given:
        return read(given)
    architectures = papers.released_genotypes()["arch"].unique()
    return released(choose("file or released architecture", given, architectures))


def size_lines(genotype: Genotype, sizes: Mapping[str, Size]) -> list[str]:
    """A table of what the networks of these names have and do, and why one can have no tower.

    Raises :class:`UserError` on numbers that make no network.
    """
    lines = [f"{'network':60} {'parameters':>13} {'multiply-adds':>17}"]
    for name, size in sizes.items():
        numbers = f"{size.layers} cells, {size.channels} channels, {size.classes} classes"
        images = f"{size.in_channels}x{size.side}x{size.side}"
        lines.append(_line(f"{name}: {numbers}, {images}", network_counts(genotype, size)))
        try:
            lines.append(_line("  with the auxiliary tower", counts_with_tower(genotype, size)))
        except UserError as error:
            lines.append(f"  {error}")
    return lines


def _line(what: str, counted: Counted) -> str:
    return f"{what:60} {counted.params:13,} {counted.madds:17,}"


def save_picture(genotype: Genotype, path: Path) -> None:
    """Draw the cells of ``genotype`` into ``path``, which ends in .png or .svg.

    Raises :class:`UserError` where nothing can be written.
    """
    content = picture(genotype_figure(genotype), path.suffix[1:])
    with writing(path, remedy="name another file"):
        write_together({path: content})
