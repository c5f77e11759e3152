"""The logits: what a step on them measures, and how costs, rewards and resources become the step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from nas_core.cells.supernet import Supernet
from nas_core.errors import UserError
from nas_core.probes.architecture import entropy_gradient, probabilities
from nas_core.relaxations import RELAXATIONS, keep_others
from nas_core.relaxations.remedies import among_operations, centred_in_cell
from nas_core.relaxations.resource import PENALTIES, expected, reparametrised, score
from nas_core.trainers.methods import Reinforce
from nas_core.trainers.search_settings import SearchConfig


class Architecture:
    """The logits (cell types, edges, ops) and Adam on them.

    ``mask``: which operation an edge allows, (edges, ops); ``cell_type``: the row of the logits that each layer reads;
    ``resources``: parameters, multiply-adds and memory accesses per image, (layers, edges, ops, 3).
    """

    def __init__(
        self,
        config: SearchConfig,
        model: Supernet,
        side: int | None,
        generator: Generator,
        none_free: Callable[[], bool] = lambda: False,
    ) -> None:
        """``side``: of the images, in pixels, None if not square; ``generator`` draws the first logits.

        ``none_free`` says whether none is absent at present.

        Raises :class:`UserError` for a resource constraint on images that are not square: costs are counted by side.
        """
        self.method, self.clip = config.method, config.alpha.clip
        if side is None and self.method.resource is not None:
            what = f"run {config.run!r}: a resource constraint"
            raise UserError(f"{what} needs square images, which those of {config.data.name!r} are not.")
        self.mask = torch.from_numpy(model.space.mask())
        self.none = none_index(config)
        self.centre = self.method.remedy.centre if self.method.remedy else "no"
        self.none_free = none_free
        self.cell_type = torch.tensor(model.cell_type)
        self.resources = torch.zeros(0)
        if side is not None:
            self.resources = resources_of(model, side)
        self.relaxation = RELAXATIONS[self.method.relaxation]
        alpha, shape = config.alpha, (1 + max(model.cell_type), *self.mask.shape)
        self.logits = alpha.init_mean + alpha.init_std * torch.randn(shape, generator=generator)
        self.optimiser = torch.optim.Adam([self.logits], alpha.lr, alpha.betas, weight_decay=alpha.decay)
        self.baseline: float | None = None

    def masked(self) -> Tensor:
        """The logits, -inf where an edge does not allow the operation, and for none where that is absent."""
        a = self.logits.detach().masked_fill(~self.mask, -torch.inf)
        if self.none_free():
            a[..., self.none] = -torch.inf
        return a

    def restricted(self, generator: Generator) -> Tensor:
        """The masked logits that the next step on them starts from: -inf also where it will not move them."""
        a = self.masked()
        if self.method.resource is not None and self.method.resource.estimator == "score":
            a = a.double()  # in float32 a concrete Z underflows to 0, and the score needs its logarithm
        return a if self.relaxation.restrict is None else self.relaxation.restrict(a, generator)

    def observed(self, a: Tensor) -> Tensor | None:
        """The operations whose costs are wanted even where they are not drawn, (layers, edges, ops)."""
        return a.isfinite()[self.cell_type] if self.relaxation.costs == "allowed" else None

    def from_costs(self, a: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
        """dL/da from ``cost`` = dL/dZ per layer; what all layers of a type share is the sum over them."""
        shared = torch.zeros_like(z).index_add(0, self.cell_type, cost.to(z))
        if self.centre == "cell":
            shared = centred_in_cell(z, shared, self.none)
        if self.centre == "edge":
            a, z = among_operations(a, z, self.none)
        return self._gradient(a, z, self.method.bounded(shared), temperature)

    def from_rewards(self, a: Tensor, draws: Sequence[Tensor], rewards: Sequence[float], temperature: float) -> Tensor:
        """REINFORCE: dL/da = -(1/M) sum_m (R_m - b) grad_a log p(Z_m); moves the baseline b first, as released.

        So the rewards are part of their own baseline: on the first step the gradient is M / (M - 1) times too small.
        The entropy H of the architecture, if it has a weight, adds its exact part, -weight dH/da.
        """
        assert isinstance(self.method, Reinforce)
        mean = sum(rewards) / len(rewards)
        start = mean if self.baseline is None else self.baseline
        self.baseline = start + self.method.baseline_momentum * (mean - start)
        gradients = []
        for z, reward in zip(draws, rewards, strict=True):
            # In float64: what cancels in the sum would otherwise leave rounding that Adam blows up to whole steps.
            cost = torch.full_like(z, self.baseline - reward, dtype=torch.float64)
            gradients.append(self._gradient(a.double(), z.double(), cost, temperature))
        gradient = torch.stack(gradients).mean(0)
        if self.method.entropy:
            gradient = gradient - self.method.entropy * entropy_gradient(probabilities(a))
        return gradient

    def step(self, a: Tensor, gradient: Tensor) -> None:
        """Adam with ``gradient``; logits outside the restricted ``a`` keep their values and probabilities."""
        old = self.logits.clone()
        self.logits.grad = gradient.to(self.logits)
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_([self.logits], self.clip)
        self.optimiser.step()
        moved = a.isfinite()
        if self.centre == "edge":
            moved[..., self.none] = False
        if self.relaxation.restrict is not None or self.centre == "edge" or self.none_free():
            self.logits.copy_(keep_others(old, self.logits, moved))

    def _gradient(self, a: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
        """dL/da from the ``cost`` of all layers together, plus that of the resources."""
        resource = self.method.resource
        if resource is None:
            return self.relaxation.logit_gradient(a, z, cost, temperature)
        price = resource.weight * self.resource_gradient(a, z, temperature)
        if resource.estimator == "reparametrised":
            return self.relaxation.logit_gradient(a, z, cost + price, temperature)
        return self.relaxation.logit_gradient(a, z, cost, temperature) + price

    def resource_gradient(self, a: Tensor, z: Tensor, temperature: float) -> Tensor:
        """Of each cell type's cells on average, normal plus reduction: by Z if reparametrised, otherwise by a."""
        assert self.method.resource is not None
        penalty = PENALTIES[self.method.resource.penalty]
        gradient = torch.zeros_like(z)
        for t in self.cell_type.unique().tolist():
            costs = self.resources[self.cell_type == t].to(z)
            if self.method.resource.estimator == "reparametrised":
                gradient[t] = reparametrised(penalty, z[t], costs)
            elif self.method.resource.estimator == "expected":
                gradient[t] = expected(penalty, a[t], costs)
            else:
                assert self.relaxation.score is not None
                gradient[t] = score(penalty, self.relaxation.score, a[t], z[t], costs, temperature)
        return gradient

    def state(self) -> dict[str, Any]:
        """Logits, moments of Adam and baseline."""
        return {
            "logits": self.logits,
            "adam": self.optimiser.state_dict()["state"].get(0, {}),
            "baseline": self.baseline,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.logits.copy_(state["logits"])
        self.optimiser.state.pop(self.logits, None)
        if state["adam"]:
            self.optimiser.state[self.logits] = copy.deepcopy(state["adam"])
        self.baseline = state["baseline"]


def none_index(config: SearchConfig) -> int:
    """Position of none among the candidates; -1 if it is not one of them."""
    candidates = config.network.candidates
    return candidates.index("none") if "none" in candidates else -1


def resources_of(model: Supernet, side: int) -> Tensor:
    """What each candidate costs for an image of ``side`` pixels, (layers, edges, ops, 3): see :class:`Architecture`."""
    table = []
    for layer in model.edge_costs(side):
        table.append([[(c.params, c.madds, c.accesses) for c in edge] for edge in layer])
    return torch.tensor(table, dtype=torch.float32)
