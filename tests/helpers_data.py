"""Small data sets on disk, and pipelines for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def write_image(path: Path, array: np.ndarray) -> Path:
    """Write an image (H, W, 3) or a mask (H, W), making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)
    return path


def write_palette_mask(path: Path, array: np.ndarray) -> Path:
    """Write a mask (H, W) as a palette PNG, whose colours have nothing to do with the indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    image.putpalette([(37 * i + 11 * (i % 3)) % 256 for i in range(768)])
    assert image.mode == "P"
    image.save(path)
    return path


def write_pairs(
    root: Path,
    count: int = 6,
    size: tuple[int, int] = (24, 32),
    num_classes: int = 19,
    img_suffix: str = "_10.png",
    seg_map_suffix: str = "_10.png",
) -> Path:
    """Write ``count`` images and masks of ``size`` (h, w) to ``root/img_dir`` and ``root/ann_dir``."""
    for i in range(count):
        rng = np.random.default_rng(i)
        image = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), size[::-1])
        mask = rng.integers(0, num_classes, size, dtype=np.uint8)
        mask[0, 0] = 255
        write_image(root / "img_dir" / f"{i:06d}{img_suffix}", image)
        write_image(root / "ann_dir" / f"{i:06d}{seg_map_suffix}", mask)
    return root


def train_pipeline(crop_size: tuple[int, int] = (16, 20)) -> list[dict[str, Any]]:
    """A training pipeline in which every step draws."""
    return [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations"),
        dict(type="Resize", img_scale=(32, 24), ratio_range=(0.5, 2.0)),
        dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
        dict(type="RandomFlip", prob=0.5),
        dict(type="PhotoMetricDistortion"),
        dict(type="Normalize", **NORM),
        dict(type="Pad", size=crop_size, pad_val=0, seg_pad_val=255),
        dict(type="DefaultFormatBundle"),
        dict(type="Collect", keys=["img", "gt_semantic_seg"]),
    ]


def test_pipeline(img_scale: tuple[int, int] = (32, 24), **aug: Any) -> list[dict[str, Any]]:
    """A test pipeline; ``aug`` are arguments of ``MultiScaleFlipAug``."""
    return [
        dict(type="LoadImageFromFile"),
        dict(
            type="MultiScaleFlipAug",
            img_scale=img_scale,
            transforms=[
                dict(type="Resize", keep_ratio=True),
                dict(type="RandomFlip"),
                dict(type="Normalize", **NORM),
                dict(type="ImageToTensor", keys=["img"]),
                dict(type="Collect", keys=["img"]),
            ],
            **aug,
        ),
    ]


test_pipeline.__test__ = False  # no test, though its name begins like one


def kitti_config(root: Path, pipeline: list[Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    """The config of the data set that ``write_pairs`` writes."""
    pipeline = train_pipeline() if pipeline is None else pipeline
    cfg = dict(
        type="KittiSegDataset", data_root=str(root), img_dir="img_dir", ann_dir="ann_dir", pipeline=pipeline
    )
    return {**cfg, **kwargs}


def same(a: Any, b: Any) -> bool:
    """Whether two batches or samples hold bitwise the same."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)
