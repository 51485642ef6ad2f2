"""Where errors sit, against brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmseg.core.evaluation.error_places import (
    DISTANCES,
    GRID,
    SIZES,
    ErrorPlaces,
    boundary_distance,
    by_cell,
    by_size,
)


def brute_distance(label: np.ndarray, ignore: int = 255) -> np.ndarray:
    """Distances by looking at every pair of pixels."""
    h, w = label.shape
    edge = []
    for y in range(h):
        for x in range(w):
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                v, u = y + dy, x + dx
                if (
                    0 <= v < h
                    and 0 <= u < w
                    and label[y, x] != label[v, u]
                    and ignore not in (label[y, x], label[v, u])
                ):
                    edge.append((y, x))
    if not edge:
        return np.full((h, w), np.inf)
    rows, columns = np.array(edge).T
    y, x = np.mgrid[:h, :w]
    return np.hypot(y[..., None] - rows, x[..., None] - columns).min(-1) + 1


@given(st.integers(0, 1000))
def test_distance_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    blocks = rng.choice([0, 1, 255], (3, 4), p=[0.5, 0.3, 0.2])
    label = np.kron(blocks, np.ones((4, 5), int))
    np.testing.assert_allclose(boundary_distance(label), brute_distance(label), atol=1e-3)


def test_the_rim_of_an_ignored_region_is_no_boundary():
    label = np.zeros((6, 6), np.uint8)
    label[2:4, 2:4] = 255
    assert np.isinf(boundary_distance(label)).all()
    assert (boundary_distance(label, ignore_index=None)[2:4, 2:4] == 1).all()


def test_errors_at_the_boundary_and_inside():
    label = np.zeros((40, 100), np.int64)
    label[:, 50:] = 1
    pred = label.copy()
    pred[:, 50] = 0  # touches the boundary
    pred[:10, :5] = 1  # far from it
    places = ErrorPlaces()
    places.add(pred, label)
    pixels, wrong = places.distance.T
    assert pixels.sum() == label.size and wrong.sum() == (pred != label).sum()
    assert pixels[0] == 80 and wrong[0] == 40  # columns 49 and 50
    assert wrong[-1] == 50 and wrong[1:-1].sum() == 0
    assert len(pixels) == len(DISTANCES) + 1


def test_sizes_of_regions():
    label = np.full((100, 100), 9, np.int64)
    label[10, 10] = 1  # 0.01 %: at the upper end of the first bin
    label[20:25, 20:25] = 1  # 0.25 %
    label[50:60, 50:60] = 2  # 1 %
    label[70:, :] = 3  # 30 %
    label[:, 99] = 255
    pred = label.copy()
    pred[20:25, 20:23] = 0  # 15 of 25 pixels of this region are wrong: it is not found
    pred[50:55, 50:60] = 0  # half of this one: found
    places = by_size((pred != label) & (label != 255), label != 255, label)
    assert places.shape == (len(SIZES) + 1, 4)
    regions, found, pixels, wrong = places.T
    assert regions.tolist() == [1, 0, 2, 0, 2]
    assert found.tolist() == [1, 0, 1, 0, 2]
    assert wrong.tolist() == [0, 0, 65, 0, 0]
    assert pixels.sum() == (label != 255).sum()


def test_regions_of_one_class_that_touch_only_another_are_two():
    label = np.array([[1, 0, 1]] * 3)
    regions = by_size(np.zeros((3, 3), bool), np.ones((3, 3), bool), label)[:, 0]
    assert regions.sum() == 3


def test_cells_of_the_image():
    counted, wrong = np.ones((48, 64), bool), np.zeros((48, 64), bool)
    wrong[0:2, 0:2] = True
    wrong[47, 63] = True
    grid = by_cell(wrong, counted)
    assert grid.shape == (*GRID, 2) and grid[..., 0].sum() == 48 * 64
    assert grid[0, 0].tolist() == [4, 4] and grid[-1, -1].tolist() == [4, 1]
    assert grid[..., 1].sum() == 5


def test_an_image_smaller_than_the_grid_and_one_without_truth():
    places = ErrorPlaces()
    places.add(np.zeros((3, 5), int), np.zeros((3, 5), int))
    places.add(np.zeros((3, 5), int), np.full((3, 5), 255))
    assert places.grid[..., 0].sum() == 15 and places.distance[-1].tolist() == [15, 0]
    assert places.size[-1].tolist() == [1, 1, 15, 0]
