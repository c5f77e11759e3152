"""What a run writes down while it goes on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from nas_core.cells.genotype import Genotype
from nas_core.trainers.result import Result


class Journal:
    """Rows of tables, arrays one an epoch, and genotypes as lines of JSON; part of a trainer's state."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.arrays: dict[str, list[np.ndarray]] = {}
        self.genotypes: dict[str, list[str]] = {}

    def add_row(self, table: str, **values: Any) -> None:
        """A row of a table; all rows of a table have the same columns."""
        self.rows.setdefault(table, []).append(values)

    def add_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        """The arrays of an epoch, each of the same shape in every epoch."""
        for name, value in arrays.items():
            self.arrays.setdefault(name, []).append(value.numpy().copy())

    def add_genotype(self, name: str, genotype: Genotype) -> None:
        """A genotype, usually one an epoch."""
        self.genotypes.setdefault(name, []).append(genotype.to_json())

    def state(self) -> dict[str, Any]:
        """All that was written so far."""
        return {"rows": self.rows, "arrays": self.arrays, "genotypes": self.genotypes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.rows = copy.deepcopy(state["rows"])
        self.arrays = copy.deepcopy(state["arrays"])
        self.genotypes = copy.deepcopy(state["genotypes"])

    def result(self, weights: dict[str, Tensor] | None = None) -> Result:
        """Tables, arrays whose first axis is the epoch, genotypes, and ``weights`` if a later run needs them."""
        return Result(
            tables={name: pd.DataFrame(rows) for name, rows in self.rows.items()},
            arrays={name: np.stack(values) for name, values in self.arrays.items()},
            genotypes={name: [Genotype.from_json(line) for line in lines] for name, lines in self.genotypes.items()},
            weights=weights or {},
        )
