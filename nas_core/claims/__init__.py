"""Claims: from records to verdicts. One file a paper; a claim's sentence, grade and scale are in papers/claims.csv."""

from nas_core.claims import (
    darts_levels,
    mixpath,
    mixpath_cells,
    mixpath_detection,
    mixpath_front,
    proxyless,
    proxyless_chains,
    snas,
    snas_cells,
    theory,
    wiring,
    wiring_ablations,
    wiring_costs,
    wiring_levels,
    wiring_remedies,
    wiring_robustness,
)
from nas_core.claims.check import CHECKS, Measured, evaluate, holds, per_seed
from nas_core.claims.verdict import VERDICTS, Null, Verdict

__all__ = [
    "CHECKS",
    "VERDICTS",
    "Measured",
    "Null",
    "Verdict",
    "darts_levels",
    "evaluate",
    "holds",
    "mixpath",
    "mixpath_cells",
    "mixpath_detection",
    "mixpath_front",
    "per_seed",
    "proxyless",
    "proxyless_chains",
    "snas",
    "snas_cells",
    "theory",
    "wiring",
    "wiring_ablations",
    "wiring_costs",
    "wiring_levels",
    "wiring_remedies",
    "wiring_robustness",
]
