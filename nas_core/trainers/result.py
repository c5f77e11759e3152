"""What a trainer gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from torch import Tensor

from nas_core.cells.genotype import Genotype
from nas_core.errors import choose


@dataclass
class Result:
    """Tidy ``tables``, ``arrays`` whose first axis is the epoch, ``genotypes``, and ``weights`` for a later run."""

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    genotypes: dict[str, list[Genotype]] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def table(self, name: str) -> pd.DataFrame:
        """A copy of the table ``name``, as of a stored record; an unknown one is a :class:`UserError`."""
        return self.tables[choose("table", name, self.tables)].copy()

    def array(self, name: str) -> np.ndarray:
        """The array ``name``, as of a stored record; an unknown one is a :class:`UserError`."""
        return self.arrays[choose("array", name, self.arrays)]
