"""Curves and confusion matrices."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseg.utils.errors import UserError
from mmseg.visualization.charts import (
    COLOURS,
    Curve,
    draw_confusion_matrix,
    draw_curves,
    percent_of_truth,
    smoothed,
)


def has_colour(path, colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(cv2.imread(str(path))[..., ::-1].astype(int) - rgb).max(-1) < 12).any())


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.floats(0, 0.99))
def test_smoothing_stays_within_the_values(values, weight):
    result = smoothed(values, weight)
    assert len(result) == len(values) and result[0] == pytest.approx(values[0])
    assert min(values) - 1e-6 <= min(result) and max(result) <= max(values) + 1e-6


def test_smoothing_leaves_gaps():
    result = smoothed([1.0, math.nan, 3.0], 0.5)
    assert math.isnan(result[1]) and result[2] == pytest.approx((0.25 * 1 + 0.5 * 3) / 0.75)
    assert smoothed([5.0, 1.0], 0) == [5.0, 1.0]


@pytest.mark.parametrize("panels", [1, 2, 3, 5])
def test_curves_of_every_run_are_drawn(tmp_path, panels):
    curves = [Curve("training", [1, 2, 3], [3.0, math.nan, 1.0], run=r) for r in (0, 1)]
    path = tmp_path / "deep" / "curves.png"
    runs = ["a", "b_$x$"]
    draw_curves(path, {f"loss {i}": curves for i in range(panels)}, runs=runs, title="t", smooth=0.5)
    assert has_colour(path, COLOURS[0]) and has_colour(path, COLOURS[1]) and not has_colour(path, COLOURS[3])
    assert [p.name for p in path.parent.iterdir()] == ["curves.png"]


def test_a_single_value_is_seen(tmp_path):
    draw_curves(tmp_path / "one.png", {"mIoU": [Curve("validation", [400], [0.3], dots=True)]})
    draw_curves(tmp_path / "none.png", {"mIoU": [Curve("validation", [400], [math.nan], dots=True)]})
    assert has_colour(tmp_path / "one.png", COLOURS[0]) and not has_colour(tmp_path / "none.png", COLOURS[0])


def test_more_runs_than_colours(tmp_path):
    curves = [Curve("training", [0, 1], [r, r], run=r) for r in range(len(COLOURS) + 2)]
    draw_curves(tmp_path / "many.svg", {"loss": curves}, runs=[str(c.run) for c in curves])
    assert "stroke-dasharray" in (tmp_path / "many.svg").read_text()


@pytest.mark.parametrize("name", ["chart.txt", "chart"])
def test_no_image_format(tmp_path, name):
    with pytest.raises(UserError, match="is no image format; use .png, .pdf or .svg"):
        draw_curves(tmp_path / name, {"loss": []})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the chart"):
        draw_curves(tmp_path / "file" / "chart.png", {"loss": []})


def test_rows_are_percent_of_the_truth():
    percent = percent_of_truth(np.array([[3, 1], [0, 0]]))
    np.testing.assert_array_equal(percent, [[75, 25], [np.nan, np.nan]])


@pytest.mark.parametrize("count", [2, 19, 40])
def test_confusion_matrix_of_any_number_of_classes(tmp_path, count):
    matrix = np.eye(count, dtype=np.int64) * 5
    matrix[0, 1], matrix[1] = 5, 0
    path = tmp_path / "matrix.png"
    draw_confusion_matrix(path, matrix, [f"class {i}" for i in range(count)], colours="Blues")
    picture = cv2.imread(str(path))
    assert min(picture.shape[:2]) > 500
    # The darkest blue is the diagonal's, grey is the class that never occurs.
    assert has_colour(path, "#08306b") and has_colour(path, "#d9d9d9")


def test_unknown_colours(tmp_path):
    with pytest.raises(UserError, match="no colour map `viridus`; did you mean `viridis`"):
        draw_confusion_matrix(tmp_path / "m.png", np.eye(2), ["a", "b"], colours="viridus")
