"""The pixel work of the fused transforms: resize no more than the crop needs, make tensors in one pass.

Everything here gives the very pixels that the transforms give one after another.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from mmseg.datasets.pipelines.geometric import Box
from mmseg.datasets.pipelines.photometric import Normalize, mapped_in_hsv

Size = tuple[int, int]  # (w, h)


def resized_crop(img: np.ndarray, size: Size, box: Box) -> np.ndarray:
    """The rectangle ``box`` of what ``cv2.resize(img, size)`` (bilinear) gives.

    Resizing starts at the top left corner, where both grids begin, and ends where the crop does: so each
    pixel has the position and the weights that it has in the whole image, bit for bit, and what lies to
    the right of the crop and below it costs nothing.

    Args:
        img: uint8 (H, W, 3).
        size: (w, h) of the whole image after resizing.
        box: Inside it.
    """
    h, w = img.shape[:2]
    top, bottom, left, right = box
    if size == (w, h):
        return img[top:bottom, left:right]
    x_scale, y_scale = size[0] / w, size[1] / h
    across = min(w, math.ceil(right * w / size[0]) + 2)  # interpolation looks one pixel further
    down = min(h, math.ceil(bottom * h / size[1]) + 2)
    # Where both sizes come out alike OpenCV would copy instead of resizing.
    alike = abs(across * x_scale - across) < 1 and abs(down * y_scale - down) < 1
    if alike or (across, down) == (w, h):
        part = cv2.resize(img, size, interpolation=cv2.INTER_LINEAR)
    else:
        source = img[:down, :across]
        part = cv2.resize(source, None, fx=x_scale, fy=y_scale, interpolation=cv2.INTER_LINEAR)
    return part[top:bottom, left:right]


class ResizedMask:
    """A mask as ``cv2.resize(mask, size)`` (nearest) would have it, of which only parts are made.

    Args:
        mask: uint8 (H, W).
        size: (w, h) after resizing.
    """

    def __init__(self, mask: np.ndarray, size: Size) -> None:
        self.mask = mask
        self.same = size == (mask.shape[1], mask.shape[0])
        self._last: tuple[Box, np.ndarray] | None = None
        if not self.same:
            self._rows = _nearest(mask.shape[0], size[1])
            self._columns = _nearest(mask.shape[1], size[0])

    def __call__(self, box: Box) -> np.ndarray:
        """The rectangle ``box`` of the resized mask."""
        top, bottom, left, right = box
        if self.same:
            return self.mask[top:bottom, left:right]
        if self._last is None or self._last[0] != box:
            rows, columns = self._rows[top:bottom], self._columns[left:right]
            first, last = int(rows[0]), int(rows[-1]) + 1
            some = self.mask[first:last].take(columns, axis=1)
            self._last = box, some.take(rows - first, axis=0)
        return self._last[1]


@lru_cache(maxsize=256)
def _nearest(length: int, new_length: int) -> np.ndarray:
    """Which pixel of a row of ``length`` each pixel takes after ``cv2.resize`` to ``new_length``.

    OpenCV itself is asked, so that the answer is right for every version of it.
    """
    row = np.arange(length, dtype=np.float32)[None]  # exact below 2**24
    return cv2.resize(row, (new_length, 1), interpolation=cv2.INTER_NEAREST)[0].astype(np.intp)


def planes(
    img: np.ndarray,
    out: np.ndarray,
    normalize: Normalize,
    tables: tuple[np.ndarray | None, list[tuple[int, np.ndarray]], np.ndarray | None] | None = None,
    is_rgb: bool = False,
) -> None:
    """Distort and normalise an image, and write it to ``out`` channel by channel.

    Args:
        img: uint8 (H, W, 3).
        out: float32 (3, H, W), or a view of that shape into a padded one.
        normalize: The transform whose table and order of channels count.
        tables: Of ``PhotoMetricDistortion.tables``; None leaves the distortion out.
        is_rgb: The order of ``img``'s channels.
    """
    first, in_hsv, last = tables or (None, [], None)
    if in_hsv:
        if first is not None:
            img, first = cv2.LUT(img, first), None
        for channel, table in in_hsv:
            img = mapped_in_hsv(img, channel, table, is_rgb)
    to_float = normalize.table[0]  # (256, 3)
    for table in (last, first):  # the look-ups that are left join the one that gives float32
        if table is not None:
            to_float = to_float[table]
    swap = is_rgb != normalize.to_rgb
    for i in range(3):
        plane = cv2.extractChannel(img, 2 - i if swap else i)
        _look_up(plane, np.ascontiguousarray(to_float[:, i]), out[i])


def _look_up(plane: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    filled = cv2.LUT(plane, table, out)
    if filled is not out:  # OpenCV took another array
        out[...] = filled
