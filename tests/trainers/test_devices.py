"""Devices: named when settings are made, there when a run is built; a search leaves nothing on another one."""

from __future__ import annotations

import pytest
import torch
from small import LEARNING, METHODS, config, run

from nas_core.errors import UserError
from nas_core.trainers import build
from nas_core.trainers.devices import check_present
from nas_core.trainers.search import Search

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them, as far as torch tells."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_settings_may_be_made_where_their_device_is_not(no_gpu: None) -> None:
    settings = config(device="cuda:1")
    assert settings.key() != config().key()
    with pytest.raises(UserError, match=r"^there is no device 'cuda:1' here, or torch cannot use it. Allowed: cpu\.$"):
        build(settings)


def test_a_device_is_there_or_not(gpus: None) -> None:
    for device in ("cpu", "cuda", "cuda:1", "meta"):
        check_present(device)
    with pytest.raises(UserError, match="no device 'cuda:2': the last one here is cuda:1"):
        check_present("cuda:2")
    with pytest.raises(UserError, match="unknown device 'gpu'"):
        check_present("gpu")


@pytest.fixture
def read_as_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processor reads of tensors that have shapes alone: as if every operation were drawn."""
    real = torch.Tensor.tolist

    def tolist(tensor: torch.Tensor) -> list:
        return real(torch.ones(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", tolist)


@pytest.mark.parametrize("name", METHODS)
def test_a_pass_of_a_search_is_all_on_its_device(name: str, read_as_ones: None) -> None:
    """On torch's device of shapes alone, which refuses to compute with a tensor that stayed on the processor."""
    search = Search(config(name, device="meta", formulation="plain", probes=("costs",)))
    draw = search._draw_to_learn()
    loss = search._forward(search._train_batch(), draw)
    assert loss.device.type == "meta"
    found = torch.autograd.grad(loss, search.weights, allow_unused=True)
    assert {gradient.device.type for gradient in found if gradient is not None} == {"meta"}


@CUDA
@pytest.mark.parametrize("name", LEARNING)
def test_end_to_end_on_a_gpu(name: str) -> None:
    search = run(Search(config(name, device="cuda")))
    again = Search(config(name, device="cuda"))
    again.load_state(search.state())
    assert again.weights[0].device.type == "cuda"
    assert search.result().table("losses")["L"].notna().any()
