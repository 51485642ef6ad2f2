"""Plain PNG files are read faster, and every file gives what it gave before: pixels or message."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from mmseg.datasets.pipelines.fast import fast_read_image, fast_read_mask, png
from mmseg.datasets.pipelines.fast.png import decode_png, plain_png
from mmseg.datasets.pipelines.loading import read_image
from mmseg.datasets.pipelines.masks import read_mask
from mmseg.utils.errors import UserError

RGB = np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)
GREY = np.ascontiguousarray(RGB[..., 0] // 16)
COLOR_TYPES = (
    "color",
    "grayscale",
    "unchanged",
    "color_ignore_orientation",
    "grayscale_ignore_orientation",
)


def saved(array: np.ndarray | Image.Image, **options: object) -> bytes:
    """The PNG file that Pillow writes."""
    out = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(out, "png", **options)
    return out.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(data: bytes, kind: bytes, content: bytes, before: bytes = b"IDAT") -> bytes:
    at = data.index(before) - 4
    return data[:at] + chunk(kind, content) + data[at:]


def turned(array: np.ndarray) -> bytes:
    """An image whose EXIF data asks for a quarter turn."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(array, exif=exif)


def with_text(array: np.ndarray) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "somebody")
    info.add_itxt("Title", "Straße")
    return saved(array, pnginfo=info)


def interlaced(array: np.ndarray) -> bytes:
    """Adam7, written here: neither Pillow nor OpenCV writes it."""
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    rows = b""
    for top, left, down, across in passes:
        part = array[top::down, left::across]
        rows += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    h, w = array.shape[:2]
    head = struct.pack(">IIBBBBB", w, h, 8, 2 if array.ndim == 3 else 0, 0, 0, 1)
    return png._SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def many_idat(data: bytes) -> bytes:
    start, size = data.index(b"IDAT") - 4, struct.unpack(">I", data[data.index(b"IDAT") - 4 :][:4])[0]
    content = data[start + 8 : start + 8 + size]
    parts = b"".join(chunk(b"IDAT", content[i : i + 100]) for i in range(0, size, 100))
    return data[:start] + parts + data[start + 12 + size :]


PLAIN = {
    "rgb": saved(RGB),
    "grey": saved(GREY),
    "one pixel": saved(RGB[:1, :1]),
    "not compressed": saved(RGB, compress_level=0),
    "by OpenCV": cv2.imencode(".png", RGB)[1].tobytes(),
    "many IDAT": many_idat(saved(RGB)),
    "text": with_text(RGB),
    "physical size": saved(RGB, dpi=(72, 72)),
    "bytes after the end": saved(RGB) + b"more",
}
OTHER = {
    "alpha": saved(np.dstack([RGB, RGB[..., 0]])),
    "grey and alpha": saved(Image.fromarray(np.dstack([GREY, GREY * 9]), "LA")),
    "palette": saved(Image.fromarray(RGB).quantize(16)),
    "palette, transparent": saved(Image.fromarray(RGB).quantize(16), transparency=3),
    "transparent rgb": saved(RGB, transparency=tuple(RGB[3, 4].tolist())),
    "transparent grey": saved(GREY, transparency=3),
    "1 bit": saved(Image.fromarray(GREY > 7)),
    "16 bit grey": cv2.imencode(".png", GREY.astype(np.uint16) * 257)[1].tobytes(),
    "16 bit rgb": cv2.imencode(".png", RGB.astype(np.uint16) * 255)[1].tobytes(),
    "2 bit palette": saved(Image.fromarray(RGB).quantize(4), bits=2),
    "interlaced": interlaced(RGB),
    "interlaced grey": interlaced(GREY),
    "turned": turned(RGB),
    "turned, after the image": with_chunk(saved(RGB), b"eXIf", turned(RGB).split(b"eXIf")[1][:-16], b"IEND"),
    "gamma": with_chunk(saved(RGB), b"gAMA", struct.pack(">I", 100000)),
    "colours": with_chunk(saved(RGB), b"sRGB", b"\0"),
    "profile in a text": with_chunk(saved(RGB), b"tEXt", b"Raw profile type exif\0\nexif\n 4\n00000000"),
    "an unknown chunk": with_chunk(saved(RGB), b"abCd", b"what"),
    "animated": saved(Image.fromarray(RGB), save_all=True, append_images=[Image.fromarray(RGB[::-1])]),
    "JPEG under this name": cv2.imencode(".jpg", RGB)[1].tobytes(),
}
DAMAGED = {
    "empty": b"",
    "signature only": saved(RGB)[:8],
    "header only": saved(RGB)[:33],
    "half": saved(RGB)[: len(saved(RGB)) // 2],
    "half of a grey one": saved(GREY)[: len(saved(GREY)) // 2],
    "no end": saved(RGB)[:-12],
    "no image data": png._SIGNATURE + saved(RGB)[8:33] + chunk(b"IEND", b""),
    "too little image data": png._SIGNATURE
    + saved(RGB)[8:33]
    + chunk(b"IDAT", zlib.compress(b"\0" * 50))
    + chunk(b"IEND", b""),
    "no deflate": png._SIGNATURE + saved(GREY)[8:33] + chunk(b"IDAT", b"nothing") + chunk(b"IEND", b""),
    "unknown filter": png._SIGNATURE
    + saved(GREY)[8:33]
    + chunk(b"IDAT", zlib.compress(b"\x09" * (23 * 32)))
    + chunk(b"IEND", b""),
    "text": b"this is no image at all, but it is longer than a header",
    "size 0": png._SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)) + saved(RGB)[33:],
    "huge": png._SIGNATURE
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**30, 2**30, 8, 2, 0, 0, 0))
    + saved(RGB)[33:],
}


