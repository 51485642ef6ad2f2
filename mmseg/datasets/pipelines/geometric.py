"""Transforms that move pixels: crop, flip, pad, rotate, cut out; image and masks alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from mmseg.datasets.builder import PIPELINES
from mmseg.datasets.pipelines.common import (
    as_pair,
    as_probability,
    as_range,
    by_channels,
    channel_values,
    mask_keys,
    rng_of,
    value_counts,
)
from mmseg.utils.errors import UserError

Box = tuple[int, int, int, int]  # top, bottom, left, right

_FLIP_CODES = {"horizontal": 1, "vertical": 0, "diagonal": -1}
_CROP_TRIES = 10  # as in 0.25; the crop drawn after the last try is taken as it comes


@PIPELINES.register_module()
class RandomCrop:
    """Cut a rectangle of ``crop_size`` out of image and masks; smaller images stay smaller.

    Args:
        crop_size: (h, w) in pixels.
        cat_max_ratio: Draw again (up to 10 times) while one class covers this share or more of the
            crop's pixels that are not ignored; from 0 to 1, and 1 never draws again.
        ignore_index: Value of the pixels that are ignored.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self, crop_size: tuple[int, int], cat_max_ratio: float = 1.0, ignore_index: int = 255
    ) -> None:
        self.crop_size = as_pair("RandomCrop: `crop_size` (h, w)", crop_size)
        self.cat_max_ratio = as_probability("RandomCrop: `cat_max_ratio`", cat_max_ratio)
        self.ignore_index = ignore_index

    def draw_box(self, shape: tuple[int, ...], rng: np.random.Generator) -> Box:
        """Draw a rectangle (top, bottom, left, right) in an image of ``shape`` (h, w, ...)."""
        top = int(rng.integers(max(shape[0] - self.crop_size[0], 0) + 1))
        left = int(rng.integers(max(shape[1] - self.crop_size[1], 0) + 1))
        return top, top + self.crop_size[0], left, left + self.crop_size[1]

    def is_mixed(self, mask: np.ndarray) -> bool:
        """Whether no class has the share ``cat_max_ratio`` of ``mask``, and more than one is there."""
        if mask.dtype == np.uint8:
            known = self._is_surely_mixed(mask)
            if known is not None:
                return known
            counts = value_counts(mask)
            if 0 <= self.ignore_index < 256:
                counts[self.ignore_index] = 0
        else:
            values, counts = np.unique(mask, return_counts=True)
            counts = counts[values != self.ignore_index]
        several = np.count_nonzero(counts) > 1
        return bool(several and counts.max() / counts.sum(dtype=np.float64) < self.cat_max_ratio)

    def _is_surely_mixed(self, mask: np.ndarray) -> bool | None:
        """``is_mixed`` from the count of one class, the most frequent of a few pixels; None: look closer."""
        some = value_counts(np.ascontiguousarray(mask[::8, ::8]))
        ignored = 0
        if 0 <= self.ignore_index < 256:
            some[self.ignore_index] = 0
            ignored = np.count_nonzero(mask == self.ignore_index)
        counted = mask.size - ignored
        most = np.count_nonzero(mask == some.argmax())
        if not some.any() or most in (0, counted):
            return None
        if most / counted >= self.cat_max_ratio:
            return False
        return True if (counted - most) / counted < self.cat_max_ratio else None

    def choose_box(
        self, shape: tuple[int, ...], mask_in: Callable[[Box], np.ndarray] | None, rng: np.random.Generator
    ) -> Box:
        """Draw a rectangle in an image of ``shape`` (h, w, ...), again while one class covers too much.

        ``mask_in`` gives the label map inside a rectangle; None where there is no mask.
        """
        box = self.draw_box(shape, rng)
        if self.cat_max_ratio < 1.0 and mask_in is not None:
            for _ in range(_CROP_TRIES):
                if self.is_mixed(mask_in(box)):
                    break
                box = self.draw_box(shape, rng)
        return box

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        img, mask = results["img"], results.get("gt_semantic_seg")
        mask_in = None if mask is None else partial(_cut, mask)
        box = self.choose_box(img.shape, mask_in, rng_of(results))
        results["img"] = _cut(img, box)
        for key in mask_keys(results):
            results[key] = _cut(results[key], box)
        results["img_shape"] = results["pad_shape"] = results["img"].shape
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(crop_size={self.crop_size})"


