"""Object detection (MixPath, App. C.4): RetinaNet with a feature pyramid on a backbone, trained from scratch.

The paper's backbones were trained on ImageNet before and its detectors by MMDetection; these are torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import box_convert

from nas_core.cells.backbones import Pyramid, chain_backbone, known_backbone
from nas_core.cells.chain import Choice
from nas_core.cells.counts import multiply_adds, parameters
from nas_core.cells.multipath import read_child, spelled
from nas_core.data import load
from nas_core.data.boxes import Annotated, coco, scenes
from nas_core.data.dataset import Split
from nas_core.errors import UserError
from nas_core.probes.precision import average_precision, constant_answer
from nas_core.trainers.batches import Batches
from nas_core.trainers.detection_settings import Child, Coco, DetectionConfig, Scenes
from nas_core.trainers.journal import Journal
from nas_core.trainers.result import Result
from nas_core.trainers.streams import generators, load_states, states

STREAMS = ("init", "order", "flip", "scenes")
HELD_OUT = 0x0DE7EC7  # seed of the scenes that are measured
GUESSES = 10  # boxes of the constant answer
SAMPLE = 2000  # training boxes that it is made from, at most
KEPT = 12  # images whose detections the record keeps
RATIOS = (0.5, 1.0, 2.0)
COCO_MEAN, COCO_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pictures(config: DetectionConfig, generator: torch.Generator) -> tuple[Annotated, Annotated]:
    """The images that train and those that are measured; ``generator`` draws the scenes that train."""
    chosen = config.pictures
    if isinstance(chosen, Coco):
        return coco(chosen.train), coco(chosen.test)
    splits = load(chosen.data.name, seed=config.seed, **chosen.data.model_dump(exclude={"name"})).splits
    held_out = splits["valid"] if chosen.data.valid else splits["test"]
    fixed = torch.Generator().manual_seed(HELD_OUT)
    return _scenes(splits["train"], chosen.train, chosen, generator), _scenes(held_out, chosen.test, chosen, fixed)


def _scenes(items: Split, count: int, chosen: Scenes, generator: torch.Generator) -> Annotated:
    return scenes(
        items,
        count,
        side=chosen.side,
        sizes=chosen.sizes,
        most=chosen.most,
        overlap=chosen.overlap,
        generator=generator,
    )


def child_of(config: DetectionConfig, needed: Mapping[str, Result]) -> tuple[Choice, ...]:
    """The blocks of the child that is the backbone, from the record of the run that has it; none of another backbone.

    ``needed``: by key, the results of the runs that are needed.
    """
    if not isinstance(config.backbone, Child):
        return ()
    (row,) = needed[config.backbone.of.key()].table("network").to_dict("records")
    return read_child(row["child"])


def detector(
    config: DetectionConfig,
    child: Sequence[Choice],
    classes: int,
    generator: torch.Generator,
    **constants: Any,
) -> RetinaNet:
    """RetinaNet on the backbone, untrained.

    ``child``: its blocks where it is one (:func:`child_of`); ``constants``: ``image_mean`` and ``image_std``.
    """
    chosen, reader = config.backbone, config.reader
    backbone: nn.Module
    if isinstance(chosen, Child):
        backbone = chain_backbone(child, chosen.width, generator)
    else:
        backbone = known_backbone(chosen.name, chosen.width, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        pyramid = Pyramid(backbone, reader.channels, first=reader.first, coarser=reader.coarser)
        norm = partial(nn.GroupNorm, reader.groups) if reader.groups else None
        head = RetinaNetHead(reader.channels, reader.scales * len(RATIOS), classes, norm_layer=norm)
        return RetinaNet(
            pyramid,
            classes,
            head=head,
            min_size=reader.sides[0],
            max_size=reader.sides[1],
            anchor_generator=anchors(config),
            score_thresh=reader.threshold,
            topk_candidates=reader.candidates,
            detections_per_img=reader.kept,
            **constants,
        )


def anchors(config: DetectionConfig) -> AnchorGenerator:
    """The anchors of every map: ``scales`` sides within an octave, from ``anchor`` pixels of the map on."""
    reader = config.reader
    last = 7 if reader.coarser else 5
    sizes = []
    for stage in range(reader.first, last + 1):
        smallest = reader.anchor * 2**stage
        sizes.append(tuple(smallest * 2 ** (k / reader.scales) for k in range(reader.scales)))
    return AnchorGenerator(tuple(sizes), (RATIOS,) * len(sizes))


class Detection:
    """A detector that can be trained step by step, saved and resumed; it is measured before and after its training."""

    def __init__(self, config: DetectionConfig, needed: Mapping[str, Result] | None = None) -> None:
        self.config = config
        self.child = child_of(config, needed or {})
        self.streams = generators(config.seed, STREAMS)
        self.train, self.test = pictures(config, self.streams["scenes"])
        classes = len(self.test.categories)
        self.model = detector(config, self.child, classes, self.streams["init"], **self._constants())
        self.model.to(config.device, memory_format=torch.channels_last)
        self.weights = list(self.model.parameters())
        given = config.steps
        self.sgd = torch.optim.SGD(self.weights, given.lr, given.momentum, weight_decay=given.decay)
        # Images without boxes do not train, as in MMDetection.
        self.with_boxes = [i for i in range(len(self.train)) if len(self.train.target(i)["boxes"])]
        self.batches = Batches(len(self.with_boxes), config.batch, self.streams["order"])
        self.journal = Journal()
        self.losses: list[list[float]] = []  # of the steps of this epoch: of classes, and of boxes
        self.period = len(self.with_boxes) // config.batch
        self.done, self.total = 0, config.epochs * self.period

    def _constants(self) -> dict[str, list[float]]:
        """Mean and standard deviation of the channels: ImageNet's for COCO, their own for scenes."""
        mean, std = list(COCO_MEAN), list(COCO_STD)
        if isinstance(self.config.pictures, Scenes):
            pixels = torch.stack([self.train.image(i) for i in range(len(self.train))])
            mean, std = pixels.mean((0, 2, 3)).tolist(), pixels.std((0, 2, 3)).tolist()
        return {"image_mean": mean, "image_std": std}

    def step(self) -> float:
        """One weight step; the first one measures the untrained detector before, the last one the trained one after."""
        if self.done == 0:
            self._open()
        self.model.train()
        images, targets = self._batch()
        losses = self.model(images, targets)
        parts = [losses["classification"], losses["bbox_regression"]]
        loss = parts[0] + parts[1]
        if not torch.isfinite(loss):
            raise UserError(f"run {self.config.run!r}: the loss is not finite at step {self.done}; lower steps.lr.")
        for group in self.sgd.param_groups:
            group["lr"] = self.lr()
        self.sgd.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, self.config.steps.clip)
        self.sgd.step()
        self.losses.append([part.item() for part in parts])
        self.done += 1
        if self.done % self.period == 0:
            self._close_epoch()
        return loss.item()

    def lr(self) -> float:
        """The learning rate of the step that comes next."""
        given = self.config.steps
        fallen = sum(self.done // self.period >= epoch for epoch in given.falls)
        risen = min(1.0, (self.done + 1) / given.warm) if given.warm else 1.0
        return given.lr * risen * 0.1**fallen

    def _batch(self) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Images and targets of the next batch, each mirrored with probability 1/2 if the settings say so."""
        chosen = self.batches.next().tolist()
        mirrored = torch.rand(len(chosen), generator=self.streams["flip"]) < 0.5
        images, targets = [], []
        for index, mirror in zip(chosen, mirrored.tolist(), strict=True):
            image, target = self.train.image(self.with_boxes[index]), self.train.target(self.with_boxes[index])
            if mirror and self.config.flip:
                width = image.shape[-1]
                left, top, right, bottom = target["boxes"].unbind(1)
                image = image.flip(2)
                target["boxes"] = torch.stack([width - right, top, width - left, bottom], 1)
            images.append(image.to(self.config.device))
            targets.append({name: value.to(self.config.device) for name, value in target.items()})
        return images, targets

    def _open(self) -> None:
        """What does not depend on training: the detector's size, the constant answer, the untrained detector."""
        side = self.config.reader.sides[0]
        images = torch.zeros(1, 3, side, side)
        pyramid = self.model.backbone
        assert isinstance(pyramid, Pyramid)
        self.journal.add_row(
            "network",
            backbone_params=parameters(pyramid.backbone),
            backbone_madds=multiply_adds(pyramid.backbone, images),
            params=parameters(self.model),
            **self._child_row(),
        )
        self._measure("constant boxes", self._constant())
        self._measure("untrained", self.detections())

    def _child_row(self) -> dict[str, str]:
        """What the record says of the backbone where it is a child."""
        return {"child": spelled(self.child)} if self.child else {}

    def _close_epoch(self) -> None:
        of_classes, of_boxes = np.mean(self.losses, 0).tolist()
        self.journal.add_row("losses", epoch=self.done // self.period, classes=of_classes, boxes=of_boxes)
        self.losses = []
        if self.done == self.total:
            found = self.detections()
            self._measure("trained", found)
            self._keep(found)

    def _measure(self, answer: str, detections: np.ndarray) -> None:
        precision = average_precision(self.test.annotation, detections, self.config.areas)
        self.journal.add_row("precision", answer=answer, **precision)

    @torch.no_grad()
    def detections(self) -> np.ndarray:
        """What the detector finds in the images that are measured, (n, 7): see :func:`average_precision`."""
        self.model.eval()
        found = [np.empty((0, 7))]
        for start in range(0, len(self.test), self.config.batch):
            indices = range(start, min(start + self.config.batch, len(self.test)))
            images = [self.test.image(i).to(self.config.device) for i in indices]
            for index, answer in zip(indices, self.model(images), strict=True):
                found.append(self._rows(index, answer["boxes"], answer["scores"], answer["labels"]))
        return np.concatenate(found)

    def _rows(self, index: int, boxes: Tensor, scores: Tensor, labels: Tensor) -> np.ndarray:
        """Detections of one image as pycocotools takes them, (n, 7)."""
        ids = torch.full_like(scores, self.test.ids[index])
        categories = torch.tensor(self.test.categories)[labels.cpu()]
        columns = [ids.cpu(), *box_convert(boxes, "xyxy", "xywh").cpu().unbind(1), scores.cpu(), categories]
        return torch.stack([column.double() for column in columns], 1).numpy()

    def _constant(self) -> np.ndarray:
        """The constant answer, in shares of an image's width and height, given for every image."""
        boxes, labels = [], []
        for index in self.with_boxes[:SAMPLE]:
            target = self.train.target(index)
            boxes.append(target["boxes"] / torch.tensor(self.train.size(index) * 2))
            labels.append(target["labels"])
        classes = len(self.test.categories)
        best, scores = constant_answer(torch.cat(boxes)[:SAMPLE], torch.cat(labels)[:SAMPLE], classes, GUESSES)
        every = torch.arange(classes).repeat(len(best))
        found = []
        for index in range(len(self.test)):
            scaled = best * torch.tensor(self.test.size(index) * 2)
            found.append(self._rows(index, scaled.repeat_interleave(classes, 0), scores.flatten(), every))
        return np.concatenate(found)

    def _keep(self, detections: np.ndarray) -> None:
        """Of the first images, the detections."""
        for image, left, top, width, height, score, category in detections[
            np.isin(detections[:, 0], self.test.ids[:KEPT])
        ]:
            self.journal.add_row(
                "detections",
                image=int(image),
                left=left,
                top=top,
                width=width,
                height=height,
                score=score,
                category=int(category),
            )

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        momentum = [self.sgd.state[weight].get("momentum_buffer") for weight in self.weights]
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "momentum": momentum,
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "journal": self.journal.state(),
            "losses": [list(pair) for pair in self.losses],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done, self.losses = state["done"], [list(pair) for pair in state["losses"]]
        self.model.load_state_dict(state["model"])
        for weight, momentum in zip(self.weights, state["momentum"], strict=True):
            self.sgd.state.pop(weight, None)
            if momentum is not None:
                self.sgd.state[weight]["momentum_buffer"] = torch.empty_like(weight).copy_(momentum)
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Tables ``precision`` (constant boxes, untrained, trained), ``losses``, ``network`` and ``detections``."""
        if self.done != self.total:
            raise RuntimeError(f"the detector has done {self.done} of {self.total} steps")
        return self.journal.result()
