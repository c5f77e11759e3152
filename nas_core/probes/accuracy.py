"""Accuracy of the supernet and of derived children inside it, without retraining."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from nas_core.cells.genotype import CellGenotype
from nas_core.cells.supernet import Supernet
from nas_core.cells.topology import Topology

Batches = Iterable[tuple[Tensor, Tensor]]


class Child(nn.Module):
    """A supernet with its gates set: ``gates()`` gives (layers, edges, ops) anew for every batch.

    ``images``: (batch, channels, height, width); gives the class logits, (batch, classes).
    """

    def __init__(self, supernet: Supernet, gates: Callable[[], Tensor]) -> None:
        super().__init__()
        self.supernet = supernet
        self.gates = gates

    def forward(self, images: Tensor) -> Tensor:
        return self.supernet(images, self.gates())


def genotype_gates(cell: CellGenotype, candidates: tuple[str, ...], topology: Topology) -> Tensor:
    """One-hot rows (edges, ops) that select a derived cell in the supernet; a dropped edge is a row of zeros.

    Raises ``ValueError`` for an edge or an operation that the supernet lacks.
    """
    gates = np.zeros((len(topology.edges), len(candidates)), dtype=np.float32)
    for source, target, op in cell.edges:
        edge = topology.edges.index((source, target))
        gates[edge, candidates.index(op)] = 1
    return torch.from_numpy(gates)


@torch.no_grad()
def accuracy(network: nn.Module, batches: Batches) -> float:
    """Share of correctly classified images, with running statistics; the network's mode is left as it was."""
    training = network.training
    network.eval()
    hits = []
    for images, labels in batches:
        hits.append(network(images).argmax(1) == labels)
    network.train(training)
    return torch.cat(hits).double().mean().item()


@torch.no_grad()
def recalibrated(child: Child, batches: Batches) -> Child:
    """A copy whose batch-norm statistics are those of the child itself, averaged over ``batches``."""
    fresh = Child(copy.deepcopy(child.supernet), child.gates)
    update_bn(batches, fresh)
    return fresh
