"""The embedded images: what is in the file, how they were made, and what happens when the file is not whole."""

import contextlib
import gzip
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_fashion_mnist import make, pool, read_idx

from nas_core.data import HERE, embedded_arrays
from nas_core.errors import UserError

ORIGINALS = Path("/usr/share/datasets/fashion-mnist")
SIZES = {"train": 10_000, "valid": 2_000, "test": 4_000}
NPZ, SUMS = "fashion_mnist_14.npz", "fashion_mnist_14.json"


def test_exact_sizes_types_and_checksums() -> None:
    arrays, sums = embedded_arrays(), json.loads((HERE / SUMS).read_text())
    assert set(arrays) == set(sums) == {f"{s}_{kind}" for s in SIZES for kind in ("images", "labels")}
    for split, n in SIZES.items():
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        assert (images.shape, images.dtype) == ((n, 14, 14), np.uint8)
        assert (labels.shape, labels.dtype) == ((n,), np.uint8)
        assert images.min() == 0
        assert images.max() == 255
    for name, array in arrays.items():
        assert hashlib.sha256(array.tobytes()).hexdigest() == sums[name]


@pytest.mark.parametrize("split", SIZES)
def test_exact_every_tenth_prefix_is_balanced(split: str) -> None:
    """Each class has the same share in the split and in every prefix whose length is a multiple of 10."""
    labels = embedded_arrays()[f"{split}_labels"]
    counts = (labels[:, None] == np.arange(10)).cumsum(0)[9::10]
    assert (counts == np.arange(1, len(labels) // 10 + 1)[:, None]).all()


def test_exact_no_image_in_two_splits() -> None:
    seen = {s: {image.tobytes() for image in embedded_arrays()[f"{s}_images"]} for s in SIZES}
    assert not seen["train"] & seen["valid"]
    assert not seen["train"] & seen["test"]
    assert not seen["valid"] & seen["test"]


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason="the original Fashion-MNIST files are not here")
def test_exact_arrays_are_made_from_the_originals() -> None:
    """Made again, they are equal bit for bit; and no original image was taken twice, in one split or in two."""
    again = make(ORIGINALS)
    for name, array in embedded_arrays().items():
        np.testing.assert_array_equal(array, again[name])
    labels = {s: read_idx(ORIGINALS / f"{s}-labels-idx1-ubyte.gz") for s in ("train", "t10k")}
    assert [len(v) for v in labels.values()] == [60_000, 10_000]


def write_idx(folder: Path, name: str, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes(), 1))


