"""Make the embedded data set from the four original Fashion-MNIST files.

    python tests/data/make_fashion_mnist.py FOLDER

FOLDER holds train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and the two t10k files (MIT licence, Zalando
Research). Training and validation images are drawn, the same number from every class, from the original training set,
test images from the original test set; each is mean-pooled from 28x28 to 14x14 and stored as uint8.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from nas_core.data import HERE
from nas_core.errors import UserError

SIZES = {"train": 1000, "valid": 200, "test": 400}  # images per class
SEED = 20190226  # of the draw; part of the data set's definition


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped IDX file of unsigned bytes."""
    if not path.is_file():
        raise UserError(f"{path} is missing: name the folder that holds the four original Fashion-MNIST .gz files")
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * d : 8 + 4 * d], "big") for d in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def pool(images: np.ndarray, factor: int) -> np.ndarray:
    """Mean over factor x factor blocks of (n, side, side) bytes, rounded to the nearest byte."""
    n, side, _ = images.shape
    blocks = images.reshape(n, side // factor, factor, side // factor, factor)
    return np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)


def make(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of the embedded file: <split>_images (n, 14, 14) and <split>_labels (n,), both uint8."""
    draw = np.random.default_rng(SEED)
    arrays = {}
    for source, splits in (("train", ("train", "valid")), ("t10k", ("test",))):
        images = read_idx(folder / f"{source}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{source}-labels-idx1-ubyte.gz")
        by_class = [draw.permutation(np.flatnonzero(labels == c)) for c in range(10)]
        start = 0
        for split in splits:
            # Image i of every class in turn: any prefix of a split whose length is a multiple of 10 is balanced.
            chosen = np.stack([index[start : start + SIZES[split]] for index in by_class], axis=1).ravel()
            arrays[f"{split}_images"] = pool(images[chosen], 2)
            arrays[f"{split}_labels"] = labels[chosen]
            start += SIZES[split]
    return arrays


def main() -> None:
    """Write fashion_mnist_14.npz and its checksums into the package."""
    if len(sys.argv) != 2:
        raise UserError("usage: python tests/data/make_fashion_mnist.py FOLDER")
    arrays = make(Path(sys.argv[1]))
    np.savez_compressed(HERE / "fashion_mnist_14.npz", **arrays)  # type: ignore[arg-type]
    sums = {name: hashlib.sha256(a.tobytes()).hexdigest() for name, a in arrays.items()}
    (HERE / "fashion_mnist_14.json").write_text(json.dumps(sums, indent=1) + "\n")


if __name__ == "__main__":
    main()
