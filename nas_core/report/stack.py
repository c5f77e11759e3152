"""Several finished figures below each other as one."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from nas_core.report.save import DPI, picture


def stack(*figures: Figure) -> Figure:
    """One figure with the given ones below each other, pixel for pixel at the resolution of ``save``."""
    images = [imread(io.BytesIO(picture(figure)))[..., :3] for figure in figures]
    width = max(image.shape[1] for image in images)
    padded = [np.pad(i, ((0, 0), (0, width - i.shape[1]), (0, 0)), constant_values=1.0) for i in images]
    pixels = np.concatenate(padded)
    whole = Figure(figsize=(width / DPI, len(pixels) / DPI))
    ax = whole.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.imshow(pixels, aspect="auto", interpolation="nearest")
    return whole
