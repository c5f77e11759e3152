"""One search loop for all methods: draw Z, measure the cost C = dL/dZ, turn it into a gradient of the logits.

What differs between methods comes in as data and functions: the relaxation, and whether the logits learn from the
training images (single level: one pass serves weights and logits) or from a half of their own (bi-level).
"""

from __future__ import annotations

import copy
import math
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.func import functional_call

from nas_core.backends.formulations import FORMULATIONS
from nas_core.cells.genotype import DERIVE_RULES, Genotype
from nas_core.cells.operations import kept_paths
from nas_core.trainers.settings import RunConfig
from nas_core.data import load
from nas_core.probes.accuracy import Child, accuracy, genotype_gates, recalibrated
from nas_core.probes.architecture import entropy, probabilities
from nas_core.probes.costs import CostProbe
from nas_core.probes.losses import LossProbe
from nas_core.trainers.architecture import Architecture
from nas_core.trainers.batches import Batches
from nas_core.trainers.hypergradient import exact, finite_difference, loss_on, statistics
from nas_core.trainers.result import Result

# Every use of randomness has a generator of its own, so that observing a run does not change it.
STREAMS = ("init", "weight_data", "alpha_data", "augment", "gates", "probe")
Batch = tuple[Tensor, Tensor]  # images, labels
EVAL_BATCH = 250  # images a batch in evaluation mode; a relaxation that draws at random draws anew for each


