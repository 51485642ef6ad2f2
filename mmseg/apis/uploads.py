"""Image files from strangers: what is no image is refused in one line, what is unusual is converted and told.

Sizes are read from the file's head and checked before anything is decoded, so a small file that would become
a huge picture costs nothing.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageOps

from mmseg.utils.errors import UserError

# What Pillow may try; its other readers (EPS among them, which starts a program) stay out of reach.
FORMATS = ("PNG", "JPEG", "MPO", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
NAMES_OF_FORMATS = "PNG, JPEG, WebP, BMP, TIFF, GIF, PPM, JPEG 2000 or AVIF"
_ORIENTATION = 0x0112
# Four channels of 32 bits, the widest that a format here has; and previews, colour profiles, EXIF data.
_BYTES_OF_A_PIXEL = 16
_BYTES_BESIDE = 64_000_000
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)


def read_upload(
    path: str | os.PathLike[str], *, name: str | None = None, max_pixels: int = 16_000_000
) -> tuple[np.ndarray, list[str]]:
    """Read an image of any kind that people have: BGR uint8 (H, W, 3), and what had to be done to it.

    An ordinary file (8 bits, colour or grey) gives the same pixels as ``LoadImageFromFile``.

    Args:
        path: The file.
        name: How the messages call it; by default its own name.
        max_pixels: Larger images are refused before they are decoded.

    Returns:
        The image, upright, and one sentence for each conversion.

    Raises:
        UserError: it is empty, no image, too large, damaged, or of numbers that are no colours.
    """
    name = name or os.path.basename(os.fspath(path))
    data = _content(path, name, max_pixels)
    image = _opened(data, name, max_pixels)
    frames = _frames(image)
    sixteen_bits = ";16" in str(image.tile) or image.mode.startswith("I")
    try:
        image.load()
    except MemoryError:
        raise UserError(f"{name} needs more memory than there is; make it smaller") from None
    except Exception as error:  # Pillow's readers raise nearly every kind for damaged files
        raise UserError(f"{name} is damaged or was cut off ({_reason(error)}); copy it again") from None
    notes = []
    if frames > 1:
        notes.append(f"It has {frames} frames; this is the first.")
    turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    if turned:
        notes.append("It was turned upright, as its EXIF data asks.")
    if image.mode in ("RGB", "L") and "transparency" not in image.info and not sixteen_bits and frames == 1:
        notes += ["It is grey: red, green and blue are equal."] if image.mode == "L" else []
        plain = _decode_plainly(data)
        if plain is not None:
            return plain, notes
    if turned:
        image = ImageOps.exif_transpose(image)
    rgb, more = _to_rgb(image, name, sixteen_bits)
    return np.ascontiguousarray(np.asarray(rgb)[..., ::-1]), notes + more


def example_images(folder: str, limit: int = 12) -> list[str]:
    """Return the first ``limit`` images of a folder, by name.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"--examples {folder}: {error.strerror or error}; give a folder of images") from None
    Image.init()
    endings = tuple(ending for ending, kind in Image.EXTENSION.items() if kind in FORMATS)
    found = [os.path.join(folder, name) for name in names if name.lower().endswith(endings)]
    if not found:
        raise UserError(f"--examples {folder}: no image in it; give a folder of images")
    return found[:limit]


def _content(path: str | os.PathLike[str], name: str, max_pixels: int) -> bytes:
    """The bytes of a file; what is none (a pipe, which would be waited for, or an endless device), and what
    is larger than any image of ``max_pixels``, is not read."""
    most = _BYTES_OF_A_PIXEL * max_pixels + _BYTES_BESIDE
    try:
        # Without O_NONBLOCK the opening of a pipe already waits.
        with open(os.open(path, os.O_RDONLY | _NO_WAITING | getattr(os, "O_BINARY", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{name} is a pipe or a device, not a file; give an image file")
            if status.st_size > most:
                raise UserError(
                    f"{name} has {status.st_size / 1e6:.0f} MB, more than an image of {max_pixels / 1e6:g} "
                    "million pixels ever needs; make it smaller"
                )
            return file.read(most)
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror or error}") from None


def _opened(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Read the head of a file, and refuse what should not be decoded."""
    if not data:
        raise UserError(f"{name} is empty; copy it again")
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked below
            image = Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind in Image.OPEN])
    except Image.DecompressionBombError:
        raise UserError(_too_large(name, "far more", max_pixels)) from None
    except Exception:  # as above
        if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
            raise UserError(f"{name} is a HEIC photo, which cannot be read here; save it as JPEG") from None
        if b"<svg" in data[:1024].lower():
            raise UserError(f"{name} is an SVG drawing, not an image of pixels; save it as PNG") from None
        raise UserError(f"{name} is not an image: give a {NAMES_OF_FORMATS} file") from None
    width, height = image.size
    if width * height > max_pixels:
        raise UserError(
            _too_large(name, f"{width} x {height} = {width * height / 1e6:.1f} million", max_pixels)
        )
    return image


def _too_large(name: str, size: str, max_pixels: int) -> str:
    return f"{name} has {size} pixels; at most {max_pixels / 1e6:g} million are taken: make it smaller"


def _frames(image: Image.Image) -> int:
    """How many pictures follow one another; the previews and depth maps of phone photos do not count."""
    try:
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Exception:  # the count reads the whole file, which may end early: loading tells
        return 1


def _decode_plainly(data: bytes) -> np.ndarray | None:
    """Decode as training does; None where OpenCV cannot."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def _to_rgb(image: Image.Image, name: str, sixteen_bits: bool) -> tuple[Image.Image, list[str]]:
    """Convert any mode of Pillow, and say what that did."""
    notes = []
    if sixteen_bits:
        notes.append("Its 16 bits per channel were reduced to 8.")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UserError(
                f"{name} holds numbers from {values.min()} to {values.max()}, no colours; save it with 8 bits"
            )
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise UserError(f"{name} holds fractions (32-bit floats), no colours; save it with 8 bits")
    if image.mode in ("1", "L", "LA", "La"):
        notes.append("It is grey: red, green and blue are equal.")
    if image.mode == "CMYK":
        notes.append("Its colours for print (CMYK) were converted to RGB, roughly.")
    try:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            if image.getextrema()[3][0] < 255:
                notes.append("Its transparent parts stand on white.")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB"), notes
    except (ValueError, OSError) as error:
        raise UserError(
            f"{name} has colours of the kind {image.mode} ({_reason(error)}); save it as RGB"
        ) from None


def _reason(error: Exception) -> str:
    """The first line of an exception's text, without a stop."""
    lines: Sequence[str] = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
