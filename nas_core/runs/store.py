"""The record store: one folder a record, written whole or not at all, verified whenever it is opened."""

from __future__ import annotations

import hashlib
import io
import json
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
from nas_core.runs.files import new_folder, write_atomic
from nas_core.runs.tree import Damaged

if TYPE_CHECKING:
    from nas_core.config import RunConfig
    from nas_core.trainers import Result

FORMAT = 2  # of the files of a record


def location() -> Path:
    """Where records live: ``$NAS_RUNS``, or ``.runs`` beside the package's pyproject.toml, or in the current folder."""
    if chosen := os.environ.get("NAS_RUNS"):
        return Path(chosen).expanduser().absolute()
    return (repository() or Path.cwd()) / ".runs"


def repository() -> Path | None:
    """The checkout this package runs from, or None when it is installed elsewhere."""
    above = Path(__file__).resolve().parents[2]
    return above if (above / "pyproject.toml").exists() else None


@dataclass(frozen=True)
class Record:
    """What a run left behind; its tables, arrays and weights are read when asked for."""

    config: RunConfig
    folder: Path
    provenance: dict[str, Any]

    def table(self, name: str) -> pd.DataFrame:
        """The table ``name``, exactly as the trainer returned it."""
        dtypes = self._meta["tables"][choose("table", name, self._meta["tables"])]
        return _table((self.folder / f"{name}.csv").read_text("utf8"), dtypes)

    def array(self, name: str) -> np.ndarray:
        """The array ``name``, exactly as the trainer returned it."""
        return self._arrays[choose("array", name, self._arrays)]

    def weights(self) -> dict[str, torch.Tensor]:
        """The final weights by name; empty when the run keeps none."""
        return tree.load(self.folder / "weights.safetensors")

    @property
    def genotypes(self) -> dict[str, list[Genotype]]:
        """The derived genotypes by name, usually one for every epoch."""
        return {k: [Genotype.from_json(json.dumps(g)) for g in v] for k, v in self._meta["genotypes"].items()}

    @cached_property
    def _meta(self) -> dict[str, Any]:
        return read_meta(self.folder)

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return tree.load(self.folder / "arrays.safetensors")


def write_record(
    folder: Path, config: RunConfig, result: Result, provenance: dict[str, Any], anchors: dict[str, Any]
) -> None:
    """Write the record of a finished run; ``anchors`` are what :mod:`nas_core.runs.replay` needs."""
    meta: dict[str, Any] = {
        "format": FORMAT,
        "key": config.key(),
        "config": config.model_dump(mode="json"),
        "provenance": provenance,
        "genotypes": {k: [json.loads(g) for g in v] for k, v in result.genotypes.items()},
        "tables": {k: {str(c): str(t) for c, t in f.dtypes.items()} for k, f in result.tables.items()},
        "contents": contents(result),
    }
    with new_folder(folder) as fresh:
        for name, frame in result.tables.items():
            write_atomic(fresh / f"{name}.csv", _csv(name, frame).encode())
        for name, values in (("arrays", result.arrays), ("weights", result.weights), ("anchors", anchors)):
            tree.save(fresh / f"{name}.safetensors", values)
        meta["files"] = {path.name: _sha256(path.read_bytes()) for path in sorted(fresh.iterdir())}
        write_meta(fresh, meta)


def contents(result: Result) -> dict[str, str]:
    """A digest of every table, array, genotype list and weight of a result: what "equal bit for bit" compares."""
    tables = {k: _csv(k, frame) for k, frame in result.tables.items()}
    kinds: dict[str, dict[str, Any]]
    kinds = {"table": tables, "array": result.arrays, "genotypes": result.genotypes, "weight": result.weights}
    return {f"{kind} {k}": tree.digest(v) for kind, values in kinds.items() for k, v in values.items()}


def open_record(folder: Path, config: RunConfig) -> Record:
    """The record in ``folder``, every file of it verified; raises :class:`Damaged`."""
    meta = read_meta(folder)
    if meta["format"] != FORMAT:
        raise Damaged(f"{folder / 'record.json'} has format {meta['format']}, not {FORMAT}")
    if meta["config"] != config.model_dump(mode="json"):
        raise Damaged(f"{folder / 'record.json'} belongs to another configuration")
    for path, expected in [(folder / name, sha256) for name, sha256 in meta["files"].items()]:
        if not path.is_file():
            raise Damaged(f"{path} is missing")
        if _sha256(path.read_bytes()) != expected:
            raise Damaged(f"{path} does not match its checksum")
    return Record(config, folder, meta["provenance"])


def read_meta(folder: Path) -> dict[str, Any]:
    """The content of record.json, checked against the checksum it carries of itself."""
    path = folder / "record.json"
    try:
        meta = json.loads(path.read_bytes())
        claimed = meta.pop("sha256")
    except Exception as error:  # unreadable, no JSON, another shape: all are damage
        raise Damaged(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    if claimed != _sha256(json.dumps(meta).encode()):
        raise Damaged(f"{path} does not match its checksum")
    return meta


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write record.json, with a checksum of itself."""
    text = json.dumps({**meta, "sha256": _sha256(json.dumps(meta).encode())}, indent=1)
    write_atomic(folder / "record.json", text.encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _csv(name: str, frame: pd.DataFrame) -> str:
    """The table as CSV; raises ValueError when reading that back would not give the same table."""
    text = frame.to_csv(index=False, lineterminator="\n")
    try:
        again = _table(text, {str(c): str(t) for c, t in frame.dtypes.items()})
        pd.testing.assert_frame_equal(frame, again, check_exact=True)
    except (AssertionError, ValueError, TypeError) as error:
        raise ValueError(f"table {name!r} cannot be stored exactly as CSV: {error}") from error
    return text


def _table(text: str, dtypes: dict[str, str]) -> pd.DataFrame:
    """A table from its CSV; only a float can be missing, so that the texts "" and "NA" stay what they are."""
    floats = {k: lambda cell: float(cell or "nan") for k, kind in dtypes.items() if kind.startswith("float")}
    others = {k: kind for k, kind in dtypes.items() if k not in floats}
    return pd.read_csv(io.StringIO(text), converters=floats, dtype=others, keep_default_na=False).astype(dtypes)
