"""Scenes with boxes, and COCO's files: what is written is what is read, and what is missing is said."""

import json

import pytest
import torch
from pycocotools.coco import COCO
from torchvision.ops import box_iou

from nas_core.data import load
from nas_core.data.boxes import FASHION, INK, Annotated, coco, scenes, write_coco
from nas_core.data.dataset import Split
from nas_core.errors import UserError

SIDE, SIZES, MOST, OVERLAP = 48, (10, 24), 4, 0.1


def made(count: int = 40, seed: int = 0, overlap: float = OVERLAP) -> Annotated:
    items = load("fashion14", train=200).splits["train"]
    generator = torch.Generator().manual_seed(seed)
    return scenes(items, count, side=SIDE, sizes=SIZES, most=MOST, overlap=overlap, generator=generator)


def test_boxes_lie_on_the_canvas_and_hold_all_ink() -> None:
    data = made()
    counts = [len(data.target(i)["boxes"]) for i in range(len(data))]
    assert set(counts) == set(range(1, MOST + 1))
    for i in range(len(data)):
        image, boxes = data.image(i), data.target(i)["boxes"]
        assert image.shape == (3, SIDE, SIDE)
        assert 0.5 < image.max() <= 1
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= SIDE).all()
        inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        for left, top, right, bottom in boxes.int().tolist():
            inside[top:bottom, left:right] = True
        assert (image[:, ~inside] == 0).all()


def test_a_box_ends_where_the_ink_does() -> None:
    """A square of ink in a black image: scaled to 28 pixels, its box has half of that side."""
    image = torch.zeros(1, 1, 28, 28)
    image[..., 7:21, 7:21] = 200
    square = Split(image, torch.tensor([3]))
    generator = torch.Generator().manual_seed(0)
    data = scenes(square, 1, side=SIDE, sizes=(28, 28), most=1, overlap=0, generator=generator)
    (entry,) = data.annotation.dataset["annotations"]
    left, top, width, height = entry["bbox"]
    assert (width, height, entry["area"]) == (14, 14, 196)
    assert data.annotation.cats[entry["category_id"]]["name"] == FASHION[3]
    box = data.image(0)[0, top : top + height, left : left + width]
    assert (box * 255 > INK).all()


@pytest.mark.parametrize("overlap", [0.0, 0.1])
def test_boxes_overlap_no_more_than_asked(overlap: float) -> None:
    found = []
    for data in (made(overlap=overlap), made(overlap=1.0)):
        worst = 0.0
        for i in range(len(data)):
            boxes = data.target(i)["boxes"]
            worst = max(worst, (box_iou(boxes, boxes) - torch.eye(len(boxes))).max().item())
        found.append(worst)
    assert found[0] <= overlap
    assert found[1] > 0.2  # the bound is what keeps them apart


def test_the_generator_alone_decides() -> None:
    ours, again, other = made(5), made(5), made(5, seed=1)
    assert ours.annotation.dataset == again.annotation.dataset
    assert torch.equal(ours.image(3), again.image(3))
    assert ours.annotation.dataset != other.annotation.dataset


def test_what_is_written_is_read_by_us_and_by_pycocotools(tmp_path, monkeypatch, capsys) -> None:
    data = made(6)
    write_coco(data, tmp_path / "coco", "val2017")
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    read = coco("val2017")
    assert capsys.readouterr().out == ""
    assert (read.ids, read.categories) == (data.ids, data.categories)
    for i in range(len(data)):
        assert torch.equal(read.image(i), data.image(i))
        for name, value in data.target(i).items():
            assert torch.equal(read.target(i)[name], value)
    theirs = COCO(str(tmp_path / "coco" / "annotations" / "instances_val2017.json"))
    assert theirs.anns == data.annotation.anns


def test_crowds_and_empty_boxes_do_not_train(tmp_path, monkeypatch) -> None:
    data = made(1)
    write_coco(data, tmp_path / "coco", "train2017")
    path = tmp_path / "coco" / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    kept = dict(content["annotations"][0])
    further = [{**kept, "id": 91, "iscrowd": 1}, {**kept, "id": 92, "bbox": [1, 1, 0, 5]}]
    content["annotations"] = [*further, kept]
    path.write_text(json.dumps(content))
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    assert len(coco("train2017").target(0)["boxes"]) == 1


@pytest.mark.parametrize("there", [False, True])
def test_missing_images_are_one_sentence(there, tmp_path, monkeypatch) -> None:
    """Also where the annotations are there and the images are not."""
    if there:
        (tmp_path / "coco" / "annotations").mkdir(parents=True)
        (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text("{}")
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"COCO's val2017 is missing in .*coco': set NAS_DATA"):
        coco("val2017")
