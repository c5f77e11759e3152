"""One loader for every data set: fixed splits of images and labels, batches drawn by explicit generators.

``fashion14`` and ``fashion7`` are embedded (Fashion-MNIST, Xiao, Rasul and Vollgraf 2017, MIT licence; 10,000 training,
2,000 validation and 4,000 test images, mean-pooled to 14x14, and once more to 7x7); ``digits`` is scikit-learn's;
``cifar10`` is read through torchvision from $NAS_DATA (default ./data) and never downloaded silently.
:mod:`nas_core.data.own` is for images of one's own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from nas_core.data.dataset import Dataset, Source, Split, statistics
from nas_core.errors import UserError, choose
from nas_core.registry import Registry

__all__ = ["SOURCES", "Dataset", "Source", "Split", "embedded_arrays", "load"]
HERE = Path(__file__).parent
IMAGES = 0x1A6E5  # tells the generator that draws the images from all others of the same seed


@cache
def embedded_arrays(folder: Path = HERE) -> dict[str, np.ndarray]:
    """The arrays of the embedded Fashion-MNIST subset, checked against their SHA-256 sums."""
    path, sums = folder / "fashion_mnist_14.npz", folder / "fashion_mnist_14.json"
    again = "reinstall the package or remake it with tests/data/make_fashion_mnist.py"
    if not path.is_file() or not sums.is_file():
        raise UserError(f"the embedded data file {path.name} or its checksums are missing: {again}")
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        expected = json.loads(sums.read_text())
        found = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    except Exception as error:  # a damaged archive can fail in any way, from zipfile's errors to zlib's
        reason = " ".join(str(error).split())
        raise UserError(f"the embedded data file {path.name} or {sums.name} is damaged ({reason}): {again}") from error
    if found != expected or not found:
        raise UserError(f"the embedded data file {path.name} does not match the checksums in {sums.name}: {again}")
    return arrays


def _fashion(pooling: int) -> Source:
    arrays = embedded_arrays()
    splits = {}
    for name in ("train", "valid", "test"):
        images = torch.from_numpy(arrays[f"{name}_images"]).unsqueeze(1)
        if pooling > 1:
            images = F.avg_pool2d(images.float(), pooling)
        splits[name] = Split(images, torch.from_numpy(arrays[f"{name}_labels"]).long())
    return Source("Fashion-MNIST", splits, *statistics(splits["train"].images))


def _shuffled() -> Source:
    """The training images of fashion7 with their labels in an order drawn once for all: there is nothing to learn."""
    source = _source(SOURCES["fashion7"])
    train = source.splits["train"]
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    splits = source.splits | {"train": Split(train.images, train.labels[order])}
    return Source(f"{source.title} with shuffled labels", splits, source.mean, source.std)


def _half(second: bool) -> Source:
    """The first or the second half of the training images of fashion7, for runs that are to share none."""
    source = _source(SOURCES["fashion7"])
    train = source.splits["train"]
    middle = len(train) // 2
    part = train[middle:] if second else train[:middle]
    title = f"{'the other' if second else 'one'} half of {source.title}"
    return Source(title, source.splits | {"train": part}, source.mean, source.std)


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).unsqueeze(1).float() * (255 / 16)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    mixed = Split(images, torch.from_numpy(digits.target).long())[order]
    splits = {"train": mixed[:1000], "valid": mixed[1000:1300], "test": mixed[1300:]}
    return Source("digits", splits, *statistics(splits["train"].images))


def _cifar10() -> Source:
    from torchvision.datasets import CIFAR10

    root = os.environ.get("NAS_DATA", "data")
    try:
        parts = {"train": CIFAR10(root, train=True), "test": CIFAR10(root, train=False)}
    except RuntimeError as error:
        raise UserError(
            f"CIFAR-10 is missing or damaged in {root!r}: set NAS_DATA to the folder that holds "
            "cifar-10-batches-py (torchvision's CIFAR10(root, download=True) makes it)"
        ) from error
    splits = {
        name: Split(torch.from_numpy(p.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(p.targets))
        for name, p in parts.items()
    }
    # The papers measure "validation" accuracy on the 10,000 test images; 2,000 of them choose, the rest are reported.
    splits |= {"valid": splits["test"][:2000], "test": splits["test"][2000:]}
    mean, std = (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)
    return Source("CIFAR-10", splits, mean, std, pad=4, flip=True)


_OWN: dict[str, Callable[[], Source]] = {
    "fashion14": lambda: _fashion(1),
    "fashion7": lambda: _fashion(2),
    "fashion7-shuffled": _shuffled,
    "fashion7-one": lambda: _half(second=False),
    "fashion7-other": lambda: _half(second=True),
    "digits": _digits,
    "cifar10": _cifar10,
}


@lru_cache(maxsize=8)
def _source(read: Callable[[], Source]) -> Source:
    return read()


def _content(read: Callable[[], Source]) -> str:
    return _source(read).digest


SOURCES: Registry[Callable[[], Source]] = Registry("data set", _OWN, content=_content)


def load(name: str, *, train: int, search: int = 0, valid: int = 0, test: int = 0, seed: int = 0) -> Dataset:
    """``train`` training images for the weights, ``search`` others for the logits, and the first held-out ones.

    The training images are drawn by ``seed``: in a random order of all, the first ``train`` are for the weights and the
    next ``search`` for the logits, whatever their classes. So runs of one seed and as many ``train`` images share them,
    whatever else they differ in. ``valid`` and ``test`` images are the same for all seeds. Asking for more images than
    there are is an error that names the split and how many it has.
    """
    source = _source(SOURCES[choose("data set", name, SOURCES)])
    splits = {}
    for split, wanted in {"train": train + search, "valid": valid, "test": test}.items():
        have = len(source.splits[split])
        if not 0 <= wanted <= have:
            raise UserError(f"{wanted} {split} images of {name!r} were asked for; allowed: 0 to {have}")
        splits[split] = source.splits[split][:wanted]
    order = drawn_order(len(source.splits["train"]), seed)
    splits["train"] = source.splits["train"][order[:train]]
    splits["search"] = source.splits["train"][order[train : train + search]]
    return Dataset(source, splits)


def drawn_order(images: int, seed: int) -> torch.Tensor:
    """The order in which ``seed`` draws the training images: a random one of 0 to ``images`` - 1."""
    return torch.from_numpy(np.random.default_rng((seed, IMAGES)).permutation(images))
