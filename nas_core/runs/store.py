"""Records: what is kept of a run that is done, as files that other tools open; all of it is verified when it is read.

A record that is not whole, or that belongs to another run, is :class:`Damaged`: named, and never used.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy
import safetensors.torch
from torch import Tensor

from nas_core.cells.genotype import Genotype
from nas_core.files import location, remove, write_together, writing
from nas_core.runs import tables, tree
from nas_core.runs.checkpoints import write_state
from nas_core.runs.tree import Damaged
from nas_core.trainers.result import Result
from nas_core.trainers.settings import RunConfig

RECORD, ANCHORS = "record.json", "anchors.safetensors"
ARRAYS, WEIGHTS = "arrays.safetensors", "weights.safetensors"
FORMAT = 4
SECTIONS = ("config", "provenance", "tables", "genotypes", "files")


def folder_of(key: str) -> Path:
    """Where everything about the run ``key`` lies."""
    return location() / "records" / key


@dataclass(frozen=True)
class Record:
    """What a run left behind; ``result`` is as the trainer returned it."""

    config: RunConfig
    folder: Path
    provenance: dict[str, Any]
    result: Result = field(repr=False, compare=False)

    def table(self, name: str) -> pd.DataFrame:
        """The table ``name``."""
        return self.result.table(name)

    def array(self, name: str) -> np.ndarray:
        """The array ``name``."""
        return self.result.array(name)

    @property
    def genotypes(self) -> dict[str, list[Genotype]]:
        """The derived genotypes by name, usually one for every epoch."""
        return self.result.genotypes

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights by name, where a later run needs them."""
        return self.result.weights

    @cached_property
    def digest(self) -> str:
        """Equal for two records exactly when their results are equal bit for bit."""
        parts = digests(self.result)
        return tree.digest(dict(sorted(parts.items())))  # arrays come from their file in a random order


def digests(result: Result) -> dict[str, str]:
    """A digest of every part of a result: what "equal bit for bit" compares."""
    found = {}
    for name, frame in result.tables.items():
        found[f"table {name}"] = _sha256(tables.encode(name, frame) + repr(tables.columns(frame)).encode())
    for name, array in result.arrays.items():
        found[f"array {name}"] = tree.digest(array)
    for name, genotypes in result.genotypes.items():
        found[f"genotypes {name}"] = tree.digest([asdict(genotype) for genotype in genotypes])
    for name, weight in result.weights.items():
        found[f"weights {name}"] = tree.digest(weight)
    return found


def write_record(
    folder: Path, config: RunConfig, result: Result, provenance: dict[str, Any], anchors: dict[str, Any]
) -> None:
    """Write the record of a finished run; ``anchors`` are for :mod:`nas_core.runs.replay` alone.

    Raises ValueError, before anything is written, where the result cannot be stored exactly.
    """
    files = _files(result)
    genotypes = {}
    for name, every in result.genotypes.items():
        genotypes[name] = [asdict(each) for each in every]
    content = {
        "format": FORMAT,
        "config": config.identity(),
        "provenance": provenance,
        "tables": {name: tables.columns(frame) for name, frame in result.tables.items()},
        "genotypes": genotypes,
        "files": {name: _sha256(data) for name, data in files.items()},
    }
    files[RECORD] = _signed(content)  # the last to be renamed: until then there is no record, or it does not match
    write_state(folder / ANCHORS, config, anchors)
    for name in files:
        if (folder / name).is_dir():
            remove(folder / name)
    with writing(folder / RECORD):
        write_together({folder / name: data for name, data in files.items()})
    for path in folder.glob("*.csv"):
        if path.name not in files:
            remove(path)  # a table of an earlier record


def rewrite_provenance(record: Record) -> None:
    """Write what ``record.provenance`` says now into the record."""
    content, _ = read(record.folder)
    content["provenance"] = record.provenance
    with writing(record.folder / RECORD):
        write_together({record.folder / RECORD: _signed(content)})


def read(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What a record's JSON says and its other files by name, all of it verified; raises :class:`Damaged`."""
    path = folder / RECORD
    content = _read_json(path)
    if content.get("format") != FORMAT:
        raise Damaged(f"{path} has format {content.get('format')}, not {FORMAT}")
    missing = [name for name in SECTIONS if not isinstance(content.get(name), dict)]
    if missing:
        raise Damaged(f"{path} lacks {', '.join(missing)}")
    files = {}
    for name, sha256 in content["files"].items():
        try:
            files[name] = (folder / name).read_bytes()
        except OSError as error:
            raise Damaged(f"{folder / name} cannot be read ({error.strerror})") from error
        if _sha256(files[name]) != sha256:
            raise Damaged(f"{folder / name} does not match its checksum in {RECORD}")
    return content, files


def open_record(folder: Path, config: RunConfig) -> Record:
    """The record in ``folder``, every bit of it verified; raises :class:`Damaged`."""
    content, files = read(folder)
    if content["config"] != json.loads(json.dumps(config.identity())):
        raise Damaged(f"{folder / RECORD} belongs to another configuration")
    try:
        result = _result(content, files)
    except Exception as error:  # whole, but written by something else
        why = " ".join(str(error).split())
        raise Damaged(f"{folder / RECORD} cannot be read ({type(error).__name__}: {why})") from error
    return Record(config, folder, content["provenance"], result)


def _files(result: Result) -> dict[str, bytes]:
    """The files that a record consists of besides its JSON, by name."""
    files = {}
    for name, frame in result.tables.items():
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"table {name!r} cannot be stored: the name of a table is the name of its file")
        files[f"{name}.csv"] = tables.encode(name, frame)
    if result.arrays:
        arrays = {name: np.array(array, order="C") for name, array in result.arrays.items()}
        files[ARRAYS] = _saved("arrays", arrays, safetensors.numpy.save)
    if result.weights:
        weights = {name: weight.detach().cpu().clone().contiguous() for name, weight in result.weights.items()}
        files[WEIGHTS] = _saved("weights", weights, safetensors.torch.save)
    return files


def _saved(what: str, values: Any, save: Callable[[Any], bytes]) -> bytes:
    """``save(values)``; raises ValueError where they would not come back bit for bit."""
    try:
        tree.digest(values)  # refuses all but numbers in the byte order of this machine
        return save(values)
    except Exception as error:  # a type that safetensors does not have
        raise ValueError(f"the {what} cannot be stored: {error}") from error


def _result(content: dict[str, Any], files: dict[str, bytes]) -> Result:
    result = Result()
    for name, dtypes in content["tables"].items():
        result.tables[name] = tables.decode(files[f"{name}.csv"], dtypes)
    for name, genotypes in content["genotypes"].items():
        result.genotypes[name] = [Genotype.from_dict(genotype) for genotype in genotypes]
    if ARRAYS in files:
        result.arrays = safetensors.numpy.load(files[ARRAYS])
    if WEIGHTS in files:
        result.weights = safetensors.torch.load(files[WEIGHTS])
    return result


def _signed(content: dict[str, Any]) -> bytes:
    """JSON with a checksum of itself."""
    sha256 = _sha256(json.dumps(content, allow_nan=False).encode())
    return json.dumps({**content, "sha256": sha256}, indent=1, allow_nan=False).encode()


def _read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file that :func:`_signed` made."""
    try:
        data = path.read_bytes()
        content = json.loads(data)
        del content["sha256"]
        intact = _signed(content) == data
    except Exception as error:  # a damaged file can fail in any way: no file, no text, no JSON, no object
        raise Damaged(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    if not intact:
        raise Damaged(f"{path} does not match its checksum")
    return content


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
