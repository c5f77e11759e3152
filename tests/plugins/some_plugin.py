"""What a person adds to the package from outside, one thing of every kind."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from nas_core.cells.operations import OPERATIONS, Cost, Operation, Style, block
from nas_core.cells.topology import Topology
from nas_core.claims.check import check
from nas_core.claims.measures import accuracies
from nas_core.data import load
from nas_core.data.own import from_arrays
from nas_core.experiments import EXPERIMENTS
from nas_core.experiments.recipe import Experiment, Size, darts_search
from nas_core.experiments.words import called
from nas_core.papers import ARTEFACTS, CLAIMS, Artefact, Claim
from nas_core.relaxations import RELAXATIONS, Relaxation, through_softmax
from nas_core.report.style import STYLES, OpStyle
from nas_core.runs import Record
from nas_core.trainers.methods import Relaxed
from nas_core.trainers.result import Result
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import TOPOLOGIES, Data, RunConfig

SPEED = 1.0  # of what is learned


# ------------------------------------------------------------------------------------------------------- a relaxation


def tempered_draw(logits: Tensor, generator: Generator, temperature: float) -> Tensor:
    """Z = softmax(a / lam)."""
    return F.softmax(logits / temperature, dim=-1)


def tempered_gradient(logits: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
    """dL/da^k = Z^k (C^k - sum_m Z^m C^m) / lam."""
    return SPEED * through_softmax(z, cost) / temperature


RELAXATIONS.register("tempered", Relaxation("tempered", tempered_draw, tempered_gradient))


# ------------------------------------------------------------------------------------------------------- an operation


def pointwise(channels: int, stride: int, style: Style) -> nn.Module:
    """ReLU, 1x1 convolution, normaliser."""
    convolution = nn.Conv2d(channels, channels, 1, stride, bias=False)
    return block([convolution], channels, style)


def pointwise_cost(channels: int, side: int, stride: int) -> Cost:
    """Weights; weights x pixels; maps read and written, and the weights."""
    size = channels**2
    maps = 1 + stride**2
    return Cost(size, size * side**2, maps * channels * side**2 + size)


OPERATIONS.register("conv_1x1", Operation("conv_1x1", pointwise, pointwise_cost))
STYLES.register("conv_1x1", OpStyle("c1", "#7A5C00", "p"))


# ------------------------------------------------------------------------------------------------- a cell, a data set

LADDER = Topology("ladder", 2, 2, ((0, 2), (1, 2), (2, 3)), (2, 3))
TOPOLOGIES.register("ladder", lambda: LADDER)


def stripes(images: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images (n, 2, 5, 7) whose bright row is their class, one of three, and their labels."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, images)
    pixels = draw.integers(0, 150, (images, 2, 5, 7), dtype=np.uint8)
    pixels[np.arange(images), :, labels] += 100
    return pixels, labels


from_arrays("stripes", *stripes(), valid=20, test=0.2, title="Stripes")


# --------------------------------------------------------------------------------------------------------- a baseline


class GuessConfig(RunConfig):
    """Guess the most frequent label of the training images."""

    trainer: ClassVar[str] = f"{__name__}:Guess"

    data: Data = Field(description="images")

    def cost(self) -> float:
        """One look at every image."""
        return float(self.data.train)


called(GuessConfig, "the most frequent label")


class Guess:
    """Counts the labels of one training image a step."""

    def __init__(self, config: GuessConfig) -> None:
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.counts = torch.zeros(self.data.source.classes)
        self.done, self.total, self.period = 0, config.data.train, config.data.train

    def step(self) -> None:
        """Count the next label."""
        self.counts[self.data.splits["train"].labels[self.done]] += SPEED
        self.done += 1

    def state(self) -> dict[str, Any]:
        """The counts."""
        return {"done": self.done, "counts": self.counts}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.done = state["done"]
        self.counts.copy_(state["counts"])

    def result(self) -> Result:
        """Table ``accuracy`` with the share of test images that have the guessed label, in batches of 16."""
        guess = self.counts.argmax()
        hits = [labels == guess for _, labels in self.data.batches("test", 16)]
        share = torch.cat(hits).float().mean().item()
        return Result({"accuracy": pd.DataFrame([{"split": "test", "acc": share}])})


# ---------------------------------------------------------------------------------------------- runs, a claim, a figure


def search(size: Size) -> SearchConfig:
    """A search with everything above."""
    method = Relaxed(relaxation="tempered", temperature=(2.0, 0.5))
    candidates = ("none", "skip_connect", "conv_1x1")
    return darts_search(size, method, cell="ladder", candidates=candidates, reductions=True)


def guess(size: Size) -> GuessConfig:
    """The baseline on the same images."""
    data = Data(name=size.data, train=size.train, test=size.test)
    return GuessConfig(run="unnamed", profile="unnamed", seed=0, data=data)


SMOKE = Size(
    train=70, channels=4, layers=3, epochs=4, batch=32, w_lr=0.2, alpha_lr=0.05, valid=20, test=30, data="stripes"
)
EXPERIMENTS.register("OWN-SEARCH", Experiment(search, {"smoke": SMOKE, "laptop": SMOKE}))
EXPERIMENTS.register("OWN-GUESS", Experiment(guess, {"smoke": SMOKE, "laptop": SMOKE}))
ARTEFACTS.register("OWN-F1", Artefact("accuracy of the search by epoch", "my_notebook", "OWN-SEARCH OWN-GUESS"))
CLAIMS.register("OWN-C1", Claim("OWN-F1", "The search is better than a guess.", "difference in points", ">", 0.0))


@check("OWN-C1", "OWN-SEARCH OWN-GUESS")
def better_than_a_guess(searched: Record, guessed: Record) -> float:
    """Test accuracy of the supernet minus that of the guess, in points."""
    ours = accuracies(searched, "supernet", "test")[-1]
    return 100 * float(ours - guessed.table("accuracy").acc[0])
