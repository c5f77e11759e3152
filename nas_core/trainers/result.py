"""What a trainer gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from torch import Tensor

from nas_core.cells.genotype import Genotype


@dataclass
class Result:
    """Tidy ``tables``, ``arrays`` whose first axis is the epoch, ``genotypes``, and ``weights`` for a later run."""

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    genotypes: dict[str, list[Genotype]] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
