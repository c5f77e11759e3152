"""Runs of MixPath's Table 3: RetinaNet on backbones that differ in nothing else.

MixPath-A's genotype was not released, so children of our own search in S1 stand in its place: of every seed the child
that the run M-FOUND trains alone for classes, which the search M-NSGA has found; in a study the random child of like
cost that M-DRAWN trains stands beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nas_core.experiments.mixpath_front import ALONE, ChildSize, found_child, random_child
from nas_core.experiments.recipe import Experiment
from nas_core.trainers.chain_child_settings import ChainChildConfig
from nas_core.trainers.detection_settings import Child, Coco, DetectionConfig, Reader, Scenes, Steps, Torchvision
from nas_core.trainers.settings import Data


@dataclass(frozen=True, kw_only=True)
class DetectionSize:
    """What a profile may change; ``width``: share of the backbones' channels; ``child``: size of a child's own run."""

    pictures: Scenes | Coco
    width: float
    child: ChildSize
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


def of_child(run: str, training: Callable[[ChildSize], ChainChildConfig]) -> Experiment:
    """The run on the child that the run ``run`` of that ``training`` has."""

    def recipe(size: DetectionSize) -> DetectionConfig:
        return retinanet(size, Child(of=training(size.child).but(run=run), width=size.width))

    return Experiment(recipe, SIZES, seeds=5)


SIZES: Mapping[str, DetectionSize] = {
    "smoke": DetectionSize(
        pictures=Scenes(data=Data(name="fashion14", train=64, test=32), train=8, test=4),
        width=0.25,
        child=ALONE["smoke"],
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
        child=ALONE["laptop"],
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
        child=ALONE["paper"],
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
    "M-DETch": of_child("M-FOUND", found_child),
    "M-DETrand": of_child("M-DRAWN", random_child),
}
