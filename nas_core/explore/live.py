"""A picture that follows controls: one display that is drawn anew whenever a control changes."""

import html
import os
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure

from nas_core.errors import UserError
from nas_core.report.save import few_colours, picture

DPI = 100
WIDE = ipywidgets.Layout(width="18em")
LABEL = {"description_width": "6em"}


class Explorer:
    """``draw(**values)`` makes the picture from the values of the ``controls``, which have the names of its arguments.

    At the end of a cell it shows itself. Where nobody watches, as when the driver executes a notebook, it is the
    picture alone; that one stays in the notebook for whoever reads it without a kernel. A :class:`UserError` of
    ``draw`` is shown as a sentence beside the controls, and the picture stays. The figure's label is its alternative
    text.
    """

    def __init__(self, draw: Callable[..., Figure], controls: Mapping[str, Any], columns: int = 3) -> None:
        self._draw = draw
        self.controls = dict(controls)
        self.columns = columns
        self.message = ipywidgets.HTML()
        self.figure = draw(**self.values())
        self._handle: DisplayHandle | None = None
        for control in self.controls.values():
            control.observe(self._follow, "value")

    def values(self) -> dict[str, Any]:
        """What the controls say at the moment."""
        return {name: control.value for name, control in self.controls.items()}

    def _follow(self, change: object) -> None:
        try:
            self.figure = self._draw(**self.values())
        except UserError as error:
            self.message.value = f"<b>{html.escape(str(error))}</b>"
            return
        self.message.value = ""
        if self._handle is not None:
            data, metadata = shown(self.figure)
            self._handle.update(data, metadata=metadata, raw=True)

    def _ipython_display_(self) -> None:
        """The controls above, the picture below; only the picture where the driver executes the notebook."""
        if "NAS_DRIVER" not in os.environ:
            width = f"repeat({self.columns}, max-content)"
            layout = ipywidgets.Layout(grid_template_columns=width, grid_gap="0 1em")
            grid = ipywidgets.GridBox(list(self.controls.values()), layout=layout)
            display(ipywidgets.VBox([grid, self.message]))
        data, metadata = shown(self.figure)
        self._handle = display(data, metadata=metadata, raw=True, display_id=True)


def shown(figure: Figure) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a notebook stores of a figure, with its alternative text, and the metadata that belong to it."""
    alt = str(figure.get_label())
    data = {"image/png": few_colours(picture(figure, dpi=DPI)), "text/plain": f"[{alt}]"}
    return data, {"image/png": {"alt": alt}}


def slider(description: str, value: float, low: float, high: float, step: float = 0.1) -> ipywidgets.FloatSlider:
    """A slider over real numbers that speaks when it is let go."""
    return ipywidgets.FloatSlider(
        value, min=low, max=high, step=step, description=description, continuous_update=False, layout=WIDE, style=LABEL
    )


def log_slider(description: str, value: float, low: float, high: float) -> ipywidgets.FloatLogSlider:
    """A slider over powers of ten: ``low`` and ``high`` are exponents."""
    return ipywidgets.FloatLogSlider(
        value, min=low, max=high, step=0.05, description=description, continuous_update=False, layout=WIDE, style=LABEL
    )


def whole_slider(description: str, value: int, low: int, high: int) -> ipywidgets.IntSlider:
    """A slider over whole numbers."""
    return ipywidgets.IntSlider(
        value, min=low, max=high, description=description, continuous_update=False, layout=WIDE, style=LABEL
    )


def choice(description: str, options: object, value: object) -> ipywidgets.Dropdown:
    """A drop-down; ``options`` are values, or pairs of what is shown and the value."""
    return ipywidgets.Dropdown(options=options, value=value, description=description, layout=WIDE, style=LABEL)


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, a true minus, and ``digits`` after the point: ``+0.13``, ``−1.20``, ``0.00``."""
    text = f"{value:+.{digits}f}"
    if not text.strip("+-0."):
        return text[1:]
    return text.replace("-", "−")
