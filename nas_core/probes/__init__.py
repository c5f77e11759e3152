"""What a run observes: losses split by correctness, local costs, architecture distributions, accuracies."""

from nas_core.probes.accuracy import Child, accuracy, recalibrated
from nas_core.probes.architecture import entropy, probabilities
from nas_core.probes.costs import CostProbe
from nas_core.probes.losses import LossProbe, loss_terms

__all__ = ["Child", "CostProbe", "LossProbe", "accuracy", "entropy", "loss_terms", "probabilities", "recalibrated"]
