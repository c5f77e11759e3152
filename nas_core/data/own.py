"""Images of one's own: from arrays, or from a folder with one folder a class.

In a plugin, or in a notebook, where what is given becomes a plugin in the store. What the images are is part of the key
of every run that sees them: other images under the same name are another run.
"""

from __future__ import annotations

import hashlib
import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas_core import plugins
from nas_core.data import SOURCES
from nas_core.data.dataset import Source, Split, statistics
from nas_core.errors import UserError, choose
from nas_core.files import location, make_folder, write_atomic

LAYOUTS = ("channels first", "channels last")
SMALLEST = 4  # pixels a side


def from_arrays(
    name: str,
    images: Any,
    labels: Any,
    *,
    valid: float = 0,
    test: float = 0,
    layout: str = "",
    title: str = "",
    pad: int = 0,
    flip: bool = False,
) -> None:
    """Register the data set ``name`` from images and labels.

    ``images``: (n, channels, height, width), (n, height, width, channels) or (n, height, width), uint8 or floats of any
    range, sides from 4; ``layout`` says which where the shape does not. ``labels``: (n,), integers from 0. ``valid``
    and ``test``: how many images to hold out, a number or a share; which, is drawn once for all. The rest trains, and
    gives the mean and standard deviation that all are standardised by. ``title``: its name in captions, by default
    ``name``. ``pad``: pixels of zeros around an image before a random crop, and ``flip``: whether to mirror at random,
    both only while training. Anything wrong is a :class:`UserError`.
    """
    options: dict[str, Any] = {"valid": valid, "test": test, "layout": layout, "title": title, "pad": pad, "flip": flip}
    source = make_source(name, images, labels, **options)
    if plugins.loading():
        SOURCES.register(name, lambda: source)
        return
    path = _stored(np.asarray(images), np.asarray(labels))
    _as_plugin("from_file", name, path, options)


def from_folder(
    name: str,
    path: str | Path,
    *,
    side: int | tuple[int, int],
    channels: int = 3,
    valid: float = 0,
    test: float = 0,
    title: str = "",
    pad: int = 0,
    flip: bool = False,
) -> None:
    """Register the data set ``name`` from a folder that has a folder of pictures for each class.

    ``side``: pixels, or (height, width), that every picture is resized to; ``channels``: 3 for colours, 1 for grey.
    All else is as in :func:`from_arrays`. Read when first needed.
    """
    place = Path(path).expanduser().absolute()
    if not place.is_dir():
        raise UserError(f"data set {name!r}: {place} is no folder.")
    if channels not in (1, 3):
        raise UserError(f"data set {name!r}: channels must be 1 (grey) or 3 (colours), not {channels!r}.")
    size = (side, side) if isinstance(side, int) else tuple(side)
    if len(size) != 2 or not all(isinstance(s, int) and s >= SMALLEST for s in size):
        raise UserError(f"data set {name!r}: side must be one or two whole numbers from {SMALLEST}, not {side!r}.")
    options: dict[str, Any] = {"valid": valid, "test": test, "title": title, "pad": pad, "flip": flip}
    if plugins.loading():
        SOURCES.register(name, partial(_read_folder, name, place, size, channels, options))
        return
    _as_plugin("from_folder", name, place, {"side": size, "channels": channels, **options})


def from_file(name: str, path: str | Path, **options: Any) -> None:
    """:func:`from_arrays` of the arrays ``images`` and ``labels`` in a file of numpy's (.npz)."""
    try:
        with np.load(Path(path).expanduser(), allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"data set {name!r}: {path} has no arrays images and labels ({error}).") from error
    from_arrays(name, images, labels, **options)


def make_source(
    name: str,
    images: Any,
    labels: Any,
    *,
    valid: float = 0,
    test: float = 0,
    layout: str = "",
    title: str = "",
    pad: int = 0,
    flip: bool = False,
) -> Source:
    """The data set that :func:`from_arrays` registers; anything wrong is a :class:`UserError`."""
    what = f"data set {name!r}"
    title = title or name
    if ", " in title:
        raise UserError(f"{what}: a title has no comma, since captions have one after it; not {title!r}.")
    pixels = _pixels(what, np.asarray(images), layout)
    classes = _labels(what, np.asarray(labels), len(pixels))
    if not isinstance(pad, int) or not 0 <= pad <= min(pixels.shape[2:]):
        raise UserError(f"{what}: pad must be a whole number of pixels from 0 to a side, not {pad!r}.")
    held_out = {"valid": _number(what, "valid", valid, len(pixels)), "test": _number(what, "test", test, len(pixels))}
    rest = len(pixels) - sum(held_out.values())
    if rest < 1:
        raise UserError(f"{what}: valid and test take all of its {len(pixels)} images, so that none is left to train.")
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    mixed = Split(pixels, classes)[order]
    splits = {
        "train": mixed[:rest],
        "valid": mixed[rest : rest + held_out["valid"]],
        "test": mixed[rest + held_out["valid"] :],
    }
    mean, std = statistics(splits["train"].images)
    for channel, spread in enumerate(std):
        if not spread:
            raise UserError(f"{what}: all pixels of channel {channel} of its training images are equal.")
    return Source(title, splits, mean, std, int(classes.max()) + 1, pad, flip)