@PIPELINES.register_module()
class RandomFlip:
    """Flip image and masks with a probability; where ``results['flip']`` is given it decides instead.

    Gives ``flip`` and ``flip_direction``.

    Args:
        prob: Probability, from 0 to 1; None never flips of its own accord.
        direction: 'horizontal', 'vertical' or 'diagonal' (both), or a list of them to draw from.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(self, prob: float | None = None, direction: str | Sequence[str] = "horizontal") -> None:
        self.prob = None if prob is None else as_probability("RandomFlip: `prob`", prob)
        self.direction = direction
        self._directions = [direction] if isinstance(direction, str) else list(direction)
        if not self._directions or any(d not in _FLIP_CODES for d in self._directions):
            raise UserError(f"RandomFlip: `direction` is one of {', '.join(_FLIP_CODES)}, not {direction!r}")

    def place(self, results: dict[str, Any]) -> int | None:
        """Draw and enter ``flip`` and ``flip_direction``, but touch no pixel.

        Returns:
            The ``flipCode`` of OpenCV, or None where the image stays as it is.
        """
        rng = rng_of(results)
        if "flip" not in results:
            results["flip"] = self.prob is not None and bool(rng.random() < self.prob)
        if "flip_direction" not in results:
            several = len(self._directions) > 1
            results["flip_direction"] = self._directions[
                int(rng.integers(len(self._directions))) if several else 0
            ]
        return _FLIP_CODES[results["flip_direction"]] if results["flip"] else None

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        code = self.place(results)
        if code is not None:
            for key in ["img", *mask_keys(results)]:
                results[key] = by_channels(partial(cv2.flip, flipCode=code), results[key])
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob})"


@PIPELINES.register_module()
class Pad:
    """Pad image and masks at the right and at the bottom; larger images stay as they are.

    Gives ``pad_shape``, ``pad_fixed_size`` and ``pad_size_divisor``.

    Args:
        size: (h, w) to pad to. Either this or ``size_divisor``.
        size_divisor: Pad both sides to a multiple of it.
        pad_val: Value of the image's new pixels, or one value for each channel.
        seg_pad_val: Value of the masks' new pixels.

    Raises:
        UserError: not exactly one of ``size`` and ``size_divisor`` is given, or it is out of range.
    """

    def __init__(
        self,
        size: tuple[int, int] | None = None,
        size_divisor: int | None = None,
        pad_val: float | Sequence[float] = 0,
        seg_pad_val: int = 255,
    ) -> None:
        if (size is None) == (size_divisor is None):
            raise UserError(
                "Pad takes either `size` (h, w) or `size_divisor`, "
                f"not size={size} and size_divisor={size_divisor}"
            )
        self.size = None if size is None else as_pair("Pad: `size` (h, w)", size)
        if size_divisor is not None:
            as_pair("Pad: `size_divisor`", (size_divisor, size_divisor))
        self.size_divisor = size_divisor
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val

    def place(self, results: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, int]:
        """Enter what describes the new size of an image of ``shape`` (h, w, ...); return it as (h, w)."""
        h, w = shape[:2]
        if self.size is not None:
            h, w = max(h, self.size[0]), max(w, self.size[1])
        else:
            h, w = (-(-edge // self.size_divisor) * self.size_divisor for edge in (h, w))
        results["pad_shape"] = (h, w, *shape[2:])
        results["pad_fixed_size"] = self.size
        results["pad_size_divisor"] = self.size_divisor
        return h, w

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        h, w = self.place(results, results["img"].shape)
        results["img"] = _padded(results["img"], h, w, self.pad_val)
        for key in mask_keys(results):
            results[key] = _padded(results[key], h, w, self.seg_pad_val)
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(size={self.size}, size_divisor={self.size_divisor}, "
            f"pad_val={self.pad_val})"
        )


@PIPELINES.register_module()
class RandomRotate:
    """Rotate image (bilinear) and masks (nearest) with a probability, by an angle drawn from a range.

    Args:
        prob: Probability, from 0 to 1.
        degree: (smallest, largest) angle in degrees, clockwise; one number ``d`` means (-d, d).
        pad_val: Value of the image's new pixels, or one value for each channel.
        seg_pad_val: Value of the masks' new pixels.
        center: (x, y) of the point that stays; None means the middle.
        auto_bound: Enlarge the image so that nothing is cut off; not with ``center``.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        prob: float,
        degree: float | tuple[float, float],
        pad_val: float | Sequence[float] = 0,
        seg_pad_val: int = 255,
        center: tuple[float, float] | None = None,
        auto_bound: bool = False,
    ) -> None:
        self.prob = as_probability("RandomRotate: `prob`", prob)
        if isinstance(degree, int | float):
            if not degree > 0:
                raise UserError(f"RandomRotate: a single `degree` must be above 0, not {degree}")
            degree = (-degree, degree)
        self.degree = as_range("RandomRotate: `degree`", degree)
        if center is not None and auto_bound:
            raise UserError("RandomRotate takes either `center` or `auto_bound`, not both")
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val
        self.center = None if center is None else (float(center[0]), float(center[1]))
        self.auto_bound = auto_bound

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        rng = rng_of(results)
        rotate, angle = rng.random() < self.prob, rng.uniform(*self.degree)
        if rotate:
            img = results["img"]
            matrix, size = self.matrix(img.shape, angle)
            results["img"] = _warped(img, matrix, size, cv2.INTER_LINEAR, self.pad_val)
            for key in mask_keys(results):
                results[key] = _warped(results[key], matrix, size, cv2.INTER_NEAREST, self.seg_pad_val)
            results["img_shape"] = results["pad_shape"] = results["img"].shape
        return results

    def matrix(self, shape: tuple[int, ...], angle: float) -> tuple[np.ndarray, tuple[int, int]]:
        """The affine map (2, 3) of an image of ``shape`` (h, w, ...), and the result's size (w, h)."""
        h, w = shape[:2]
        center = self.center or ((w - 1) * 0.5, (h - 1) * 0.5)
        matrix = cv2.getRotationMatrix2D(center, -angle, 1.0)
        if not self.auto_bound:
            return matrix, (w, h)
        cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
        new_w, new_h = h * sin + w * cos, h * cos + w * sin
        matrix[:, 2] += (new_w - w) * 0.5, (new_h - h) * 0.5
        return matrix, (max(1, round(new_w)), max(1, round(new_h)))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(prob={self.prob}, degree={self.degree}, pad_val={self.pad_val}, "
            f"seg_pad_val={self.seg_pad_val}, center={self.center}, auto_bound={self.auto_bound})"
        )


