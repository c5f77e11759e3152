"""A null for claims on tables: their epochs in another order."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nas_core.claims.nulls import Altered, Change, Shuffled
from nas_core.runs import Record


@dataclass(frozen=True)
class ShuffledTables(Shuffled):
    """The claim's records with the epochs of their tables changed by ``change``, :data:`DRAWS` times."""

    def altered(self, record: Record, rng: np.random.Generator) -> Altered:
        """The record as a draw has it."""
        return AlteredTables(record, self.change, rng)


class AlteredTables(Altered):
    """A record whose tables have their epochs in another order; all else is the record's."""

    def __init__(self, record: Record, change: Change, rng: np.random.Generator) -> None:
        super().__init__(record, change, rng)
        self._tables: dict[str, pd.DataFrame] = {}

    def array(self, name: str) -> np.ndarray:
        """The record's own."""
        return self._record.array(name)

    def table(self, name: str) -> pd.DataFrame:
        """The table ``name``, changed once: every epoch's rows stand where another epoch's were."""
        if name not in self._tables:
            table = self._record.table(name)
            epochs = np.unique(table["epoch"])
            renamed = dict(zip(self._change(epochs, self._rng), epochs, strict=True))
            moved = table.assign(epoch=table["epoch"].map(renamed))
            self._tables[name] = moved.sort_values("epoch", kind="stable")
        return self._tables[name]
