"""ProxylessNAS on a chain: the loop of :mod:`nas_core.trainers.search`, with warm-up, interval and latency.

What differs from a search of cells: the gates of a layer are those of all slots (one "cell" whose edges are the slots);
the logits rest during warm-up and between every so many steps of the weights; and the latency of a table enters their
loss, or the reward.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nas_core.cells.chain_supernet import ChainSupernet, derive_chain, searched_slots
from nas_core.cells.latency import codes, one_hot, table_of, target
from nas_core.data import load
from nas_core.probes.architecture import entropy, probabilities
from nas_core.relaxations.latency import FORMS, discounted, expected_latency, with_latency
from nas_core.trainers.architecture import Architecture
from nas_core.trainers.batches import Batches
from nas_core.trainers.chain_settings import ChainSearchConfig
from nas_core.trainers.gradients import averaged
from nas_core.trainers.hypergradient import statistics
from nas_core.trainers.journal import Journal
from nas_core.trainers.methods import Reinforce
from nas_core.trainers.optimiser import WeightOptimiser
from nas_core.trainers.search import STREAMS, Batch, Draw, Search
from nas_core.trainers.streams import generators


class OneLayer(nn.Module):
    """A searched chain as the loop sees a supernet: one layer of one type, whose edges are the slots."""

    cell_type = (0,)

    def __init__(self, chain: ChainSupernet) -> None:
        super().__init__()
        self.chain = chain
        self.space = SimpleNamespace(mask=chain.mask)

    def forward(
        self, images: Tensor, gates: Tensor, outputs: None = None, observed: Tensor | None = None, factors: None = None
    ) -> Tensor:
        """Class logits (batch, classes); ``gates``, ``observed``: (1, slots, candidates)."""
        return self.chain(images, gates[0], observed=None if observed is None else observed[0])


class ChainObserver:
    """What is recorded by epoch: probabilities, entropies, expected latency, and the chain that argmax derives."""

    def __init__(self, config: ChainSearchConfig, latency: Tensor, constant: float) -> None:
        self.space = target(config.network.name)
        self.latency, self.constant = latency, constant
        self.journal = Journal()

    def see_losses(self, split: str, logits: Tensor, labels: Tensor) -> None:
        """Nothing is recorded of a pass."""

    def see_costs(self, gates: Tensor, cost: Tensor, output_cost: Tensor, *, weights_half: bool = False) -> None:
        """Nothing is recorded of a pass."""

    def see_architecture(self, logits: Tensor) -> None:
        """Masked logits, (1, slots, candidates), at the start and after every epoch."""
        prob = probabilities(logits)
        self.journal.add_arrays({"prob": prob, "arch_entropy": entropy(prob)})
        derived = derive_chain(prob[0].numpy(), self.space.macro, self.space.all_held())
        expected = expected_latency(logits[0].double(), self.latency, self.constant)
        epoch = len(self.journal.rows.get("chain", []))
        self.journal.add_row("chain", epoch=epoch, choices=codes(derived), expected_us=expected.item())

    def close_epoch(self, epoch: int) -> None:
        """Nothing more."""

    def close_run(self, epoch: int, logits: Tensor) -> None:
        """Nothing more: the chain is trained alone by another run."""

    def state(self) -> dict[str, Any]:
        """The journal."""
        return {"journal": self.journal.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.journal.load_state(state["journal"])


class ChainSearch(Search):
    """A search that can be stepped, saved and resumed, like that of cells."""

    def __init__(self, config: ChainSearchConfig) -> None:
        """Builds a chain where a search of cells builds those, so that nothing of the constructor is shared."""
        given: Any = config
        self.config, self.method = given, given.method
        self.chain = config
        self.generators = generators(config.seed, STREAMS)
        self.data = load(config.data.name, seed=config.seed, **config.data.model_dump(exclude={"name"}))
        space, table = target(config.network.name), table_of(config.table)
        self.latency, self.constant = table.of_slots(config.network.name), table.constant(config.network.name)
        supernet = ChainSupernet(
            space.macro,
            searched_slots(space.macro, space.all_held()),
            classes=self.data.source.classes,
            in_channels=self.data.channels,
            generator=self.generators["init"],
        )
        model: Any = OneLayer(supernet).to(config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model
        self.weights = list(model.parameters())
        self.cell_type = torch.tensor(model.cell_type)
        self.done = 0
        self.architecture = Architecture(given, model, None, self.generators["init"])
        self.logits, self.relaxation = self.architecture.logits, self.architecture.relaxation
        self.optimiser = WeightOptimiser(self.weights, config.weights, config.epochs)
        self.batches = Batches(config.data.train, config.batch, self.generators["weight_data"])
        observer: Any = ChainObserver(config, self.latency, self.constant)
        self.observer = observer
        self.period = self.steps_per_epoch = config.steps_per_epoch
        self.total = config.epochs * self.steps_per_epoch
        self.observer.see_architecture(self.masked_logits())
        self._enumerate()

    def learns(self) -> bool:
        """Whether the logits take a step before the weight step that comes next."""
        after = self.done - self.chain.warm_up * self.steps_per_epoch
        return self.method.update_alpha and after >= 0 and after % self.chain.interval == 0

    def _step_on_two_levels(self) -> float:
        """A step of the logits where it is their turn, then one of the weights."""
        if self.learns():
            self._learn(self._search_batch())
        draw = self._draw_from(self.masked_logits(), "gates")
        loss = self._loss_of_weights(self._train_batch(), draw)
        weight_gradients, _ = self._measure(loss, draw, self._learning_weights(), weights_half=True)
        self.optimiser.step(weight_gradients)
        return loss.item()

    def _loss_of_weights(self, train: Batch, draw: Draw) -> Tensor:
        """The loss of the drawn network, with smoothed labels where the settings say so."""
        logits = self.model(*self._arguments(train, draw, "gates"))
        return F.cross_entropy(logits, train.labels, label_smoothing=self.chain.label_smoothing)

    def _close_epoch(self) -> None:
        super()._close_epoch()
        self._enumerate()

    def _enumerate(self) -> None:
        """Which search images every member classifies rightly with the shared weights: (members, images).

        In one pass for each, by the batch statistics of all search images, as a reward is by those of its batch; the
        search goes on as if nothing had been looked at.
        """
        if self.epoch not in self.chain.enumerated:
            return
        images, labels = self.data.batch("search", torch.arange(self.chain.data.search), self.config.device)
        hits = []
        with torch.no_grad():
            for z in one_hot(target(self.chain.network.name)):
                logits = functional_call(self.model, statistics(self.model), (images, self.gates(z[None])))
                hits.append(logits.argmax(1) == labels)
        self.observer.journal.add_arrays({"hits": torch.stack(hits).cpu()})

    def _learn(self, search: Batch) -> None:
        """A step of the logits."""
        if isinstance(self.method, Reinforce):
            a = self.architecture.restricted(self.generators["gates"])
            self.architecture.step(a, self._reinforce(a, search))
            return
        draw = self._draw_to_learn()
        loss = self._forward(search, draw)
        _, cost = self._measure(loss, draw, [])
        gradient = self.architecture.from_costs(draw.a, draw.z, cost, self.temperature())
        self.architecture.step(draw.a, self._with_latency(draw, loss.item(), gradient))

    def _with_latency(self, draw: Draw, loss: float, gradient: Tensor) -> Tensor:
        """The gradient of the loss that has the latency in it, E[LAT] being that of the pair where two are drawn."""
        term = self.chain.latency
        if term is None:
            return gradient
        form = partial(FORMS[term.form], reference=term.reference, weight=term.weight)
        return with_latency(form, gradient, loss, self._expected, draw.a)

    def _expected(self, logits: Tensor) -> Tensor:
        return expected_latency(logits[0], self.latency, self.constant)

    def _reinforce(self, a: Tensor, search: Batch) -> Tensor:
        """As of cells, with rewards that a latency discounts."""
        assert isinstance(self.method, Reinforce)
        draws, rewards = [], []
        for _ in range(self.method.samples):
            z = self.relaxation.draw(a, self.generators["gates"], self.temperature())
            with torch.no_grad():
                hits = self.model(search.images, self.gates(z)).argmax(1) == search.labels
            draws.append(z)
            rewards.append(self._reward(z, averaged(hits.double().mean()).item()))
        return self.architecture.from_rewards(a, draws, rewards, self.temperature())

    def _reward(self, z: Tensor, accuracy: float) -> float:
        term = self.chain.latency
        if term is None:
            return accuracy
        latency = float((z[0].double() * self.latency).sum()) + self.constant
        return discounted(accuracy, latency, term.reference, term.weight)

    def _search_batch(self) -> Batch:
        order = torch.randperm(self.chain.data.search, generator=self.generators["alpha_data"])
        return self._images("search", order[: self.chain.search_batch])