@PIPELINES.register_module()
class RandomCutOut:
    """Fill rectangles of the image, and if asked of the masks, with a probability.

    DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.

    Args:
        prob: Probability, from 0 to 1.
        n_holes: Number of rectangles, or (fewest, most).
        cutout_shape: (w, h) of a rectangle in pixels, or a list of them to draw from.
        cutout_ratio: The same as shares of the image's width and height, instead of ``cutout_shape``.
        fill_in: Value of each channel; where all are equal, of any number of channels.
        seg_fill_in: Value in the masks, 0 to 255; None leaves them.

    Raises:
        UserError: an argument is out of range, or not exactly one of shape and ratio is given.
    """

    def __init__(
        self,
        prob: float,
        n_holes: int | tuple[int, int],
        cutout_shape: Any = None,
        cutout_ratio: Any = None,
        fill_in: Sequence[float] = (0, 0, 0),
        seg_fill_in: int | None = None,
    ) -> None:
        self.prob = as_probability("RandomCutOut: `prob`", prob)
        self.n_holes = as_range(
            "RandomCutOut: `n_holes`", (n_holes, n_holes) if isinstance(n_holes, int) else n_holes
        )
        if (cutout_shape is None) == (cutout_ratio is None):
            raise UserError("RandomCutOut takes either `cutout_shape` or `cutout_ratio`")
        if seg_fill_in is not None and not 0 <= seg_fill_in <= 255:
            raise UserError(f"RandomCutOut: `seg_fill_in` must be from 0 to 255, not {seg_fill_in}")
        self.with_ratio = cutout_ratio is not None
        given = cutout_ratio if self.with_ratio else cutout_shape
        several = isinstance(given, list | tuple) and all(isinstance(c, list | tuple) for c in given)
        self.candidates = [tuple(c) for c in (given if several else [given])]
        self.fill_in = tuple(fill_in)
        self.seg_fill_in = seg_fill_in

    def draw_boxes(self, shape: tuple[int, ...], rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
        """Draw rectangles (top, bottom, left, right) in an image of ``shape`` (h, w, ...)."""
        h, w = shape[:2]
        boxes = []
        for _ in range(int(rng.integers(self.n_holes[0], self.n_holes[1] + 1))):
            left, top = int(rng.integers(w)), int(rng.integers(h))
            across, down = self.candidates[int(rng.integers(len(self.candidates)))]
            if self.with_ratio:
                across, down = int(across * w), int(down * h)
            boxes.append((top, min(top + down, h), left, min(left + across, w)))
        return boxes

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        rng = rng_of(results)
        cut_out = rng.random() < self.prob
        boxes = self.draw_boxes(results["img"].shape, rng) if cut_out else []
        if boxes:
            fill = channel_values("RandomCutOut: `fill_in`", self.fill_in, results["img"])
            results["img"] = _filled(results["img"], boxes, fill if results["img"].ndim == 3 else fill[0])
            if self.seg_fill_in is not None:
                for key in mask_keys(results):
                    results[key] = _filled(results[key], boxes, self.seg_fill_in)
        return results

    def __repr__(self) -> str:
        kind = "cutout_ratio" if self.with_ratio else "cutout_shape"
        return (
            f"{type(self).__name__}(prob={self.prob}, n_holes={self.n_holes}, {kind}={self.candidates}, "
            f"fill_in={self.fill_in}, seg_fill_in={self.seg_fill_in})"
        )


def _cut(array: np.ndarray, box: Box) -> np.ndarray:
    top, bottom, left, right = box
    return array[top:bottom, left:right]


def _padded(array: np.ndarray, h: int, w: int, value: float | Sequence[float]) -> np.ndarray:
    if array.shape[0] >= h and array.shape[1] >= w:
        return array
    fill = channel_values("Pad: `pad_val`", value, array)
    out = np.empty((h, w, *array.shape[2:]), array.dtype)
    out[: array.shape[0], : array.shape[1]] = array
    out[: array.shape[0], array.shape[1] :] = fill
    out[array.shape[0] :] = fill
    return out


def _warped(
    array: np.ndarray, matrix: np.ndarray, size: tuple[int, int], flags: int, value: float | Sequence[float]
) -> np.ndarray:
    fill = channel_values("RandomRotate: `pad_val`", value, array).tolist()
    if len(fill) > 4:  # OpenCV's border value has four
        return np.dstack([_warped(array[..., i], matrix, size, flags, level) for i, level in enumerate(fill)])
    out = cv2.warpAffine(np.ascontiguousarray(array), matrix, size, flags=flags, borderValue=fill)
    return out[..., None] if out.ndim < array.ndim else out


def _filled(array: np.ndarray, boxes: list[tuple[int, int, int, int]], value: Any) -> np.ndarray:
    array = array.copy()  # the caller's array stays as it is
    for top, bottom, left, right in boxes:
        array[top:bottom, left:right] = value
    return array
