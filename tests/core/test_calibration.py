"""Calibration against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmseg.core.evaluation.calibration import BINS, calibration, calibration_counts


def test_counts_equal_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    confidence = rng.random((20, 30))
    confidence[0, :3] = (0.0, 1.0, 1 / 15)
    pred, label = rng.integers(0, 3, (2, 20, 30))
    label[5:8] = 255
    found = calibration_counts(*map(torch.from_numpy, (confidence, pred, label)), num_classes=3).numpy()
    expected = np.zeros((3, BINS, 3))
    for c, p, t in zip(confidence.ravel(), pred.ravel(), label.ravel(), strict=True):
        if t != 255:
            index = next(b for b in range(BINS) if c <= (b + 1) / BINS + 1e-12)
            expected[p, index] += (1, c, p == t)
    np.testing.assert_allclose(found, expected)
    assert found[..., 0].sum() == 17 * 30


def test_a_calibrated_model_has_no_error():
    bins = np.array([[10, 5.0, 5], [100, 80.0, 80], [0, 0, 0]])
    result = calibration(bins)
    assert result.ece == 0 and result.gap == 0 and result.mce == 0
    assert np.isnan(result.accuracy[2]) and np.isnan(result.confidence[2])


def test_errors_by_hand():
    bins = np.array([[100, 60.0, 40], [300, 270.0, 285], [0, 0, 0]])
    result = calibration(bins)
    np.testing.assert_allclose(result.accuracy[:2], [0.4, 0.95])
    assert result.ece == pytest.approx((100 * 0.2 + 300 * 0.05) / 400)
    assert result.mce == pytest.approx(0.2)
    assert result.gap == pytest.approx((330 - 325) / 400)


def test_a_bin_with_hardly_a_pixel_is_not_the_largest_error():
    assert calibration(np.array([[1, 0.9, 0], [9999, 8999.1, 8999]])).mce < 1e-4


def test_no_pixels():
    assert np.isnan(calibration(np.zeros((BINS, 3))).ece)


def test_halves_add_up():
    rng = np.random.default_rng(1)
    confidence, pred = torch.from_numpy(rng.random((8, 8))), torch.from_numpy(rng.integers(0, 2, (8, 8)))
    label = torch.from_numpy(rng.integers(0, 2, (8, 8)))
    whole = calibration_counts(confidence, pred, label, 2)
    parts = sum(calibration_counts(confidence[s], pred[s], label[s], 2) for s in (slice(4), slice(4, 8)))
    torch.testing.assert_close(whole, parts)