def outcome(read: object, *args: str) -> object:
    try:
        return read(*args)
    except UserError as error:
        return str(error)


def assert_same(data: bytes, folder: Path) -> None:
    path = folder / "image.png"
    path.write_bytes(data)
    pairs = [(fast_read_image, read_image, (str(path), kind)) for kind in COLOR_TYPES]
    pairs += [(fast_read_image, read_image, (str(path), "color", "pillow"))]
    pairs += [(fast_read_mask, read_mask, (str(path), backend)) for backend in ("pillow", "cv2")]
    for fast, slow, args in pairs:
        got, expected = outcome(fast, *args), outcome(slow, *args)
        if isinstance(expected, str):
            assert got == expected, args
        else:
            assert isinstance(got, np.ndarray), (args, got)
            assert got.dtype == expected.dtype and np.array_equal(got, expected), args


@pytest.mark.parametrize("name", [*PLAIN, *OTHER, *DAMAGED])
def test_every_kind_of_file_reads_as_before(name: str, tmp_path: Path) -> None:
    assert_same({**PLAIN, **OTHER, **DAMAGED}[name], tmp_path)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_files_are_known(name: str) -> None:
    kind = plain_png(PLAIN[name])
    assert kind is not None and kind.grey == (name == "grey")
    pixels = decode_png(PLAIN[name])
    expected = cv2.imdecode(np.frombuffer(PLAIN[name], np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(pixels, expected if kind.grey else expected[..., ::-1])
    assert pixels.shape[:2] == (kind.height, kind.width)


@pytest.mark.parametrize("name", OTHER)
def test_other_files_are_left_to_the_other_decoders(name: str) -> None:
    assert plain_png(OTHER[name]) is None


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_left_to_the_other_decoders(name: str) -> None:
    assert decode_png(DAMAGED[name]) is None


def test_a_missing_file_is_told_as_before(tmp_path: Path) -> None:
    path = str(tmp_path / "none.png")
    for fast, slow in ((fast_read_image, read_image), (fast_read_mask, read_mask)):
        message = outcome(slow, path)
        assert isinstance(message, str) and "does not exist" in message
        assert outcome(fast, path) == message


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PLAIN)), st.data())
def test_flipped_bits_and_cuts_read_as_before(
    tmp_path_factory: object, name: str, data: st.DataObject
) -> None:
    content = bytearray(PLAIN[name])
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    assert_same(bytes(content), tmp_path_factory.getbasetemp())


def test_without_the_wheel_opencv_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(PLAIN["rgb"])
    monkeypatch.setitem(sys.modules, "kornia_rs.io", None)
    png._decoder.cache_clear()
    try:
        assert decode_png(PLAIN["rgb"]) is None
        assert np.array_equal(fast_read_image(str(path)), RGB[..., ::-1])
    finally:
        png._decoder.cache_clear()
