"""Images with boxes in COCO's format: scenes made of the items of another data set, and COCO itself.

A scene is a black canvas with items of several sizes on it; its annotation is what COCO's files hold, so that
pycocotools reads both.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pycocotools.coco import COCO
from torch import Generator, Tensor
from torchvision.ops import box_convert, box_iou

from nas_core.data.dataset import Split
from nas_core.errors import UserError

FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
INK = 25  # of 255: a pixel that is brighter belongs to the item
TRIES = 20  # places that are tried for an item before it is left out
Content = dict[str, Any]  # what a file of annotations holds


@dataclass(frozen=True)
class Annotated:
    """Images and their boxes; ``read`` gives the image, (3, height, width) in 0..1, of an entry of the annotation."""

    annotation: COCO
    read: Callable[[Content], Tensor]

    @cached_property
    def ids(self) -> list[int]:
        """The ids of the images."""
        return sorted(self.annotation.getImgIds())

    @cached_property
    def categories(self) -> list[int]:
        """The ids of the categories; the label of a box is its category's place among them."""
        return sorted(self.annotation.getCatIds())

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Tensor:
        """(3, height, width), in 0..1."""
        return self.read(self.annotation.imgs[self.ids[index]])

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of an image, in pixels."""
        entry = self.annotation.imgs[self.ids[index]]
        return entry["width"], entry["height"]

    def target(self, index: int) -> dict[str, Tensor]:
        """``boxes`` (n, 4) as left, top, right, bottom in pixels, ``labels`` (n,); none of a crowd or without area."""
        entries = self.annotation.imgToAnns[self.ids[index]]
        kept = [entry for entry in entries if not entry["iscrowd"] and min(entry["bbox"][2:]) > 0]
        boxes = torch.tensor([entry["bbox"] for entry in kept], dtype=torch.float32).reshape(-1, 4)
        labels = [self.categories.index(entry["category_id"]) for entry in kept]
        return {"boxes": box_convert(boxes, "xywh", "xyxy"), "labels": torch.tensor(labels, dtype=torch.long)}


def indexed(content: Content) -> COCO:
    """pycocotools' view of annotations, made without a word."""
    with contextlib.redirect_stdout(io.StringIO()):
        annotation = COCO()
        annotation.dataset = content
        annotation.createIndex()
    return annotation


def scenes(
    items: Split, count: int, *, side: int, sizes: tuple[int, int], most: int, overlap: float, generator: Generator
) -> Annotated:
    """``count`` scenes with 1 to ``most`` of the ``items``, grey images of one channel with values 0..255.

    ``side``: of the square canvas in pixels. An item is scaled to a side between ``sizes`` and cut to its ink, which is
    its box; where its IoU with a box that is there exceeds ``overlap`` after 20 tries it is left out.
    """
    canvases = torch.zeros(count, side, side)
    entries: list[Content] = []
    for scene in range(count):
        boxes = torch.empty(0, 4)
        for _ in range(_whole(1, most, generator)):
            item = _whole(0, len(items) - 1, generator)
            ink = _ink(items.images[item], _whole(*sizes, generator))
            corner = _place(ink, side, boxes, overlap, generator)
            if corner is None:
                continue
            (left, top), (height, width) = corner, ink.shape
            canvas = canvases[scene, top : top + height, left : left + width]
            torch.maximum(canvas, ink, out=canvas)
            boxes = torch.cat([boxes, _box(left, top, ink)])
            entries.append(_entry(len(entries) + 1, scene, int(items.labels[item]), (left, top, width, height)))
    content = {
        "info": {"description": "Fashion-MNIST items on a canvas"},
        "images": [{"id": i, "file_name": f"{i:06}.png", "width": side, "height": side} for i in range(count)],
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(FASHION)],
        "annotations": entries,
    }
    images = canvases.round().byte()
    return Annotated(indexed(content), lambda entry: images[entry["id"]].expand(3, -1, -1) / 255)


def _whole(low: int, high: int, generator: Generator) -> int:
    """A whole number from ``low`` to ``high``, both possible."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _ink(image: Tensor, side: int) -> Tensor:
    """An item (1, height, width) scaled to a square of ``side`` pixels and cut to its ink, (height, width)."""
    scaled = F.interpolate(image[None].float(), (side, side), mode="bilinear", antialias=True)[0, 0]
    rows, columns = torch.where(scaled > INK)
    return scaled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _box(left: int, top: int, ink: Tensor) -> Tensor:
    height, width = ink.shape
    return torch.tensor([[left, top, left + width, top + height]], dtype=torch.float32)


def _place(ink: Tensor, side: int, boxes: Tensor, overlap: float, generator: Generator) -> tuple[int, int] | None:
    """Left and top of a place for the item, none if there is none."""
    height, width = ink.shape
    for _ in range(TRIES):
        left, top = _whole(0, side - width, generator), _whole(0, side - height, generator)
        if not len(boxes) or box_iou(_box(left, top, ink), boxes).max() <= overlap:
            return left, top
    return None


def _entry(number: int, image: int, label: int, box: tuple[int, int, int, int]) -> Content:
    return {
        "id": number,
        "image_id": image,
        "category_id": label + 1,
        "bbox": list(box),
        "area": box[2] * box[3],
        "iscrowd": 0,
    }


def write_coco(made: Annotated, root: Path, name: str) -> None:
    """Write images and annotations as COCO has them: ``root/name/*.png``, ``root/annotations/instances_name.json``."""
    (root / name).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    for index, key in enumerate(made.ids):
        pixels = (made.image(index) * 255).round().byte()
        picture = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
        picture.save(root / name / made.annotation.imgs[key]["file_name"])
    (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(made.annotation.dataset))


def coco(name: str) -> Annotated:
    """The images ``name``, as train2017, of $NAS_DATA/coco (default ./data/coco), and their boxes.

    A missing folder or file of annotations is a :class:`UserError`; nothing is downloaded.
    """
    root = Path(os.environ.get("NAS_DATA", "data")) / "coco"
    path = root / "annotations" / f"instances_{name}.json"
    if not path.is_file() or not (root / name).is_dir():
        raise UserError(
            f"COCO's {name} is missing in {str(root)!r}: set NAS_DATA to the folder whose folder coco has "
            f"{name}/ and annotations/instances_{name}.json (cocodataset.org has both)."
        )
    annotation = indexed(json.loads(path.read_text()))
    return Annotated(annotation, lambda entry: _read(root / name / entry["file_name"]))


def _read(path: Path) -> Tensor:
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255
