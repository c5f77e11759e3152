"""Nested states as one safetensors file and back, bit for bit: no pickles, and a checksum over everything."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes

from nas_core.runs.files import write_atomic


class Damaged(Exception):
    """A stored file that is not what was written; the message names the file."""


def save(path: Path, tree: Any) -> None:
    """Write ``tree`` to ``path`` atomically.

    A tree is built of dict, list, tuple, torch tensors, numpy arrays and scalars, str, int, float, bool and None.
    Tensors and arrays are ordinary entries of the safetensors file, named after their place in the tree; the rest is
    JSON in its header. Raises TypeError that names the place of anything else.
    """
    structure, tensors, strides = _encode(tree)
    header = {"structure": structure, "strides": strides, "sha256": _checksum(structure, str(strides), tensors)}
    write_atomic(path, tensor_bytes(tensors, metadata={"tree": json.dumps(header)}))  # one entry: they are not ordered


def load(path: Path) -> Any:
    """Read what :func:`save` wrote; raises :class:`Damaged` when a single bit of it is not as it was.

    Every tensor gets memory of its own and the strides it had: kernels are chosen by them, and results depend on it.
    """
    try:
        data = path.read_bytes()
        header = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["tree"])
        structure, strides, tensors = header["structure"], header["strides"], read_tensors(data)
        intact = header["sha256"] == _checksum(structure, str(strides), tensors)
    except Exception as error:  # a damaged file can fail in any way: unreadable, no header, no JSON, wrong lengths
        raise Damaged(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    if not intact:
        raise Damaged(f"{path} does not match its checksum")
    placed = {
        name: torch.empty_strided(t.shape, strides.get(name, t.stride()), dtype=t.dtype).copy_(t)
        for name, t in tensors.items()
    }
    return _decode(json.loads(structure), placed)


def digest(tree: Any) -> str:
    """The sha256 of a tree's values; two trees share it exactly when they are equal bit for bit."""
    structure, tensors, _ = _encode(tree)
    return _checksum(structure, "", tensors)


def _checksum(structure: str, strides: str, tensors: dict[str, torch.Tensor]) -> str:
    total = hashlib.sha256(f"{structure}\n{strides}\n".encode())
    for name in sorted(tensors):
        t = tensors[name]
        total.update(f"{name} {t.dtype} {tuple(t.shape)}\n".encode())
        total.update(t.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _encode(tree: Any) -> tuple[str, dict[str, torch.Tensor], dict[str, list[int]]]:
    """The tree's structure as JSON, its tensors by name, and the strides of those that are not stored row by row."""
    tensors: dict[str, torch.Tensor] = {}
    strides: dict[str, list[int]] = {}

    def keep(value: torch.Tensor, place: str) -> str:
        name = place.strip("/") or "root"
        while name in tensors or name == "__metadata__":
            name += "+"
        value = value.detach().cpu()
        tensors[name] = value.clone(memory_format=torch.contiguous_format)  # safetensors refuses shared memory
        dense = torch.empty_like(value, memory_format=torch.preserve_format).stride() == value.stride()
        if dense and value.stride() != torch.empty(value.shape).stride():
            strides[name] = list(value.stride())
        return name

    def walk(value: Any, place: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, torch.Tensor):
            return {"tensor": keep(value, place)}
        if isinstance(value, (np.ndarray, np.generic)):
            kind = "array" if isinstance(value, np.ndarray) else "scalar"
            return {kind: keep(_from_numpy(np.asarray(value), place), place)}
        if isinstance(value, int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, dict):
            return {"dict": [[walk(k, place), walk(v, f"{place}/{k}")] for k, v in value.items()]}
        if isinstance(value, (list, tuple)):
            items = [walk(v, f"{place}/{i}") for i, v in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        raise TypeError(f"cannot store a {type(value).__name__} (at {place or '/'})")

    structure = json.dumps(walk(tree, ""), allow_nan=False, separators=(",", ":"))
    return structure, tensors, strides


def _from_numpy(value: np.ndarray, place: str) -> torch.Tensor:
    if any(stride < 0 for stride in value.strides) or not value.flags.writeable:
        value = value.copy()
    try:
        return torch.from_numpy(value)
    except TypeError as error:
        raise TypeError(f"cannot store an array of {value.dtype} (at {place or '/'})") from error


def _decode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {_decode(k, tensors): _decode(v, tensors) for k, v in content}
    if kind == "tuple":
        return tuple(_decode(v, tensors) for v in content)
    if kind == "float":
        return float(content)
    tensor = tensors[content]
    return tensor if kind == "tensor" else tensor.numpy() if kind == "array" else tensor.numpy()[()]
