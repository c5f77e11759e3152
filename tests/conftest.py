"""What all tests share: one thread, and Hypothesis without deadlines and without surprises."""

import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings
from small import fake_source

from nas_core import data

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for what it starts in the background
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("repeatable")


@pytest.fixture
def fresh_sources() -> Iterator[None]:
    """No data set is remembered from before, and none afterwards."""
    data._source.cache_clear()
    yield
    data._source.cache_clear()


@pytest.fixture
def fake3(monkeypatch: pytest.MonkeyPatch, fresh_sources: None) -> str:
    """A data set of random images with three channels that are cropped and mirrored while training."""
    monkeypatch.setitem(data.SOURCES, "fake3", fake_source)
    return "fake3"
