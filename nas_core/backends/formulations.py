"""Three formulations of one supernet: the same parameters and, to round-off, the same numbers.

``plain`` has a module for each edge and operation: it is the definition, and does everything. ``fused`` computes all
edges that leave a node together, for the papers' blocks. ``native`` is ``fused`` in C++, once ``make native`` built it.
"""

from __future__ import annotations

from nas_core.backends import native
from nas_core.backends.declarations import supported
from nas_core.backends.fused import FusedSupernet
from nas_core.cells.operations import Style
from nas_core.cells.supernet import Supernet

FORMULATIONS: dict[str, type[Supernet]] = {"plain": Supernet, "fused": FusedSupernet, "native": native.NativeSupernet}


def possible(style: Style, *, twice: bool, device: str) -> tuple[str, ...]:
    """The formulations that can compute a supernet, the fastest last.

    ``twice``: whether its gradients are differentiated again, which only the plain one's are.
    """
    if twice or not supported(style):
        return ("plain",)
    if device == "cpu" and native.built():
        return ("plain", "fused", "native")
    return ("plain", "fused")
