"""Average precision of detections (COCO's, by pycocotools), and the best answer that looks at no image."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.ops import box_iou

PRECISIONS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
HIT = 0.5  # IoU from which a box counts as found by AP50


def average_precision(annotation: COCO, detections: np.ndarray, sides: tuple[float, float]) -> dict[str, float]:
    """COCO's six numbers as shares: AP (mean over IoU 0.5 to 0.95), AP50, AP75, and AP of small, medium, large boxes.

    ``detections``: (n, 7) with image id, left, top, width, height, score, category id. ``sides``: a box is small below
    the square of the first, large above that of the second (COCO: 32 and 96), in pixels. Where there is no box of a
    size its number is nan; without detections all others are 0.
    """
    small, large = (side**2 for side in sides)
    with contextlib.redirect_stdout(io.StringIO()):
        # A detection of an unknown category counts for nothing; pycocotools cannot take an empty list.
        found = annotation.loadRes(
            detections if len(detections) else np.array([[annotation.getImgIds()[0], *[0.0] * 5, -1]])
        )
        evaluation = COCOeval(annotation, found, "bbox")
        evaluation.params.areaRng = [[0, 1e10], [0, small], [small, large], [large, 1e10]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = [float(number) for number in evaluation.stats[: len(PRECISIONS)]]
    return {name: number if number >= 0 else float("nan") for name, number in zip(PRECISIONS, numbers, strict=True)}


def constant_answer(boxes: Tensor, labels: Tensor, classes: int, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` boxes that, given for every image alike, find the most of the ``boxes`` (n, 4).

    They are chosen from these, one after the other, each for those that are not found yet. Returns them, (count, 4),
    and a score for each and every class, (count, classes): the share of all that they find and that are of the class.
    """
    finds = box_iou(boxes, boxes) >= HIT
    of_class = torch.nn.functional.one_hot(labels, classes).double()
    scores = finds.double() @ of_class / len(boxes)
    missing = torch.ones(len(boxes), dtype=torch.bool)
    chosen: list[int] = []
    for _ in range(count):
        best = int((finds & missing).sum(1).argmax())
        missing &= ~finds[best]
        chosen.append(best)
    return boxes[chosen], scores[chosen]
