"""The loader: splits of a run, standardised batches, augmentation, and requests that cannot be met."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import fake_source, generator

from nas_core.data import SOURCES, Dataset, drawn_order, embedded_arrays, load
from nas_core.errors import UserError

HAVE = {"fashion14": (10_000, 2_000, 4_000), "fashion7": (10_000, 2_000, 4_000), "digits": (1_000, 300, 497)}


@pytest.mark.parametrize("name", HAVE)
def test_splits_are_what_was_asked_for(name: str) -> None:
    train, valid, test = HAVE[name]
    loaded = load(name, train=train - 100, search=100, valid=valid, test=test)
    assert {s: len(part) for s, part in loaded.splits.items()} == {
        "train": train - 100, "search": 100, "valid": valid, "test": test,
    }  # fmt: skip
    side = {"fashion14": 14, "fashion7": 7, "digits": 8}[name]
    assert (loaded.channels, loaded.side, loaded.source.classes) == (1, side, 10)
    for part in loaded.splits.values():
        assert part.images.shape[1:] == (1, side, side)
        assert part.labels.dtype == torch.int64
        assert set(part.labels.unique().tolist()) == set(range(10))
        assert part.images.min() >= 0
        assert part.images.max() <= 255


def test_exact_shuffled_labels_are_those_of_the_same_images_in_another_order() -> None:
    sizes = {"train": 9_000, "valid": 200, "test": 300}
    true, shuffled = (load(name, **sizes, seed=2) for name in ("fashion7", "fashion7-shuffled"))
    for split in sizes:
        assert torch.equal(true.splits[split].images, shuffled.splits[split].images)
    agreeing = (true.splits["train"].labels == shuffled.splits["train"].labels).double().mean().item()
    assert agreeing == pytest.approx(0.1, abs=0.02)  # chance
    assert torch.equal(true.splits["test"].labels, shuffled.splits["test"].labels)
    assert true.source.mean == shuffled.source.mean


def test_exact_halves_of_bilevel_search_follow_each_other() -> None:
    """The search images come right after the training images in the drawn order, so the halves are disjoint."""
    halves, whole = load("fashion7", train=150, search=50, seed=4), load("fashion7", train=200, seed=4)
    joined = torch.cat([halves.splits["train"].images, halves.splits["search"].images])
    assert torch.equal(joined, whole.splits["train"].images)
    assert halves.title == "Fashion-MNIST 7x7, 150 + 50 images"
    assert whole.title == "Fashion-MNIST 7x7, 200 images"


def test_the_seed_draws_the_training_images_and_no_others() -> None:
    sizes = {"train": 100, "search": 50, "valid": 20, "test": 30}
    first, again, other = (load("fashion7", **sizes, seed=seed) for seed in (0, 0, 1))
    for split in sizes:
        assert torch.equal(first.splits[split].images, again.splits[split].images)
        drawn = not torch.equal(first.splits[split].images, other.splits[split].images)
        assert drawn == (split in ("train", "search"))


@given(st.integers(1, 400), st.integers(0, 2**31 - 1))
def test_property_every_training_image_is_drawn_once(images: int, seed: int) -> None:
    assert sorted(drawn_order(images, seed).tolist()) == list(range(images))


def test_the_draw_is_uniform() -> None:
    """Over seeds, every image is as often among the first tenth: none of 50 is 5 standard deviations off."""
    counts = np.zeros(50)
    for seed in range(2000):
        counts[drawn_order(50, seed)[:5]] += 1
    assert np.abs(counts - 200).max() < 5 * np.sqrt(2000 * 0.1 * 0.9)


def test_exact_7x7_pools_2x2_blocks() -> None:
    pooled = load("fashion7", train=30, valid=10, test=20)
    for split in ("train", "valid", "test"):
        part = pooled.splits[split]
        raw = embedded_arrays()[f"{split}_images"].astype(np.float64)
        order = drawn_order(len(raw), 0).numpy() if split == "train" else np.arange(len(raw))
        raw = raw[order[: len(part)]]
        blocks = (raw[:, ::2, ::2] + raw[:, 1::2, ::2] + raw[:, ::2, 1::2] + raw[:, 1::2, 1::2]) / 4
        np.testing.assert_allclose(part.images[:, 0].numpy(), blocks, rtol=1e-6)
        np.testing.assert_array_equal(part.labels.numpy(), embedded_arrays()[f"{split}_labels"][order[: len(part)]])


@pytest.mark.parametrize("name", HAVE)
def test_exact_batches_are_standardised(name: str) -> None:
    """By mean and standard deviation of the stored training images, whatever part a run uses."""
    train, *_ = HAVE[name]
    loaded = load(name, train=train, valid=20)
    x, labels = loaded.batch("train", torch.arange(train))
    assert x.dtype == torch.float32
    assert x.mean().item() == pytest.approx(0, abs=1e-4)
    assert x.std(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert torch.equal(labels, loaded.splits["train"].labels)
    index = torch.tensor([3, 3, 1])
    some, _ = load(name, train=20).batch("train", index)
    torch.testing.assert_close(some, x[index])
    mean, std = 255 * loaded.source.mean[0], 255 * loaded.source.std[0]
    valid, _ = loaded.batch("valid", torch.arange(20))
    torch.testing.assert_close(valid * std + mean, loaded.splits["valid"].images.float(), rtol=1e-4, atol=1e-3)


def test_batches_go_through_a_split_in_order() -> None:
    loaded = load("fashion7", train=10, valid=25)
    parts = list(loaded.batches("valid", 10))
    assert [len(labels) for _, labels in parts] == [10, 10, 5]
    assert torch.equal(torch.cat([labels for _, labels in parts]), loaded.splits["valid"].labels)


def test_digits_are_all_used_once() -> None:
    from sklearn.datasets import load_digits

    loaded = load("digits", train=1000, valid=300, test=497)
    ours = torch.cat([loaded.splits[s].images for s in ("train", "valid", "test")]).squeeze(1) * 16 / 255
    labels = torch.cat([loaded.splits[s].labels for s in ("train", "valid", "test")])
    original = load_digits()
    rows = sorted(map(tuple, np.column_stack([ours.flatten(1).round().numpy(), labels.numpy()]).astype(int).tolist()))
    expected = np.column_stack([original.images.reshape(1797, 64), original.target]).astype(int).tolist()
    assert rows == sorted(map(tuple, expected))


@pytest.mark.parametrize(("asked", "sentence"), [
    ({"train": 10_001}, "10001 train images of 'fashion7' were asked for; allowed: 0 to 10000"),
    ({"train": 9_000, "search": 1_001}, "10001 train images of 'fashion7' were asked for; allowed: 0 to 10000"),
    ({"train": 10, "valid": 2_001}, "2001 valid images of 'fashion7' were asked for; allowed: 0 to 2000"),
    ({"train": 10, "test": 4_001}, "4001 test images of 'fashion7' were asked for; allowed: 0 to 4000"),
    ({"train": 10, "valid": -1}, "-1 valid images of 'fashion7' were asked for; allowed: 0 to 2000"),
])  # fmt: skip
def test_more_images_than_there_are(asked: dict, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        load("fashion7", **asked)
    assert str(error.value) == sentence


def test_unknown_data_set_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown data set 'fashion15'; did you mean 'fashion14'\? Allowed: fashion14"):
        load("fashion15", train=10)


# ------------------------------------------------------------------------------------------------------ augmentation


def fake(channels: int = 3, side: int = 8) -> Dataset:
    source = fake_source(channels, side=side)
    return Dataset(source, source.splits)


def test_augmentation_depends_on_its_generator_only() -> None:
    loaded, index = fake(), torch.arange(40)
    state, g = torch.random.get_rng_state(), generator(1)
    first, second = (loaded.batch("train", index, augment=g)[0] for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(loaded.batch("train", index, augment=generator(1))[0], first)
    assert not torch.equal(first, second)
    plain, labels = loaded.batch("train", index)
    assert first.shape == plain.shape == (40, 3, 8, 8)
    assert torch.equal(labels, loaded.splits["train"].labels[index])
    assert first.is_contiguous(memory_format=torch.channels_last)


@given(st.integers(1, 3), st.integers(3, 9), st.integers(0, 20))
def test_property_augmented_images_are_shifted_mirrored_originals(channels: int, side: int, seed: int) -> None:
    """Each is one of the nine crops of the padded image, or of its mirror image; every kind occurs."""
    loaded = fake(channels, side)
    index = torch.arange(60)
    mean, std = 255 * loaded.source.mean[0], 255 * loaded.source.std[0]
    images = loaded.batch("train", index, augment=generator(seed))[0] * std + mean
    kinds = set()
    for image, original in zip(images, loaded.splits["train"].images[index].float(), strict=True):
        for flipped in (False, True):
            padded = torch.nn.functional.pad(original.flip(2) if flipped else original, [1] * 4)
            kinds |= {
                (flipped, t, l)
                for t in range(3)
                for l in range(3)
                if torch.allclose(padded[:, t : t + side, l : l + side], image, atol=1e-3)
            }
        assert kinds
    assert {k[0] for k in kinds} == {False, True}
    assert {k[1] for k in kinds} == {k[2] for k in kinds} == {0, 1, 2}


# ---------------------------------------------------------------------------------------------------------- CIFAR-10


class SmallCifar:
    """Stands in for torchvision's CIFAR10: images whose first pixel is their number."""

    def __init__(self, root: str, train: bool) -> None:
        assert root == "somewhere"
        n = 400 if train else 2300
        self.data = np.random.default_rng(int(train)).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        self.data[:, 0, 0, 0], self.data[:, 0, 0, 1] = np.arange(n) // 256, np.arange(n) % 256
        self.targets = (np.arange(n) % 10).tolist()


