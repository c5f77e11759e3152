"""Images with boxes on them, as detectors are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from nas_core.report.style import use_style

# Colour and dash of a box: told apart without colour, too.
BOXES = {
    "annotated": ("#0072B2", "-"),
    "right": ("#23703A", "-"),
    "right place, wrong class": ("#8A5A00", (0, (5, 1.5))),
    "wrong place": ("#A3262A", (0, (1.2, 1.2))),
}


@use_style()
def draw_scene(ax: Axes, pixels: np.ndarray, boxes: pd.DataFrame) -> None:
    """Draw an image, (height, width) in 0..1, dark on white, and its boxes: ``left, top, width, height, kind, text``.

    Positions are in pixels from the upper left corner, ``kind`` is one of :data:`BOXES`, ``text`` stands above the box.
    """
    height, width = pixels.shape
    ax.imshow(pixels, cmap="gray_r", vmin=0, vmax=1.6, extent=(0, width, height, 0), interpolation="nearest")
    for box in boxes.itertuples():
        colour, dash = BOXES[str(box.kind)]
        corner = (float(box.left), float(box.top))  # type: ignore[arg-type]
        ax.add_patch(Rectangle(corner, box.width, box.height, fill=False, ec=colour, ls=dash, lw=1.3))  # type: ignore[arg-type]
        _write(ax, str(box.text), corner, float(box.width), width, colour)  # type: ignore[arg-type]
    ax.add_patch(Rectangle((0, 0), width, height, fill=False, ec="#C4C4C4", lw=0.8))
    ax.set(xlim=(-0.5, width + 0.5), ylim=(height + 0.5, -0.5), aspect="equal")
    ax.set_axis_off()


def _write(ax: Axes, text: str, corner: tuple[float, float], wide: float, image: int, colour: str) -> None:
    """A text above a box that is ``wide``, from its left or up to its right, whichever keeps it within the image."""
    left, top = corner
    right = left > 0.55 * image
    below = top < 0.12 * image
    ax.text(
        min(max(left + wide, 0.75 * image), image - 1) if right else max(left, 1.0),
        1.0 if below else top - 1,
        text,
        color=colour,
        fontsize=7,
        ha="right" if right else "left",
        va="top" if below else "bottom",
        path_effects=[withStroke(linewidth=1.8, foreground="white")],
    )


def box_handles() -> list[Line2D]:
    """The legend of :func:`draw_scene`."""
    return [Line2D([], [], color=colour, ls=dash, label=kind) for kind, (colour, dash) in BOXES.items()]
