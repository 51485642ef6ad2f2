"""Hashes of weights, config values and files."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mmseg.core.evaluation.hashes import (
    MISSING,
    flat_values,
    hash_files,
    hash_json,
    hash_tensor,
    hash_tensors,
)


def test_the_layout_of_a_tensor_plays_no_part() -> None:
    plain = torch.arange(24.0).reshape(2, 3, 2, 2)
    laid_out = plain.to(memory_format=torch.channels_last)
    part = torch.arange(48.0).reshape(2, 3, 2, 4)[..., ::2] / 2
    assert laid_out.stride() != plain.stride() and torch.equal(part, plain)
    assert hash_tensor(plain) == hash_tensor(laid_out) == hash_tensor(part) == hash_tensor(plain.clone())
    expected = hashlib.sha256(b"torch.float32 (2, 3, 2, 2)\n" + plain.numpy().tobytes()).hexdigest()
    assert hash_tensor(plain) == expected[:32]


@pytest.mark.parametrize(
    "other",
    [
        torch.tensor([1.0, 2.0, 3.0]).nextafter(torch.tensor(9.0)),
        torch.tensor([1.0, 2.0, 3.0]).double(),
        torch.tensor([[1.0, 2.0, 3.0]]),
        torch.tensor([1.0, 2.0]),
        torch.tensor([1.0, 2.0, 3.0]).bfloat16(),
    ],
)
def test_value_type_and_shape_of_a_tensor_count(other: torch.Tensor) -> None:
    assert hash_tensor(torch.tensor([1.0, 2.0, 3.0])) != hash_tensor(other)


def test_any_type_and_empty_ones_can_be_hashed() -> None:
    tensors = [torch.zeros(2, dtype=t) for t in (torch.bool, torch.int64, torch.float16, torch.bfloat16)]
    tensors += [torch.tensor(3), torch.zeros(0), torch.tensor(-0.0), torch.tensor(0.0)]
    assert len({hash_tensor(t) for t in tensors}) == len(tensors)


def test_weights_have_the_same_hash_in_every_container(tmp_path) -> None:
    weights = {"b.weight": torch.randn(3, 2), "a.bias": torch.randn(2)}
    save_file(weights, tmp_path / "x.safetensors")
    torch.save(weights, tmp_path / "x.pth")
    read = [load_file(tmp_path / "x.safetensors"), torch.load(tmp_path / "x.pth", weights_only=True)]
    assert hash_tensors(weights) == hash_tensors(read[0]) == hash_tensors(read[1])
    assert list(hash_tensors(weights)) == ["a.bias", "b.weight"]


def test_files(tmp_path) -> None:
    for name, content in (("a", b"1"), ("b", b"2" * 3_000_000)):
        (tmp_path / name).write_bytes(content)
    found = hash_files(str(tmp_path / name) for name in ("b", "a", "none", "b"))
    expected = hashlib.sha256(b"2" * 3_000_000).hexdigest()[:32]
    assert found[0] == found[3] == expected and found[1] != expected and found[2] == MISSING


def test_config_values_are_told_one_by_one() -> None:
    config = {
        "model": {"type": "A", "stages": [{"depth": 2}, {"depth": 3}], "mean": [1.5, 2]},
        "scale": (3, 4),
        "pairs": ((1, 2), (3, 4)),
        "none": {},
        "steps": [],
    }
    assert flat_values(config) == {
        "model.type": "'A'",
        "model.stages.0.depth": "2",
        "model.stages.1.depth": "3",
        "model.mean": "[1.5, 2]",
        "scale": "(3, 4)",
        "pairs": "((1, 2), (3, 4))",
        "none": "{}",
        "steps": "[]",
    }
    assert flat_values({"a": [1]}) != flat_values({"a": (1,)})
    assert flat_values({"a": [{"b": 1}]}) != flat_values({"a": ({"b": 1},)})


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("ab", max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("xyz"), values), st.dictionaries(st.sampled_from("xyz"), values))
def test_configs_with_the_same_texts_are_equal(a, b) -> None:
    same = repr(_sorted(a)) == repr(_sorted(b))  # 1 and True are equal, but not the same value
    assert (hash_json(flat_values(a)) == hash_json(flat_values(b))) == same


def _sorted(value):
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_values_without_a_plain_form_do_not_stop_it() -> None:
    assert flat_values({"a": np.float64(1.5)}) == {"a": "np.float64(1.5)"}
    assert flat_values({"a": _sorted}) == {"a": "<function _sorted>"}  # without an address
