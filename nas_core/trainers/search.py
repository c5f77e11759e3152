"""One search loop for all methods: draw Z, measure the cost C = dL/dZ, turn it into a gradient of the logits.

What differs between methods comes in as data and functions: the relaxation, and whether the logits learn from the
training images (single level: one pass serves weights and logits) or from a half of their own (bi-level).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from nas_core.cells.operations import kept_paths
from nas_core.data import load
from nas_core.relaxations.remedies import fitted_scale
from nas_core.trainers.architecture import Architecture
from nas_core.trainers.batches import Batches
from nas_core.trainers.gradients import averaged, gradients
from nas_core.trainers.hypergradient import exact, finite_difference, loss_on, statistics
from nas_core.trainers.methods import Exact, Reinforce, SecondOrder
from nas_core.trainers.observer import Observer
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.result import Result
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.streams import generators, load_states, states
from nas_core.trainers.supernets import supernet

STREAMS = ("init", "weight_data", "alpha_data", "augment", "gates", "probe")


@dataclass(frozen=True)
class Batch:
    """Images (n, channels, height, width) and labels (n,) of a ``split``."""

    split: str
    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Draw:
    """The edge variable of one pass.

    ``a``: the logits it was drawn from, and ``z`` itself, both (cell types, edges, ops); ``gates``: Z for each layer,
    (layers, edges, ops), and ``outputs``: ones, (layers,), whose gradients are the costs of edges and of outputs.
    """

    a: Tensor
    z: Tensor
    gates: Tensor
    outputs: Tensor


class Search:
    """A search that can be stepped, saved and resumed: ``done`` of ``total`` steps, each one weight step."""

    def __init__(self, config: SearchConfig) -> None:
        self.config, self.method = config, config.method
        self.generators = generators(config.seed, STREAMS)
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.model = supernet(
            config.network, config.formulation, self.data, device=config.device, generator=self.generators["init"]
        )
        self.space = self.model.space
        self.weights = list(self.model.parameters())
        self.cell_type = torch.tensor(self.model.cell_type)
        self.done = 0
        self.architecture = Architecture(config, self.model, self.data.side, self.generators["init"], self.is_none_free)
        self.logits, self.relaxation = self.architecture.logits, self.architecture.relaxation
        self.optimiser = WeightOptimiser(self.weights, config.weights, config.epochs)
        self.batches = Batches(config.data.train, config.batch, self.generators["weight_data"])
        self.observer = Observer(
            self.model,
            self.data,
            lambda: self.gates(self.draw("probe")),
            config.probes,
            batch=config.batch,
            device=config.device,
        )
        self.period = self.steps_per_epoch = config.steps_per_epoch
        self.total = config.epochs * self.steps_per_epoch
        self.observer.see_architecture(self.masked_logits())

    # ------------------------------------------------------------------------------------------------ the loop

    def step(self) -> float:
        """One step of the weights, and of the logits; closes the epoch when it was the last. Returns the loss."""
        loss = self._step_on_one_level() if self.method.levels == "single" else self._step_on_two_levels()
        self.done += 1
        if self.done % self.steps_per_epoch == 0:
            self._close_epoch()
        return loss

    def _step_on_one_level(self) -> float:
        """Forward, measure, update: one pass serves weights and logits (SNAS, DSNAS)."""
        batch = self._train_batch()
        draw = self._draw_to_learn()
        loss = self._forward(batch, draw)
        weight_gradients, cost = self._measure(loss, draw, self._learning_weights())
        self._update_logits(draw, cost)
        self.optimiser.step(weight_gradients)
        return loss.item()

    def _step_on_two_levels(self) -> float:
        """The logits learn from a batch of the search half, then the weights from a training batch (DARTS)."""
        search, train = self._search_batch(), self._train_batch()
        self._architecture_step(search, train)
        # The costs of learning logits are those of the images that they learn from; of frozen ones, of both halves.
        measured = not self.method.update_alpha and "costs" in self.config.probes
        draw = self._draw_from(self.masked_logits(), "gates", measured=measured)
        loss = self._forward(train, draw)
        weight_gradients, _ = self._measure(loss, draw, self._learning_weights(), weights_half=True)
        self.optimiser.step(weight_gradients)
        return loss.item()

    def _architecture_step(self, search: Batch, train: Batch) -> None:
        """The step of the logits in bi-level search; where it is not one pass, the probes have a pass of their own."""
        one_pass = not isinstance(self.method, SecondOrder | Reinforce)
        if one_pass and self.method.update_alpha:
            draw = self._draw_to_learn()
            loss = self._forward(search, draw, calibrated=self._is_calibrated())
            _, cost = self._measure(loss, draw, [])
            self._update_logits(draw, cost)
            return
        self._spectate(search)
        if self.method.update_alpha:
            a = self.architecture.restricted(self.generators["gates"])
            self.architecture.step(a, self._gradient_of_logits(a, search, train))

    def _gradient_of_logits(self, a: Tensor, search: Batch, train: Batch) -> Tensor:
        """dL/da where it takes more than one pass."""
        if isinstance(self.method, Reinforce):
            return self._reinforce(a, search)
        return self._second_order(a, search, train)

    def _reinforce(self, a: Tensor, search: Batch) -> Tensor:
        """The gradient of the logits from the accuracies of M drawn networks on the batch, with its statistics."""
        assert isinstance(self.method, Reinforce)
        draws, rewards = [], []
        for _ in range(self.method.samples):
            z = self.relaxation.draw(a, self.generators["gates"], self.temperature())
            with torch.no_grad():
                hits = self.model(search.images, self.gates(z)).argmax(1) == search.labels
            draws.append(z)
            rewards.append(averaged(hits.double().mean()).item())
        return self.architecture.from_rewards(a, draws, rewards, self.temperature())

    def _second_order(self, a: Tensor, search: Batch, train: Batch) -> Tensor:
        """DARTS: the virtual weight step sees the batch of the weight step that follows, its rate, momentum, decay."""
        assert isinstance(self.method, SecondOrder)
        z = self.relaxation.draw(a, self.generators["gates"], self.temperature())
        gates = self.gates(z).requires_grad_()
        train_loss = loss_on(self.model, train.images, train.labels)
        search_loss = loss_on(self.model, search.images, search.labels)
        estimate = exact
        if not isinstance(self.method.estimator, Exact):
            estimate = partial(finite_difference, radius=self.method.estimator.radius)
        drift = self.optimiser.drift()
        cost = estimate(train_loss, search_loss, self.weights, gates, self.optimiser.lr, drift=drift)
        return self.architecture.from_costs(a, z, cost, self.temperature())

    # ------------------------------------------------------------------------------------------------ one pass

    def _draw_to_learn(self) -> Draw:
        """The draw of a pass that the logits learn from, or whose costs are recorded."""
        if not self.method.update_alpha:
            return self._draw_from(self.masked_logits(), "gates", measured="costs" in self.config.probes)
        a = self.architecture.restricted(self.generators["gates"])
        return self._draw_from(a, "gates", measured=True)

    def _draw_from(self, a: Tensor, stream: str, *, measured: bool = False) -> Draw:
        z = self.relaxation.draw(a, self.generators[stream], self.temperature())
        gates = self.gates(z).requires_grad_(measured)
        outputs = torch.ones(len(gates), device=self.config.device, requires_grad=measured)
        return Draw(a, z, gates, outputs)

    def _forward(self, batch: Batch, draw: Draw, *, calibrated: bool = False) -> Tensor:
        """The loss of the drawn network on a batch; its class logits are shown to the probes.

        The ``calibrated`` loss is that at the scale of the class logits that fits the batch best.
        """
        logits = self.model(*self._arguments(batch, draw, "gates"))
        self.observer.see_losses(batch.split, logits, batch.labels)
        if calibrated:
            logits = logits * fitted_scale(logits, batch.labels)
        return F.cross_entropy(logits, batch.labels)

    def _arguments(self, batch: Batch, draw: Draw, stream: str) -> tuple[Any, ...]:
        """What the supernet is given: images, gates, output gates, operations to observe, factors of drop-path."""
        learns = draw.gates.requires_grad and self.method.update_alpha and stream == "gates"
        observed = self.architecture.observed(draw.a) if learns else None
        outputs = draw.outputs if "costs" in self.config.probes else None
        factors = None
        if self.method.drop_path:
            shape = (*draw.gates.shape[:2], len(batch.images))
            factors = kept_paths(shape, self.method.drop_path, self.generators[stream]).to(draw.gates)
        return batch.images, draw.gates, outputs, observed, factors

    def _measure(
        self, loss: Tensor, draw: Draw, weights: Sequence[Tensor], *, weights_half: bool = False
    ) -> tuple[list[Tensor | None], Tensor]:
        """Gradients of all weights, None for those not in ``weights``; the costs C = dL/dZ, (layers, edges, ops).

        ``weights_half``: see :meth:`nas_core.trainers.observer.Observer.see_costs`.
        """
        measured = [draw.gates, draw.outputs] if draw.gates.requires_grad else []
        found = gradients(loss, [*weights, *measured])
        of_weights = self._of_weights(found[: len(weights)])
        if not measured:
            return of_weights, torch.zeros_like(draw.gates)
        cost, output_cost = found[len(weights) :]
        # Where every edge drew none, no gate is in the graph and all costs are zero.
        cost = torch.zeros_like(draw.gates) if cost is None else cost
        output_cost = torch.zeros_like(draw.outputs) if output_cost is None else output_cost
        self.observer.see_costs(draw.gates, cost, output_cost, weights_half=weights_half)
        return of_weights, cost

    def _spectate(self, batch: Batch) -> None:
        """A pass for the probes alone: nothing learns, and statistics and draws of the run are left alone."""
        if not {"losses", "costs"} & set(self.config.probes):
            return
        draw = self._draw_from(self.masked_logits(), "probe", measured="costs" in self.config.probes)
        logits = functional_call(self.model, statistics(self.model), self._arguments(batch, draw, "probe"))
        self.observer.see_losses(batch.split, logits, batch.labels)
        self._measure(F.cross_entropy(logits, batch.labels), draw, [])

    def _update_logits(self, draw: Draw, cost: Tensor) -> None:
        if self.method.update_alpha:
            gradient = self.architecture.from_costs(draw.a, draw.z, cost, self.temperature())
            self.architecture.step(draw.a, gradient)

    def _learning_weights(self) -> list[Tensor]:
        return self.weights if self.method.update_theta else []

    def _of_weights(self, found: Sequence[Tensor | None]) -> list[Tensor | None]:
        """One gradient for every weight; none for weights that rest."""
        return list(found) or [None] * len(self.weights)

    # ------------------------------------------------------------------------------------------------ what it draws

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self.done // self.steps_per_epoch

    def temperature(self) -> float:
        """Of the relaxation, in the step that comes next."""
        return self._temperature_in(self.epoch)

    def _temperature_in(self, epoch: int) -> float:
        """The last epoch has the end of the schedule: the accuracy is that of a network trained at its temperature."""
        last = self.config.epochs - 1
        progress = 1.0 if epoch >= last else epoch / last
        return self.method.temperature_at(progress)

    def masked_logits(self) -> Tensor:
        """Logits (cell types, edges, ops), -inf where an edge does not allow the operation at present."""
        return self.architecture.masked()

    def _is_calibrated(self) -> bool:
        return self.method.remedy is not None and self.method.remedy.calibrated

    def is_none_free(self) -> bool:
        """Whether a remedy keeps none out of the step that comes next."""
        remedy = self.method.remedy
        return remedy is not None and remedy.is_none_free(self.epoch, self.config.epochs)

    def draw(self, stream: str) -> Tensor:
        """The edge variable Z, (cell types, edges, ops), at the temperature of the step before, as released."""
        epoch = max(self.done - 1, 0) // self.steps_per_epoch
        return self.relaxation.draw(self.masked_logits(), self.generators[stream], self._temperature_in(epoch))

    def gates(self, z: Tensor) -> Tensor:
        """One gate per layer: all cells of a type share Z. Shape (layers, edges, ops)."""
        return z[self.cell_type].to(self.weights[0])

    def _train_batch(self) -> Batch:
        return self._images("train", self.batches.next())

    def _search_batch(self) -> Batch:
        order = torch.randperm(self.config.data.search, generator=self.generators["alpha_data"])
        return self._images("search", order[: self.config.batch])

    def _images(self, split: str, index: Tensor) -> Batch:
        return Batch(split, *self.data.batch(split, index, self.config.device, self.generators["augment"]))

    # ------------------------------------------------------------------------------------------------ saving

    def _close_epoch(self) -> None:
        self.optimiser.end_epoch()
        self.observer.see_architecture(self.masked_logits())
        self.observer.close_epoch(self.epoch)
        if self.done == self.total:
            self.observer.close_run(self.epoch, self.masked_logits())

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state(),
            "architecture": self.architecture.state(),
            "generators": states(self.generators),
            "batches": self.batches.state(),
            "observer": self.observer.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state(state["optimiser"])
        self.architecture.load_state(state["architecture"])
        load_states(self.generators, state["generators"])
        self.batches.load_state(state["batches"])
        self.observer.load_state(state["observer"])

    def result(self) -> Result:
        """Tables ``losses`` and ``accuracy``; arrays over epochs, those of the architecture from the start on.

        The supernet's final weights and statistics come with them where the settings keep them.
        """
        if self.done != self.total:
            raise RuntimeError(f"the search has done {self.done} of {self.total} steps")
        kept = self.model.state_dict() if self.config.keep_weights else None
        return self.observer.journal.result(kept)
