"""Nested states as one safetensors file and back, bit for bit: no pickles, and a checksum over everything."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from nas_core.errors import UserError
from nas_core.files import write_atomic


class Damaged(UserError):
    """A stored file that is not what was written; the message names the file."""


def save(path: Path, tree: Any) -> None:
    """Write a tree of dict, list, tuple, tensors, numpy arrays and scalars, str, int, float, bool, None, atomically.

    Tensors are named after their place; the rest is JSON in the file's header. TypeError names the place of all else.
    """
    structure, tensors = _encode(tree, strides=True)
    metadata = {"structure": structure, "sha256": _checksum(structure, tensors)}
    write_atomic(path, safetensors.torch.save(tensors, metadata=metadata))


def load(path: Path) -> Any:
    """Read what :func:`save` wrote; raises :class:`Damaged` when a single bit of it is not as it was.

    Every tensor gets memory of its own and the strides it had: kernels are chosen by them, and results depend on it.
    """
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")  # of the header
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        structure = metadata["structure"]
        tensors = safetensors.torch.load(data)
        intact = metadata["sha256"] == _checksum(structure, tensors)
    except Exception as error:  # a damaged file can fail in any way: unreadable, no header, no JSON, wrong lengths
        raise Damaged(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    if not intact:
        raise Damaged(f"{path} does not match its checksum")
    return _decode(json.loads(structure), tensors)


def digest(tree: Any) -> str:
    """The sha256 of a tree's values; two trees share it exactly when they are equal bit for bit."""
    return _checksum(*_encode(tree, strides=False))


def _checksum(structure: str, tensors: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(structure.encode() + safetensors.torch.save(tensors)).hexdigest()


def _encode(tree: Any, *, strides: bool) -> tuple[str, dict[str, torch.Tensor]]:
    """The tree's structure as JSON, and its tensors by name."""
    encoder = _Encoder(strides)
    structure = json.dumps(encoder.encode(tree, ""))
    return structure, encoder.tensors


class _Encoder:
    """Collects the tensors of a tree; ``strides``: whether the structure says how they lie in memory."""

    def __init__(self, strides: bool) -> None:
        self.strides = strides
        self.tensors: dict[str, torch.Tensor] = {}

    def encode(self, value: Any, place: str) -> Any:
        """The JSON for a part of the tree: plain values and lists as they are, all else as {kind: content}."""
        if isinstance(value, torch.Tensor):
            return {"tensor": self._tensor(value.detach().cpu(), place)}
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
            kind = "array" if isinstance(value, np.ndarray) else "scalar"
            return {kind: self.encode(torch.from_numpy(np.array(value)), place)}
        if value is None or isinstance(value, (bool, str, int, float)):
            return value
        if isinstance(value, dict):
            return {"dict": [self._item(key, content, place) for key, content in value.items()]}
        if isinstance(value, (list, tuple)):
            parts = [self.encode(part, f"{place}/{i}") for i, part in enumerate(value)]
            return parts if isinstance(value, list) else {"tuple": parts}
        raise TypeError(f"cannot store a {type(value).__name__} (at {place or '/'})")

    def _item(self, key: Any, content: Any, place: str) -> list[Any]:
        return [self.encode(key, place), self.encode(content, f"{place}/{key}")]

    def _tensor(self, value: torch.Tensor, place: str) -> list[Any]:
        """Keep a tensor; returns its name, and its strides if it is not stored row by row."""
        name = place.strip("/") or "root"
        while name in self.tensors or name == "__metadata__":
            name += "+"
        rows = value.clone(memory_format=torch.contiguous_format)  # safetensors refuses shared memory
        self.tensors[name] = rows
        dense = torch.empty_like(value).stride() == value.stride()
        if self.strides and dense and value.stride() != rows.stride():
            return [name, value.stride()]
        return [name, None]


def _decode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {_decode(key, tensors): _decode(part, tensors) for key, part in content}
    if kind == "tuple":
        return tuple(_decode(part, tensors) for part in content)
    if kind == "tensor":
        name, strides = content
        stored = tensors[name]
        return torch.empty_strided(stored.shape, strides or stored.stride(), dtype=stored.dtype).copy_(stored)
    array = _decode(content, tensors).numpy()
    return array if kind == "array" else array[()]
