from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nas_core.runs import tree
from nas_core.runs.tree import Damaged

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
dtypes = (
    hnp.boolean_dtypes() | hnp.integer_dtypes(endianness="=") | hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64))
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
leaves = scalars | arrays | arrays.map(torch.from_numpy) | arrays.filter(lambda a: a.size).map(lambda a: a.ravel()[0])
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.booleans()), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equal in type and in every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.stride() == b.stride() and same(a.numpy(), b.numpy())
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return a == b


@given(trees)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_property_a_tree_comes_back_bit_for_bit(tmp_path: Path, value: Any) -> None:
    tree.save(tmp_path / "t.safetensors", value)
    again = tree.load(tmp_path / "t.safetensors")
    assert same(value, again), (value, again)
    assert tree.digest(value) == tree.digest(again)


def test_strides_survive_but_do_not_count_as_values(tmp_path: Path) -> None:
    plain = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    last = plain.clone(memory_format=torch.channels_last)
    view = torch.zeros(4, 6)[:, ::2]
    tree.save(tmp_path / "t", {"plain": plain, "last": last, "view": view, "f": np.asfortranarray(np.eye(3))})
    again = tree.load(tmp_path / "t")
    assert again["last"].stride() == last.stride() != again["plain"].stride() == plain.stride()
    assert again["view"].is_contiguous()  # of a view with gaps only the values are kept
    assert again["f"].flags.f_contiguous
    assert tree.digest(plain) == tree.digest(last)


def test_one_tensor_in_two_places_and_views_of_it(tmp_path: Path) -> None:
    t = torch.arange(6.0)
    tree.save(tmp_path / "t", [t, t, t[2:], {"/": t, "__metadata__": t, 0: 1, "0": 2}])
    first, second, part, named = tree.load(tmp_path / "t")
    assert first.equal(t)
    assert second.equal(t)
    assert part.equal(t[2:])
    assert named["__metadata__"].equal(t)
    assert (named[0], named["0"]) == (1, 2)


@pytest.mark.parametrize("bad", [object(), {"a": [np.array(["x"])]}, {1, 2}, b"bytes"])
def test_what_cannot_be_stored_is_refused(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot store .* \(at "):
        tree.save(tmp_path / "t", bad)
    assert not list(tmp_path.iterdir())


def test_any_flipped_bit_and_any_truncation_is_noticed_and_named(tmp_path: Path) -> None:
    path = tmp_path / "step.safetensors"
    tree.save(path, {"w": torch.arange(3.0), "n": 7, "big": torch.zeros(2, 2).T + 1})
    whole = path.read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(Damaged, match=r"step\.safetensors"):
                tree.load(path)
    with pytest.raises(Damaged, match=r"gone\.safetensors"):
        tree.load(tmp_path / "gone.safetensors")
