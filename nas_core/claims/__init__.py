"""Claims: from records to verdicts. One file a paper; a claim's sentence, grade and scale are in papers/claims.csv."""

from nas_core.claims import (
    mixpath_detection,
    snas,
    theory,
    wiring,
    wiring_ablations,
    wiring_costs,
    wiring_levels,
)
from nas_core.claims.check import CHECKS, Measured, evaluate, holds, per_seed
from nas_core.claims.verdict import VERDICTS, Null, Verdict

__all__ = [
    "CHECKS",
    "VERDICTS",
    "Measured",
    "Null",
    "Verdict",
    "evaluate",
    "holds",
    "mixpath_detection",
    "per_seed",
    "snas",
    "theory",
    "wiring",
    "wiring_ablations",
    "wiring_costs",
    "wiring_levels",
]
