"""Images of one's own: every shape, splits by numbers and shares, and what cannot be a data set."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small import generator, mixture

from nas_core import plugins
from nas_core.backends.formulations import FORMULATIONS
from nas_core.cells.supernet import Space
from nas_core.cells.topology import minimal_cell
from nas_core.data import SOURCES, load
from nas_core.data.own import from_arrays, from_folder, make_source
from nas_core.errors import UserError
from nas_core.runs import obtain
from nas_core.trainers.methods import SNAS, Resource
from nas_core.trainers.search import Search
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Alpha, Data, Network, Weights

DRAW = np.random.default_rng(0)
LABELS = np.arange(30) % 5


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NAS_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    yield
    for path in plugins.loaded():
        plugins.unload(path)
    os.environ.pop(plugins.VARIABLE, None)


def pixels(*shape: int) -> np.ndarray:
    return DRAW.integers(0, 256, shape, dtype=np.uint8)


def config(name: str, **changes: Any) -> SearchConfig:
    """Two steps of a search with reductions."""
    return SearchConfig(
        run="own",
        profile="test",
        seed=0,
        data=Data(name=name, train=18, valid=6, test=6),
        network=Network(nodes=1, channels=4, layers=3, reductions=True, head_bias=True),
        method=SNAS(),
        weights=Weights(lr=0.1),
        alpha=Alpha(lr=0.05),
        epochs=1,
        batch=9,
        probes=("accuracy", "child"),
    ).but(**changes)


@pytest.mark.parametrize("images", [
    pixels(30, 3, 5, 7),
    np.moveaxis(pixels(30, 3, 5, 7), 1, 3),
    pixels(30, 4, 4),
    DRAW.normal(size=(30, 1, 9, 6)),
    DRAW.normal(size=(30, 2, 4, 4)).astype(np.float32),
])  # fmt: skip
def test_images_of_any_shape_are_searched_on(images: np.ndarray) -> None:
    from_arrays("mine", images, LABELS, valid=6, test=0.2, title="Mine")
    data = load("mine", train=18, valid=6, test=6)
    channels, size = {
        (30, 3, 5, 7): (3, (5, 7)),
        (30, 5, 7, 3): (3, (5, 7)),
        (30, 4, 4): (1, (4, 4)),
        (30, 1, 9, 6): (1, (9, 6)),
        (30, 2, 4, 4): (2, (4, 4)),
    }[images.shape]
    assert (data.channels, data.size, data.source.classes) == (channels, size, 5)
    assert data.title == f"Mine {size[0]}x{size[1]}, 18 images"
    search = Search(config("mine"))
    while search.done < search.total:
        assert np.isfinite(search.step())
    assert np.isfinite(search.result().tables["accuracy"].acc).all()


def test_exact_splits_are_disjoint_and_standardised_by_the_training_part() -> None:
    images = np.arange(30)[:, None, None, None] + DRAW.random((30, 1, 6, 4))
    source = make_source("mine", images, LABELS, valid=7, test=0.1)
    numbers = {name: split.images[:, 0, 0, 0].floor().int().tolist() for name, split in source.splits.items()}
    assert {name: len(found) for name, found in numbers.items()} == {"train": 20, "valid": 7, "test": 3}
    assert sorted(itertools.chain(*numbers.values())) == list(range(30))
    assert numbers["train"] != sorted(numbers["train"])
    for name, split in source.splits.items():
        assert split.labels.tolist() == [LABELS[n] for n in numbers[name]]
    train = images[numbers["train"]]
    assert source.mean[0] == pytest.approx(train.mean() / 255)
    assert source.std[0] == pytest.approx(train.std() / 255)


def test_the_last_batch_may_be_smaller() -> None:
    from_arrays("mine", pixels(30, 3, 5, 7), LABELS, test=11)
    sizes = [len(labels) for _, labels in load("mine", train=5, test=11).batches("test", 4)]
    assert sizes == [4, 4, 3]


def test_crops_of_images_that_are_not_square_keep_their_size() -> None:
    from_arrays("mine", pixels(30, 3, 5, 7), LABELS, pad=2, flip=True)
    images, _ = load("mine", train=30).batch("train", torch.arange(30), augment=generator())
    assert images.shape == (30, 3, 5, 7)


def test_other_images_under_the_same_name_are_another_run() -> None:
    images = pixels(30, 3, 5, 7)
    keys = []
    for change in (0, 1):
        images[0, 0, 0, 0] += change
        from_arrays("mine", images, LABELS, valid=6, test=6)
        keys.append(config("mine").key())
    from_arrays("mine", images, LABELS[::-1].copy(), valid=6, test=6)
    keys.append(config("mine").key())
    from_arrays("mine", images, LABELS[::-1].copy(), valid=6, test=6, flip=True)
    keys.append(config("mine").key())
    assert len(set(keys)) == 4
    from_arrays("mine", images, LABELS[::-1].copy(), valid=6, test=6, flip=True, title="Another title")
    assert config("mine").key() == keys[-1]


def test_workers_know_arrays_of_a_notebook() -> None:
    from_arrays("mine", pixels(30, 3, 5, 7), LABELS, valid=6, test=6)
    records = obtain([config("mine"), config("mine", seed=1)], jobs=2, progress=False, echo=lambda line: None)
    assert [record.config.seed for record in records] == [0, 1]


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for label, name in enumerate(("cats", "dogs")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(4):
            rows = np.arange(8, dtype=np.uint8) + 10 * i + 100 * label
            Image.fromarray(np.repeat(rows[:, None], 12, axis=1)).save(tmp_path / "pictures" / name / f"{i}.png")
    from_folder("pets", tmp_path / "pictures", side=(5, 7), channels=1, test=2, title="Pets")
    data = load("pets", train=6, test=2)
    assert data.title == "Pets 5x7, 6 images"
    for split in data.splits.values():
        assert torch.equal(split.images[:, 0, 0, 0] >= 100, split.labels == 1)
        assert torch.equal(split.images, split.images[..., :1].expand(-1, 1, 5, 7)), "a row has one colour"
    from_folder("pets", tmp_path / "pictures", side=6)
    assert (load("pets", train=8).size, load("pets", train=8).channels) == ((6, 6), 3)


def test_a_folder_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data set 'pets': .* is no folder\."):
        from_folder("pets", tmp_path / "missing", side=5)
    with pytest.raises(UserError, match="side must be one or two whole numbers from 4, not 3"):
        from_folder("pets", tmp_path, side=3)
    with pytest.raises(UserError, match=r"channels must be 1 \(grey\) or 3 \(colours\), not 2"):
        from_folder("pets", tmp_path, side=5, channels=2)
    from_folder("pets", tmp_path, side=5)
    with pytest.raises(UserError, match="cannot be read as a folder of classes"):
        load("pets", train=1)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"images": pixels(30, 7)}, "images must have the shape"),
    ({"images": pixels(30, 3, 3, 7)}, "of images of shape (30, 3, 3, 7) it is unclear which axis has the channels"),
    ({"images": pixels(30, 1, 3, 7)}, "images must have 4x4 pixels or more, not 3x7."),
    ({"images": pixels(30, 3, 5, 7).astype(int)}, "images must be uint8 or floats, not int64."),
    ({"images": np.full((30, 3, 5, 7), np.nan)}, "images must have finite values."),
    ({"images": np.zeros((30, 3, 5, 7))}, "all pixels of channel 0 of its training images are equal."),
    ({"labels": LABELS[:-1]}, "30 images need labels of shape (30,), not (29,)."),
    ({"labels": LABELS - 1}, "labels must be whole numbers from 0, one for each class."),
    ({"labels": LABELS / 2}, "labels must be whole numbers from 0, one for each class."),
    ({"labels": LABELS * 0}, "labels must be of two classes at least."),
    ({"valid": 31}, "valid must be a number of images from 0 to 30 or a share from 0 to below 1, not 31."),
    ({"test": 1.5}, "test must be a number of images from 0 to 30 or a share from 0 to below 1, not 1.5."),
    ({"valid": 10, "test": 20}, "valid and test take all of its 30 images, so that none is left to train."),
    ({"layout": "NHWC"}, "unknown layout 'NHWC'"),
    ({"pad": 6}, "pad must be a whole number of pixels from 0 to a side, not 6."),
    ({"title": "Mine, all mine"}, "a title has no comma"),
])  # fmt: skip
def test_what_cannot_be_a_data_set_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    given = {"images": pixels(30, 3, 5, 7), "labels": LABELS, **changes}
    with pytest.raises(UserError) as error:
        from_arrays("mine", given.pop("images"), given.pop("labels"), **given)
    assert sentence in str(error.value)
    assert "mine" not in SOURCES


def test_a_name_of_the_package_is_refused() -> None:
    with pytest.raises(UserError, match="there is a data set 'digits' already"):
        from_arrays("digits", pixels(30, 3, 5, 7), LABELS)


def test_a_resource_constraint_needs_square_images() -> None:
    from_arrays("mine", pixels(30, 3, 5, 7), LABELS, valid=6, test=6)
    method = SNAS(resource=Resource(weight=0.1))
    with pytest.raises(UserError, match="a resource constraint needs square images, which those of 'mine' are not"):
        Search(config("mine", method=method))


@pytest.mark.parametrize(("height", "width"), [(5, 7), (4, 9), (7, 5)])
def test_exact_plain_and_fused_agree_on_images_that_are_not_square(height: int, width: int) -> None:
    found = []
    images = torch.randn(6, 2, height, width, dtype=torch.float64, generator=generator())
    for formulation in ("plain", "fused"):
        network = FORMULATIONS[formulation](
            Space(minimal_cell()),
            channels=4,
            layers=3,
            classes=3,
            in_channels=2,
            reductions=True,
            head_bias=True,
            generator=generator(),
        ).double()
        gates = mixture(network).requires_grad_()
        logits = network(images.to(memory_format=torch.channels_last), gates)
        (cost,) = torch.autograd.grad(logits.square().sum(), [gates])
        found.append((logits.detach(), cost))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=1e-11)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-9, atol=1e-9)
