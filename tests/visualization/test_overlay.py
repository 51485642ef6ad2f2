"""Overlays, grey label maps, palettes and image files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg.core.evaluation import get_classes, get_palette
from mmseg.utils.errors import UserError
from mmseg.visualization import (
    colorize,
    colour_table,
    default_palette,
    label_map_image,
    legend,
    overlay,
    save_image,
)

PALETTE = [[10, 20, 30], [200, 100, 0]]


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1.0), st.integers(1, 12), st.integers(1, 12))
def test_overlay_blends_in_the_proportion_of_opacity(seed: int, opacity: float, h: int, w: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (h, w, 3)).astype(np.uint8)
    label = rng.integers(0, 19, (h, w))
    palette = get_palette("cityscapes")
    colours = np.array(palette)[label][..., ::-1]  # the palette is RGB, images are BGR
    expected = image * (1 - opacity) + colours * opacity
    result = overlay(image, label, palette, opacity)
    assert result.dtype == np.uint8 and result.shape == image.shape
    assert np.abs(result - expected).max() <= 1


def test_ignored_pixels_keep_the_image_and_nothing_is_changed_in_place() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    label = np.array([[0, 255], [1, 1]], np.uint8)
    result = overlay(image, label, PALETTE, opacity=1)
    assert result.tolist() == [[[30, 20, 10], [100] * 3], [[0, 100, 200]] * 2]
    assert (image == 100).all() and label[0, 1] == 255


@pytest.mark.parametrize(
    ("image", "label", "opacity", "message"),
    [
        (
            np.zeros((2, 3, 3), np.uint8),
            np.zeros((3, 2), int),
            0.5,
            r"differ in size: \(3, 2\) against \(2, 3\)",
        ),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), int), 0.0, "opacity is 0.0"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), int), 1.1, "opacity is 1.1"),
        (np.zeros((2, 3, 3)), np.zeros((2, 3), int), 0.5, r"an image is \(H, W, 3\) uint8"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), int), 0.5, r"an image is \(H, W, 3\) uint8"),
        (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3)), 0.5, "a label map is .* not .* float64"),
        (np.zeros((2, 3, 3), np.uint8), np.full((2, 3), -1), 0.5, r"from -1\)"),
    ],
)
def test_wrong_arguments_are_named(
    image: np.ndarray, label: np.ndarray, opacity: float, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        overlay(image, label, PALETTE, opacity)


def test_colorize_gives_bgr_and_black_where_ignored() -> None:
    result = colorize(np.array([[0, 1, 255]], np.uint8), PALETTE)
    assert result.tolist() == [[[30, 20, 10], [0, 100, 200], [0, 0, 0]]]


def test_classes_without_a_colour_get_one() -> None:
    result = colorize(np.array([[0, 1, 2, 3]]), PALETTE)
    assert len({tuple(c) for c in result[0].tolist()}) == 4
    assert result[0, 0].tolist() == [30, 20, 10]
    assert colorize(np.array([[300]]), None).shape == (1, 1, 3)


def test_label_map_image_is_grey() -> None:
    assert label_map_image(np.array([[0, 18, 255]])).dtype == np.uint8
    assert label_map_image(np.array([[True, False]])).tolist() == [[1, 0]]
    wide = label_map_image(np.array([[0, 300]]))
    assert wide.dtype == np.uint16 and wide.tolist() == [[0, 300]]
    with pytest.raises(UserError, match="holds 70000"):
        label_map_image(np.array([[70000]]))


def test_default_palette_is_stable_distinct_and_well_spread() -> None:
    palette = np.array(default_palette(150), float)
    distance = np.linalg.norm(palette[:, None] - palette[None], axis=-1)
    distance[np.diag_indices(150)] = np.inf
    assert distance.min() > 40
    assert distance[:19, :19].min() > 100
    assert default_palette(5) == default_palette(150)[:5]
    assert default_palette(0) == [] and len(default_palette(600)) == 600


def test_colour_table_checks_the_palette() -> None:
    assert colour_table([[1, 2, 3]], 1).tolist() == [[3, 2, 1]]
    assert colour_table(None, 3).shape == (3, 3)
    for wrong in ([[1, 2]], [[0, 0, 256]], [[-1, 0, 0]], [1, 2, 3]):
        with pytest.raises(UserError, match="a palette is a list of"):
            colour_table(wrong, 1)


def test_legend_shows_every_colour() -> None:
    picture = legend(get_classes("cityscapes"), get_palette("cityscapes"), row_height=20)
    assert picture.shape[0] == 19 * 20 and picture.dtype == np.uint8
    for i, colour in enumerate(get_palette("cityscapes")):
        assert picture[20 * i + 10, 10].tolist() == colour[::-1]
        assert (picture[20 * i : 20 * i + 20, 40:] == 0).any()  # the name


@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_saved_images_read_back(ending: str, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    path = tmp_path / "new" / "foldér" / f"a.{ending}"
    save_image(path, image)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), image)


def test_images_that_cannot_be_written(tmp_path: Path) -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write the image .*file/a.png: .*; give a folder"):
        save_image(tmp_path / "file" / "a.png", image)
    for wrong in ("a.xyz", "a"):
        with pytest.raises(UserError, match="is no image format"):
            save_image(tmp_path / wrong, image)
