"""The record store: one file a record, which is there whole or not at all, and verified whenever it is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from nas_core.cells.genotype import Genotype
from nas_core.errors import choose
from nas_core.runs import tree
from nas_core.runs.tree import Damaged

if TYPE_CHECKING:
    from nas_core.config import RunConfig
    from nas_core.trainers import Result

FILE, FORMAT = "record.safetensors", 3


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
    """What a run left behind; its tables, arrays and weights are read when asked for."""

    config: RunConfig
    folder: Path
    provenance: dict[str, Any]

    def table(self, name: str) -> pd.DataFrame:
        """The table ``name``, exactly as the trainer returned it."""
        return pd.DataFrame(self._result["table"][choose("table", name, self._result["table"])])

    def array(self, name: str) -> np.ndarray:
        """The array ``name``, exactly as the trainer returned it."""
        return self._result["array"][choose("array", name, self._result["array"])]

    def weights(self) -> dict[str, torch.Tensor]:
        """The final weights by name; empty when the run keeps none."""
        return self._result["weight"]

    @property
    def genotypes(self) -> dict[str, list[Genotype]]:
        """The derived genotypes by name, usually one for every epoch."""
        return {k: [Genotype.from_json(text) for text in v] for k, v in self._result["genotypes"].items()}

    @cached_property
    def _result(self) -> dict[str, Any]:
        return read(self.folder)["result"]


def write_record(
    folder: Path, config: RunConfig, result: Result, provenance: dict[str, Any], anchors: dict[str, Any]
) -> None:
    """Write the record of a finished run; ``anchors`` are what :mod:`nas_core.runs.replay` needs."""
    content = {"format": FORMAT, "config": config.model_dump(mode="json"), "provenance": provenance}
    tree.save(folder / FILE, {**content, "result": plain(result), "anchors": anchors})


def plain(result: Result) -> dict[str, dict[str, Any]]:
    """A result as it is stored: tables by their columns."""
    tables = {name: _columns(name, frame) for name, frame in result.tables.items()}
    return {"table": tables, "array": result.arrays, "genotypes": result.genotypes, "weight": result.weights}


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
    return Record(config, folder, content["provenance"])


def _columns(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """A table's columns, numbers as arrays and the rest as lists; raises ValueError where that would lose something."""
    columns = {str(k): v.to_numpy() if v.dtype.kind in "biuf" else v.tolist() for k, v in frame.items()}
    try:
        pd.testing.assert_frame_equal(frame, pd.DataFrame(columns), check_exact=True)
    except AssertionError as error:
        raise ValueError(f"table {name!r} cannot be stored exactly: {error}") from error
    return columns