def test_exact_splits_are_disjoint_when_every_image_is_unlike(tmp_path: Path) -> None:
    """Originals whose images are their own numbers: what is drawn shows which were taken, labels with their images."""
    for name, n in (("train", 15_000), ("t10k", 5_000)):
        number, labels = np.arange(n), np.random.default_rng(1).permutation(n) % 10
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, :2, :2] = (number // 256)[:, None, None]
        images[:, :2, 2:4] = (number % 256)[:, None, None]
        images[:, 2:4, :2] = labels[:, None, None]
        write_idx(tmp_path, f"{name}-images-idx3", images)
        write_idx(tmp_path, f"{name}-labels-idx1", labels.astype(np.uint8))
    arrays = make(tmp_path)
    taken = {}
    for split, n in SIZES.items():
        images = arrays[f"{split}_images"].astype(int)
        taken[split] = set((images[:, 0, 0] * 256 + images[:, 0, 1]).tolist())
        assert len(taken[split]) == n
        np.testing.assert_array_equal(images[:, 1, 0], arrays[f"{split}_labels"])
        np.testing.assert_array_equal(arrays[f"{split}_labels"], np.tile(np.arange(10), n // 10))
    assert not taken["train"] & taken["valid"]


def test_missing_originals_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz is missing"):
        make(tmp_path)


@given(st.integers(1, 4), st.sampled_from((1, 2, 4)), st.integers(0, 50))
def test_property_pooling_is_a_rounded_mean(n: int, factor: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    small = pool(images, factor)
    for i in range(n):
        for y in range(8 // factor):
            for x in range(8 // factor):
                block = images[i, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
                assert small[i, y, x] == round(float(block.mean()))


# ---------------------------------------------------------------------------------------------------- a damaged file


def flip(position: int, mask: int = 1, directory: bool = False) -> Callable[[Path], None]:
    """Change one byte of the archive, counted from its start or from the start of its directory."""

    def damage(folder: Path) -> None:
        with zipfile.ZipFile(folder / NPZ) as archive:
            at = position + (archive.start_dir if directory else 0)
        raw = bytearray((folder / NPZ).read_bytes())
        raw[at] ^= mask
        (folder / NPZ).write_bytes(raw)

    return damage


def cut(share: float) -> Callable[[Path], None]:
    """Keep only the first part of the archive."""

    def damage(folder: Path) -> None:
        raw = (folder / NPZ).read_bytes()
        (folder / NPZ).write_bytes(raw[: int(share * len(raw))])

    return damage


def replace(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def other_label(folder: Path) -> None:
    """A valid archive with one label changed."""
    with np.load(folder / NPZ) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["test_labels"][0] += 1
    np.savez_compressed(folder / NPZ, **arrays)


def one_array(folder: Path) -> None:
    """A valid file of another kind."""
    with (folder / NPZ).open("wb") as file:
        np.save(file, np.zeros(3))


def test_a_whole_copy_is_read(tmp_path: Path) -> None:
    for name in (NPZ, SUMS):
        shutil.copy(HERE / name, tmp_path)
    assert set(embedded_arrays(tmp_path)) == set(embedded_arrays())


DAMAGES = {
    "no archive": lambda folder: (folder / NPZ).unlink(),
    "no checksums": lambda folder: (folder / SUMS).unlink(),
    "empty": cut(0),
    "cut in half": cut(0.5),
    "cut at the end": cut(0.999999),
    "text": replace(NPZ, b"not an archive"),
    "another array": one_array,
    "another label": other_label,
    "checksums cut": replace(SUMS, b'{"train_images": "ab'),
    "checksums are no table": replace(SUMS, b"[1, 2]"),
    "checksums of nothing": replace(SUMS, b"{}"),
    "checksums are not text": replace(SUMS, b"\xff\xfe\x00"),
    "first byte": flip(0),
    "length of a header": flip(28),
    "compressed block": flip(75),
    "compressed image": flip(700_000),
    "archive version": flip(6, 0x55, directory=True),
    "encryption flag": flip(8, directory=True),
    "compression method": flip(10, directory=True),
    "checksum in the directory": flip(16, directory=True),
}


@given(st.integers(0, 2_085_000), st.integers(1, 255))
def test_property_a_changed_byte_is_noticed_or_harmless(tmp_path: Path, position: int, mask: int) -> None:
    """Wherever it is (the file also holds dates that nobody reads), wrong images are never given."""
    folder = tmp_path / f"{position}-{mask}"
    folder.mkdir(exist_ok=True)
    for name in (NPZ, SUMS):
        shutil.copy(HERE / name, folder)
    flip(position, mask)(folder)
    with contextlib.suppress(UserError):
        arrays = embedded_arrays(folder)
        assert all((arrays[name] == whole).all() for name, whole in embedded_arrays().items())
    shutil.rmtree(folder)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_sentence(damage: str, tmp_path: Path) -> None:
    for name in (NPZ, SUMS):
        shutil.copy(HERE / name, tmp_path)
    DAMAGES[damage](tmp_path)
    with pytest.raises(UserError, match=r"fashion_mnist_14\.(npz|json)") as error:
        embedded_arrays(tmp_path)
    assert "make_fashion_mnist" in str(error.value)
    assert "\n" not in str(error.value)
