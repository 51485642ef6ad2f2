"""A fast way to decode the plainest kind of PNG, and how to tell that kind from every other.

Most of the time that a training sample takes goes into its PNG file. The decoder of the Rust library
``png`` (in the wheel ``kornia-rs``) needs a third of the time that libpng needs for the same pixels. It is
used only for files about which no two decoders disagree: 8 bits, grey or RGB, not interlaced, whole, and
without a chunk that could change the pixels. Every other file, and every file that it refuses, goes to
OpenCV or Pillow as before, so that the outcome is theirs: pixels and error messages alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
# Chunks that say nothing about the pixels: physical size, time, text. Text may carry an orientation under
# the name 'Raw profile type ...', so those files are left to the other decoders.
_HARMLESS = frozenset((b"pHYs", b"tIME", b"tEXt", b"zTXt", b"iTXt"))
_PROFILE = b"Raw profile type"
_MOST_PIXELS = 1 << 26  # below the limits at which Pillow warns and OpenCV refuses


class PlainPng(NamedTuple):
    """Size of a plain PNG image, and whether it is grey."""

    height: int
    width: int
    grey: bool


def plain_png(data: bytes) -> PlainPng | None:
    """What kind of image ``data`` is, if it is a whole, plain PNG file; None for everything else.

    Plain: 8 bits a channel, grey or RGB, not interlaced, no transparency, palette, gamma, colour profile,
    orientation or animation. The checksums of the image data are left to the decoder.
    """
    if len(data) < 45 or not may_be_plain(data):
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if not 0 < width * height <= _MOST_PIXELS or not _checksum_holds(data, 8, 13) or not _is_whole(data):
        return None
    return PlainPng(height, width, data[25] == _GREY)


def may_be_plain(start: bytes, grey: bool = False) -> bool:
    """Whether the first 29 bytes of a file allow a plain PNG; with ``grey`` a grey one."""
    if start[:16] != _SIGNATURE + b"\x00\x00\x00\rIHDR" or len(start) < 29:
        return False
    depth, colour, compression, filtering, interlace = start[24:29]
    known = (_GREY,) if grey else (_GREY, _RGB)
    return depth == 8 and colour in known and not (compression or filtering or interlace)


def _is_whole(data: bytes) -> bool:
    """Whether nothing but harmless chunks stands around one row of IDAT chunks, and IEND ends it."""
    at, length, stretches, before = 33, len(data), 0, b"IHDR"
    while at + 12 <= length:
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 12 + size
        if end > length:
            return False
        if kind == b"IDAT":
            stretches += before != kind
        elif kind == b"IEND":
            return size == 0 and stretches == 1 and _checksum_holds(data, at, size)
        elif not _is_harmless(data, at, size):
            return False
        at, before = end, kind
    return False


def _is_harmless(data: bytes, at: int, size: int) -> bool:
    known = data[at + 4 : at + 8] in _HARMLESS and not data.startswith(_PROFILE, at + 8)
    return known and _checksum_holds(data, at, size)


def _checksum_holds(data: bytes, at: int, size: int) -> bool:
    end = at + 8 + size
    return zlib.crc32(data[at + 4 : end]) == int.from_bytes(data[end : end + 4])


@cache
def _decoder() -> Callable[..., Any] | None:
    try:
        from kornia_rs.io import decode_image_png_u8
    except ImportError:  # the wheel is missing, or too old
        return None
    return decode_image_png_u8


def decode_png(data: bytes) -> np.ndarray | None:
    """Decode a plain PNG file: RGB uint8 (H, W, 3), or (H, W) where it is grey.

    Returns:
        None where the file is of another kind or damaged, or the decoder is not installed.
    """
    decoder = _decoder()
    kind = plain_png(data) if decoder is not None else None
    if kind is None:
        return None
    try:
        pixels = decoder(data, (kind.height, kind.width), "mono" if kind.grey else "rgb")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in Rust is no Exception; OpenCV or Pillow shall say what is wrong
        return None
    return pixels[..., 0] if kind.grey else pixels


def decode_color(data: bytes, color_type: str) -> tuple[np.ndarray, bool] | None:
    """Decode a plain PNG as ``cv2.imdecode`` would, but for the order of the channels.

    Args:
        data: The file.
        color_type: As in ``LoadImageFromFile``.

    Returns:
        The image, uint8 (H, W, 3) or (H, W), and whether its channels are in the order RGB; or None, as
        for ``decode_png``.
    """
    if color_type.startswith("grayscale"):
        return None  # of a colour image OpenCV makes grey in its own way
    pixels = decode_png(data)
    if pixels is None:
        return None
    if pixels.ndim == 2 and color_type != "unchanged":
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), False
    return pixels, pixels.ndim == 3