class Search:
    """A search that can be stepped, saved and resumed: ``done`` of ``total`` steps, each one weight step."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.data = load(config.data.name, **config.data.model_dump(exclude={"name"}))
        self.generators = {s: Generator().manual_seed(config.seed * len(STREAMS) + i) for i, s in enumerate(STREAMS)}
        self.space, init = config.network.space(), self.generators["init"]
        shape = config.network.model_dump(include={"channels", "layers", "reductions", "head_bias"})
        shape |= {"classes": self.data.source.classes, "in_channels": self.data.channels}
        model = FORMULATIONS[config.formulation](self.space, **shape, generator=init)
        self.model = model.to(config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights = list(self.model.parameters())
        self.cell_type = torch.tensor(self.model.cell_type)
        self.mask = torch.from_numpy(self.space.mask())
        table = [[[(c.params, c.madds, c.accesses) for c in e] for e in l] for l in self.model.edge_costs(self.data.side)]
        self.resources = torch.tensor(table, dtype=torch.float32)  # (layers, edges, ops, 3)
        self.architecture = Architecture(config.method, config.alpha, self.mask, self.cell_type, self.resources, init)
        self.logits, self.relaxation = self.architecture.logits, self.architecture.relaxation
        w = config.weights
        self.w_optimiser = torch.optim.SGD(self.weights, w.lr, w.momentum, weight_decay=w.decay)
        self.batches = Batches(config.data.train, config.batch, self.generators["weight_data"])
        self.losses, self.costs = LossProbe(), self._cost_probe()
        self.period = self.steps_per_epoch = config.steps_per_epoch
        self.done, self.total = 0, config.epochs * self.steps_per_epoch
        self.rows: dict[str, list[dict]] = {"losses": [], "accuracy": []}
        self.series: dict[str, list[np.ndarray]] = {}
        self.genotypes: dict[str, list[str]] = {rule: [] for rule in DERIVE_RULES}
        self._observe_architecture()

    # ------------------------------------------------------------------------------------------------ schedules

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self.done // self.steps_per_epoch

    def temperature(self) -> float:
        """Linear in the epoch (SNAS: 1 to 0.03)."""
        start, end = self.config.method.temperature
        return start + (end - start) * self.epoch / self.config.epochs

    def w_lr(self) -> float:
        """Half a cosine over the epochs, from lr to lr_min."""
        w, t = self.config.weights, self.epoch / self.config.epochs
        return w.lr_min + (w.lr - w.lr_min) * (1 + math.cos(math.pi * t)) / 2

    # ------------------------------------------------------------------------------------------------ one step

    def step(self) -> float:
        """One weight step, with its architecture step; closes the epoch when it was the last. Returns the loss."""
        method, bilevel = self.config.method, self.config.method.levels == "bi-level"
        if bilevel:
            chosen = torch.randperm(self.config.data.search, generator=self.generators["alpha_data"])
            search = self._images("search", chosen[: self.config.batch])
        train = self._images("train", self.batches.next())
        if bilevel:
            self._architecture_step(search, train)
        loss = self._pass("train", train, weights=method.update_theta, alpha=not bilevel)
        self.done += 1
        if self.done % self.steps_per_epoch == 0:
            self._close_epoch()
        return loss

    def masked_logits(self) -> Tensor:
        """Logits (cell types, edges, ops), -inf where an edge does not allow the operation."""
        return self.architecture.masked()

    def draw(self, stream: str) -> Tensor:
        """The edge variable Z: (cell types, edges, ops)."""
        return self.relaxation.draw(self.masked_logits(), self.generators[stream], self.temperature())

    def gates(self, z: Tensor) -> Tensor:
        """One gate per layer: all cells of a type share Z. Shape (layers, edges, ops)."""
        return z[self.cell_type].to(self.weights[0])

    def _images(self, split: str, index: Tensor) -> Batch:
        augment = self.generators["augment"] if self.data.source.pad or self.data.source.flip else None
        return self.data.batch(split, index, self.config.device, augment)

    def _architecture_step(self, search: Batch, train: Batch) -> None:
        """The step of the logits in bi-level search, and what the probes see on the search images.

        Where the step is not one pass on them, the probes have a pass of their own that changes nothing.
        """
        method, rewarded = self.config.method, self.relaxation.costs == "reward"
        if method.update_alpha and method.one_pass:
            self._pass("search", search, weights=False, alpha=True)
            return
        if {"losses", "costs"} & set(self.config.probes):
            self._pass("search", search, weights=False, alpha=True, spectator=True)
        if method.update_alpha:
            a = self.architecture.restricted(self.generators["gates"])
            self.architecture.step(a, self._reinforce(a, search) if rewarded else self._second_order(a, search, train))

    def _reinforce(self, a: Tensor, search: Batch) -> Tensor:
        """The gradient of the logits from the accuracies of M drawn networks on the batch, with its statistics."""
        (images, labels), draws, rewards = search, [], []
        for _ in range(self.config.method.samples):
            draws.append(self.relaxation.draw(a, self.generators["gates"], self.temperature()))
            with torch.no_grad():
                hits = self.model(images, self.gates(draws[-1])).argmax(1) == labels
            rewards.append(hits.double().mean().item())
        return self.architecture.from_rewards(a, draws, rewards, self.temperature())

    def _second_order(self, a: Tensor, search: Batch, train: Batch) -> Tensor:
        """DARTS: the virtual weight step sees the batch of the weight step that follows, its rate, momentum, decay."""
        method, w = self.config.method, self.config.weights
        z = self.relaxation.draw(a, self.generators["gates"], self.temperature())
        velocity = [self.w_optimiser.state[p].get("momentum_buffer", torch.zeros_like(p)) for p in self.weights]
        drift = [w.decay * p.detach() + w.momentum * m for p, m in zip(self.weights, velocity, strict=True)]
        estimate = exact if method.hypergradient == "exact" else partial(finite_difference, radius=method.radius)
        losses, gates = (loss_on(self.model, *train), loss_on(self.model, *search)), self.gates(z).requires_grad_()
        cost = estimate(*losses, self.weights, gates, self.w_lr(), drift=drift)
        return self.architecture.from_costs(a, z, cost, self.temperature())

    def _pass(self, split: str, batch: Batch, *, weights: bool, alpha: bool, spectator: bool = False) -> float:
        """Forward and backward on one batch, then the steps of those that are asked to learn from it.

        A ``spectator`` only feeds the probes: nothing learns, and statistics and draws of the run are left alone.
        """
        images, labels = batch
        stream = self.generators["probe" if spectator else "gates"]
        learn_alpha = alpha and self.config.method.update_alpha and not spectator
        a = self.architecture.restricted(stream) if learn_alpha else self.masked_logits()
        z = self.relaxation.draw(a, stream, self.temperature())
        measure = learn_alpha or (alpha and "costs" in self.config.probes)
        gates = self.gates(z).requires_grad_(measure)
        ones = torch.ones(len(gates), device=self.config.device, requires_grad=measure)
        observed = self.architecture.observed(a) if learn_alpha else None
        drop = self.config.method.drop_path
        kept = kept_paths((*gates.shape[:2], len(images)), drop, stream).to(gates) if drop else None
        arguments = (images, gates, ones if "costs" in self.config.probes else None, observed, kept)
        logits = functional_call(self.model, statistics(self.model), arguments) if spectator else self.model(*arguments)
        loss = F.cross_entropy(logits, labels)
        if "losses" in self.config.probes:
            self.losses.add(split, logits, labels)
        wanted = (self.weights if weights else []) + ([gates, ones] if measure else [])
        grads = torch.autograd.grad(loss, wanted, allow_unused=True) if wanted else ()
        if measure:
            # Where every edge drew none, no gate is in the graph and all costs are zero.
            cost, output_cost = (
                torch.zeros_like(t) if g is None else g for t, g in zip((gates, ones), grads[-2:], strict=True)
            )
            if "costs" in self.config.probes:
                self.costs.add(gates, cost, output_cost)
            if learn_alpha:
                self.architecture.step(a, self.architecture.from_costs(a, z, cost, self.temperature()))
        if weights:
            self._weight_step(grads[: len(self.weights)])
        return loss.item()

    def _weight_step(self, grads: tuple[Tensor | None, ...]) -> None:
        """SGD; a weight that no drawn path touched has no gradient and stays as it is."""
        for weight, grad in zip(self.weights, grads, strict=True):
            weight.grad = grad
        torch.nn.utils.clip_grad_norm_(self.weights, self.config.weights.clip)
        self.w_optimiser.param_groups[0]["lr"] = self.w_lr()
        self.w_optimiser.step()

    # ------------------------------------------------------------------------------------------------ probes

    def _cost_probe(self) -> CostProbe:
        edges = torch.zeros(self.mask.shape[0], 1, dtype=torch.bool)
        edges[list(self.space.topology.intermediate_edges)] = True
        skips = torch.tensor([op == "skip_connect" for op in self.space.candidates])
        return CostProbe(len(self.cell_type), edges & skips)

    def _observe_architecture(self) -> None:
        """Probabilities, entropies and both derivations, at the start and after every epoch."""
        prob = probabilities(self.masked_logits())
        self._append({"prob": prob, "arch_entropy": entropy(prob)})
        for name, rule in DERIVE_RULES.items():
            cells = [rule(p, self.space.candidates, self.space.topology) for p in prob.numpy()]
            self.genotypes[name].append(Genotype(*cells).to_json())

    def _append(self, arrays: dict[str, Tensor]) -> None:
        for name, value in arrays.items():
            self.series.setdefault(name, []).append(value.numpy().copy())

    def _close_epoch(self) -> None:
        self._observe_architecture()
        if "losses" in self.config.probes:
            self.rows["losses"] += self.losses.close(self.epoch)
        if "costs" in self.config.probes:
            self._append(self.costs.close())
        if "accuracy" in self.config.probes:
            drawn = Child(self.model, lambda: self.gates(self.draw("probe")))
            self._add_accuracy("supernet", "as trained", "valid", drawn)
        if self.done == self.total and "child" in self.config.probes:
            self._observe_children()

    def _add_accuracy(self, network: str, statistics: str, split: str, child: Child) -> None:
        value = accuracy(child, self.data.batches(split, EVAL_BATCH, self.config.device))
        self.rows["accuracy"].append(
            {"epoch": self.epoch, "network": network, "statistics": statistics, "split": split, "acc": value}
        )

    def _observe_children(self) -> None:
        """Test accuracy of the supernet and of both derived children, with statistics as trained and recalibrated."""
        networks = {"supernet": Child(self.model, lambda: self.gates(self.draw("probe")))}
        prob = probabilities(self.masked_logits()).numpy()
        for name, rule in DERIVE_RULES.items():
            cells = [rule(p, self.space.candidates, self.space.topology) for p in prob]
            chosen = torch.stack([genotype_gates(c, self.space.candidates, self.space.topology) for c in cells])
            networks[f"child ({name})"] = Child(self.model, lambda chosen=chosen: self.gates(chosen))  # type: ignore[misc]
        for name, network in networks.items():
            fresh = recalibrated(network, self.data.batches("train", self.config.batch, self.config.device))
            self._add_accuracy(name, "as trained", "test", network)
            self._add_accuracy(name, "recalibrated", "test", fresh)

    # ------------------------------------------------------------------------------------------------ saving

    def state(self) -> dict:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "w_optimiser": [self.w_optimiser.state[w].get("momentum_buffer") for w in self.weights],
            "generators": {name: g.get_state() for name, g in self.generators.items()},
            "batches": self.batches.state(),
            "losses": self.losses.sums,
            "costs": self.costs.totals,
            "rows": self.rows,
            "series": self.series,
            "genotypes": self.genotypes,
        } | self.architecture.state()

    def load_state(self, state: dict) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self.architecture.load_state(state)
        for weight, momentum in zip(self.weights, state["w_optimiser"], strict=True):
            if momentum is None:
                self.w_optimiser.state.pop(weight, None)
            else:
                self.w_optimiser.state[weight]["momentum_buffer"] = torch.empty_like(weight).copy_(momentum)
        for name, generator in self.generators.items():
            generator.set_state(state["generators"][name])
        self.batches.load_state(state["batches"])
        self.losses.sums = dict(state["losses"])
        kept = copy.deepcopy([state[k] for k in ("costs", "rows", "series", "genotypes")])
        self.costs.totals, self.rows, self.series, self.genotypes = kept

    def result(self) -> Result:
        """Tables ``losses`` and ``accuracy``; arrays over epochs, those of the architecture from the start on."""
        if self.done != self.total:
            raise RuntimeError(f"the search has done {self.done} of {self.total} steps")
        arrays = {name: np.stack(values) for name, values in self.series.items()}
        genotypes = {name: [Genotype.from_json(text) for text in texts] for name, texts in self.genotypes.items()}
        return Result({n: pd.DataFrame(r) for n, r in self.rows.items() if r}, arrays, genotypes)
