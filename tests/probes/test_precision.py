"""Average precision: pycocotools' numbers against a definition of ten lines; the answer that looks at no image."""

import math

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from nas_core.data.boxes import indexed
from nas_core.probes.precision import PRECISIONS, average_precision, constant_answer

SIDES = (32, 96)


def annotation(boxes, categories=(1,)):
    """One image with ``boxes``: (category, left, top, width, height)."""
    entries = []
    for i, (category, *box) in enumerate(boxes):
        area = box[2] * box[3]
        entries.append({"id": i + 1, "image_id": 7, "category_id": category, "bbox": box, "area": area, "iscrowd": 0})
    image = {"id": 7, "width": 640, "height": 640, "file_name": ""}
    named = [{"id": category, "name": str(category)} for category in categories]
    return indexed({"images": [image], "categories": named, "annotations": entries})


def by_definition(right, annotated):
    """Mean over 101 recalls of the best precision at that recall or more."""
    found = np.cumsum(right)
    precision = found / np.arange(1, len(right) + 1)
    recall = found / annotated
    best = [precision[recall >= least].max(initial=0) for least in np.linspace(0, 1, 101)]
    return np.mean(best)


@pytest.mark.parametrize("seed", range(5))
def test_exact_ap50_of_one_class_is_its_definition(seed, capsys) -> None:
    rng = np.random.default_rng(seed)
    places = [(1, 50 * i, 0, 20, 20) for i in range(8)]
    right = rng.random(12) < 0.5
    detections, taken = [], 0
    for n, is_right in enumerate(right):
        is_right &= taken < len(places)
        right[n] = is_right
        box = places[taken][1:] if is_right else (50 * n, 300, 20, 20)
        taken += is_right
        detections.append([7, *box, 1 - 0.05 * n, 1])
    found = average_precision(annotation(places), np.array(detections), SIDES)
    assert found["AP50"] == pytest.approx(by_definition(right, len(places)))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("shift", "thresholds"), [(0, 10), (2, 7), (5, 3), (6, 1), (7, 0)])
def test_exact_ap_counts_the_thresholds_that_the_overlap_reaches(shift, thresholds) -> None:
    """Shifted by s of 20 pixels the IoU is (20 - s) / (20 + s): 1, 0.818, 0.6, 0.538, 0.481."""
    annotated = annotation([(1, 100, 100, 20, 20)])
    detections = np.array([[7, 100 + shift, 100, 20, 20, 0.9, 1]])
    found = average_precision(annotated, detections, SIDES)
    assert found["AP"] == pytest.approx(thresholds / 10)


def test_boxes_are_parted_by_the_sides_that_are_given() -> None:
    boxes = [(1, 0, 0, 10, 10), (1, 100, 0, 20, 20), (1, 200, 0, 40, 40)]
    detections = np.array([[7, *boxes[1][1:], 0.9, 1]])
    found = average_precision(annotation(boxes), detections, (15, 30))
    assert [found[name] for name in ("AP_S", "AP_M", "AP_L")] == pytest.approx([0, 1, 0])
    assert found["AP50"] == pytest.approx(np.mean(np.linspace(0, 1, 101) <= 1 / 3))


def test_without_boxes_of_a_size_there_is_no_number_and_without_detections_all_is_zero() -> None:
    found = average_precision(annotation([(1, 0, 0, 10, 10)]), np.empty((0, 7)), SIDES)
    assert list(found) == list(PRECISIONS)
    assert [found[name] for name in ("AP", "AP50", "AP75", "AP_S")] == [0, 0, 0, 0]
    assert math.isnan(found["AP_M"])
    assert math.isnan(found["AP_L"])


def test_a_class_that_is_wrong_finds_nothing() -> None:
    annotated = annotation([(1, 0, 0, 10, 10)], (1, 2))
    detections = np.array([[7, 0, 0, 10, 10, 0.9, 2]])
    found = average_precision(annotated, detections, SIDES)
    assert found["AP50"] == 0


def test_exact_the_constant_answer_takes_what_meets_most_and_then_what_is_left() -> None:
    cluster = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10]])
    other = torch.tensor([[50.0, 50, 60, 60], [50, 50, 60, 59]])
    alone = torch.tensor([[80.0, 0, 90, 10]])
    boxes, labels = torch.cat([alone, other, cluster]), torch.tensor([2, 1, 1, 0, 0, 1])
    best, scores = constant_answer(boxes, labels, 3, 3)
    met = []
    for box in best:
        overlaps = [bool((box_iou(box[None], group) > 0).any()) for group in (cluster, other, alone)]
        assert sum(overlaps) == 1
        met.append(overlaps.index(True))
    assert met == [0, 1, 2]
    assert torch.allclose(scores, torch.tensor([[2, 1, 0], [0, 2, 0], [0, 0, 1]], dtype=torch.double) / 6)
