"""The Monte-Carlo probe of the costs (wiring paper, Sec. 5.1): single paths drawn uniformly, while nothing learns.

Before training, the mean over batches depends on the weights that happen to be drawn, so several networks are drawn.
Near convergence there is one: that of a search with uniform paths.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from nas_core.backends.formulations import FORMULATIONS, possible
from nas_core.cells.supernet import Supernet
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.probes.costs import CostProbe
from nas_core.probes.identities import IdentityProbe
from nas_core.probes.losses import LossProbe
from nas_core.relaxations import uniform_draw
from nas_core.trainers.batches import Batches
from nas_core.trainers.gradients import gradients
from nas_core.trainers.journal import Journal
from nas_core.trainers.observer import leaks
from nas_core.trainers.result import Result
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import TAG, Data, Network, RunConfig, one_of
from nas_core.trainers.streams import generators, load_states, states
from nas_core.trainers.supernets import supernet

STREAMS = ("init", "data", "augment", "gates")
SPLIT = "train"
# What a probe shares with the search whose network it measures: changed in one, it changes in the other.
SHARED = ("profile", "seed", "threads", "device", "data", "network", "formulation")


def usual_formulation(settings: dict[str, Any]) -> str:
    """Fused wherever that is possible, otherwise plain; whatever this machine has built."""
    network: Network = settings["network"]
    return "fused" if "fused" in possible(network.space().style, twice=False, device="cpu") else "plain"


class CostProbeConfig(RunConfig):
    """A probe of the costs: ``networks`` untrained ones, or the one that the search ``after`` has trained."""

    trainer: ClassVar[str] = "nas_core.trainers.cost_probe:CostProbeRun"

    kind: Annotated[Literal["cost probe"], TAG] = "cost probe"
    data: Data = Field(description="images")
    network: Network = Field(description="supernet and search space")
    networks: int = Field(1, gt=0, description="networks whose costs are measured, each drawn anew")
    batches: int = Field(gt=0, description="batches for each network, with a path each")
    batch: int = Field(gt=0, description="images a batch; an incomplete last batch is dropped")
    after: SearchConfig | None = Field(None, description="the search that has trained the network; none: untrained")
    formulation: Annotated[str, one_of("formulation", FORMULATIONS)] = Field(
        default_factory=usual_formulation, description="of the supernet: plain, fused, or native by name only"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.formulation not in (allowed := possible(self.network.space().style, twice=False, device=self.device)):
            sentence = f"formulation {self.formulation!r} cannot compute this probe. Allowed: {', '.join(allowed)}."
            raise UserError(sentence)
        if self.data.search:
            raise UserError(f"run {self.run!r}: a probe of costs has no logits to train, so data.search must be 0")
        if self.data.train < self.batch:
            raise UserError(f"run {self.run!r}: a batch of {self.batch} needs at least as many training images")
        if self.after is not None:
            self._check_search(self.after)
        return self

    def _check_search(self, search: SearchConfig) -> None:
        if self.networks != 1:
            raise UserError(f"run {self.run!r}: the search {search.run!r} has trained one network, not {self.networks}")
        if not search.keep_weights:
            raise UserError(f"run {self.run!r} needs the weights of {search.run!r}: set its keep_weights")
        for name in SHARED:
            if getattr(self, name) != getattr(search, name):
                raise UserError(f"run {self.run!r} and the search {search.run!r} before it must have the same {name}")

    def but(self, **changes: Any) -> Self:
        """As for all settings; what a probe shares with the search before it changes there, too."""
        shared = {name: value for name, value in changes.items() if name in SHARED}
        if self.after is not None and "after" not in changes and shared:
            changes["after"] = self.after.but(**shared)
        return super().but(**changes)

    def cost(self) -> float:
        """Passes times edges times images."""
        edges = self.network.layers * len(self.network.topology().edges)
        return float(2 * self.networks * self.batches * self.batch * edges)


class CostProbeRun:
    """A probe of the costs that can be stepped, saved and resumed: each step is a batch on a path of its own."""

    def __init__(self, config: CostProbeConfig, needed: Mapping[str, Result] | None = None) -> None:
        self.config = config
        self.streams = generators(config.seed, STREAMS)
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.batches = Batches(config.data.train, config.batch, self.streams["data"])
        self.journal = Journal()
        self.period = config.batches
        self.done, self.total = 0, config.networks * self.period
        self.model = self._untrained()
        if config.after is not None:
            self.model.load_state_dict((needed or {})[config.after.key()].weights)
        marked = leaks(self.model.space)
        self.costs = CostProbe(config.network.layers, marked)
        self.identities = IdentityProbe(config.network.layers, marked)
        self.losses = LossProbe()
        allowed = torch.from_numpy(self.model.mask())
        self.logits = torch.zeros(allowed.shape).masked_fill(~allowed, -torch.inf)
        self.cell_type = torch.tensor(self.model.cell_type)

    def _untrained(self) -> Supernet:
        """A network with weights of its own, which do not learn."""
        config = self.config
        model: Supernet = supernet(
            config.network, config.formulation, self.data, device=config.device, generator=self.streams["init"]
        )
        model.requires_grad_(False)
        return model

    def step(self) -> float:
        """One batch on one path: forward, backward to the gates, measure. Returns the loss."""
        images, labels = self.data.batch(SPLIT, self.batches.next(), self.config.device, self.streams["augment"])
        gates = self._draw().requires_grad_()
        outputs = torch.ones(len(gates), device=self.config.device, requires_grad=True)
        logits = self.model(images, gates, outputs)
        loss = F.cross_entropy(logits, labels)
        found = gradients(loss, [gates, outputs])
        # Where every edge drew none, no gate is in the graph and all costs are zero.
        cost = torch.zeros_like(gates) if found[0] is None else found[0]
        output_cost = torch.zeros_like(outputs) if found[1] is None else found[1]
        self.losses.add(SPLIT, logits, labels)
        self.costs.add(gates, cost, output_cost)
        self.identities.expect(logits, labels)
        self.identities.add(gates, cost)
        self.done += 1
        if self.done % self.period == 0:
            self._close_network()
        return loss.item()

    def _draw(self) -> Tensor:
        """A path, drawn uniformly: one gate a layer, all cells of a type share it. Shape (layers, edges, ops)."""
        kinds = int(self.cell_type.max()) + 1
        z = uniform_draw(self.logits.expand(kinds, -1, -1), self.streams["gates"], 1.0)
        return z[self.cell_type].to(self.config.device)

    def _close_network(self) -> None:
        """Sum up what was measured, and draw the next network."""
        network = self.done // self.period - 1
        for row in self.losses.close(network):
            row["network"] = row.pop("epoch")
            self.journal.add_row("losses", **row)
        self.journal.add_arrays(self.costs.close())
        self.journal.add_arrays(self.identities.close())
        if self.done < self.total:
            self.model = self._untrained()

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "losses": self.losses.sums,
            "costs": self.costs.totals,
            "identities": self.identities.totals,
            "journal": self.journal.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self.batches.load_state(state["batches"])
        self.losses.sums = dict(state["losses"])
        self.costs.totals = copy.deepcopy(state["costs"])
        self.identities.totals = dict(state["identities"])
        self.journal.load_state(state["journal"])
        load_states(self.streams, state["streams"])

    def result(self) -> Result:
        """Table ``losses`` with the network of every row; arrays whose first axis is the network.

        ``cost_sum``, ``cost_sq``, ``cost_n`` (networks, layers, edges, ops), ``edge_cost`` (networks, layers, edges),
        ``out_cost``, ``skip_leak``, ``residual`` and ``edge_size`` (networks, layers).
        """
        if self.done != self.total:
            raise RuntimeError(f"the probe has done {self.done} of {self.total} batches")
        return self.journal.result()
