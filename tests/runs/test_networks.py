"""A retrained network as a file: saved, loaded and used without anything else."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nas_core.data import load
from nas_core.errors import UserError
from nas_core.runs.networks import TrainedNetwork, retrained
from nas_core.runs.store import Record
from nas_core.trainers.random_search import Cells, RandomSearchConfig
from nas_core.trainers.retraining import Retraining
from nas_core.trainers.retraining_settings import Evaluation, Given, RetrainingConfig
from nas_core.trainers.settings import Data, Weights

CELL = "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=[2], reduce=[], reduce_concat=[])"


@pytest.fixture(scope="module")
def record() -> Record:
    """Of a retraining with a tower, after two steps."""
    config = RetrainingConfig(
        run="tiny",
        profile="test",
        seed=3,
        cells=Given(genotype=CELL),
        data=Data(name="fashion7", train=40, test=40),
        network=Evaluation(channels=4, layers=2, cutout=3),
        weights=Weights(lr=0.1),
        epochs=1,
        batch=20,
    )
    retraining = Retraining(config)
    while retraining.done < retraining.total:
        retraining.step()
    return Record(config, Path(), {}, retraining.result())


def test_it_classifies_pixels_as_the_record_says(record: Record, tmp_path: Path) -> None:
    """From the file alone, on images as they are stored, with the accuracy of the last epoch."""
    retrained(record).save(tmp_path / "found.safetensors")
    network = TrainedNetwork.load(tmp_path / "found.safetensors")
    assert not network.training
    split = load("fashion7", train=1, test=40).splits["test"]
    with torch.no_grad():
        classes = network(split.images).argmax(1)
    assert (classes == split.labels).double().mean().item() == pytest.approx(record.table("accuracy").acc.iloc[-1])
    assert network.network.genotype == record.genotypes["retrained"][0]


def test_what_is_no_such_file_is_refused(record: Record, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text").write_text("nothing")
    for name in ("other.safetensors", "text", "missing"):
        with pytest.raises(UserError, match="is not a file of a retrained network"):
            TrainedNetwork.load(tmp_path / name)


def test_a_record_of_another_kind_has_no_network(record: Record) -> None:
    search = RandomSearchConfig(
        run="found",
        profile="test",
        seed=3,
        data=Data(name="fashion7", train=40, valid=40),
        cells=Cells(nodes=2, channels=4, layers=3),
        samples=1,
        weights=Weights(lr=0.1),
        epochs=1,
        batch=20,
    )
    with pytest.raises(UserError, match="found is no retraining"):
        retrained(replace(record, config=search))
