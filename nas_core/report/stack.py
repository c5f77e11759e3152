"""Several finished figures as one."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from nas_core.report.save import DPI, picture


def stack(*rows: Figure | Sequence[Figure]) -> Figure:
    """Rows of figures below each other, a row being one or several side by side; exact at ``save``'s resolution."""
    pictures = [[_pixels(f) for f in ([row] if isinstance(row, Figure) else row)] for row in rows]
    pixels = _joined([_joined(row, 1) for row in pictures], 0)
    whole = Figure(figsize=(pixels.shape[1] / DPI, pixels.shape[0] / DPI))
    ax = whole.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.imshow(pixels, aspect="auto", interpolation="auto")
    return whole


def _pixels(figure: Figure) -> np.ndarray:
    return imread(io.BytesIO(picture(figure)))[..., :3]


def _joined(images: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Images one after the other along ``axis``, padded with white to a common size across it."""
    across = max(image.shape[1 - axis] for image in images)
    gaps = [[(0, across - size if d == 1 - axis else 0) for d, size in enumerate(image.shape)] for image in images]
    return np.concatenate([np.pad(i, g, constant_values=1.0) for i, g in zip(images, gaps, strict=True)], axis)
