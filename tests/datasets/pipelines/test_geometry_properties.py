"""Where a border lies after interpolation, and draws of a transform that is given no generator.

``test_every_transform.py`` has what holds for all.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg.datasets.pipelines import (
    Compose,
    PhotoMetricDistortion,
    RandomCrop,
    RandomFlip,
    RandomRotate,
    Resize,
)

INTERPOLATING = [
    Resize(img_scale=(40, 20), keep_ratio=True),
    Resize(img_scale=(7, 31), keep_ratio=False),
    Resize(img_scale=[(20, 10), (60, 30)], multiscale_mode="range"),
    Resize(img_scale=[(20, 10), (60, 30), (5, 9)], multiscale_mode="value", keep_ratio=False),
    Resize(ratio_range=(0.1, 3.0)),
    Resize(img_scale=(9, 5), keep_ratio=True, min_size=6),
    RandomRotate(prob=1.0, degree=180),
    RandomRotate(prob=1.0, degree=(10, 80), auto_bound=True),
]


@pytest.mark.parametrize("transform", INTERPOLATING, ids=repr)
@settings(max_examples=15)
@given(seed=st.integers(0, 1000))
def test_halves_stay_halves(transform: Any, seed: int) -> None:
    """The border between two colours lies at the same place in image and mask."""
    mask = np.zeros((30, 40), np.uint8)
    mask[:, 17:] = 1
    image = np.repeat(mask[..., None] * np.uint8(100) + np.uint8(50), 3, axis=2)
    results = transform({"img": image, "gt_semantic_seg": mask, "rng": np.random.default_rng(seed)})
    image, mask = results["img"][..., 0], results["gt_semantic_seg"]
    # Pixels far enough from the border, for the width over which bilinear resizing mixes, are unmixed.
    radius = 1 + max(1, -(-max(mask.shape) // 40))
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    inner = cv2.erode(mask, window) == cv2.dilate(mask, window)
    inner[[0, -1]] = inner[:, [0, -1]] = False  # rotation mixes these with what it fills in
    for value, colour in ((0, 50), (1, 150)):
        assert np.abs(image[inner & (mask == value)].astype(int) - colour).max(initial=0) <= 1


def test_without_rng_draws_differ() -> None:
    pipeline = Compose([RandomCrop(crop_size=(4, 4)), RandomFlip(prob=0.5), PhotoMetricDistortion()])
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    outcomes = {pipeline({"img": image})["img"].tobytes() for _ in range(8)}
    assert len(outcomes) > 1
