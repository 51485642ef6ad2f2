"""Images and masks as ``LoadImageFromFile`` and ``LoadAnnotations`` read them, but plain PNG files faster."""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import numpy as np

from mmseg.datasets.pipelines.fast.png import decode_color, decode_png, may_be_plain
from mmseg.datasets.pipelines.loading import (
    LoadImageFromFile,
    decoded,
    joined,
    loaded,
    read_bytes,
    through_cache,
)
from mmseg.datasets.pipelines.masks import read_mask


def fast_image(path: str, color_type: str = "color", backend: str = "cv2") -> tuple[np.ndarray, bool]:
    """Read an image file as ``read_image`` does, but leave RGB as it is in the file where that is free.

    Returns:
        The image, and whether its channels are in the order RGB.

    Raises:
        UserError: the file is missing or unreadable.
    """
    data = read_bytes(path)
    pixels = decode_color(data, color_type) if backend == "cv2" else None
    return (decoded(data, path, color_type, backend), False) if pixels is None else pixels


def fast_read_image(path: str, color_type: str = "color", backend: str = "cv2") -> np.ndarray:
    """Read an image file: the array that ``read_image`` gives, from a plain PNG file in a third of the time.

    Raises:
        UserError: the file is missing or unreadable.
    """
    img, is_rgb = fast_image(path, color_type, backend)
    return cv2.cvtColor(img, cv2.COLOR_RGB2BGR, dst=img) if is_rgb else img


def fast_read_mask(path: str, backend: str = "pillow") -> np.ndarray:
    """Read a mask file: the array that ``read_mask`` gives, from a plain grey PNG file several times faster.

    Raises:
        UserError: as ``read_mask``.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(64)
            mask = decode_png(start + file.read()) if may_be_plain(start, grey=True) else None
    except OSError:
        mask = None  # read_mask says what is wrong
    return read_mask(path, backend) if mask is None else mask


def load_image(transform: LoadImageFromFile, results: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Do what ``transform`` does to ``results``; ``img`` may be read-only and is RGB where so returned."""
    name = results["img_info"]["filename"]
    path = joined(results.get("img_prefix"), name)
    color_type, backend = transform.color_type, transform.imdecode_backend
    if results.get("cache") is None:
        img, is_rgb = fast_image(path, color_type, backend)
    else:  # in the one order that everybody who shares the cache expects
        read = partial(fast_read_image, path, color_type, backend)
        img, is_rgb = through_cache(results, f"image:{color_type}:{backend}", path, read), False
    if transform.to_float32:
        img = (cv2.cvtColor(img, cv2.COLOR_RGB2BGR) if is_rgb else img).astype(np.float32)
        is_rgb = False
    return loaded(results, path, name, img), is_rgb
