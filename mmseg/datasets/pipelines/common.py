"""What the transforms share: where random numbers come from, and which entries are masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from mmseg.datasets.seeding import sample_rng
from mmseg.utils.errors import UserError


def rng_of(results: dict[str, Any]) -> np.random.Generator:
    """The generator that every random choice of this sample is drawn from: ``results['rng']``.

    Without one, the loader's for this sample; outside a loader, a new one.
    """
    rng = results.get("rng")
    if rng is None:
        rng = sample_rng.get()
    return np.random.default_rng() if rng is None else rng


def mask_keys(results: dict[str, Any]) -> list[str]:
    """The entries that are label maps and follow the image's geometry."""
    keys = list(results.get("seg_fields", ()))
    if "gt_semantic_seg" in results and "gt_semantic_seg" not in keys:
        keys.append("gt_semantic_seg")
    return keys


def resized(array: np.ndarray, size: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Resize an image (H, W) or (H, W, C) to ``size``, which is (w, h)."""
    if (array.shape[1], array.shape[0]) == size:
        return array
    return by_channels(lambda planes: cv2.resize(planes, size, interpolation=interpolation), array)


def by_channels(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray) -> np.ndarray:
    """Apply an OpenCV function to an image (H, W) or (H, W, C) with any number of channels.

    OpenCV takes up to four channels everywhere; with more, some of its functions refuse (resizing by
    area), fill only the first four (borders), or round differently. So more go in groups of four and
    the rest one by one.
    """
    if array.ndim == 2 or array.shape[2] <= 4:
        out = function(array)
        return out[..., None] if out.ndim < array.ndim else out  # OpenCV drops a single channel
    whole = array.shape[2] // 4 * 4
    groups = [slice(i, i + 4) for i in range(0, whole, 4)]
    groups += [slice(i, i + 1) for i in range(whole, array.shape[2])]
    parts = [function(np.ascontiguousarray(array[..., group])) for group in groups]
    return np.dstack(parts)


def channel_values(name: str, value: Any, array: np.ndarray) -> np.ndarray:
    """Return one value for each channel of an image (H, W) or (H, W, C), in its type: shape (C,).

    Args:
        name: What the value is, for the message.
        value: A number, or one for each channel; equal ones stand for any number of channels.

    Raises:
        UserError: there are more or fewer values than channels.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    values = np.atleast_1d(np.asarray(value, np.float64)).ravel()
    if len(values) != channels:
        if len(np.unique(values)) != 1:
            raise UserError(
                f"{name} has {len(values)} values {value}, but the image has the shape {array.shape}; "
                "give one for each channel"
            )
        values = values[:1].repeat(channels)
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)  # as OpenCV does
    return values.astype(array.dtype)


def value_counts(mask: np.ndarray) -> np.ndarray:
    """Count the values 0 to 255 of a uint8 mask (H, W); float32 (256,), exact up to 2**24."""
    return cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()  # OpenCV 4 has (256, 1), 5 has (256,)


def as_pair(name: str, value: Any) -> tuple[int, int]:
    """Return two whole numbers above 0 as a tuple.

    Raises:
        UserError: ``value`` is something else; ``name`` says whose it is.
    """
    if isinstance(value, list | tuple) and len(value) == 2 and all(_is_whole(v) and v > 0 for v in value):
        return int(value[0]), int(value[1])
    raise UserError(f"{name} must be two whole numbers above 0, not {value!r}")


def as_scales(name: str, value: Any) -> list[tuple[int, int]] | None:
    """Return ``img_scale`` as a list of (w, h): from one pair, a list of pairs, or None.

    Config files have lists where 0.25 had tuples, so ``[1242, 375]`` is one scale.

    Raises:
        UserError: ``value`` is something else.
    """
    if value is None:
        return None
    if isinstance(value, list | tuple) and value and all(isinstance(v, list | tuple) for v in value):
        return [as_pair(name, v) for v in value]
    return [as_pair(name, value)]


def as_range(name: str, value: Any) -> tuple[float, float]:
    """Return two numbers, the smaller one first, as a tuple.

    Raises:
        UserError: ``value`` is something else.
    """
    numbers = isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(v) for v in value)
    if not numbers or value[0] > value[1]:
        raise UserError(f"{name} must be two numbers, the smaller one first, not {value!r}")
    return tuple(value)


def as_probability(name: str, value: Any) -> float:
    """Return ``value`` if it is a number from 0 to 1.

    Raises:
        UserError: it is not.
    """
    if not _is_number(value) or not 0 <= value <= 1:
        raise UserError(f"{name} must be a number from 0 to 1, not {value!r}")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
