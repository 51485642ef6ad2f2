"""Image files of every kind: read alike, or refused in one line."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmseg.apis.uploads import FORMATS, example_images, read_upload
from mmseg.datasets.pipelines.loading import read_image
from mmseg.utils.errors import UserError

HEIGHT, WIDTH = 24, 40


@pytest.fixture
def picture() -> np.ndarray:
    """(H, W, 3) RGB: smooth, so that lossy formats keep it; its corners differ."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 6, y * 10, 255 - x * 3 - y * 3], -1).astype(np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
def test_an_ordinary_file_gives_the_pixels_of_training(ending, picture, tmp_path):
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(picture))
    image, notes = read_upload(path)
    assert np.array_equal(image, read_image(str(path)))
    assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8 and notes == []


def test_grey(picture, tmp_path):
    image, notes = read_upload(saved(tmp_path / "a.png", Image.fromarray(picture).convert("L")))
    assert image.shape == (HEIGHT, WIDTH, 3) and (image[..., 0] == image[..., 2]).all()
    assert notes == ["It is grey: red, green and blue are equal."]


def test_black_and_white_of_one_bit(tmp_path):
    image, notes = read_upload(saved(tmp_path / "a.png", Image.new("1", (4, 3), 1)))
    assert image.shape == (3, 4, 3) and (image == 255).all() and "grey" in notes[0]


def test_palette(picture, tmp_path):
    image, notes = read_upload(saved(tmp_path / "a.png", Image.fromarray(picture).quantize(64)))
    assert np.abs(image[..., ::-1].astype(int) - picture).mean() < 12 and notes == []


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_what_is_transparent_stands_on_white(alpha, picture, tmp_path):
    layers = np.dstack([picture, np.full((HEIGHT, WIDTH), alpha, np.uint8)])
    image, notes = read_upload(saved(tmp_path / "a.png", Image.fromarray(layers, "RGBA")))
    expected = picture * (alpha / 255) + 255 * (1 - alpha / 255)
    assert np.abs(image[..., ::-1] - expected).max() <= 1
    assert notes == ([] if alpha == 255 else ["Its transparent parts stand on white."])


def test_grey_with_alpha(tmp_path):
    image, notes = read_upload(saved(tmp_path / "a.png", Image.new("LA", (4, 3), (0, 0))))
    assert (image == 255).all() and len(notes) == 2


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits(colour, ending, picture, tmp_path):
    wide = picture.astype(np.uint16) * 256 + 7
    path = tmp_path / f"a.{ending}"
    assert cv2.imwrite(str(path), wide[..., ::-1] if colour else wide[..., 0])
    image, notes = read_upload(path)
    expected = picture if colour else np.repeat(picture[..., :1], 3, 2)
    assert np.abs(image[..., ::-1].astype(int) - expected).max() <= 1
    assert notes[0] == "Its 16 bits per channel were reduced to 8."


def test_cmyk(picture, tmp_path):
    image, notes = read_upload(
        saved(tmp_path / "a.jpg", Image.fromarray(picture).convert("CMYK"), quality=95)
    )
    assert np.abs(image[..., ::-1].astype(int) - picture).mean() < 4 and "CMYK" in notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_exif_orientation(orientation, mode, picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(picture).convert(mode)
    image, notes = read_upload(saved(tmp_path / "a.png", stored, exif=exif))
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    turns |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
    upright = Image.fromarray(picture)
    if orientation > 1:
        upright = upright.transpose(Image.Transpose[turns[orientation]])
    assert np.array_equal(image[..., ::-1], np.asarray(upright))
    assert notes == ([] if orientation == 1 else ["It was turned upright, as its EXIF data asks."])


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_of_several_frames_the_first_is_taken(ending, tmp_path):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue", "lime")]
    path = tmp_path / f"a.{ending}"
    frames[0].save(
        path, save_all=True, append_images=frames[1:], **({} if ending == "tif" else {"duration": 9})
    )
    image, notes = read_upload(path)
    assert image.shape == (6, 8, 3) and notes == ["It has 3 frames; this is the first."]
    assert np.abs(image[0, 0].astype(int) - (0, 0, 255)).max() < 8


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        read_upload(path, **options)
    text = str(caught.value)
    assert path.name in text and "\n" not in text
    return text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"hello", "is not an image"),
        ("photo.jpg", b"hello", "is not an image"),
        ("movie.mp4", b"\0\0\0 ftypisom" + bytes(64), "is not an image"),
        ("photo.heic", b"\0\0\0\x18ftypheic" + bytes(64), "is a HEIC photo"),
        ("logo.svg", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing"),
        ("print.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
        ("empty.png", b"", "is empty"),
    ],
)
def test_no_images(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert words in refusal(tmp_path / name)


def test_a_missing_file(tmp_path):
    assert "No such file" in refusal(tmp_path / "gone.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tif", "gif"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_was_cut_off(ending, share, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(noise))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "damaged or was cut off" in (text := refusal(path)) or "is not an image" in text


def test_numbers_that_are_no_colours(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.full((3, 4), 0.5, np.float32)))
    assert "holds fractions" in refusal(path)
    path = saved(tmp_path / "b.tif", Image.fromarray(np.full((3, 4), 70000, np.int32)))
    assert "holds numbers from 70000 to 70000" in refusal(path)


def test_too_large_is_refused_before_it_is_decoded(picture, tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(picture))
    assert read_upload(path, max_pixels=HEIGHT * WIDTH)[0].shape == (HEIGHT, WIDTH, 3)
    assert "40 x 24 = 0.0 million pixels" in refusal(path, max_pixels=HEIGHT * WIDTH - 1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (12_000, 60_000):  # the head alone: were it decoded, it would be "damaged"
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        )
        assert "at most 16 million are taken" in refusal(path)


def test_messages_call_the_file_by_its_own_name(tmp_path):
    (tmp_path / "f00d").write_bytes(b"x")
    with pytest.raises(UserError, match=r"^my photo\.jpg is not an image"):
        read_upload(tmp_path / "f00d", name="my photo.jpg")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]), data=st.data())
def test_whatever_is_damaged_gives_an_image_or_one_line(kind, data, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(bytes(content))
    try:
        image, notes = read_upload(path, max_pixels=100_000)
    except UserError as error:
        assert "damaged" in str(error) and "\n" not in str(error)
    else:
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8


def test_examples(picture, tmp_path):
    for name in ("b.png", "a.JPG", "c.webp"):
        saved(tmp_path / name, Image.fromarray(picture))
    (tmp_path / "notes.txt").write_text("x")
    assert [Path(p).name for p in example_images(str(tmp_path))] == ["a.JPG", "b.png", "c.webp"]
    assert len(example_images(str(tmp_path), limit=2)) == 2
    with pytest.raises(UserError, match="--examples .*No such file"):
        example_images(str(tmp_path / "gone"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image in it"):
        example_images(str(tmp_path / "empty"))


def test_pillow_starts_no_program_for_a_stranger():
    assert not {"EPS", "WMF", "PDF"} & set(FORMATS)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(kind, tmp_path):
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="a.png is a pipe or a device, not a file"):
        read_upload(path)


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    path = tmp_path / "a.png"
    with open(path, "wb") as file:
        file.truncate(500_000_000)  # takes no room on the disk
    with pytest.raises(UserError, match="a.png has 500 MB, more than an image of 16 million pixels"):
        read_upload(path)
