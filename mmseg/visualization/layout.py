"""Pictures beside one another and lettering on them. Pictures are BGR uint8, as OpenCV has them."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

Colour = tuple[int, int, int]  # BGR

PAPER: Colour = (250, 250, 250)
INK: Colour = (40, 40, 40)
FAINT: Colour = (120, 120, 120)


def fitted(picture: np.ndarray, width: int, height: int, background: Colour = PAPER) -> np.ndarray:
    """Scale a picture to fit into ``width`` x ``height`` pixels, its shape kept, and centre it there.

    Args:
        picture: (h, w, 3) uint8, at least one pixel.
        width, height: Of the result.
        background: What is left free.

    Returns:
        (height, width, 3) uint8; ``picture`` itself where it has that size.
    """
    h, w = picture.shape[:2]
    if (h, w) == (height, width):
        return picture
    scale = min(width / w, height / h)
    inner = max(1, min(width, round(w * scale))), max(1, min(height, round(h * scale)))
    scaled = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    result = np.full((height, width, 3), background, np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    result[top : top + inner[1], left : left + inner[0]] = scaled
    return result


def lettering(text: str, size: int = 13, colour: Colour = INK, background: Colour = PAPER) -> np.ndarray:
    """Write one line of text: (about 1.4 x ``size``, as wide as needed, 3) uint8.

    Args:
        text: Any letters that the typeface (DejaVu Sans) has.
        size: Of the type, in pixels.
        colour, background: BGR.
    """
    from PIL import Image, ImageDraw

    font = _font(size)
    width = max(1, int(np.ceil(font.getlength(text))))
    image = Image.new("RGB", (width, round(1.4 * size)), background[::-1])
    ImageDraw.Draw(image).text((0, round(1.1 * size)), text, fill=colour[::-1], font=font, anchor="ls")
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


def shortened(text: str, width: float, size: int = 13) -> str:
    """Cut the middle out of ``text`` where it is wider than ``width`` pixels: ``a_long…name``."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = kept // 2
        short = text[:head] + "…" + text[len(text) - (kept - head) :]
        if font.getlength(short) <= width:
            return short
    return "…"


def put(canvas: np.ndarray, picture: np.ndarray, left: int, top: int) -> None:
    """Copy ``picture`` onto ``canvas``; what reaches over an edge is cut off."""
    h = max(0, min(picture.shape[0], canvas.shape[0] - top))
    w = max(0, min(picture.shape[1], canvas.shape[1] - left))
    canvas[top : top + h, left : left + w] = picture[:h, :w]


def beside(pictures: Sequence[np.ndarray], gap: int = 2, below: bool = False) -> np.ndarray:
    """Join pictures of one size from left to right, or from top to bottom."""
    axis = 0 if below else 1
    shape = list(pictures[0].shape)
    shape[axis] = gap
    between = np.full(shape, 255, np.uint8)
    parts = [part for picture in pictures for part in (between, picture)][1:]
    return np.concatenate(parts if gap else list(pictures), axis)


def mark_ignored(picture: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Hatch the pixels that no loss counts, so that they are told from every class.

    Args:
        picture: (H, W, 3) uint8.
        ignored: (H, W) bool.

    Returns:
        A new picture.
    """
    h, w = ignored.shape
    step = max(3, min(h, w) // 32)
    stripes = (np.arange(h)[:, None] + np.arange(w)[None]) % (2 * step) < step
    result = picture.copy()
    for where, tone in ((ignored & stripes, 235), (ignored & ~stripes, 90)):
        result[where] = (result[where].astype(np.uint16) * 2 + tone * 3) // 5
    return result


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Any:
    """DejaVu Sans, which comes with matplotlib: the same letters on every machine."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(
        os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size
    )
