"""Label maps as pictures: over the image, in colour, in grey. Images are BGR uint8, as OpenCV has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from mmseg.utils.errors import UserError
from mmseg.visualization.palettes import colour_table

Palette: TypeAlias = Sequence[Sequence[int]] | np.ndarray | None


def overlay(
    image_bgr: np.ndarray,
    label_map: np.ndarray,
    palette: Palette = None,
    opacity: float = 0.5,
    ignore_index: int | None = 255,
) -> np.ndarray:
    """Blend the colours of ``label_map`` into an image: ``image * (1 - opacity) + colour * opacity``.

    Args:
        image_bgr: (H, W, 3) uint8.
        label_map: (H, W) integers from 0; where it is ``ignore_index`` the image stays as it is.
        palette: One RGB triple per class; colours that are missing are made up.
        opacity: Above 0, up to 1 (colours only).

    Returns:
        (H, W, 3) uint8, BGR; a new array.

    Raises:
        UserError: sizes differ, or ``opacity`` is out of range.
    """
    if not 0 < opacity <= 1:
        raise UserError(f"opacity is {opacity}; it must be above 0 and at most 1")
    label_map = np.asarray(label_map)
    if image_bgr.ndim != 3 or image_bgr.shape[2] != 3 or image_bgr.dtype != np.uint8:
        raise UserError(f"an image is (H, W, 3) uint8, not {image_bgr.shape} {image_bgr.dtype}")
    if label_map.shape != image_bgr.shape[:2]:
        raise UserError(
            f"label map and image differ in size: {label_map.shape} against {image_bgr.shape[:2]} (h, w)"
        )
    colours = colorize(label_map, palette, ignore_index)
    if not label_map.size:
        return image_bgr.copy()
    blended = cv2.addWeighted(image_bgr, 1 - opacity, colours, opacity, 0)
    if ignore_index is not None:
        ignored = label_map == ignore_index
        blended[ignored] = image_bgr[ignored]
    return blended


def colorize(label_map: np.ndarray, palette: Palette = None, ignore_index: int | None = 255) -> np.ndarray:
    """Return ``label_map`` (H, W) in the colours of ``palette`` (RGB): (H, W, 3) uint8 BGR, ignored is black.

    Raises:
        UserError: the label map is not (H, W) integers from 0.
    """
    label_map = _checked(label_map)
    highest = int(label_map.max(initial=0))
    table = colour_table(palette, highest + 1)
    if ignore_index is not None and 0 <= ignore_index <= highest:
        table[ignore_index] = 0
    return table[label_map]


def label_map_image(label_map: np.ndarray) -> np.ndarray:
    """Return ``label_map`` (H, W) as a grey image of class indices, uint8 (uint16 above 255).

    Raises:
        UserError: the label map is not (H, W) integers from 0, or an index is above 65535.
    """
    label_map = _checked(label_map)
    highest = int(label_map.max(initial=0))
    if highest > 65535:
        raise UserError(f"the label map holds {highest}; an image file holds at most 65535")
    return label_map.astype(np.uint8 if highest < 256 else np.uint16)


def legend(
    class_names: Sequence[str], palette: Palette = None, row_height: int = 20, width: int | None = None
) -> np.ndarray:
    """Draw a column of colour fields with the names beside them: (rows, width, 3) uint8 BGR on white.

    Args:
        class_names: ASCII names; other letters show as ``?``.
        palette: One RGB triple per class.
        row_height: Pixels per class.
        width: Pixels; by default what the longest name needs.
    """
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, row_height / 40
    names = [str(name).encode("ascii", "replace").decode() for name in class_names]
    widest = max((cv2.getTextSize(name, font, scale, 1)[0][0] for name in names), default=0)
    picture = np.full((row_height * len(names), width or 2 * row_height + widest + 8, 3), 255, np.uint8)
    table = colour_table(palette, len(names))
    for i, name in enumerate(names):
        top, bottom = i * row_height, (i + 1) * row_height
        picture[top + 2 : bottom - 2, 2 : 2 * row_height - 4] = table[i]
        position = (2 * row_height, bottom - row_height // 3)
        cv2.putText(picture, name, position, font, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def save_image(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an image (BGR or grey); the ending of ``path`` gives the format. Folders are made.

    Raises:
        UserError: the file cannot be written, or its ending is of no image format.
    """
    path = os.fspath(path)
    ending = os.path.splitext(path)[1]
    try:
        done, data = cv2.imencode(ending, array)
    except cv2.error:
        done = False
    if not done:
        raise UserError(f"cannot write {path}: `{ending}` is no image format; use .png or .jpg")
    try:
        os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
        with open(path, "wb") as file:
            file.write(data.tobytes())
    except OSError as error:
        raise UserError(
            f"cannot write the image {path}: {error.strerror or error}; give a folder that can be written"
        ) from error


def _checked(label_map: np.ndarray) -> np.ndarray:
    label_map = np.asarray(label_map)
    if label_map.ndim != 2 or label_map.dtype.kind not in "biu" or label_map.min(initial=0) < 0:
        lowest = label_map.min(initial=0) if label_map.dtype.kind in "biuf" else "none"
        raise UserError(
            f"a label map is (H, W) integers from 0, not {label_map.shape} {label_map.dtype} (from {lowest})"
        )
    return label_map.astype(np.uint8) if label_map.dtype == np.bool_ else label_map
