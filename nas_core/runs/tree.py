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
    structure, tensors = _encode(tree)
    header = json.dumps([structure, _checksum(structure, tensors)])
    write_atomic(path, safetensors.torch.save(tensors, metadata={"tree": header}))  # one entry: they are not ordered


def load(path: Path) -> Any:
    """Read what :func:`save` wrote; raises :class:`Damaged` when a single bit of it is not as it was.

    Every tensor gets memory of its own and the strides it had: kernels are chosen by them, and results depend on it.
    """
    try:
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        (structure, sha256), tensors = json.loads(header["tree"]), safetensors.torch.load(data)
        intact = sha256 == _checksum(structure, tensors)
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


def _encode(tree: Any, *, strides: bool = True) -> tuple[str, dict[str, torch.Tensor]]:
    """The tree's structure as JSON, with the strides of tensors that are not stored row by row; its tensors by name."""
    tensors: dict[str, torch.Tensor] = {}

    def walk(value: Any, place: str) -> Any:
        if isinstance(value, torch.Tensor):
            name = place.strip("/") or "root"
            while name in tensors or name == "__metadata__":
                name += "+"
            value = value.detach().cpu()
            tensors[name] = value.clone(memory_format=torch.contiguous_format)  # safetensors refuses shared memory
            dense = torch.empty_like(value).stride() == value.stride() != tensors[name].stride()
            return {"tensor": [name, value.stride() if dense and strides else None]}
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
            kind = "array" if isinstance(value, np.ndarray) else "scalar"
            return {kind: walk(torch.from_numpy(np.array(value)), place)}
        if value is None or isinstance(value, (bool, str, int, float)):
            return value
        if isinstance(value, dict):
            return {"dict": [[walk(k, place), walk(v, f"{place}/{k}")] for k, v in value.items()]}
        if isinstance(value, (list, tuple)):
            items = [walk(v, f"{place}/{i}") for i, v in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        raise TypeError(f"cannot store a {type(value).__name__} (at {place or '/'})")

    return json.dumps(walk(tree, "")), tensors


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
    if kind == "tensor":
        stored = tensors[content[0]]
        return torch.empty_strided(stored.shape, content[1] or stored.stride(), dtype=stored.dtype).copy_(stored)
    array = _decode(content, tensors).numpy()
    return array if kind == "array" else array[()]