def test_exact_cifar_splits(monkeypatch: pytest.MonkeyPatch, fresh_sources: None) -> None:
    """Channels first; the first 2,000 test images choose and the rest are reported; standardised as the papers do."""
    monkeypatch.setattr("torchvision.datasets.CIFAR10", SmallCifar)
    monkeypatch.setenv("NAS_DATA", "somewhere")
    loaded = load("cifar10", train=300, search=100, valid=2000, test=300)
    assert (loaded.channels, loaded.side, loaded.title) == (3, 32, "CIFAR-10 32x32, 300 + 100 images")
    numbers = {s: (p.images[:, 0, 0, 0].int() * 256 + p.images[:, 1, 0, 0]).tolist() for s, p in loaded.splits.items()}
    assert numbers == {
        "train": drawn_order(400, 0).tolist()[:300],
        "search": drawn_order(400, 0).tolist()[300:],
        "valid": list(range(2000)),
        "test": list(range(2000, 2300)),
    }
    raw = SmallCifar("somewhere", train=True).data[numbers["train"][5]].transpose(2, 0, 1) / 255
    mean, std = np.array([0.49139968, 0.48215827, 0.44653124]), np.array([0.24703233, 0.24348505, 0.26158768])
    x, labels = loaded.batch("train", torch.tensor([5]))
    np.testing.assert_allclose(x[0].numpy(), (raw - mean[:, None, None]) / std[:, None, None], rtol=1e-4, atol=1e-5)
    assert labels.tolist() == [numbers["train"][5] % 10]
    assert (loaded.source.pad, loaded.source.flip) == (4, True)
    a, b = (loaded.batch("train", torch.arange(50), augment=generator(3))[0] for _ in range(2))
    assert torch.equal(a, b)
    assert a.shape == (50, 3, 32, 32)
    with pytest.raises(UserError, match="401 train images of 'cifar10' were asked for; allowed: 0 to 400"):
        load("cifar10", train=401)


def test_missing_cifar_is_one_sentence(monkeypatch: pytest.MonkeyPatch, fresh_sources: None, tmp_path) -> None:
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"CIFAR-10 is missing or damaged in .*: set NAS_DATA to the folder") as error:
        load("cifar10", train=10)
    assert "\n" not in str(error.value)


def test_sources_are_the_documented_ones() -> None:
    assert set(SOURCES) >= {"fashion14", "fashion7", "digits", "cifar10"}
