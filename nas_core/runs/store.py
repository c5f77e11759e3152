"""The record store: one folder a record, written whole or not at all, verified whenever it is opened."""

from __future__ import annotations

import csv
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
from nas_core.runs.files import new_folder, write_atomic, writing
from nas_core.runs.tree import Damaged

if TYPE_CHECKING:
    from nas_core.config import RunConfig
    from nas_core.trainers import Result


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
        choose("table", name, self._meta["tables"])
        return _table((self.folder / f"{name}.csv").read_text("utf8"), self._meta["tables"][name])

    def array(self, name: str) -> np.ndarray:
        """The array ``name``, exactly as the trainer returned it."""
        return self._arrays[choose("array", name, self._arrays)]

    def weights(self) -> dict[str, torch.Tensor]:
        """The final weights by name; empty when the run keeps none."""
        path = self.folder / "weights.safetensors"
        return tree.load(path) if path.exists() else {}

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
    """Write the record of a finished run; ``anchors`` are its replay anchors (see :mod:`nas_core.runs.replay`)."""
    meta: dict[str, Any] = {
        "format": 1,
        "key": config.key(),
        "config": config.model_dump(mode="json"),
        "provenance": provenance,
        "genotypes": {k: [json.loads(g) for g in v] for k, v in result.genotypes.items()},
        "tables": {k: {c: str(t) for c, t in f.dtypes.items()} for k, f in result.tables.items()},
        "contents": contents(result),
        "anchors": {name: {k: v for k, v in a.items() if k != "state"} for name, a in anchors.items()},
    }
    with new_folder(folder) as fresh:
        for name, frame in result.tables.items():
            write_atomic(fresh / f"{name}.csv", _table_bytes(name, frame))
        tree.save(fresh / "arrays.safetensors", result.arrays)
        if result.weights:
            tree.save(fresh / "weights.safetensors", result.weights)
        with writing(fresh):
            (fresh / "anchors").mkdir()
        for name, anchor in anchors.items():
            if anchor["state"] is not None:
                tree.save(fresh / "anchors" / f"{name}.safetensors", anchor["state"])
        meta["files"] = {str(p.relative_to(fresh)): _sha256(p) for p in sorted(fresh.rglob("*")) if p.is_file()}
        write_meta(fresh, meta)


def contents(result: Result) -> dict[str, str]:
    """A digest of every table, array, genotype list and weight of a result: what "equal bit for bit" compares."""
    out = {f"table {k}": hashlib.sha256(_table_bytes(k, f)).hexdigest() for k, f in result.tables.items()}
    out |= {f"array {k}": tree.digest(a) for k, a in result.arrays.items()}
    out |= {f"genotypes {k}": tree.digest([json.loads(g) for g in v]) for k, v in result.genotypes.items()}
    return out | {f"weight {k}": tree.digest(w) for k, w in result.weights.items()}


def open_record(folder: Path, config: RunConfig) -> Record:
    """The record in ``folder``, every file of it verified; raises :class:`Damaged`."""
    meta = read_meta(folder)
    if meta["config"] != config.model_dump(mode="json"):
        raise Damaged(f"{folder / 'record.json'} belongs to another configuration")
    for name, expected in meta["files"].items():
        if not (folder / name).is_file():
            raise Damaged(f"{folder / name} is missing")
        if _sha256(folder / name) != expected:
            raise Damaged(f"{folder / name} does not match its checksum")
    return Record(config, folder, meta["provenance"])


def read_meta(folder: Path) -> dict[str, Any]:
    """The content of record.json, checked against the checksum it carries of itself."""
    path = folder / "record.json"
    try:
        meta = json.loads(path.read_bytes())
        claimed = meta.pop("sha256")
    except Exception as error:  # unreadable, no JSON, another shape: all are damage
        raise Damaged(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    if claimed != _meta_sha256(meta):
        raise Damaged(f"{path} does not match its checksum")
    return meta


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write record.json, with a checksum of itself."""
    text = json.dumps({**meta, "sha256": _meta_sha256(meta)}, indent=1)
    write_atomic(folder / "record.json", text.encode())


def _meta_sha256(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table_bytes(name: str, frame: pd.DataFrame) -> bytes:
    """The table as CSV; raises ValueError when reading that back would not give the same table."""
    text = frame.to_csv(index=False, lineterminator="\n")
    try:
        again = _table(text, {str(c): str(t) for c, t in frame.dtypes.items()})
        pd.testing.assert_frame_equal(frame, again, check_exact=True)
    except (AssertionError, ValueError, TypeError) as error:
        raise ValueError(f"table {name!r} cannot be stored exactly as CSV: {error}") from error
    return text.encode()


def _table(text: str, dtypes: dict[str, str]) -> pd.DataFrame:
    """A table from its CSV; only a float can be missing, so that the texts "" and "NA" stay what they are."""
    rows = list(csv.reader(io.StringIO(text)))[1:]
    return pd.DataFrame(
        {name: _column([row[i] for row in rows], kind) for i, (name, kind) in enumerate(dtypes.items())}
    )


def _column(cells: list[str], kind: str) -> pd.Series:
    if kind.startswith("float"):
        return pd.Series([float(cell or "nan") for cell in cells], dtype=kind)
    if kind.startswith(("int", "uint")):
        return pd.Series([int(cell) for cell in cells], dtype=kind)
    if kind == "bool":
        return pd.Series([cell == "True" for cell in cells], dtype=kind)
    return pd.Series(cells, dtype=kind)
