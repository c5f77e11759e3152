"""One search loop for all methods: draw Z, measure the cost C = dL/dZ, turn it into a gradient of the logits.

What differs between methods comes in as data and functions: the relaxation, and whether the logits learn from the
training images (single level: one pass serves weights and logits) or from a half of their own (bi-level, first order).
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nas_core.cells.genotype import DERIVE_RULES, Genotype
from nas_core.cells.supernet import Supernet
from nas_core.config import RunConfig
from nas_core.data import load
from nas_core.probes import Child, CostProbe, LossProbe, accuracy, entropy, probabilities, recalibrated
from nas_core.probes.accuracy import genotype_gates
from nas_core.relaxations import RELAXATIONS
from nas_core.relaxations.resource import log_penalty
from nas_core.trainers.batches import Batches
from nas_core.trainers.result import Result

# Every use of randomness has a generator of its own, so that observing a run does not change it.
STREAMS = ("init", "weight_data", "alpha_data", "augment", "gates", "probe")
EVAL_BATCH = 250  # images a batch in evaluation mode; a relaxation that draws at random draws anew for each


class Search:
    """A search that can be stepped, saved and resumed: ``done`` of ``total`` steps, each one weight step."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.data = load(config.data.name, **config.data.model_dump(exclude={"name"}))
        self.generators = {s: Generator().manual_seed(config.seed * len(STREAMS) + i) for i, s in enumerate(STREAMS)}
        network, init = config.network, self.generators["init"]
        self.space = network.space()
        self.model = Supernet(
            self.space,
            channels=network.channels,
            layers=network.layers,
            classes=self.data.source.classes,
            in_channels=self.data.channels,
            reductions=network.reductions,
            head_bias=network.head_bias,
            generator=init,
        ).to(config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights = list(self.model.parameters())
        self.cell_type = torch.tensor(self.model.cell_type)
        self.mask = torch.from_numpy(self.space.mask())
        shape = (1 + max(self.model.cell_type), *self.mask.shape)
        self.logits = config.alpha.init_mean + config.alpha.init_std * torch.randn(shape, generator=init)
        self.relaxation = RELAXATIONS[config.method.relaxation]
        w, a = config.weights, config.alpha
        self.w_optimiser = torch.optim.SGD(self.weights, w.lr, w.momentum, weight_decay=w.decay)
        self.alpha_optimiser = torch.optim.Adam([self.logits], a.lr, a.betas, weight_decay=a.decay)
        self.batches = Batches(config.data.train, config.batch, self.generators["weight_data"])
        table = [[[(c.params, c.flops, c.mac) for c in e] for e in l] for l in self.model.edge_costs(self.data.side)]
        self.resources = torch.tensor(table, dtype=torch.float32)  # (layers, edges, ops, 3)
        self.losses, self.costs = LossProbe(), self._cost_probe()
        self.steps_per_epoch = config.steps_per_epoch
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
        if bilevel and method.update_alpha:
            chosen = torch.randperm(self.config.data.search, generator=self.generators["alpha_data"])
            self._pass("search", chosen[: self.config.batch], weights=False, alpha=True)
        loss = self._pass("train", self.batches.next(), weights=method.update_theta, alpha=not bilevel)
        self.done += 1
        if self.done % self.steps_per_epoch == 0:
            self._close_epoch()
        return loss

    def masked_logits(self) -> Tensor:
        """Logits (cell types, edges, ops), -inf where an edge does not allow the operation."""
        return self.logits.detach().masked_fill(~self.mask, -torch.inf)

    def draw(self, stream: str) -> Tensor:
        """The edge variable Z: (cell types, edges, ops)."""
        return self.relaxation.draw(self.masked_logits(), self.generators[stream], self.temperature())

    def gates(self, z: Tensor) -> Tensor:
        """One gate per layer: all cells of a type share Z. Shape (layers, edges, ops)."""
        return z[self.cell_type].to(self.config.device)

    def _pass(self, split: str, index: Tensor, *, weights: bool, alpha: bool) -> float:
        """Forward and backward on one batch, then the steps of those that are asked to learn from it."""
        augment = self.generators["augment"] if self.data.source.pad or self.data.source.flip else None
        images, labels = self.data.batch(split, index, self.config.device, augment)
        z = self.draw("gates")
        learn_alpha = alpha and self.config.method.update_alpha
        measure = learn_alpha or (alpha and "costs" in self.config.probes)
        gates = self.gates(z).requires_grad_(measure)
        ones = torch.ones(len(gates), device=self.config.device, requires_grad=measure)
        logits = self.model(images, gates, ones if "costs" in self.config.probes else None)
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
                self._alpha_step(z, cost.cpu())
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

    def _alpha_step(self, z: Tensor, cost: Tensor) -> None:
        """Adam on the logits. ``cost``: dL/dZ per layer; what all layers of a type share is the sum over them."""
        method, a = self.config.method, self.config.alpha
        shared = torch.zeros_like(z).index_add(0, self.cell_type, cost)
        if method.cost_clamp is not None:
            shared = shared.clamp(-method.cost_clamp, method.cost_clamp)
        if method.resource_weight:
            shared = shared + method.resource_weight * self._resource_gradient(z)
        self.logits.grad = self.relaxation.logit_gradient(self.masked_logits(), z, shared, self.temperature())
        if a.clip is not None:
            torch.nn.utils.clip_grad_norm_([self.logits], a.clip)
        self.alpha_optimiser.step()

    def _resource_gradient(self, z: Tensor) -> Tensor:
        """Gradient by Z of the log penalty: each cell type's cells on average, normal plus reduction."""
        z = z.clone().requires_grad_()
        of_type = [self.cell_type == t for t in range(len(z))]
        total = sum(log_penalty(z[t], self.resources[layers]) for t, layers in enumerate(of_type) if layers.any())
        return torch.autograd.grad(total, z)[0]  # type: ignore[arg-type]

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
            "logits": self.logits,
            "w_optimiser": [self.w_optimiser.state[w].get("momentum_buffer") for w in self.weights],
            "alpha_optimiser": self.alpha_optimiser.state_dict()["state"].get(0, {}),
            "generators": {name: g.get_state() for name, g in self.generators.items()},
            "batches": self.batches.state(),
            "losses": self.losses.sums,
            "costs": self.costs.state(),
            "rows": self.rows,
            "series": self.series,
            "genotypes": self.genotypes,
        }

    def load_state(self, state: dict) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self.logits.copy_(state["logits"])
        for weight, momentum in zip(self.weights, state["w_optimiser"], strict=True):
            if momentum is None:
                self.w_optimiser.state.pop(weight, None)
            else:
                self.w_optimiser.state[weight]["momentum_buffer"] = torch.empty_like(weight).copy_(momentum)
        self.alpha_optimiser.state.pop(self.logits, None)
        if state["alpha_optimiser"]:
            self.alpha_optimiser.state[self.logits] = copy.deepcopy(state["alpha_optimiser"])
        for name, generator in self.generators.items():
            generator.set_state(state["generators"][name])
        self.batches.load_state(state["batches"])
        self.losses.sums = dict(state["losses"])
        self.costs.load_state(copy.deepcopy(state["costs"]))
        self.rows, self.series, self.genotypes = copy.deepcopy([state[k] for k in ("rows", "series", "genotypes")])

    def result(self) -> Result:
        """Tables ``losses`` and ``accuracy``; arrays over epochs, those of the architecture from the start on."""
        if self.done != self.total:
            raise RuntimeError(f"the search has done {self.done} of {self.total} steps")
        arrays = {name: np.stack(values) for name, values in self.series.items()}
        return Result({n: pd.DataFrame(r) for n, r in self.rows.items() if r}, arrays, self.genotypes)
