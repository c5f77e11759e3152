"""What the tests of the theorems share.

Where the papers ask for eps = 0, eps is 1e-30: the same numbers in float64, and PyTorch accepts it.
"""

from __future__ import annotations

import torch
from small import batch, path
from torch import Tensor

from nas_core.cells.operations import CANDIDATES
from nas_core.cells.supernet import Supernet
from nas_core.probes.passes import Pass, backward

NO_EPS = 1e-30
PASSES_NOTHING_ON = tuple(op for op in CANDIDATES if op != "skip_connect")
DEGREE_0 = tuple(op for op in PASSES_NOTHING_ON if op != "none")
FIXED = ("sep_conv_3x3", "dil_conv_3x3", "sep_conv_5x5", "avg_pool_3x3")  # on edges 0 to 3, as in T-W1
SKIP = CANDIDATES.index("skip_connect")


def at_node_2(model: Supernet, last: str, seed: int = 1) -> tuple[Pass, Tensor, Tensor]:
    """The pass with FIXED and ``last``; what node 2 pays beyond its output edge (T-W1's r); the scale of the costs."""
    seen = backward(model, path(model, *FIXED, last), *batch(seed=seed))
    rest = seen.cost[:2].sum() - seen.to_output(2)
    return seen, rest, torch.maximum(seen.cost.abs().max(), seen.to_output(2).abs())
