"""Fitting, lettering and hatching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg.visualization.layout import PAPER, beside, fitted, lettering, mark_ignored, put, shortened

SIDES = st.integers(1, 60)


@given(SIDES, SIDES, SIDES, SIDES)
def test_fitted_has_the_size_and_keeps_the_shape(h, w, width, height):
    result = fitted(np.zeros((h, w, 3), np.uint8), width, height, (255, 255, 255))
    assert result.shape == (height, width, 3)
    inside = (result == 0).all(-1)
    rows, columns = inside.any(1).sum(), inside.any(0).sum()
    assert rows == height or columns == width
    assert abs(rows - min(height, width * h / w)) <= 1 and abs(columns - min(width, height * w / h)) <= 1


def test_fitted_leaves_what_fits():
    picture = np.zeros((4, 6, 3), np.uint8)
    assert fitted(picture, 6, 4) is picture


def test_lettering_has_ink_also_for_other_scripts():
    for text in ("road", "Straße", "дорога"):
        picture = lettering(text, 14)
        assert picture.shape[0] == 20 and picture.shape[1] > 4 * len(text)
        assert (picture < 100).any() and tuple(picture[0, 0]) == PAPER
    assert not np.array_equal(lettering("ж"), lettering("я"))


def test_shortened_cuts_the_middle():
    assert shortened("short", 500) == "short"
    cut = shortened("a_very_long_file_name_indeed.png", 100)
    assert cut.startswith("a") and cut.endswith("g") and "…" in cut
    assert lettering(cut).shape[1] <= 101
    assert shortened("abc", 1) == "…"


def test_put_cuts_at_the_edges():
    canvas = np.zeros((4, 4, 3), np.uint8)
    put(canvas, np.full((3, 3, 3), 9, np.uint8), 2, 3)
    assert canvas[..., 0].sum() == 2 * 9
    put(canvas, np.full((3, 3, 3), 9, np.uint8), 7, 7)
    assert canvas[..., 0].sum() == 2 * 9


@pytest.mark.parametrize(("below", "shape"), [(False, (3, 10, 3)), (True, (8, 4, 3))])
def test_beside(below, shape):
    joined = beside([np.zeros((3, 4, 3), np.uint8)] * 2, below=below)
    assert joined.shape == shape and (joined == 255).all(-1).sum() == (8 if below else 6)


def test_ignored_pixels_are_hatched_and_others_stay():
    picture = np.full((40, 40, 3), 77, np.uint8)
    ignored = np.zeros((40, 40), bool)
    ignored[:20] = True
    marked = mark_ignored(picture, ignored)
    assert (marked[20:] == 77).all() and len(np.unique(marked[:20])) == 2 and (picture == 77).all()
