"""Claims: from records to verdicts. One file a paper; a claim's sentence, grade and scale are in papers/claims.csv."""

from nas_core.claims import snas, wiring
from nas_core.claims.check import CHECKS, Measured, evaluate, holds, per_seed
from nas_core.claims.verdict import VERDICTS, Verdict

__all__ = ["CHECKS", "VERDICTS", "Measured", "Verdict", "evaluate", "holds", "per_seed", "snas", "wiring"]
