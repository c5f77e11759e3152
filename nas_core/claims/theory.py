"""Nulls of the statistical claims that notebooks measure without runs.

Claims of agreement within standard errors (T-W2b, T-W11, T-W11b) have none: chance alone is what they are about.
"""

from nas_core.claims.check import NULLS
from nas_core.claims.nulls import Beside

NULLS["T-D3"] = Beside("a smooth problem", "T-D1b")
NULLS["T-W2c"] = Beside("the other edge is none", "T-W2d")
