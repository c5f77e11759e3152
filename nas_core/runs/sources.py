"""The fingerprint of a run: all source that computes it, which is its trainer's module and what that imports.

Imports are read off the source, those inside functions included, so that nothing is executed. What no trainer
imports, and what only other trainers import, is no part of it.
"""

import hashlib
import platform
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from nas_core import plugins
from nas_core.errors import UserError
from nas_core.imports import Source, digest, follow
from nas_core.trainers.settings import RunConfig

PACKAGE = "nas_core"


def fingerprint(config: RunConfig) -> str:
    """A digest of all that computes the run, as this process has it: source, data beside it, torch, numpy, CPU."""
    module, _, _ = config.trainer.partition(":")
    return of_module(module, plugins.digest_of(module))


@cache
def of_module(module: str, loaded: str = "") -> str:
    """The fingerprint of runs whose trainer is in ``module``; ``loaded``: the digest of that plugin, if it is one."""
    parts = [digest(closure(module)), torch.__version__, np.__version__, platform.machine()]
    if loaded:
        parts.append(loaded)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def closure(module: str) -> dict[str, Source]:
    """``module``, all modules that it imports, those they import and so on, by name, as far as they are ours.

    Ours are those of this package and, for a trainer elsewhere, of its own package or in its own folder.
    """
    return follow(module, _folders(module))


def _folders(module: str) -> dict[str, Path]:
    """Where to look for modules: by the first part of their name, and for all others under "" if anywhere."""
    folders = {PACKAGE: Path(__file__).parents[2]}
    top, _, rest = module.partition(".")
    if top == PACKAGE:
        return folders
    spec = None if top == "__main__" else find_spec(top)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UserError(
            f"the trainer's module {module!r} is no file of Python source that can be imported, so its changes would "
            "go unseen; put the trainer into one."
        )
    origin = Path(spec.origin).resolve()
    folder = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    folders[top] = folder
    libraries = {Path(path).resolve() for path in sysconfig.get_paths().values()}
    if not rest and folder not in libraries:
        folders[""] = folder
    return folders
