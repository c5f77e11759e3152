"""What is kept of a run: its record and, until that is there, checkpoints; every file is verified when it is read.

Checkpoints are written every few seconds, at any step, so that a killed run goes on where it was.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas_core.cells.genotype import Genotype
from nas_core.trainers.settings import RunConfig
from nas_core.errors import UserError, choose
from nas_core.runs import tree
from nas_core.runs.tree import Damaged
from nas_core.trainers.result import Result

FILE, ANCHORS, FORMAT = "record.safetensors", "anchors.safetensors", 3


def location() -> Path:
    """Where records live: ``$NAS_RUNS``, or ``.runs`` beside the package's pyproject.toml, or in the current folder."""
    if chosen := os.environ.get("NAS_RUNS"):
        return Path(chosen).expanduser().absolute()
    return (repository() or Path.cwd()) / ".runs"


def repository() -> Path | None:
    """The checkout this package runs from, or None when it is installed elsewhere."""
    above = Path(__file__).resolve().parents[2]
    return above if (above / "pyproject.toml").exists() else None


def folder_of(key: str) -> Path:
    """Where everything about the run ``key`` lies."""
    return location() / "records" / key


@dataclass(frozen=True)
class Record:
    """What a run left behind."""

    config: RunConfig
    folder: Path
    provenance: dict[str, Any]
    result: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)  # see :func:`plain`

    def table(self, name: str) -> pd.DataFrame:
        """The table ``name``, exactly as the trainer returned it."""
        return pd.DataFrame(self.result["table"][choose("table", name, self.result["table"])])

    def array(self, name: str) -> np.ndarray:
        """The array ``name``, exactly as the trainer returned it."""
        return self.result["array"][choose("array", name, self.result["array"])]

    @property
    def genotypes(self) -> dict[str, list[Genotype]]:
        """The derived genotypes by name, usually one for every epoch."""
        return {k: [Genotype.from_json(text) for text in v] for k, v in self.result["genotypes"].items()}


def write_record(
    folder: Path, config: RunConfig, result: Result, provenance: dict[str, Any], anchors: dict[str, Any]
) -> None:
    """Write the record of a finished run; ``anchors`` are for :mod:`nas_core.runs.replay` alone."""
    content = {"config": config.model_dump(mode="json"), "provenance": provenance, "result": plain(result)}
    tree.save(folder / ANCHORS, anchors)
    tree.save(folder / FILE, {"format": FORMAT, **content})


def plain(result: Result) -> dict[str, dict[str, Any]]:
    """A result as it is stored: tables by their columns."""
    tables = {name: _columns(name, frame) for name, frame in result.tables.items()}
    return {"table": tables, "array": result.arrays, "genotypes": result.genotypes}


def read(folder: Path) -> dict[str, Any]:
    """All that a record holds; raises :class:`Damaged`."""
    content = tree.load(folder / FILE)
    if content["format"] != FORMAT:
        raise Damaged(f"{folder / FILE} has format {content['format']}, not {FORMAT}")
    return content


def open_record(folder: Path, config: RunConfig) -> Record:
    """The record in ``folder``, every bit of it verified; raises :class:`Damaged`."""
    content = read(folder)
    if content["config"] != config.model_dump(mode="json"):
        raise Damaged(f"{folder / FILE} belongs to another configuration")
    return Record(config, folder, content["provenance"], content["result"])


def _columns(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """A table's columns, numbers as arrays and the rest as lists; raises ValueError where that would lose something."""
    columns = {str(k): v.to_numpy() if v.dtype.kind in "biuf" else v.tolist() for k, v in frame.items()}
    try:
        pd.testing.assert_frame_equal(frame, pd.DataFrame(columns), check_exact=True)
    except AssertionError as error:
        raise ValueError(f"table {name!r} cannot be stored exactly: {error}") from error
    return columns


def interval() -> float:
    """Seconds between two checkpoints: ``$NAS_CHECKPOINT_SECONDS``, by default 15."""
    text = os.environ.get("NAS_CHECKPOINT_SECONDS", "15")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"NAS_CHECKPOINT_SECONDS must be a number of seconds, not {text!r}.") from None


def save_checkpoint(folder: Path, step: int, state: Any) -> None:
    """Write the state after ``step`` steps; of those before, only the newest stays, in case this one is damaged."""
    tree.save(folder / f"step-{step:09d}.safetensors", state)
    clear_checkpoints(folder, keep=2)


def latest_checkpoint(folder: Path, say: Callable[[str], object]) -> Any | None:
    """The newest intact state, or None; a damaged one is named through ``say`` and removed."""
    for path in reversed(checkpoints(folder)):
        try:
            return tree.load(path)
        except Damaged as error:
            say(f"damaged checkpoint: {error}; using the one before it, if any")
            path.unlink(missing_ok=True)
    return None


def clear_checkpoints(folder: Path, keep: int = 0) -> None:
    """Remove all but the newest ``keep`` checkpoints, and what a killed process left half-written."""
    paths = checkpoints(folder)
    for path in [*paths[: len(paths) - keep], *folder.glob(".*")]:
        path.unlink(missing_ok=True)


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints of a run, the newest last."""
    return sorted(folder.glob("step-*.safetensors"))
