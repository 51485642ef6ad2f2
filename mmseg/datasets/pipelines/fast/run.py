"""Runs of the toolbox's own transforms as one step, with the same draws and the same result.

A run holds transforms in the order in which nearly every training pipeline has them, each at most once:
load the image, load the mask, resize, crop, flip, distort, normalise, pad, make tensors. Every choice is
made by the transforms themselves (their ``place``, ``draw`` and ``choose_box``), in their order and from the
same generator; then the pixels are moved once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch

from mmseg.datasets.pipelines.common import channel_values, mask_keys, rng_of
from mmseg.datasets.pipelines.fast.pixels import ResizedMask, planes, resized_crop
from mmseg.datasets.pipelines.fast.reading import fast_read_mask, load_image
from mmseg.datasets.pipelines.formatting import DefaultFormatBundle
from mmseg.datasets.pipelines.geometric import Pad, RandomCrop, RandomFlip
from mmseg.datasets.pipelines.loading import LoadAnnotations, LoadImageFromFile
from mmseg.datasets.pipelines.photometric import Normalize, PhotoMetricDistortion
from mmseg.datasets.pipelines.resizing import Resize

_ORDER = (
    LoadImageFromFile,
    LoadAnnotations,
    Resize,
    RandomCrop,
    RandomFlip,
    PhotoMetricDistortion,
    Normalize,
    Pad,
    DefaultFormatBundle,
)
_LOADS = (LoadImageFromFile, LoadAnnotations)
_PLACE = {kind: place for place, kind in enumerate(_ORDER)}
_MASK = "gt_semantic_seg"
Transform = Callable[[dict[str, Any]], dict[str, Any] | None]


def fused(transforms: Sequence[Transform]) -> list[Transform]:
    """Join runs of the toolbox's own transforms; all others, subclasses too, stay as and where they are."""
    steps: list[Transform] = []
    run: list[Transform] = []
    for transform in transforms:
        place = _PLACE.get(type(transform))
        if run and (place is None or place <= _PLACE[type(run[-1])]):
            steps += _joined(run)
            run = []
        if place is None:  # MultiScaleFlipAug offers its own
            steps.append(getattr(transform, "in_one_step", transform))
        else:
            run.append(transform)
    return steps + _joined(run)


def _joined(run: list[Transform]) -> list[Transform]:
    pays = len(run) > 1 or (run and isinstance(run[0], _LOADS))
    return [FusedRun(run)] if pays else run


class FusedRun:
    """Transforms as one step; see the module.

    Args:
        transforms: Of the types in ``_ORDER``, in that order.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)
        by_kind = {type(transform): transform for transform in transforms}
        (
            self.image,
            self.mask,
            self.resize,
            self.crop,
            self.flip,
            self.distort,
            self.normalize,
            self.pad,
            (self.bundle),
        ) = (by_kind.get(kind) for kind in _ORDER)
        self.work = [t for t in transforms if not isinstance(t, _LOADS)]
        # What comes after the crop and the flip, where it does not end in tensors.
        self.rest = [t for t in self.work if not isinstance(t, Resize | RandomCrop | RandomFlip)]
        self.to_tensors = self.normalize is not None and self.bundle is not None

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        is_rgb = False
        if self.image is not None:
            results, is_rgb = load_image(self.image, results)
        if self.mask is not None:
            results = self.mask.load(results, fast_read_mask, copy=False)
        if not self.work or not self._fits(results):
            return _one_by_one(self.work, _settled(results, is_rgb))
        img, mask = self.move(results)
        if not self.to_tensors:
            results["img"] = img
            if mask is not None:
                results[_MASK] = mask
            return _one_by_one(self.rest, _settled(results, is_rgb))
        self.finish(results, img, mask, is_rgb)
        return results

    def _fits(self, results: dict[str, Any]) -> bool:
        """Whether the sample is one colour image of grey levels, alone or with one mask of 0 to 255."""
        img, keys = results.get("img"), mask_keys(results)
        if not isinstance(img, np.ndarray) or img.dtype != np.uint8 or img.ndim != 3 or img.shape[2] != 3:
            return False
        if keys:
            mask = results.get(_MASK)
            if keys != [_MASK] or not isinstance(mask, np.ndarray):
                return False
            if mask.dtype != np.uint8 or mask.shape != img.shape[:2]:
                return False
        return img.size > 0 and (self.normalize is None or len(self.normalize.mean) == 3)

    def move(self, results: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
        """Resize, crop and flip image and mask, and enter what those transforms enter."""
        img, mask = results["img"], results.get(_MASK)
        h, w = img.shape[:2]
        size = (w, h) if self.resize is None else self.resize.place(results, img.shape)
        mask_in = None if mask is None else ResizedMask(mask, size)
        box = 0, size[1], 0, size[0]
        if self.crop is not None:
            shape = (size[1], size[0], 3)
            top, bottom, left, right = self.crop.choose_box(shape, mask_in, rng_of(results))
            box = top, min(bottom, size[1]), left, min(right, size[0])
        img = resized_crop(img, size, box)
        mask = None if mask_in is None else mask_in(box)
        if self.crop is not None:
            results["img_shape"] = results["pad_shape"] = img.shape
        code = None if self.flip is None else self.flip.place(results)
        if code is not None:
            img = cv2.flip(img, code)
            mask = None if mask is None else cv2.flip(mask, code)
        return img, mask

    def finish(self, results: dict[str, Any], img: np.ndarray, mask: np.ndarray | None, is_rgb: bool) -> None:
        """Distort, normalise and pad the image, and make tensors."""
        h, w = img.shape[:2]
        tables = None
        if self.distort is not None:
            tables = self.distort.tables(self.distort.draw(rng_of(results)))
        results["img_norm_cfg"] = self.normalize.img_norm_cfg()
        new_h, new_w = (h, w) if self.pad is None else self.pad.place(results, img.shape)

        out = np.empty((3, new_h, new_w), np.float32)
        planes(img, out[:, :h, :w], self.normalize, tables, is_rgb)
        if (new_h, new_w) != (h, w):
            like = np.empty((h, w, 3), np.float32)
            fill = channel_values("Pad: `pad_val`", self.pad.pad_val, like)[:, None, None]
            out[:, :h, w:] = fill
            out[:, h:] = fill
        results["img"] = torch.from_numpy(out)
        if mask is not None:
            labels = np.empty((1, new_h, new_w), np.int64)
            labels[0, :h, :w] = mask
            if (new_h, new_w) != (h, w):
                value = channel_values("Pad: `pad_val`", self.pad.seg_pad_val, mask)[0]
                labels[0, :h, w:] = value
                labels[0, h:] = value
            results[_MASK] = torch.from_numpy(labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(type(t).__name__ for t in self.transforms)})"


def _settled(results: dict[str, Any], is_rgb: bool) -> dict[str, Any]:
    """Make image and mask what a transform may rely on: BGR, and arrays that it may write to."""
    if is_rgb:
        results["img"] = cv2.cvtColor(results["img"], cv2.COLOR_RGB2BGR)
    for key in ("img", *mask_keys(results)):
        array = results.get(key)
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            results[key] = array.copy()
    return results


def _one_by_one(transforms: Sequence[Transform], results: dict[str, Any]) -> dict[str, Any]:
    for transform in transforms:
        results = transform(results)
    return results
