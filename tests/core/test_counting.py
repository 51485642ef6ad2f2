"""The confusion matrix against a plain loop, for every type, number of classes and ignored value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmseg.core.evaluation import counting
from mmseg.core.evaluation.counting import confusion_matrix
from mmseg.utils.errors import UserError

TYPES = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64]


def by_add(pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int | None) -> np.ndarray:
    """The counts by numpy's unbuffered addition, one pixel after another."""
    pred, label = pred.astype(np.int64).ravel(), label.astype(np.int64).ravel()
    counted = np.full(label.shape, True) if ignore_index is None else label != ignore_index
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (label[counted], pred[counted]), 1)
    return counts


@settings(max_examples=150, deadline=None)
@given(
    num_classes=st.sampled_from([1, 2, 19, 127, 150, 255, 256, 300]),
    types=st.tuples(st.sampled_from(TYPES), st.sampled_from(TYPES)),
    ignore=st.sampled_from([None, 255, 0, -1, -100, 1000, 254]),
    shape=st.tuples(st.integers(0, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_counts_are_those_of_a_plain_loop(
    num_classes: int, types: tuple[type, type], ignore: int | None, shape: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    most = [min(num_classes, np.iinfo(t).max + 1) for t in types]
    pred, label = (rng.integers(0, m, shape).astype(t) for m, t in zip(most, types, strict=True))
    ignored = rng.random(shape) < 0.2
    if ignore is None or not np.iinfo(types[1]).min <= ignore <= np.iinfo(types[1]).max:
        ignored[:] = False
    else:
        label[ignored] = ignore
        ignored = label == ignore
    pred[ignored] = np.iinfo(types[0]).max  # whatever stands there is of no account
    found = confusion_matrix(pred, label, num_classes, ignore)
    assert found.dtype == torch.int64 and found.shape == (num_classes, num_classes)
    np.testing.assert_array_equal(found.numpy(), by_add(pred, label, num_classes, ignore))


@settings(max_examples=100, deadline=None)
@given(
    num_classes=st.sampled_from([1, 3, 19, 255, 256]),
    types=st.tuples(st.sampled_from(TYPES), st.sampled_from(TYPES)),
    ignore=st.sampled_from([None, 255, 1, -1, 1000]),
    in_label=st.booleans(),
    value=st.sampled_from([-200, -2, 19, 200, 254, 256, 300, 2**31, 2**40 + 3]),
    size=st.integers(1, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_impossible_value_is_always_found(
    num_classes: int,
    types: tuple[type, type],
    ignore: int | None,
    in_label: bool,
    value: int,
    size: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    maps = [np.zeros(size, types[0]), np.zeros(size, types[1])]
    changed = maps[in_label]
    info = np.iinfo(changed.dtype)
    if not info.min <= value <= info.max or 0 <= value < num_classes:
        value = -1 if info.min < 0 and ignore != -1 else num_classes
    assume(info.min <= value <= info.max)  # else the type has no impossible value
    changed[rng.integers(size)] = value
    what = "label" if in_label else "prediction"
    with pytest.raises(UserError, match=f"a {what} holds {value} in 1 pixels, .* 0 to {num_classes - 1}"):
        confusion_matrix(maps[0], maps[1], num_classes, ignore)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_maps_larger_than_a_block_add_up(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    monkeypatch.setattr(counting, "BLOCK", 128)
    monkeypatch.setattr(counting, "_NARROW", 48)
    rng = np.random.default_rng(0)
    pred, label = (rng.integers(0, 5, 1000).astype(dtype) for _ in range(2))
    label[rng.random(1000) < 0.3] = 255
    found = confusion_matrix(pred, label, 5)
    np.testing.assert_array_equal(found.numpy(), by_add(pred, label, 5, 255))
    pred[990] = 5
    label[990] = 0
    with pytest.raises(UserError, match="a prediction holds 5 in 1 pixels"):
        confusion_matrix(pred, label, 5)


def test_one_class_everywhere_is_counted_to_the_pixel() -> None:
    # 2**24 + 1 is the first integer that float32 cannot hold.
    values = np.zeros(2**24 + 3, np.uint8)
    assert confusion_matrix(values, values, 2).tolist() == [[2**24 + 3, 0], [0, 0]]


@pytest.mark.parametrize("ignore", [255, None, 1, -1])
def test_both_ways_give_the_same(ignore: int | None) -> None:
    rng = np.random.default_rng(3)
    pred, label = (torch.from_numpy(rng.integers(0, 19, 5000)) for _ in range(2))
    if ignore is not None:
        label[::7] = ignore
    as_bytes = counting._count_bytes(pred.numpy(), label.numpy(), 19, ignore)
    as_pairs = counting._count_pairs(pred, label, 19, ignore)
    assert torch.equal(as_bytes, as_pairs)


def test_inputs_stay_as_they_are() -> None:
    pred, label = np.array([[0, 1], [2, 2]]), np.array([[0, 2], [-1, 2]])
    pred.flags.writeable = label.flags.writeable = False
    assert confusion_matrix(pred, label, 3, -1).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    big_endian = pred.astype(">i4")
    assert confusion_matrix(big_endian, label, 3, -1).sum() == 3
    assert confusion_matrix(pred[:, ::-1], label.T, 3, -1).sum() == 3


def test_booleans_are_two_classes() -> None:
    pred, label = np.array([True, False, True]), np.array([True, True, False])
    assert confusion_matrix(pred, label, 2).tolist() == [[0, 1], [1, 1]]
    assert confusion_matrix(torch.from_numpy(pred), torch.from_numpy(label), 2).tolist() == [[0, 1], [1, 1]]
