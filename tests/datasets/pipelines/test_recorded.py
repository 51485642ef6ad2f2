"""The transforms against figures recorded with MMSegmentation 0.25."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg.datasets import PIPELINES

DATA = Path(__file__).parents[2] / "data" / "transforms"
CASES = json.loads((DATA / "transforms.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_recorded_figures(name: str) -> None:
    case = CASES[name]
    image = cv2.imread(str(DATA / "image.png"))
    mask = np.array(Image.open(DATA / "seg.png"))
    given = {"img": image.copy(), "gt_semantic_seg": mask.copy()}
    results = PIPELINES.build(case["transform"])(dict(given))
    with np.load(DATA / "transforms.npz") as recorded:
        expected = recorded[f"{name}.img"].astype(np.float64)
    got = results["img"]
    assert list(got.shape) == case["img_shape"]
    assert np.abs(got[::4, ::5] - expected).max() <= (1e-4 * np.abs(expected).max() if name == "norm" else 1)
    seg = results["gt_semantic_seg"]
    assert list(seg.shape) == case["seg_shape"] and seg.dtype == np.uint8
    assert zlib.crc32(np.ascontiguousarray(seg).tobytes()) == case["seg_crc32"]
    assert np.array_equal(given["img"], image), "the caller's image was written to"
    assert np.array_equal(given["gt_semantic_seg"], mask), "the caller's mask was written to"


def test_figures_are_not_all_alike() -> None:
    with np.load(DATA / "transforms.npz") as recorded:
        digests = {zlib.crc32(recorded[key].tobytes()) for key in recorded.files}
    assert len(digests) == len(CASES) - 1  # SegRescale, and RandomCutOut of probability 0, leave the image
