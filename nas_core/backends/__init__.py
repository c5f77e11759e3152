"""The supernet of :mod:`nas_core.cells.supernet` computed faster, with the same parameters and the same numbers."""
