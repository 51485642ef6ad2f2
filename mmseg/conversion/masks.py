"""Reading, mapping and writing masks; what is wrong with one is a ``Mismatch``, collected over all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


class Mismatch(Exception):
    """What is wrong with one pair of image and mask, in words."""


def read_pixels(path: Path) -> np.ndarray:
    """Read an image file as it is: (H, W) indices, or (H, W, 3) colours.

    Raises:
        Mismatch: the file is missing or unreadable.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("RGBA", "LA"):
                return np.array(image.convert("RGB"))
            return np.array(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Mismatch(f"cannot read {path}: {error}") from None


def read_mask(path: Path) -> np.ndarray:
    """Read a mask of indices, uint8 (H, W); palette masks give theirs.

    Raises:
        Mismatch: it is missing, unreadable, in colour, or holds values above 255.
    """
    mask = read_pixels(path)
    if mask.ndim != 2:
        raise Mismatch(f"{path} has {mask.shape[-1]} channels, but a mask of labels has one")
    if mask.dtype != np.uint8:
        if mask.min(initial=0) < 0 or mask.max(initial=0) > 255:
            raise Mismatch(f"{path} holds the values {mask.min()} to {mask.max()}, but labels are 0 to 255")
        mask = mask.astype(np.uint8)
    return mask


def look_up(mask: np.ndarray, table: np.ndarray, path: Path) -> np.ndarray:
    """Map the values of ``mask``, uint8 (H, W), by ``table``, int16 (256,).

    Raises:
        Mismatch: the mask holds a value whose entry is below 0.
    """
    counts = np.bincount(mask.ravel(), minlength=256)
    bad = np.flatnonzero((counts > 0) & (table < 0))
    if len(bad):
        shown = ", ".join(f"{value} ({counts[value]} pixels)" for value in bad[:6])
        raise Mismatch(
            f"{path} holds {shown}{' and others' * (len(bad) > 6)}, which is no label of this data set"
        )
    return table.astype(np.uint8)[mask]


def allowed(values: Sequence[int]) -> np.ndarray:
    """Return a table for :func:`look_up` that keeps ``values`` and refuses all others."""
    table = np.full(256, -1, np.int16)
    table[list(values)] = list(values)
    return table


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image; only its header is read.

    Raises:
        Mismatch: it is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Mismatch(f"cannot read the image {path}: {error}") from None


def check_size(image: Path, mask: np.ndarray) -> None:
    """Raise ``Mismatch`` with both sizes where a mask (H, W, ...) does not fit its image."""
    size = image_size(image)
    if mask.shape[1::-1] != size:
        raise Mismatch(describe_sizes(size, mask.shape[1::-1]))


def describe_sizes(image: tuple[int, int], mask: tuple[int, ...]) -> str:
    """Say that an image and a mask differ in width and height."""
    return f"the image is {image[0]}x{image[1]} and the mask {mask[0]}x{mask[1]}"


def save_mask(mask: np.ndarray, path: Path) -> None:
    """Write uint8 (H, W) as a grey PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def place(source: Path, target: Path, move: bool = False) -> None:
    """Copy a file, or move it within a disk; the folder of ``target`` is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if move:
        os.replace(source, target)
    else:
        shutil.copyfile(source, target)
