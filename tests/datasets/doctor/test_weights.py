"""Class weights by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg.datasets.doctor.weights import class_weights, default_beta, effective_number
from mmseg.utils.errors import UserError

COUNTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=30).filter(any)

# Pixels of the 11 classes in CamVid's 367 training masks, and 1/log1p of them scaled to sum to 11.
CAMVID = (10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967)
CAMVID_WEIGHTS = (
    0.89174779, 0.87431902, 1.08163989, 0.85828755, 0.97113737, 0.92308695, 1.06749938, 1.07067789,
    0.95392830, 1.11768187, 1.18999398,
)  # fmt: skip


def test_the_formula():
    raw = [1 / math.log(1 + n) for n in (10, 1000, 50)]
    expected = [3 * w / sum(raw) for w in raw]
    np.testing.assert_allclose(class_weights([10, 1000, 50]), expected, rtol=1e-12)


def test_camvid():
    np.testing.assert_allclose(class_weights(CAMVID), CAMVID_WEIGHTS, atol=1e-8)


@given(COUNTS)
def test_they_sum_to_the_number_of_classes_and_rare_ones_weigh_more(counts):
    weights = class_weights(counts)
    assert weights.sum() == pytest.approx(len(counts))
    seen = [(n, w) for n, w in zip(counts, weights, strict=True) if n]
    for (n, w), (m, v) in zip(seen, seen[1:], strict=False):
        assert (w - v) * (n - m) <= 1e-9
    assert all(w == 1 for n, w in zip(counts, weights, strict=True) if not n)


@given(COUNTS, st.sampled_from([None, 0.0, 0.9, 0.9999, 1 - 1e-9]))
def test_effective_numbers_sum_too(counts, beta):
    weights = class_weights(counts, "effective", beta)
    assert weights.sum() == pytest.approx(len(counts)) and weights.min() >= 0


def test_effective_numbers_by_hand():
    numbers = [(1 - 0.9**n) / (1 - 0.9) for n in (1, 5, 40)]
    np.testing.assert_allclose(effective_number(np.array([1, 5, 40]), 0.9), numbers, rtol=1e-12)
    raw = [1 / n for n in numbers]
    expected = [3 * w / sum(raw) for w in raw]
    np.testing.assert_allclose(class_weights([1, 5, 40], "effective", 0.9), expected, rtol=1e-12)


def test_the_limits_of_beta():
    np.testing.assert_allclose(class_weights([3, 900], "effective", 0.0), [1, 1])
    inverse = np.array([1 / 3, 1 / 900])
    near_one = class_weights([3, 900], "effective", 1 - 1e-12)
    np.testing.assert_allclose(near_one, 2 * inverse / inverse.sum(), rtol=1e-3)
    assert default_beta([30, 70]) == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([1, 2], "linear"), "one of log, effective, not 'linear'"),
        (([1, 2], "effective", 1.0), "beta must lie from 0 to below 1, not 1.0"),
        (([1, 2], "log", 0.9), "beta goes with method 'effective'"),
        (([0, 0],), "no class has any"),
        (([-1, 2],), "one number of pixels"),
    ],
)
def test_mistakes(args, message):
    with pytest.raises(UserError, match=message):
        class_weights(*args)
