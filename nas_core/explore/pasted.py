"""Bring your own genotype: paste it, see it drawn and counted."""

from __future__ import annotations

from functools import lru_cache

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from nas_core.cells.exchange import read
from nas_core.cells.genotype import Genotype
from nas_core.cells.sizes import CIFAR, IMAGENET, network_counts
from nas_core.errors import UserError
from nas_core.explore.live import LABEL, Explorer
from nas_core.report.genotypes import genotype_figure
from nas_core.report.style import FONT, use_style

NETWORKS = {"CIFAR-10 (20 cells, 36 channels)": CIFAR, "ImageNet (14 cells, 48 channels)": IMAGENET}


@lru_cache(maxsize=32)
def sizes(text: str) -> pd.DataFrame:
    """Parameters and multiply-adds of the evaluation networks of the genotype in ``text``, a row a network.

    A genotype that makes no network (no reduction cell, say) is a :class:`UserError`.
    """
    genotype = read(text)
    counted = {name: network_counts(genotype, size) for name, size in NETWORKS.items()}
    return pd.DataFrame(
        [list(found) for found in counted.values()],
        index=pd.Index(counted, name="network"),
        columns=["parameters", "multiply-adds"],
    )


@use_style()
def pasted_figure(text: str) -> Figure:
    """The cells of the genotype that ``text`` holds, above the sizes of its networks.

    Raises :class:`UserError` with what is wrong with the text.
    """
    if not text.strip():
        raise UserError("paste a genotype, as in Genotype(normal=[('sep_conv_3x3', 0), ...], ...).")
    genotype = read(text)
    table = sizes(text)
    figure = genotype_figure(genotype)
    lines = []
    for name, (params, madds) in zip(table.index, table.to_numpy().tolist(), strict=True):
        lines.append(f"{name}: {params / 1e6:.2f} M parameters, {madds / 1e6:,.0f} M multiply-adds")
    figure.supxlabel("\n".join(lines), size=FONT)
    figure.set_label(f"{_cells(genotype)} {'; '.join(lines)}.")
    return figure


def _cells(genotype: Genotype) -> str:
    edges = f"A normal cell of {len(genotype.normal.edges)} edges"
    if genotype.reduce is None:
        return f"{edges}."
    return f"{edges} and a reduction cell of {len(genotype.reduce.edges)}."


def explore(text: str) -> Explorer:
    """A field to paste a genotype into, in any form that :func:`nas_core.cells.exchange.read` knows."""
    field = ipywidgets.Textarea(
        text,
        description="genotype",
        placeholder="paste here, then press Tab",
        continuous_update=False,
        layout=ipywidgets.Layout(width="48em", height="8em"),
        style=LABEL,
    )
    return Explorer(pasted_figure, {"text": field}, columns=1)
