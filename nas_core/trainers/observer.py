"""What is recorded of a search: probabilities, genotypes, losses, costs, accuracies; none of it changes the run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

from nas_core.cells.genotype import DERIVE_RULES, Genotype
from nas_core.cells.supernet import Space, Supernet
from nas_core.data import Dataset
from nas_core.probes.accuracy import Child, accuracy, genotype_gates, recalibrated
from nas_core.probes.architecture import entropy, probabilities
from nas_core.probes.calibration import CalibrationProbe
from nas_core.probes.costs import CostProbe
from nas_core.probes.identities import IdentityProbe
from nas_core.probes.losses import LossProbe
from nas_core.trainers.journal import Journal

PROBES = ("losses", "costs", "accuracy", "child")
CALIBRATION = "calibration"  # one more, for what C says of confidence
IDENTITIES = "identities"  # one more, for single paths of a network whose classifier has no bias
EVAL_BATCH = 250  # images a batch in evaluation mode; a relaxation that draws at random draws anew for each


class Observer:
    """Feeds the journal of a search.

    ``gates(stream)`` draws gates (layers, edges, ops) for evaluation; ``chosen``: the names of the probes that look.
    """

    def __init__(
        self,
        model: Supernet,
        data: Dataset,
        gates: Callable[[], Tensor],
        chosen: Collection[str],
        *,
        batch: int,
        device: str,
    ) -> None:
        self.model, self.data, self.gates, self.chosen = model, data, gates, chosen
        self.batch, self.device = batch, device
        self.space: Space = model.space
        self.journal = Journal()
        self.losses = LossProbe()
        self.costs = CostProbe(len(model.cell_type), leaks(self.space))
        self.train_costs = CostProbe(len(model.cell_type), leaks(self.space))
        self.calibration = CalibrationProbe()
        self.identities = IdentityProbe(len(model.cell_type), leaks(self.space))

    def see_losses(self, split: str, logits: Tensor, labels: Tensor) -> None:
        """The class logits (batch, classes) of a pass of the search."""
        if "losses" in self.chosen:
            self.losses.add(split, logits, labels)
        if CALIBRATION in self.chosen:
            self.calibration.add(split, logits, labels)
        if IDENTITIES in self.chosen:
            self.identities.expect(logits, labels)

    def see_costs(self, gates: Tensor, cost: Tensor, output_cost: Tensor, *, weights_half: bool = False) -> None:
        """Gates and costs (layers, edges, ops) and the costs of the outputs (layers,) of a pass of the search.

        ``weights_half``: on images that the weights learn from while the logits have images of their own.
        """
        if "costs" in self.chosen:
            probe = self.train_costs if weights_half else self.costs
            probe.add(gates, cost, output_cost)
        if IDENTITIES in self.chosen:
            self.identities.add(gates, cost)

    def see_architecture(self, logits: Tensor) -> None:
        """Probabilities, entropies and both derivations of masked logits (cell types, edges, ops)."""
        prob = probabilities(logits)
        self.journal.add_arrays({"prob": prob, "arch_entropy": entropy(prob)})
        for name, rule in DERIVE_RULES.items():
            cells = [rule(p, self.space.candidates, self.space.topology) for p in prob.numpy()]
            self.journal.add_genotype(name, Genotype(*cells))

    def close_epoch(self, epoch: int) -> None:
        """Sum up what the probes saw since the last epoch, and measure the supernet on validation images."""
        if "losses" in self.chosen:
            for row in self.losses.close(epoch):
                self.journal.add_row("losses", **row)
        if "costs" in self.chosen:
            self.journal.add_arrays(self.costs.close())
            self._close_train_costs()
        if CALIBRATION in self.chosen:
            self.journal.add_arrays(self.calibration.close())
        if IDENTITIES in self.chosen:
            self.journal.add_arrays(self.identities.close())
        if "accuracy" in self.chosen:
            self._add_accuracy(epoch, "supernet", "as trained", "valid", self._supernet())

    def _close_train_costs(self) -> None:
        """The costs on the training half, if they were measured, as ``train_edge_cost`` and so on."""
        if self.train_costs.totals["batches"]:
            arrays = self.train_costs.close()
            self.journal.add_arrays({f"train_{name}": array for name, array in arrays.items()})

    def close_run(self, epoch: int, logits: Tensor) -> None:
        """Test accuracy of the supernet and of both children, with statistics as trained and recalibrated."""
        if "child" not in self.chosen:
            return
        networks = {"supernet": self._supernet()}
        prob = probabilities(logits).numpy()
        for name, rule in DERIVE_RULES.items():
            networks[f"child ({name})"] = self._child(
                [rule(p, self.space.candidates, self.space.topology) for p in prob]
            )
        for name, network in networks.items():
            fresh = recalibrated(network, self.data.batches("train", self.batch, self.device))
            self._add_accuracy(epoch, name, "as trained", "test", network)
            self._add_accuracy(epoch, name, "recalibrated", "test", fresh)

    def _supernet(self) -> Child:
        return Child(self.model, self.gates)

    def _child(self, cells: list[Any]) -> Child:
        """The supernet with the gates of derived cells, one a cell type."""
        chosen = torch.stack([genotype_gates(cell, self.space.candidates, self.space.topology) for cell in cells])
        gates = chosen[torch.tensor(self.model.cell_type)].to(next(self.model.parameters()))
        return Child(self.model, lambda: gates)

    def _add_accuracy(self, epoch: int, network: str, statistics: str, split: str, child: Child) -> None:
        value = accuracy(child, self.data.batches(split, EVAL_BATCH, self.device))
        self.journal.add_row("accuracy", epoch=epoch, network=network, statistics=statistics, split=split, acc=value)

    def state(self) -> dict[str, Any]:
        """Journal, and what the probes have summed since the last epoch; of probes that few runs have, only there."""
        state = {"journal": self.journal.state(), "losses": self.losses.sums, "costs": self.costs.totals}
        beyond = set(self.chosen) - set(PROBES)
        if beyond or self.train_costs.totals["batches"]:
            state["train_costs"] = self.train_costs.totals
        if beyond:
            state["calibration"] = self.calibration.sums
        if IDENTITIES in self.chosen:
            state["identities"] = self.identities.totals
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.journal.load_state(state["journal"])
        self.losses.sums = dict(state["losses"])
        self.costs.totals = copy.deepcopy(state["costs"])
        self.train_costs.close()
        if "train_costs" in state:
            self.train_costs.totals = copy.deepcopy(state["train_costs"])
        self.calibration.sums = copy.deepcopy(state.get("calibration", {}))
        if IDENTITIES in self.chosen:
            self.identities.totals = dict(state["identities"])


def leaks(space: Space) -> Tensor:
    """Where a cost is passed on (Theorem 1): skip on intermediate edges; bool, (edges, ops)."""
    edges = torch.zeros(len(space.topology.edges), 1, dtype=torch.bool)
    edges[list(space.topology.intermediate_edges)] = True
    skips = torch.tensor([op == "skip_connect" for op in space.candidates])
    return edges & skips
