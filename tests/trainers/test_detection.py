"""A detector: what it is trained and measured on, that it learns, and that it can be stopped at every step."""

import numpy as np
import pandas as pd
import pytest
import torch
from small import assert_same, through_a_file

from nas_core.errors import UserError
from nas_core.experiments import configs
from nas_core.trainers import build
from nas_core.trainers.detection import Detection, anchors, pictures
from nas_core.trainers.detection_settings import Child, DetectionConfig, Reader, Scenes, Steps, Torchvision
from nas_core.trainers.kinds import settings_from
from nas_core.trainers.result import Result
from nas_core.trainers.settings import Data

READER = Reader(channels=8, first=2, coarser=False, groups=2, anchor=2, scales=1, sides=(64, 64), threshold=0.001)


def config(**changes: object) -> DetectionConfig:
    settings = DetectionConfig(
        run="tiny",
        profile="test",
        seed=3,
        pictures=Scenes(data=Data(name="fashion14", train=64, test=32), train=9, test=3),
        backbone=Torchvision(name="MnasNet", width=0.25),
        reader=READER,
        steps=Steps(lr=0.05, falls=(1,), warm=3),
        areas=(16, 22),
        epochs=2,
        batch=4,
    )
    return settings.but(**changes)


def run(detector: Detection) -> Detection:
    while detector.done < detector.total:
        detector.step()
    return detector


def test_end_to_end_resume_at_every_step() -> None:
    detector = build(config())
    assert isinstance(detector, Detection)
    assert (detector.total, detector.period) == (4, 2)
    saved = [through_a_file(detector.state())]
    while detector.done < detector.total:
        detector.step()
        saved.append(through_a_file(detector.state()))
    result = detector.result()
    assert result.table("precision").answer.tolist() == ["constant boxes", "untrained", "trained"]
    assert result.table("losses").epoch.tolist() == [1, 2]
    assert set(result.table("detections").image) <= {0, 1, 2}
    for state in saved:
        resumed = Detection(config())
        resumed.load_state(state)
        assert_same(through_a_file(run(resumed).state()), saved[-1])
        for name, table in result.tables.items():
            assert table.equals(resumed.result().tables[name])


def test_the_learning_rate_rises_and_falls() -> None:
    """A third, two thirds, all of it by step; a tenth after the first epoch."""
    detector = Detection(config(epochs=3, steps=Steps(lr=0.3, falls=(1, 2), warm=3)))
    rates = []
    while detector.done < detector.total:
        rates.append(detector.lr())
        detector.done += 1
    assert rates == pytest.approx([0.1, 0.2, 0.03, 0.03, 0.003, 0.003])


def test_a_detector_learns_scenes_by_heart() -> None:
    """Loss and AP50 on the very scenes that train; what is measured is set to them."""
    settings = config(
        pictures=Scenes(data=Data(name="fashion14", train=20, test=1), train=4, test=1, most=2, sizes=(20, 32)),
        steps=Steps(lr=0.05, falls=(), warm=0),
        epochs=70,
        flip=False,
    )
    detector = Detection(settings)
    detector.test = detector.train
    table = run(detector).result().table("precision").set_index("answer")
    losses = detector.result().table("losses")
    assert losses.classes.iloc[-1] < 0.5 * losses.classes.iloc[0]
    assert table.AP50["trained"] > 0.3 > table.AP50["untrained"]


def test_training_scenes_are_the_seeds_own_and_the_measured_ones_are_shared() -> None:
    ours, others = (Detection(config(seed=seed)) for seed in (0, 1))
    assert ours.test.annotation.dataset == others.test.annotation.dataset
    assert torch.equal(ours.test.image(0), others.test.image(0))
    assert ours.train.annotation.dataset != others.train.annotation.dataset


