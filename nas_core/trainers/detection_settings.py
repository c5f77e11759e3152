"""The settings of a detector: the images, the backbone, what reads its maps, and how all of it learns."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nas_core.cells.backbones import KNOWN
from nas_core.errors import UserError
from nas_core.trainers.chain_child_settings import ChainChildConfig
from nas_core.trainers.front_settings import SHARED
from nas_core.trainers.settings import TAG, Data, RunConfig, Settings, one_of


class Scenes(Settings):
    """Scenes of items of a data set on a black canvas (:func:`nas_core.data.boxes.scenes`)."""

    origin: Annotated[Literal["scenes"], TAG] = "scenes"
    data: Data = Field(description="the items; those of training scenes are drawn by the seed")
    train: int = Field(gt=0, description="scenes that train")
    test: int = Field(gt=0, description="scenes that are measured, the same ones for all seeds")
    side: int = Field(64, ge=32, description="of the canvas, in pixels")
    sizes: tuple[int, int] = Field((10, 28), description="sides of the smallest and the largest item, in pixels")
    most: int = Field(5, gt=0, description="items in a scene, at most")
    overlap: float = Field(0.1, ge=0, le=1, description="IoU of two boxes in a scene, at most")

    @model_validator(mode="after")
    def _held_out(self) -> Self:
        if bool(self.data.valid) == bool(self.data.test):
            raise UserError("Scenes.data: what is measured is made of valid or of test items; give one of both.")
        low, high = self.sizes
        if not 4 <= low <= high <= self.side:
            raise UserError(f"Scenes.sizes: from 4 to the canvas's {self.side} pixels, in order, not {self.sizes}.")
        return self


class Coco(Settings):
    """Two sets of COCO's images in $NAS_DATA/coco."""

    origin: Annotated[Literal["COCO"], TAG] = "COCO"
    train: str = Field("train2017", description="images that train")
    test: str = Field("val2017", description="images that are measured")


class Torchvision(Settings):
    """A network of torchvision as backbone."""

    origin: Annotated[Literal["torchvision"], TAG] = "torchvision"
    name: Annotated[str, one_of("backbone", KNOWN)] = Field(description="MobileNetV3 (large) or MnasNet (B1)")
    width: float = Field(1.0, gt=0, le=1, description="share of its channels")

    @property
    def title(self) -> str:
        """As a caption calls it."""
        return self.name


class Child(Settings):
    """The child of MixPath's space S1 that another run trains alone, untrained: its architecture is all that is taken.

    Its blocks stand in the layout of S1 with the strides of a network for large images
    (:func:`nas_core.cells.backbones.strided`).
    """

    origin: Annotated[Literal["child"], TAG] = "child"
    of: ChainChildConfig = Field(description="the run that trains the child alone, for classes")
    width: float = Field(1.0, gt=0, le=1, description="share of the channels that S1 prints")

    @property
    def title(self) -> str:
        """As a caption calls it."""
        return f"a {self.of.pick} MixPath child"


class Reader(Settings):
    """What reads the backbone's maps: feature pyramid and heads, and which of their detections count."""

    channels: int = Field(256, gt=0, description="of every map of the feature pyramid")
    first: int = Field(
        3, ge=2, le=5, description="finest stage that the pyramid has; its map is 2 ** first times smaller"
    )
    coarser: bool = Field(True, description="two more maps above stage 5")
    groups: int = Field(
        0, ge=0, description="of the heads' group norms, which torchvision's second version has; 0: none"
    )
    anchor: int = Field(4, gt=0, description="side of an anchor in pixels of its map, the smallest of the scales")
    scales: int = Field(3, gt=0, description="anchors an octave; each in the ratios 1:2, 1:1 and 2:1")
    sides: tuple[int, int] = Field((800, 1333), description="images are scaled to the first, at most to the second")
    threshold: float = Field(0.05, ge=0, lt=1, description="score below which a detection is dropped")
    candidates: int = Field(1000, gt=0, description="detections a map before overlapping ones are dropped")
    kept: int = Field(100, gt=0, description="detections an image")


class Steps(Settings):
    """SGD, whose learning rate rises from 0 and falls to a tenth after some epochs."""

    lr: float = Field(gt=0, description="learning rate")
    falls: tuple[int, ...] = Field((8, 11), description="epochs after which it falls to a tenth")
    warm: int = Field(500, ge=0, description="steps in which it rises")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    decay: float = Field(1e-4, ge=0, description="L2 weight decay")
    clip: float = Field(10.0, gt=0, description="bound on the gradient norm")


class DetectionConfig(RunConfig):
    """RetinaNet on one backbone, from scratch."""

    trainer: ClassVar[str] = "nas_core.trainers.detection:Detection"

    kind: Annotated[Literal["detection"], TAG] = "detection"
    pictures: Annotated[Scenes | Coco, Field(discriminator="origin", description="images with boxes")]
    backbone: Annotated[Torchvision | Child, Field(discriminator="origin", description="network below the pyramid")]
    reader: Reader = Field(description="pyramid and heads")
    steps: Steps = Field(description="optimiser")
    areas: tuple[int, int] = Field((32, 96), description="sides of squares that part small, medium and large boxes")
    flip: bool = Field(True, description="training images are mirrored at random")
    epochs: int = Field(12, gt=0, description="passes over the training images")
    batch: int = Field(16, gt=0, description="images a step; an incomplete last batch is dropped")

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if isinstance(self.pictures, Scenes) and self.pictures.train < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many training scenes")
        for before in self.needs():
            for name in SHARED:
                if getattr(self, name) != getattr(before, name):
                    raise UserError(f"run {self.run!r} and {before.run!r}, whose child it takes, must share the {name}")
        return self

    def needs(self) -> tuple[RunConfig, ...]:
        """The run whose child is the backbone, if it is one."""
        return (self.backbone.of,) if isinstance(self.backbone, Child) else ()

    def but(self, **changes: Any) -> Self:
        """As for all settings; what a detector shares with the run whose child it takes changes there, too."""
        shared = {name: value for name, value in changes.items() if name in SHARED}
        if shared and "backbone" not in changes and isinstance(self.backbone, Child):
            changes["backbone"] = self.backbone.but(of=self.backbone.of.but(**shared))
        return super().but(**changes)

    def images(self) -> tuple[Data, ...]:
        """The items of the scenes."""
        return (self.pictures.data,) if isinstance(self.pictures, Scenes) else ()

    def cost(self) -> float:
        """Edges of the laptop's searches as a measure: a step of 16 scenes takes about as long as 10 of theirs."""
        images = self.pictures.train if isinstance(self.pictures, Scenes) else 118_000
        return float(100 * self.epochs * images)
