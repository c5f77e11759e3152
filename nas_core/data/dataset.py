"""What a data set is: stored images and labels in splits, and the part of them that one run sees."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Images (n, channels, height, width), of the package's data sets with values 0..255, and labels (n,) int64."""

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

    @cached_property
    def digest(self) -> str:
        """Equal for two data sets exactly when runs see the same: images, labels and constants, not the title."""
        total = hashlib.sha256(repr((self.mean, self.std, self.classes, self.pad, self.flip)).encode())
        for name, split in sorted(self.splits.items()):
            for values in (split.images, split.labels):
                total.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
                total.update(values.contiguous().numpy().tobytes())
        return total.hexdigest()


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
    def size(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        _, _, height, width = self.splits["train"].images.shape
        return height, width

    @property
    def side(self) -> int | None:
        """Height and width of an image if they are equal."""
        height, width = self.size
        return height if height == width else None

    @property
    def title(self) -> str:
        """What a figure's caption says, for example ``Fashion-MNIST 7x7, 150 + 2000 images``."""
        sizes = " + ".join(str(len(self.splits[s])) for s in ("train", "search") if len(self.splits[s]))
        height, width = self.size
        return f"{self.source.title} {height}x{width}, {sizes} images"

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
        n, _, height, width = images.shape
        if self.source.flip:
            mirrored = torch.rand(n, generator=generator) < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
        if self.source.pad:
            # Black padding before standardisation, as torchvision's RandomCrop does.
            padded = F.pad(images, [self.source.pad] * 4)
            corner = torch.randint(0, 2 * self.source.pad + 1, (n, 2), generator=generator).tolist()
            crops = []
            for image, (top, left) in zip(padded, corner, strict=True):
                crops.append(image[:, top : top + height, left : left + width])
            images = torch.stack(crops)
        return images


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of images (n, channels, height, width), in units of 255."""
    x = images.double() / 255
    return tuple(x.mean((0, 2, 3)).tolist()), tuple(x.std((0, 2, 3), correction=0).tolist())