def test_measured_scenes_are_made_of_other_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """The items come from the split that the settings name: test items, or those on which settings are chosen."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr("nas_core.trainers.detection.scenes", lambda items, count, **_: seen.append(items.images))
    chosen = config().pictures
    assert isinstance(chosen, Scenes)
    pictures(config(), torch.Generator())
    pictures(config(pictures=chosen.but(data=Data(name="fashion14", train=64, valid=32))), torch.Generator())
    assert [len(images) for images in seen] == [64, 32, 64, 32]
    train, test, _, valid = ({image.numpy().tobytes() for image in images} for images in seen)
    assert not train & test
    assert not train & valid
    assert not test & valid


@pytest.mark.parametrize("flip", [True, False])
def test_a_mirrored_image_has_mirrored_boxes(flip: bool) -> None:
    """The ink within a box stays the same, from right to left."""
    detector = Detection(config(flip=flip, batch=8))
    order = detector.batches.state()
    images, targets = detector._batch()
    detector.batches.load_state(order)
    mirrored = 0
    for image, target in zip(images, targets, strict=True):
        originals = [(detector.train.image(i), detector.train.target(i)) for i in range(len(detector.train))]
        (match,) = [k for k, (other, _) in enumerate(originals) if torch.equal(other, image)] or [None]
        if match is not None:
            assert torch.equal(originals[match][1]["boxes"], target["boxes"])
            continue
        mirrored += 1
        (match,) = [k for k, (other, _) in enumerate(originals) if torch.equal(other.flip(2), image)]
        boxes = originals[match][1]["boxes"]
        assert torch.equal(target["boxes"][:, [1, 3]], boxes[:, [1, 3]])
        assert torch.equal(target["boxes"][:, 0], 64 - boxes[:, 2])
        assert torch.equal(target["boxes"][:, 2], 64 - boxes[:, 0])
    assert bool(mirrored) == flip


def test_exact_anchors_begin_with_so_many_pixels_of_their_map() -> None:
    """RetinaNet's at the paper's size: 32 to 512 pixels at strides 8 to 128, three an octave, three ratios."""
    paper = anchors(config(reader=Reader()))
    assert [sizes[0] for sizes in paper.sizes] == [32, 64, 128, 256, 512]
    assert np.allclose(paper.sizes[0], [32, 32 * 2 ** (1 / 3), 32 * 2 ** (2 / 3)])
    assert paper.num_anchors_per_location() == [9] * 5
    ours = anchors(config())
    assert list(ours.sizes) == [(8,), (16,), (32,), (64,)]


def test_the_constant_answer_is_scaled_to_each_image() -> None:
    detector = Detection(config())
    rows = detector._constant()
    classes = len(detector.test.categories)
    assert rows.shape == (3 * 10 * classes, 7)
    of_image = [rows[rows[:, 0] == image][:, 1:] for image in detector.test.ids]
    assert np.array_equal(of_image[0], of_image[1])
    (left, top, width, height) = rows[0, 1:5]
    trained = [box for i in range(9) for box in detector.train.annotation.imgToAnns[i]]
    assert [left, top, width, height] in [pytest.approx(entry["bbox"], abs=1e-4) for entry in trained]
    assert set(rows[:, 6]) == set(detector.test.categories)


def test_coco_that_is_missing_is_one_sentence(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    (paper,) = configs("M-DETmn", "paper", [0])
    with pytest.raises(UserError, match="COCO's train2017 is missing"):
        build(paper)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"batch": 10}, "a batch of 10 needs at least as many training scenes"),
    ({"lr": 0.1}, "DetectionConfig has no field 'lr'"),
])  # fmt: skip
def test_settings_that_make_no_detector_are_refused(changes, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        config(**changes)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"data": Data(name="fashion14", train=9)}, "valid or of test items; give one"),
    ({"data": Data(name="fashion14", train=9, valid=3, test=3)}, "valid or of test items; give one"),
    ({"sizes": (28, 10)}, "from 4 to the canvas's 64 pixels"),
    ({"sizes": (10, 65)}, "from 4 to the canvas's 64 pixels"),
])  # fmt: skip
def test_scenes_that_cannot_be_are_refused(change, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        config().pictures.but(**change)


def test_an_unknown_backbone_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="MobileNetV3"):
        Torchvision(name="MobileNetV2")


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    detector = Detection(config())
    with torch.no_grad():
        detector.weights[-1].fill_(float("nan"))
    with pytest.raises(UserError, match="the loss is not finite at step 0"):
        detector.step()


# ------------------------------------------------------------------------------------------------ children of a search

BLOCKS = "e3k3 e6k3k9 e3k5 e3k3k7 e6k3 e3k9 e3k5k7 e3k3 e6k3 e3k3k7 e3k5 e3k3k9"


def on_child(run: str = "M-DETch", seed: int = 3) -> DetectionConfig:
    found = configs(run, "smoke", [seed])[0]
    assert isinstance(found, DetectionConfig)
    return found


def needed(settings: DetectionConfig, child: str = BLOCKS) -> dict[str, Result]:
    """The result of the run whose child it takes, made by hand."""
    (before,) = settings.needs()
    return {before.key(): Result(tables={"network": pd.DataFrame([{"child": child, "params": 1, "madds": 1}])})}


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize(("run", "of"), [("M-DETch", "M-FOUND"), ("M-DETrand", "M-DRAWN")])
def test_a_backbone_is_the_child_of_a_run_that_is_computed_anyway(run: str, of: str, profile: str) -> None:
    (settings,) = configs(run, profile, [7])
    assert settings.needs() == tuple(configs(of, profile, [7]))
    assert settings_from(settings.identity()) == settings


def test_exact_the_backbone_is_the_child_that_the_record_has_and_is_written_down() -> None:
    settings = on_child()
    detector = build(settings, needed(settings))
    assert isinstance(detector, Detection)
    blocks = detector.model.backbone.backbone.blocks
    assert [tuple(block.paths) for block in blocks[:3]] == [("3",), ("3", "9"), ("5",)]
    assert [tuple(block.paths) for block in blocks[-2:]] == [("5",), ("3", "9")]
    detector.step()
    (row,) = detector.journal.result().table("network").to_dict("records")
    assert row["child"] == BLOCKS
    other = build(settings, needed(settings, BLOCKS.replace("e6", "e3")))
    assert isinstance(other, Detection)
    assert len(other.weights) == len(detector.weights)
    assert sum(w.numel() for w in other.weights) < sum(w.numel() for w in detector.weights)


def test_end_to_end_a_detector_on_a_child_resumes() -> None:
    settings = on_child()
    detector = Detection(settings, needed(settings))
    detector.step()
    state = through_a_file(detector.state())
    resumed = Detection(settings, needed(settings))
    resumed.load_state(state)
    assert_same(through_a_file(run(resumed).state()), through_a_file(run(detector).state()))


def test_what_a_detector_shares_with_the_run_of_its_child_changes_in_both() -> None:
    moved = on_child().but(seed=5, profile="other")
    assert isinstance(moved.backbone, Child)
    assert (moved.backbone.of.seed, moved.backbone.of.profile, moved.backbone.of.of.seed) == (5, "other", 5)
    with pytest.raises(UserError, match="M-FOUND', whose child it takes, must share the seed"):
        moved.but(backbone=moved.backbone.but(of=moved.backbone.of.but(seed=6)))
    assert [on_child(name).backbone.title for name in ("M-DETch", "M-DETrand")] == [
        "a found MixPath child",
        "a random MixPath child",
    ]
