"""The logits: what a step on them measures, and how costs, rewards and resources become the step."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from nas_core.trainers.settings import Alpha, Method
from nas_core.relaxations import RELAXATIONS, keep_others, resource


class Architecture:
    """The logits (cell types, edges, ops) and Adam on them.

    ``mask``: which operation an edge allows, (edges, ops); ``cell_type``: the row of the logits that each layer reads;
    ``resources``: costs per image, (layers, edges, ops, 3).
    """

    def __init__(
        self, method: Method, alpha: Alpha, mask: Tensor, cell_type: Tensor, resources: Tensor, generator: Generator
    ) -> None:
        self.method, self.clip = method, alpha.clip
        self.mask, self.cell_type, self.resources = mask, cell_type, resources
        self.relaxation = RELAXATIONS[method.relaxation]
        shape = (1 + int(cell_type.max()), *mask.shape)
        self.logits = alpha.init_mean + alpha.init_std * torch.randn(shape, generator=generator)
        self.optimiser = torch.optim.Adam([self.logits], alpha.lr, alpha.betas, weight_decay=alpha.decay)
        self.baseline: float | None = None

    def masked(self) -> Tensor:
        """The logits, -inf where an edge does not allow the operation."""
        return self.logits.detach().masked_fill(~self.mask, -torch.inf)

    def restricted(self, generator: Generator) -> Tensor:
        """The masked logits that the next step on them starts from: -inf also where it will not move them."""
        a = self.masked()
        if self.method.resource_estimator == "score":
            a = a.double()  # in float32 a concrete Z underflows to 0, and the score needs its logarithm
        return a if self.relaxation.restrict is None else self.relaxation.restrict(a, generator)

    def observed(self, a: Tensor) -> Tensor | None:
        """The operations whose costs are wanted even where they are not drawn, (layers, edges, ops)."""
        return a.isfinite()[self.cell_type] if self.relaxation.costs == "allowed" else None

    def from_costs(self, a: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
        """dL/da from ``cost`` = dL/dZ per layer; what all layers of a type share is the sum over them."""
        shared = torch.zeros_like(z).index_add(0, self.cell_type, cost.to(z))
        if self.method.cost_clamp is not None:
            shared = shared.clamp(-self.method.cost_clamp, self.method.cost_clamp)
        return self._gradient(a, z, shared, temperature)

    def from_rewards(self, a: Tensor, draws: Sequence[Tensor], rewards: Sequence[float], temperature: float) -> Tensor:
        """REINFORCE: dL/da = -(1/M) sum_m (R_m - b) grad_a log p(Z_m); moves the baseline b first, as released.

        So the rewards are part of their own baseline: on the first step the gradient is M / (M - 1) times too small.
        """
        mean = sum(rewards) / len(rewards)
        start = mean if self.baseline is None else self.baseline
        self.baseline = b = start + self.method.baseline_momentum * (mean - start)
        # In float64: what cancels in the sum would otherwise leave rounding that Adam blows up to whole steps.
        gradients = [
            self._gradient(a.double(), z.double(), torch.full_like(z, b - reward, dtype=torch.float64), temperature)
            for z, reward in zip(draws, rewards, strict=True)
        ]
        return torch.stack(gradients).mean(0)

    def step(self, a: Tensor, gradient: Tensor) -> None:
        """Adam with ``gradient``; logits outside the restricted ``a`` keep their values and probabilities."""
        old = self.logits.clone()
        self.logits.grad = gradient.to(self.logits)
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_([self.logits], self.clip)
        self.optimiser.step()
        if self.relaxation.restrict is not None:
            self.logits.copy_(keep_others(old, self.logits, a.isfinite()))

    def _gradient(self, a: Tensor, z: Tensor, cost: Tensor, temperature: float) -> Tensor:
        """dL/da from the ``cost`` of all layers together, plus that of the resources."""
        eta, estimator = self.method.resource_weight, self.method.resource_estimator
        if eta and estimator == "reparametrised":
            cost = cost + eta * self.resource_gradient(a, z, temperature)
        gradient = self.relaxation.logit_gradient(a, z, cost, temperature)
        if eta and estimator != "reparametrised":
            gradient = gradient + eta * self.resource_gradient(a, z, temperature)
        return gradient

    def resource_gradient(self, a: Tensor, z: Tensor, temperature: float) -> Tensor:
        """Of each cell type's cells on average, normal plus reduction: by Z if reparametrised, otherwise by a."""
        gradient, penalty = torch.zeros_like(z), resource.PENALTIES[self.method.resource_penalty]
        for t in self.cell_type.unique().tolist():
            costs = self.resources[self.cell_type == t].to(z)
            if self.method.resource_estimator == "reparametrised":
                gradient[t] = resource.reparametrised(penalty, z[t], costs)
            elif self.method.resource_estimator == "expected":
                gradient[t] = resource.expected(penalty, a[t], costs)
            else:
                assert self.relaxation.score is not None
                gradient[t] = resource.score(penalty, self.relaxation.score, a[t], z[t], costs, temperature)
        return gradient

    def state(self) -> dict:
        """Logits, moments of Adam and baseline."""
        return {
            "logits": self.logits,
            "alpha_optimiser": self.optimiser.state_dict()["state"].get(0, {}),
            "baseline": self.baseline,
        }

    def load_state(self, state: dict) -> None:
        """Take over what :meth:`state` gave."""
        self.logits.copy_(state["logits"])
        self.optimiser.state.pop(self.logits, None)
        if state["alpha_optimiser"]:
            self.optimiser.state[self.logits] = copy.deepcopy(state["alpha_optimiser"])
        self.baseline = state["baseline"]
