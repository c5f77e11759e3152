"""One loader for every data set: fixed splits of images and labels, batches drawn by explicit generators.

``fashion14`` and ``fashion7`` are embedded (Fashion-MNIST, Xiao, Rasul and Vollgraf 2017, MIT licence; 10,000 training,
2,000 validation and 4,000 test images, mean-pooled to 14x14, and once more to 7x7); ``digits`` is scikit-learn's;
``cifar10`` is read through torchvision from $NAS_DATA (default ./data) and never downloaded silently.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_core.errors import UserError, choose

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Split:
    """Images (n, channels, side, side) with values 0..255 and labels (n,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> Split:
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Source:
    """A data set as it is stored: ``train`` (from which the search half is cut too), ``valid``, ``test``.

    ``pad`` is the padding of the random crop and ``flip`` says whether to mirror at random; both only while training.
    """

    title: str
    splits: dict[str, Split]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int = 10
    pad: int = 0
    flip: bool = False


@dataclass(frozen=True)
class Dataset:
    """The splits of one run: ``train`` for weights, ``search`` for logits (empty when single-level), valid, test."""

    source: Source
    splits: dict[str, Split]

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return self.splits["train"].images.shape[1]

    @property
    def side(self) -> int:
        """Height and width of an image."""
        return self.splits["train"].images.shape[2]

    @property
    def title(self) -> str:
        """What a figure's caption says, for example ``Fashion-MNIST 7x7, 150 + 2000 images``."""
        sizes = " + ".join(str(len(self.splits[s])) for s in ("train", "search") if len(self.splits[s]))
        return f"{self.source.title} {self.side}x{self.side}, {sizes} images"

    def batch(
        self, split: str, index: Tensor, device: str = "cpu", augment: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Standardised images and labels of ``index``; with a generator, cropped and mirrored if the source says so."""
        part = self.splits[split][index]
        images = part.images.float()
        if augment is not None:
            images = self._augment(images, augment)
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) * 255 for v in (self.source.mean, self.source.std))
        images = ((images - mean) / std).to(device, memory_format=torch.channels_last)
        return images, part.labels.to(device)

    def batches(self, split: str, size: int, device: str = "cpu") -> Iterator[tuple[Tensor, Tensor]]:
        """All images of a split in their fixed order, the last batch possibly smaller."""
        for index in torch.arange(len(self.splits[split])).split(size):
            yield self.batch(split, index, device)

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        n, _, side, _ = images.shape
        if self.source.flip:
            mirrored = torch.rand(n, generator=generator) < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
        if self.source.pad:
            # Black padding before standardisation, as torchvision's RandomCrop does.
            padded = F.pad(images, [self.source.pad] * 4)
            corner = torch.randint(0, 2 * self.source.pad + 1, (n, 2), generator=generator).tolist()
            crops = [image[:, t : t + side, l : l + side] for image, (t, l) in zip(padded, corner, strict=True)]
            images = torch.stack(crops)
        return images


def _statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    x = images.double() / 255
    return tuple(x.mean((0, 2, 3)).tolist()), tuple(x.std((0, 2, 3), correction=0).tolist())


@cache
def embedded_arrays(folder: Path = HERE) -> dict[str, np.ndarray]:
    """The arrays of the embedded Fashion-MNIST subset, checked against their SHA-256 sums."""
    path, sums = folder / "fashion_mnist_14.npz", folder / "fashion_mnist_14.json"
    again = "reinstall the package or remake it with tests/data/make_fashion_mnist.py"
    if not path.is_file() or not sums.is_file():
        raise UserError(f"the embedded data file {path.name} or its checksums are missing: {again}")
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        expected = json.loads(sums.read_text())
        found = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    except Exception as error:  # a damaged archive can fail in any way, from zipfile's errors to zlib's
        reason = " ".join(str(error).split())
        raise UserError(f"the embedded data file {path.name} or {sums.name} is damaged ({reason}): {again}") from error
    if found != expected or not found:
        raise UserError(f"the embedded data file {path.name} does not match the checksums in {sums.name}: {again}")
    return arrays


def _fashion(pooling: int) -> Source:
    arrays = embedded_arrays()
    splits = {}
    for name in ("train", "valid", "test"):
        images = torch.from_numpy(arrays[f"{name}_images"]).unsqueeze(1)
        if pooling > 1:
            images = F.avg_pool2d(images.float(), pooling)
        splits[name] = Split(images, torch.from_numpy(arrays[f"{name}_labels"]).long())
    return Source("Fashion-MNIST", splits, *_statistics(splits["train"].images))


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).unsqueeze(1).float() * (255 / 16)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    mixed = Split(images, torch.from_numpy(digits.target).long())[order]
    splits = {"train": mixed[:1000], "valid": mixed[1000:1300], "test": mixed[1300:]}
    return Source("digits", splits, *_statistics(splits["train"].images))


def _cifar10() -> Source:
    from torchvision.datasets import CIFAR10

    root = os.environ.get("NAS_DATA", "data")
    try:
        parts = {"train": CIFAR10(root, train=True), "test": CIFAR10(root, train=False)}
    except RuntimeError as error:
        raise UserError(
            f"CIFAR-10 is missing or damaged in {root!r}: set NAS_DATA to the folder that holds "
            "cifar-10-batches-py (torchvision's CIFAR10(root, download=True) makes it)"
        ) from error
    splits = {
        name: Split(torch.from_numpy(p.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(p.targets))
        for name, p in parts.items()
    }
    # The papers measure "validation" accuracy on the 10,000 test images; 2,000 of them choose, the rest are reported.
    splits |= {"valid": splits["test"][:2000], "test": splits["test"][2000:]}
    mean, std = (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)
    return Source("CIFAR-10", splits, mean, std, pad=4, flip=True)


SOURCES: dict[str, Callable[[], Source]] = {
    "fashion14": lambda: _fashion(1),
    "fashion7": lambda: _fashion(2),
    "digits": _digits,
    "cifar10": _cifar10,
}


@cache
def _source(name: str) -> Source:
    return SOURCES[choose("data set", name, SOURCES)]()


def load(name: str, *, train: int, search: int = 0, valid: int = 0, test: int = 0) -> Dataset:
    """The first ``train`` training images for the weights, the next ``search`` for the logits, and held-out ones.

    Asking for more images than there are is an error that names the split and how many it has.
    """
    source = _source(name)
    splits = {}
    for split, wanted in {"train": train + search, "valid": valid, "test": test}.items():
        have = len(source.splits[split])
        if not 0 <= wanted <= have:
            raise UserError(f"{wanted} {split} images of {name!r} were asked for; allowed: 0 to {have}")
        splits[split] = source.splits[split][:wanted]
    splits |= {"train": splits["train"][:train], "search": splits["train"][train:]}
    return Dataset(source, splits)
