"""ENAS in the DARTS space: a controller draws the operation of every edge and learns from the accuracy it earns.

The networks that it draws share the weights of one supernet. Epochs of the weights, one drawn network a batch, take
turns with steps of the controller: REINFORCE with a moving baseline, the reward being the accuracy on a batch that the
weights do not see. It is a baseline of SNAS (Fig. 3, Table 2). Deciding edge by edge is how AutoDL's public code of
ENAS does it; in ENAS itself each node chooses two inputs and two operations.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.func import functional_call

from nas_core.cells.genotype import CellGenotype, Genotype, derive_argmax
from nas_core.data import load
from nas_core.probes.accuracy import Child, accuracy, recalibrated
from nas_core.trainers.batches import Batches
from nas_core.trainers.controller import Controller, advantages, surrogate
from nas_core.trainers.enas_settings import ControllerConfig
from nas_core.trainers.gradients import gradients
from nas_core.trainers.hypergradient import statistics
from nas_core.trainers.observer import EVAL_BATCH, Observer
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.result import Result
from nas_core.trainers.streams import generators, load_states, states
from nas_core.trainers.supernets import supernet

STREAMS = ("init", "controller", "weight_data", "reward_data", "augment", "draws", "probe")
DRAWS = 256  # of which the probabilities of the operations are the mean; the law itself is over 8^28 networks


class ENAS:
    """A search that can be stepped, saved and resumed: each step is one of the weights or one of the controller."""

    def __init__(self, config: ControllerConfig) -> None:
        self.config, self.settings = config, config.controller
        self.streams = generators(config.seed, STREAMS)
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        self.model = supernet(
            config.network, config.formulation, self.data, device=config.device, generator=self.streams["init"]
        )
        self.space = self.model.space
        self.cell_type = torch.tensor(self.model.cell_type)
        allowed = torch.from_numpy(self.space.mask())
        self.types = 1 + max(self.model.cell_type)
        self.controller = Controller(self.settings, allowed.repeat(self.types, 1), self.streams["controller"])
        self.frozen = copy.deepcopy(self.controller)  # as it was at the start: what learning is compared with
        self.adam = torch.optim.Adam(self.controller.parameters(), self.settings.lr, self.settings.betas)
        self.baseline: float | None = None
        self.optimiser = WeightOptimiser(list(self.model.parameters()), config.weights, config.epochs)
        self.batches = Batches(config.data.train, config.batch, self.streams["weight_data"])
        self.observer = Observer(
            self.model,
            self.data,
            lambda: self._gates(self._drawn(1, "probe")[0]),
            ("accuracy", "child") if config.data.test else ("accuracy",),
            batch=config.batch,
            device=config.device,
        )
        self.period = config.weight_steps + self.settings.steps
        self.done, self.total = 0, config.epochs * self.period
        self._see_controller()

    # ------------------------------------------------------------------------------------------------ the loop

    def step(self) -> float:
        """One step of the weights or, after those of an epoch, of the controller. Returns its loss."""
        of_weights = self.done % self.period < self.config.weight_steps
        loss = self._step_of_weights() if of_weights else self._step_of_controller()
        self.done += 1
        if self.done % self.period == 0:
            self._close_epoch()
        return loss

    def _step_of_weights(self) -> float:
        """One drawn network learns on a training batch."""
        picks = self._drawn(1, "draws")
        images, labels = self._images("train", self.batches.next())
        loss = F.cross_entropy(self.model(images, self._gates(picks[0])), labels)
        self.optimiser.step(gradients(loss, self.optimiser.weights))
        return loss.item()

    def _step_of_controller(self) -> float:
        """REINFORCE on networks that share one batch of search images."""
        walk = self.controller.sample(self.settings.samples, self.streams["draws"])
        order = torch.randperm(self.config.data.search, generator=self.streams["reward_data"])
        batch = self._images("search", order[: self.config.batch])
        earned = self._accuracies(walk.picks, *batch)
        rewards = earned + self.settings.entropy_weight * walk.entropy.detach()
        advantage, self.baseline = advantages(rewards, self.baseline, self.settings.baseline_decay)
        loss = surrogate(walk.log_prob, advantage)
        if self.settings.update:
            self.adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.controller.parameters(), self.settings.clip)
            self.adam.step()
        return loss.item()

    @torch.no_grad()
    def _accuracies(self, picks: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Of the networks ``picks`` (draws, decisions) on one batch, with its statistics, as released; (draws,).

        The running statistics stay as they are.
        """
        found = []
        for pick in picks:
            logits = functional_call(self.model, statistics(self.model), (images, self._gates(pick)))
            found.append((logits.argmax(1) == labels).float().mean().cpu())
        return torch.stack(found)

    # ------------------------------------------------------------------------------------------------ what it draws

    @torch.no_grad()
    def _drawn(self, draws: int, stream: str) -> Tensor:
        """Operations by the controller, (draws, decisions)."""
        return self.controller.sample(draws, self.streams[stream]).picks

    def _gates(self, picks: Tensor) -> Tensor:
        """One-hot gates, one a layer, (layers, edges, ops), of the operations of all edges, (decisions,)."""
        rows = F.one_hot(picks, len(self.space.candidates)).to(self.optimiser.weights[0])
        return rows.unflatten(0, (self.types, -1))[self.cell_type]

    def _images(self, split: str, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.data.batch(split, index, self.config.device, self.streams["augment"])

    # ------------------------------------------------------------------------------------------------ what is seen

    def _close_epoch(self) -> None:
        epoch = self.done // self.period
        self.optimiser.end_epoch()
        self._see_controller()
        self.observer.close_epoch(epoch)
        self._compare(epoch)
        if self.done == self.total:
            self.observer.close_run(epoch, self._marginals().log())
            self._derive(epoch)

    @torch.no_grad()
    def _marginals(self) -> Tensor:
        """How probable each operation is on each edge, (cell types, edges, ops): the mean of the factors over draws."""
        walk = self.controller.sample(DRAWS, Generator().manual_seed(self.config.seed))
        return walk.prob.double().mean(0).unflatten(0, (self.types, -1))

    def _see_controller(self) -> None:
        """Probabilities, their entropies and both derivations, as of a search by logits."""
        self.observer.see_architecture(self._marginals().log())

    def _compare(self, epoch: int) -> None:
        """What networks earn on validation images, drawn by the controller and by its frozen copy."""
        index = torch.arange(min(self.config.data.valid, EVAL_BATCH))
        images, labels = self._images("valid", index)
        for name, controller in (("learning", self.controller), ("frozen", self.frozen)):
            with torch.no_grad():
                walk = controller.sample(self.settings.tried, self.streams["probe"])
            self.observer.journal.add_row(
                "controller",
                epoch=epoch,
                controller=name,
                acc=self._accuracies(walk.picks, images, labels).mean().item(),
                entropy=walk.entropy.mean().item() / walk.picks.shape[1],
            )

    def _derive(self, epoch: int) -> None:
        """Of some drawn networks the most accurate on validation images (ENAS, Sec. 2.3), measured on test images."""
        images, labels = self._images("valid", torch.arange(self.config.data.valid))
        picks = self._drawn(self.settings.tried, "probe")
        best = int(self._accuracies(picks, images, labels).argmax())
        cells = self._cells(picks[best])
        self.observer.journal.add_genotype("best drawn", Genotype(*cells))
        if not self.config.data.test:
            return
        gates = self._gates(picks[best])
        child = Child(self.model, lambda: gates)
        fresh = recalibrated(child, self.data.batches("train", self.config.batch, self.config.device))
        for kind, network in (("as trained", child), ("recalibrated", fresh)):
            value = accuracy(network, self.data.batches("test", EVAL_BATCH, self.config.device))
            row = {"network": "child (best drawn)", "statistics": kind, "split": "test", "acc": value}
            self.observer.journal.add_row("accuracy", epoch=epoch, **row)

    def _cells(self, picks: Tensor) -> list[CellGenotype]:
        """Drawn operations, (decisions,), as cells, the normal one first."""
        rows = F.one_hot(picks, len(self.space.candidates)).unflatten(0, (self.types, -1))
        return [derive_argmax(row.numpy(), self.space.candidates, self.space.topology) for row in rows]

    # ------------------------------------------------------------------------------------------------ saving

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as nested dicts and lists of tensors and plain values."""
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state(),
            "controller": self.controller.state_dict(),
            "adam": [self.adam.state[parameter] for parameter in self.controller.parameters()],
            "baseline": self.baseline,
            "streams": states(self.streams),
            "batches": self.batches.state(),
            "observer": self.observer.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken, bit for bit on the same kind of processor and number of threads."""
        self.done, self.baseline = state["done"], state["baseline"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state(state["optimiser"])
        self.controller.load_state_dict(state["controller"])
        for parameter, moments in zip(self.controller.parameters(), state["adam"], strict=True):
            self.adam.state[parameter] = copy.deepcopy(moments)
        load_states(self.streams, state["streams"])
        self.batches.load_state(state["batches"])
        self.observer.load_state(state["observer"])

    def result(self) -> Result:
        """What a search has, and the table ``controller``: accuracies by the learning controller and a frozen copy."""
        if self.done != self.total:
            raise RuntimeError(f"the search has done {self.done} of {self.total} steps")
        return self.observer.journal.result()
