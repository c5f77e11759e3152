"""What the shadow batch norms of a MixPath supernet have seen, and what they are worth (Figures 2 to 4, Lemma 3.1).

A cumulative pass over training images gives every norm the average statistics of what it normalises; the running
averages of training only remember the last few draws. In this pass every layer goes through all combinations of its
paths in an order of its own, so that none is missed and numbers of paths are as likely as in training. Beside the norms
stand the moments of the single paths, first-layer features of all combinations, and one-shot accuracies of children.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from nas_core.cells.chain import Choice
from nas_core.cells.mixpath import AFTER_PROJECTION, EXPANSIONS, KERNELS
from nas_core.errors import UserError
from nas_core.probes.paths import PathMoments, first_features, norm_parameters
from nas_core.trainers.batches import Batches
from nas_core.trainers.journal import Journal
from nas_core.trainers.known import settings_if_json
from nas_core.trainers.multipath import batch_norms, dataset, kept_statistics, one_shot, trained, untrained
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.result import Result
from nas_core.trainers.settings import TAG, RunConfig
from nas_core.trainers.streams import generators, load_states, states

STREAMS = ("init", "data", "augment", "paths", "children")
SHARED = ("profile", "seed", "threads", "device")


class ShadowNormsConfig(RunConfig):
    """A look at the supernet that the run ``supernet`` has trained, or at the one that it began with."""

    trainer: ClassVar[str] = "nas_core.trainers.shadow_norms:ShadowNorms"

    kind: Annotated[Literal["shadow norms"], TAG] = "shadow norms"
    supernet: Annotated[SerializeAsAny[MultiPathConfig], BeforeValidator(settings_if_json)] = Field(
        description="run that trains the supernet"
    )
    state: Literal["trained", "untrained"] = Field("trained", description="before or after this training")
    cycles: int = Field(gt=0, description="times that every layer goes through all of its combinations, a batch each")
    probed: int = Field(gt=0, description="batches of held-out images on which every path is computed alone")
    features: int = Field(64, gt=0, description="held-out images whose first-layer features are kept")
    children: int = Field(0, ge=0, description="children scored for each number of paths; 0: none is scored")
    recalibrate: int = Field(2, gt=0, description="batches of 250 images that recalibrate a child")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        held_out, needed = self.supernet.data.valid, max(self.features, self.supernet.batch)
        if self.supernet.paths.space != "S1":
            raise UserError(f"run {self.run!r}: only a supernet of S1 has the layers that are looked at here")
        if self.supernet.paths.placement != AFTER_PROJECTION:
            raise UserError(f"run {self.run!r}: only norms {AFTER_PROJECTION} are looked at here")
        if held_out < needed:
            raise UserError(f"run {self.run!r}: it needs {needed} valid images; data.valid is {held_out}")
        for name in SHARED:
            if getattr(self, name) != getattr(self.supernet, name):
                raise UserError(f"run {self.run!r} and {self.supernet.run!r} must have the same {name}")
        return self

    def but(self, **changes: Any) -> Self:
        """As for all settings; what it shares with the run that trains changes there, too."""
        shared = {name: value for name, value in changes.items() if name in SHARED}
        if "supernet" not in changes and shared:
            changes["supernet"] = self.supernet.but(**shared)
        return super().but(**changes)

    def images(self) -> tuple[Any, ...]:
        """Those of the supernet."""
        return self.supernet.images()

    def cost(self) -> float:
        """Passes times paths, in 12 layers, times images."""
        paths = 12 * (1 + self.supernet.paths.most) / 2
        return float(self.cycles * len(every_choice(self.supernet.paths.most)) * self.supernet.batch * paths)


def every_choice(most: int) -> list[Choice]:
    """All choices of a layer, so often that every number of paths comes equally often: 12 times for each expansion."""
    found = []
    for expansion, active in itertools.product(EXPANSIONS, range(1, most + 1)):
        sets = list(itertools.combinations(KERNELS, active))
        repeated = math.lcm(*(math.comb(len(KERNELS), n) for n in range(1, most + 1))) // len(sets)
        found += [Choice(expansion, kernels) for kernels in sets] * repeated
    return found


class ShadowNorms:
    """That look, which can be stepped, saved and resumed: a step is a batch of the cumulative pass."""

    def __init__(self, config: ShadowNormsConfig, needed: Mapping[str, Result]) -> None:
        self.config = config
        self.streams = generators(config.seed, STREAMS)
        self.data = dataset(config.supernet)
        self.needed = needed
        self.supernet = self._supernet()
        for norm in batch_norms(self.supernet):
            norm.reset_running_stats()
            norm.momentum = None  # torch's way to say: the average of all batches
        self.supernet.train()
        self.batches = Batches(config.supernet.data.train, config.supernet.batch, self.streams["data"])
        self.journal = Journal()
        self.choices = every_choice(config.supernet.paths.most)
        self.orders: list[list[int]] = []  # of each layer in this cycle
        self.period = len(self.choices)
        self.done, self.total = 0, config.cycles * self.period

    def _supernet(self) -> Any:
        """As training left it, or as it began."""
        config = self.config.supernet
        if self.config.state == "trained":
            return trained(config, self.data, self.needed)
        return untrained(config, self.data, self.streams["init"])

    @torch.no_grad()
    def step(self) -> None:
        """One batch in the next child of the cycle; the last one sums up."""
        images, _ = self.data.batch("train", self.batches.next(), self.config.device, self.streams["augment"])
        place = self.done % self.period
        if place == 0:
            self.orders = [self._shuffled() for _ in self.supernet.blocks]
        self.supernet(images, tuple(self.choices[order[place]] for order in self.orders))
        self.done += 1
        if self.done == self.total:
            self._close()

    def _shuffled(self) -> list[int]:
        return torch.randperm(self.period, generator=self.streams["paths"]).tolist()

    def _close(self) -> None:
        """Write down the norms, the moments of the paths, features, and the accuracies of children."""
        self.journal.add_arrays(norm_parameters(self.supernet))
        self.journal.add_arrays(self._moments().close())
        images, labels = self._held_out(torch.arange(self.config.features))
        self.supernet.eval()
        before, after = first_features(self.supernet, images, self.config.supernet.paths.most)
        self.supernet.train()
        self.journal.add_arrays({"before": before, "after": after, "labels": labels.cpu()})
        if self.config.children:
            self._score()

    def _moments(self) -> PathMoments:
        """Each path alone on held-out images, in training mode like the pass before."""
        moments = PathMoments()
        size = self.config.supernet.batch
        with kept_statistics(self.supernet):
            for index in torch.arange(self.config.supernet.data.valid).split(size)[: self.config.probed]:
                images, _ = self._held_out(index)
                moments.add(self.supernet, images, self.supernet.draw(self.streams["paths"]))
        return moments

    def _score(self) -> None:
        """Accuracies of children of which all layers have the same number of paths, with training's own statistics."""
        supernet = self._supernet()
        for active in range(1, self.config.supernet.paths.most + 1):
            children = [self._child(active) for _ in range(self.config.children)]
            for name, batches in (("supernet", 0), ("recalibrated", self.config.recalibrate)):
                found = one_shot(supernet, children, self.data, batches, device=self.config.device)
                for i, acc in enumerate(found):
                    self.journal.add_row("children", child=i, active=active, statistics=name, acc=acc)

    def _child(self, active: int) -> tuple[Choice, ...]:
        """A random child that has ``active`` paths in every layer."""
        draw = self.streams["children"]
        child = []
        for _ in self.supernet.blocks:
            expansion = EXPANSIONS[int(torch.randint(len(EXPANSIONS), (1,), generator=draw))]
            kernels = torch.randperm(len(KERNELS), generator=draw)[:active].sort().values
            child.append(Choice(expansion, tuple(KERNELS[k] for k in kernels.tolist())))
        return tuple(child)

    def _held_out(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.data.batch("valid", index, self.config.device)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "supernet": self.supernet.state_dict(),
            "orders": [list(order) for order in self.orders],
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "journal": self.journal.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done, self.orders = state["done"], [list(order) for order in state["orders"]]
        self.supernet.load_state_dict(state["supernet"])
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Arrays whose first axis has one entry, and the table ``children`` (accuracies by number of paths).

        ``mean``, ``var``, ``gamma``, ``beta`` (layers, expansions, norms, channels); ``path_mean``, ``path_cov`` of
        :class:`PathMoments`; ``before``, ``after`` of :func:`first_features` and the ``labels`` of these images.
        """
        if self.done != self.total:
            raise RuntimeError(f"the pass has done {self.done} of {self.total} batches")
        return self.journal.result()