def _pixels(what: str, images: np.ndarray, layout: str) -> Tensor:
    """The images as (n, channels, height, width)."""
    if images.ndim == 3:
        images = images[:, None]
        layout = "channels first"
    if images.ndim != 4 or not images.size:
        raise UserError(
            f"{what}: images must have the shape (n, channels, height, width) or (n, height, width, channels), "
            f"not {images.shape}."
        )
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise UserError(f"{what}: images must be uint8 or floats, not {images.dtype}.")
    if not np.isfinite(images).all():
        raise UserError(f"{what}: images must have finite values.")
    if layout:
        choose("layout", layout, LAYOUTS)
    else:
        layout = _layout(what, images.shape)
    if layout == "channels last":
        images = np.moveaxis(images, 3, 1)
    if min(images.shape[2:]) < SMALLEST:
        height, width = images.shape[2:]
        raise UserError(f"{what}: images must have {SMALLEST}x{SMALLEST} pixels or more, not {height}x{width}.")
    if images.dtype.kind == "f":
        images = images.astype(np.float32)
    return torch.from_numpy(np.array(images, order="C"))


def _layout(what: str, shape: tuple[int, ...]) -> str:
    """Where the channels are: in the axis that is shorter than both others, the first or the last."""
    _, first, middle, last = shape
    if first < min(middle, last):
        return "channels first"
    if last < min(first, middle):
        return "channels last"
    raise UserError(
        f"{what}: of images of shape {shape} it is unclear which axis has the channels; give layout. "
        f"Allowed: {', '.join(map(repr, LAYOUTS))}."
    )


def _labels(what: str, labels: np.ndarray, images: int) -> Tensor:
    if labels.shape != (images,):
        raise UserError(f"{what}: {images} images need labels of shape ({images},), not {labels.shape}.")
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise UserError(f"{what}: labels must be whole numbers from 0, one for each class.")
    if labels.max() < 1:
        raise UserError(f"{what}: labels must be of two classes at least.")
    return torch.from_numpy(labels.astype(np.int64))


def _number(what: str, split: str, wanted: float, images: int) -> int:
    """How many images a number or a share is."""
    whole = isinstance(wanted, int | np.integer) and not isinstance(wanted, bool)
    if whole and 0 <= wanted <= images:
        return int(wanted)
    if isinstance(wanted, float) and 0 <= wanted < 1:
        return round(wanted * images)
    raise UserError(
        f"{what}: {split} must be a number of images from 0 to {images} or a share from 0 to below 1, not {wanted!r}."
    )


def _read_folder(name: str, path: Path, size: tuple[int, int], channels: int, options: dict[str, Any]) -> Source:
    from torchvision.datasets import ImageFolder

    height, width = size
    mode = "RGB" if channels == 3 else "L"
    try:
        folder = ImageFolder(str(path))
        pictures = [np.array(picture.convert(mode).resize((width, height))) for picture, _ in folder]
    except (OSError, ValueError) as error:
        raise UserError(f"data set {name!r}: {path} cannot be read as a folder of classes ({error}).") from error
    images = np.stack(pictures).reshape(len(pictures), height, width, channels)
    return make_source(name, images, np.array(folder.targets), layout="channels last", **options)


def _stored(images: np.ndarray, labels: np.ndarray) -> Path:
    """The file in the store that holds these arrays."""
    total = hashlib.sha256()
    for array in (images, labels):
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    buffer = io.BytesIO()
    np.savez(buffer, images=images, labels=labels)
    path = make_folder(location() / "plugins") / f"data_{total.hexdigest()[:12]}.npz"
    write_atomic(path, buffer.getvalue())
    return path


def _as_plugin(function: str, name: str, path: Path, options: dict[str, Any]) -> None:
    """The call of ``function`` as a plugin in the store, for workers to find."""
    arguments = [repr(name), repr(str(path)), *(f"{key}={value!r}" for key, value in options.items())]
    call = f"{function}({', '.join(arguments)})"
    plugins.load_source(f"from nas_core.data.own import {function}\n\n{call}\n")
