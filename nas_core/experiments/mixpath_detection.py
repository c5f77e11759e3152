"""Runs of MixPath's Table 3: RetinaNet on three backbones.

MixPath-A's genotype was not released, so a child that was drawn stands in its place: the third one that numpy's
generator with seed 0 draws from what the released sampler offers a block with at most two paths. It has 3.97 million
parameters and 382 million multiply-adds on ImageNet (MixPath-A: 5.0 and 349).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nas_core.experiments.recipe import Experiment
from nas_core.trainers.detection_settings import Child, Coco, DetectionConfig, Reader, Scenes, Steps, Torchvision
from nas_core.trainers.settings import Data

DRAWN = (
    (3, (5,)),
    (3, (3, 7)),
    (3, (7, 9)),
    (3, (5, 9)),
    (3, (5, 9)),
    (3, (3,)),
    (3, (3,)),
    (3, (7,)),
    (3, (3,)),
    (6, (9,)),
    (6, (3,)),
    (6, (7,)),
    (3, (3, 7)),
    (6, (7,)),
    (6, (3, 7)),
    (3, (5, 7)),
    (3, (7, 9)),
    (6, (7, 9)),
)


@dataclass(frozen=True, kw_only=True)
class DetectionSize:
    """What a profile may change; ``width``: share of the backbones' channels."""

    pictures: Scenes | Coco
    width: float
    reader: Reader
    steps: Steps
    areas: tuple[int, int]
    epochs: int
    batch: int


def retinanet(size: DetectionSize, backbone: Torchvision | Child) -> DetectionConfig:
    """A detector of that size on the backbone."""
    return DetectionConfig(
        run="unnamed",
        profile="unnamed",
        seed=0,
        pictures=size.pictures,
        backbone=backbone,
        reader=size.reader,
        steps=size.steps,
        areas=size.areas,
        epochs=size.epochs,
        batch=size.batch,
    )


def of_torchvision(name: str) -> Experiment:
    """The run on a network of torchvision."""
    return Experiment(lambda size: retinanet(size, Torchvision(name=name, width=size.width)), SIZES, seeds=5)


def of_drawn_child() -> Experiment:
    """The run on the drawn child."""
    return Experiment(lambda size: retinanet(size, Child(blocks=DRAWN, width=size.width)), SIZES, seeds=5)


SIZES: Mapping[str, DetectionSize] = {
    "smoke": DetectionSize(
        pictures=Scenes(data=Data(name="fashion14", train=64, test=32), train=8, test=4),
        width=0.25,
        reader=Reader(
            channels=8, first=2, coarser=False, groups=2, anchor=2, scales=1, sides=(64, 64), threshold=0.001
        ),
        steps=Steps(lr=0.05, falls=(), warm=0),
        areas=(14, 20),
        epochs=2,
        batch=4,
    ),
    "laptop": DetectionSize(
        pictures=Scenes(
            data=Data(name="fashion14", train=4000, test=2000), train=256, test=120, sizes=(14, 32), most=4
        ),
        width=0.25,
        reader=Reader(
            channels=16,
            first=2,
            coarser=False,
            groups=4,
            anchor=2,
            scales=2,
            sides=(64, 64),
            threshold=0.01,
            candidates=100,
            kept=30,
        ),
        steps=Steps(lr=0.05, warm=30),
        areas=(16, 22),  # a third of the boxes each
        epochs=12,
        batch=8,
    ),
    "paper": DetectionSize(
        pictures=Coco(),
        width=1.0,
        reader=Reader(),
        steps=Steps(lr=0.01),
        areas=(32, 96),
        epochs=12,
        batch=16,
    ),
}

EXPERIMENTS: dict[str, Experiment] = {
    "M-DETv3": of_torchvision("MobileNetV3"),
    "M-DETmn": of_torchvision("MnasNet"),
    "M-DETch": of_drawn_child(),
}
