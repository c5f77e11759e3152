"""Which images an accuracy is measured on, and which ones recalibrate it: recomputed from the trainer's own network."""

import functools

import numpy as np
import pytest
import torch
from small import config, run
from torch import Tensor

from nas_core import data
from nas_core.cells.genotype import CellGenotype
from nas_core.data import Source, Split
from nas_core.probes.accuracy import Child, accuracy, genotype_gates, recalibrated
from nas_core.trainers.search import Search
from nas_core.trainers.settings import Data

# No two splits have a common divisor, so that an accuracy other than 0 and 1 says which one it was measured on.
SIZES = {"train": 60, "valid": 31, "test": 37}
CONTRAST = {"train": 1.0, "valid": 1.2, "test": 0.9}
CHILDREN = {"child (argmax)": "argmax", "child (darts)": "darts"}


def source() -> Source:
    """Noisy images with a bright row that depends on the class; every split has a contrast of its own."""
    draw = np.random.default_rng(0)
    splits = {}
    for split, size in SIZES.items():
        labels = draw.integers(0, 8, size)
        images = draw.normal(60, 20, (size, 1, 8, 8))
        images[np.arange(size), 0, labels] += 40
        pixels = np.clip(CONTRAST[split] * images, 0, 255).astype(np.uint8)
        splits[split] = Split(torch.from_numpy(pixels), torch.from_numpy(labels))
    return Source("splits apart", splits, (0.4,), (0.2,))


@pytest.fixture(scope="module")
def search() -> Search:
    """A finished search with deterministic gates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(data.SOURCES, "apart", source)
        settings = config("softmax single", data=Data(name="apart", **SIZES), batch=20, epochs=12)
        return run(Search(settings))


def gates(search: Search, network: str) -> Tensor:
    """The gates of the supernet or of one of its children, the same in every layer."""
    if network == "supernet":
        edges = torch.softmax(search.masked_logits(), -1)[0]
    else:
        cell: CellGenotype = search.result().genotypes[CHILDREN[network]][-1].normal
        edges = genotype_gates(cell, search.space.candidates, search.space.topology)
    return edges.detach().float().expand(search.config.network.layers, -1, -1)


def recorded(search: Search, network: str, statistics: str, split: str) -> float:
    """The accuracy of the last epoch in the record."""
    table = search.result().tables["accuracy"]
    rows = table[(table.network == network) & (table.statistics == statistics) & (table.split == split)]
    return float(rows[rows.epoch == search.config.epochs].acc.item())


def child(search: Search, network: str) -> Child:
    return Child(search.model, functools.partial(gates, search, network))


def on_every_split(search: Search, network: Child) -> dict[str, float]:
    return {split: accuracy(network, search.data.batches(split, 250)) for split in SIZES}


@pytest.mark.parametrize(
    ("network", "split"),
    [("supernet", "valid"), ("supernet", "test"), ("child (argmax)", "test"), ("child (darts)", "test")],
)
def test_an_accuracy_is_that_of_its_split(search: Search, network: str, split: str) -> None:
    found = on_every_split(search, child(search, network))
    assert len(set(found.values())) == 3, "cannot be told apart"
    assert recorded(search, network, "as trained", split) == found[split]


def recalibrated_accuracy(search: Search, network: str, split: str) -> float:
    """Test accuracy with the statistics of the images of ``split``."""
    fresh = recalibrated(child(search, network), search.data.batches(split, search.config.batch))
    return accuracy(fresh, search.data.batches("test", 250))


@pytest.mark.parametrize("network", ["supernet", *CHILDREN])
def test_statistics_are_recalibrated_on_training_images(search: Search, network: str) -> None:
    on_training = recalibrated_accuracy(search, network, "train")
    assert recorded(search, network, "recalibrated", "test") == on_training
    others = {recalibrated_accuracy(search, network, split) for split in ("valid", "test")}
    assert on_training not in others, "cannot be told apart"
