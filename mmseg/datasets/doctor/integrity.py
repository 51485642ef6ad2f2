"""Finding out that an image file is torn or damaged, also where a decoder would fill the hole with grey."""

from __future__ import annotations

import io
import re
import struct
import zlib

from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_ALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a length: TEM, RST0 to RST7, SOI
_SCAN, _END = 0xDA, 0xD9
# In the data of a scan 0xFF stands before 0 (a stuffed byte), a restart marker or another 0xFF.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def damage(data: bytes) -> str | None:
    """Return in a few words what is missing from an image file, or None.

    JPEG files are walked to their end marker, PNG files to their last chunk with every checksum; of
    other formats Pillow decodes what it knows. That a file is no image at all is left to its decoder.

    Args:
        data: The whole file.
    """
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:8] == _PNG:
        return _png(data)
    return _others(data)


def _jpeg(data: bytes) -> str | None:
    cut = f"the JPEG data end after {len(data)} bytes, without the end marker"
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return cut
        marker = data[at + 1]
        if marker == _END:
            return None
        if marker in (0x00, 0xFF):  # a fill byte, or rubbish between two segments
            at += 1
            continue
        at += 2
        if marker in _ALONE:
            continue
        if at + 2 > len(data):
            return cut
        at += int.from_bytes(data[at : at + 2], "big")
        if marker == _SCAN:
            following = _AFTER_SCAN.search(data, at)
            if following is None:
                return cut
            at = following.start()


def _png(data: bytes) -> str | None:
    cut = f"the PNG data end after {len(data)} bytes, in the middle"
    at = len(_PNG)
    while True:
        if at + 12 > len(data):
            return cut
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(data):
            return cut
        if zlib.crc32(memoryview(data)[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return f"the checksum of a PNG chunk ({name.decode('latin-1')}, at byte {at}) is wrong"
        if name == b"IEND":
            return None
        at = end + 4


def _others(data: bytes) -> str | None:
    try:
        image = Image.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    try:
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        return f"the {image.format} data are damaged ({error})"
    return None
