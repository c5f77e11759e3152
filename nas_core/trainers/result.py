"""What a trainer gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass
class Result:
    """Tidy tables, arrays whose first axis is the epoch, and genotypes (one JSON line an epoch)."""

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    genotypes: dict[str, list[str]] = field(default_factory=dict)
