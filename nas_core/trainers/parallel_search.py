"""DARTS in MixPath's space S4: a mixture over the choices of every node, learned on two levels (DARTS, first order).

The gates of :class:`nas_core.cells.mixpath.ParallelSupernet` are Z = softmax(a), one row a node; absence is one of the
choices, so that any of the 255 cells can be found. Nodes mixed with others always count as four active paths.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from nas_core.cells.mixpath import S4_CHOICES, S4_NODES, ParallelSupernet, s4_text
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.probes.accuracy import accuracy
from nas_core.relaxations import RELAXATIONS
from nas_core.trainers.batches import Batches
from nas_core.trainers.fitting import EVAL_BATCH
from nas_core.trainers.gradients import gradients
from nas_core.trainers.journal import Journal
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.parallel_settings import Parallel, parallel_network
from nas_core.trainers.result import Result
from nas_core.trainers.settings import TAG, Alpha, Data, RunConfig, Weights
from nas_core.trainers.streams import generators, load_states, states

STREAMS = ("init", "weight_data", "alpha_data", "augment", "gates")
SOFTMAX = RELAXATIONS["softmax"]


class ParallelSearchConfig(RunConfig):
    """DARTS, first order and bi-level, over the choices of the four nodes of S4."""

    trainer: ClassVar[str] = "nas_core.trainers.parallel_search:ParallelSearch"

    kind: Annotated[Literal["parallel search"], TAG] = "parallel search"
    data: Data = Field(description="images")
    network: Parallel = Field(description="size of the network")
    weights: Weights = Field(description="optimiser of the weights")
    alpha: Alpha = Field(description="optimiser of the logits")
    epochs: int = Field(gt=0, description="passes over the training images")
    batch: int = Field(gt=0, description="images a step; an incomplete last batch is dropped")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.data.train < self.batch or self.data.search < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many images in either half")
        if not self.data.valid:
            raise UserError(f"run {self.run!r}: the mixture is measured on valid images; data.valid is 0")
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Weight steps in an epoch."""
        return self.data.train // self.batch

    def cost(self) -> float:
        """Passes times operations times images."""
        paths = S4_NODES * len(S4_CHOICES) * self.network.cells
        return float(3 * self.epochs * self.steps_per_epoch * self.batch * paths)


class ParallelSearch:
    """A search that can be stepped, saved and resumed: each step is one of the logits, then one of the weights."""

    def __init__(self, config: ParallelSearchConfig) -> None:
        self.config = config
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.streams = generators(config.seed, STREAMS)
        self.model = parallel_network(
            config.network,
            self.data,
            most=S4_NODES,
            device=config.device,
            generator=self.streams["init"],
            build=ParallelSupernet,
        )
        alpha = config.alpha
        noise = torch.randn(self.model.gate_shape, generator=self.streams["init"])
        self.logits = alpha.init_mean + alpha.init_std * noise
        self.adam = torch.optim.Adam([self.logits], alpha.lr, alpha.betas, weight_decay=alpha.decay)
        self.optimiser = WeightOptimiser(list(self.model.parameters()), config.weights, config.epochs)
        self.batches = Batches(config.data.train, config.batch, self.streams["weight_data"])
        self.journal = Journal()
        self.period = config.steps_per_epoch
        self.done, self.total = 0, config.epochs * self.period
        self.journal.add_arrays({"prob": self.logits.softmax(-1)})

    def step(self) -> float:
        """One step of the logits on a search batch, then one of the weights on a training batch. Returns its loss."""
        self._step_of_logits()
        images, labels = self._images("train", self.batches.next())
        loss = F.cross_entropy(self.model(images, self._gates()), labels)
        self.optimiser.step(gradients(loss, self.optimiser.weights))
        self.done += 1
        if self.done % self.period == 0:
            self.optimiser.end_epoch()
            self.journal.add_arrays({"prob": self.logits.softmax(-1)})
        if self.done == self.total:
            self._close_run()
        return loss.item()

    def _step_of_logits(self) -> None:
        """Adam down dL/da = Z (C - sum Z C), where C = dL/dZ on images of the logits' own."""
        order = torch.randperm(self.config.data.search, generator=self.streams["alpha_data"])
        images, labels = self._images("search", order[: self.config.batch])
        z = self._gates().requires_grad_()
        (cost,) = gradients(F.cross_entropy(self.model(images, z), labels), [z])
        assert cost is not None
        self.logits.grad = SOFTMAX.logit_gradient(self.logits, z.detach(), cost, 1.0).to(self.logits)
        self.adam.step()

    def _gates(self) -> Tensor:
        """Z = softmax(a), (nodes, choices)."""
        return SOFTMAX.draw(self.logits, self.streams["gates"], 1.0).to(self.config.device)

    def _images(self, split: str, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.data.batch(split, index, self.config.device, self.streams["augment"])

    def _close_run(self) -> None:
        """What is derived from the last logits, and how well the mixture itself does."""
        prob = self.logits.softmax(-1)
        for rule, absent in (("argmax", True), ("argmax without absence", False)):
            self.journal.add_row("derived", rule=rule, cell=derived(prob, absent=absent))
        mixture = Mixture(self.model, self._gates())
        found = accuracy(mixture, self.data.batches("valid", EVAL_BATCH, self.config.device))
        self.journal.add_row("mixture", acc_valid=found)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "logits": self.logits,
            "adam": self.adam.state_dict()["state"].get(0, {}),
            "optimiser": self.optimiser.state(),
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "journal": self.journal.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self.logits.copy_(state["logits"])
        self.adam.state.pop(self.logits, None)
        if state["adam"]:
            self.adam.state[self.logits] = copy.deepcopy(state["adam"])
        self.optimiser.load_state(state["optimiser"])
        self.batches.load_state(state["batches"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Array ``prob`` (epochs + 1, nodes, choices), tables ``derived`` (cell by rule) and ``mixture`` (accuracy)."""
        if self.done != self.total:
            raise RuntimeError(f"the search has done {self.done} of {self.total} steps")
        return self.journal.result()


class Mixture(torch.nn.Module):
    """The supernet at fixed gates, by its class logits."""

    def __init__(self, model: ParallelSupernet, gates: Tensor) -> None:
        super().__init__()
        self.model, self.gates = model, gates

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images, self.gates)


def derived(prob: Tensor, *, absent: bool) -> str:
    """The likeliest choice of every node, (nodes, choices), as :func:`nas_core.cells.mixpath.s4_text` writes it.

    ``absent``: whether a node may be absent; where all would be, the node whose operation is likeliest keeps it.
    """
    first = 0 if absent else 1
    best = first + prob[:, first:].argmax(1)
    cell = [S4_CHOICES[k] for k in best.tolist()]
    if not any(cell):
        operations = prob[:, 1:]
        node, op = divmod(int(operations.argmax()), operations.shape[1])
        cell[node] = S4_CHOICES[1 + op]
    return s4_text(cell)
