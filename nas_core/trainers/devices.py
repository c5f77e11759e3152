"""Devices: which names settings may use, and whether what they name is here.

Settings say where a run is computed, which may be another machine than the one that they are made on. So a name is
checked when settings are made, and that the device exists where the run is built.
"""

import re

import torch

from nas_core.errors import UserError

NAMED = re.compile(r"cpu|mps|meta|cuda(:\d{1,3})?")
WITHOUT_NUMBERS = "meta"  # shapes alone: torch has it everywhere, for tests
ALLOWED = "cpu; cuda, or cuda:0, cuda:1, ... where there are several; mps"


def check_name(device: str) -> str:
    """``device``, if it is a name that settings may use; otherwise a :class:`UserError`."""
    if NAMED.fullmatch(device) is None:
        raise UserError(f"unknown device {device!r}. Allowed: {ALLOWED}.")
    return device


def check_present(device: str) -> None:
    """Raise :class:`UserError` unless this machine has ``device`` and torch can use it."""
    kind, _, number = check_name(device).partition(":")
    here = present()
    if kind not in (*here, WITHOUT_NUMBERS):
        raise UserError(f"there is no device {device!r} here, or torch cannot use it. Allowed: {', '.join(here)}.")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise UserError(f"there is no device {device!r}: the last one here is cuda:{torch.cuda.device_count() - 1}.")


def present() -> list[str]:
    """The kinds of devices that this machine has and torch can use."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found
