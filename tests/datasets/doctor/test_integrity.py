"""Torn files are found by their structure, at whatever byte they end."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmseg.datasets.doctor.integrity import damage

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8))
WRITINGS = {
    "baseline": ("JPEG", {}),
    "progressive": ("JPEG", dict(progressive=True)),
    "restart markers": ("JPEG", dict(restart_marker_blocks=3)),
    "an end marker in the comment": ("JPEG", dict(comment=b"a\xff\xd9b")),
    "png": ("PNG", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
}


def written(name: str) -> bytes:
    kind, options = WRITINGS[name]
    buffer = io.BytesIO()
    PICTURE.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", WRITINGS)
def test_a_whole_file(name):
    assert damage(written(name)) is None


@pytest.mark.parametrize("name", ["baseline", "progressive", "restart markers", "png"])
def test_what_follows_the_end_does_not_matter(name):
    assert damage(written(name) + b"\x00rubbish\xff") is None


@pytest.mark.parametrize("name", [n for n in WRITINGS if WRITINGS[n][0] in ("JPEG", "PNG")])
@settings(max_examples=40)
@given(share=st.floats(0, 1))
def test_a_file_that_ends_early(name, share):
    data = written(name)
    length = 8 + round(share * (len(data) - 1 - 8))
    assert "end" in (damage(data[:length]) or ""), f"{length} of {len(data)} bytes"


def test_an_end_marker_in_a_comment_is_not_the_end():
    data = written("an end marker in the comment")
    at = data.index(b"\xff\xd9") + 10
    assert damage(data[:at]) is not None


@pytest.mark.parametrize("name", ["bmp", "tiff"])
def test_other_formats_are_decoded(name):
    assert "damaged" in damage(written(name)[:2000])


def test_a_flipped_bit_in_a_png():
    data = bytearray(written("png"))
    data[len(data) // 2] ^= 4
    assert "checksum" in damage(bytes(data))


def test_what_is_no_image_is_left_to_the_decoder():
    assert damage(b"hello") is None
