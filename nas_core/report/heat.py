"""Heat maps whose numbers are written in, with their signs, so that they are read without colour, too."""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from nas_core.report.style import FONT, use_style

NOTHING = 1e-12  # what is smaller is zero to round-off


def signed(value: float, digits: int = 4) -> str:
    """A number with its sign, or 0 if it is zero to round-off."""
    if abs(value) < NOTHING:
        return "0"
    return f"{value:+.{digits}f}".replace("-", "−")


@use_style()
def heat_map(ax: Axes, values: pd.DataFrame, texts: pd.DataFrame, **look: Any) -> Axes:
    """Draw a table as a heat map, one square an entry with its text; index and columns are the names at its sides.

    ``values`` give the colours, ``texts``, of the same shape, what is written; ``look`` goes to ``seaborn.heatmap``.
    """
    settings: dict[str, Any] = {
        "annot": texts,
        "fmt": "",
        "annot_kws": {"size": FONT - 0.5},
        "cbar": False,
        "linewidths": 0.8,
        "linecolor": "white",
    }
    sns.heatmap(values, ax=ax, **{**settings, **look})
    ax.tick_params(length=0, labelsize=FONT)
    ax.tick_params(axis="y", rotation=0)
    ax.set(xlabel=values.columns.name or "", ylabel=values.index.name or "")
    ax.grid(False)
    return ax


def cost_map(ax: Axes, costs: pd.DataFrame, limit: float, scale: float = 1e3) -> Axes:
    """Mean costs of every operation (columns) on every edge (rows): red costs, blue pays; written times ``scale``.

    ``limit``: the cost, without sign, of the strongest colours.
    """
    texts = costs.map(lambda cost: signed(scale * cost, 1))
    return heat_map(ax, costs, texts, cmap="RdBu_r", vmin=-limit, vmax=limit)
