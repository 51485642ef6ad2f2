"""Where errors sit: near a class boundary or inside, on small or large objects, high or low in the image.

Everything is counted per image and adds up over images.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

# Upper ends of the distances to the nearest class boundary, in pixels of the mask; beyond is one bin more.
DISTANCES = (1, 2, 4, 8, 16, 32)
# Upper ends of the size of a connected region of one class, as a share of the image; beyond is one bin more.
SIZES = (0.0001, 0.001, 0.01, 0.1)
# The image is divided into this many rows and columns of cells.
GRID = (24, 32)
# A region counts as found when at least this share of its pixels is right.
FOUND = 0.5


@dataclass
class ErrorPlaces:
    """Sums over images.

    Attributes:
        distance: (len(DISTANCES) + 1, 2): pixels and wrong pixels by distance to the nearest boundary.
        size: (len(SIZES) + 1, 4): regions, regions found, pixels and wrong pixels by size of the region.
        grid: (*GRID, 2): pixels and wrong pixels by place in the image.
    """

    distance: np.ndarray = field(default_factory=lambda: np.zeros((len(DISTANCES) + 1, 2), np.int64))
    size: np.ndarray = field(default_factory=lambda: np.zeros((len(SIZES) + 1, 4), np.int64))
    grid: np.ndarray = field(default_factory=lambda: np.zeros((*GRID, 2), np.int64))

    def add(self, pred: np.ndarray, label: np.ndarray, ignore_index: int | None = 255) -> None:
        """Count one image.

        Args:
            pred: (H, W) predicted classes.
            label: (H, W) true classes; pixels of ``ignore_index`` are left out.
        """
        counted = np.ones(label.shape, bool) if ignore_index is None else label != ignore_index
        wrong = counted & (pred != label)
        self.distance += by_distance(wrong, counted, boundary_distance(label, ignore_index))
        self.size += by_size(wrong, counted, label)
        self.grid += by_cell(wrong, counted)


def boundary_distance(label: np.ndarray, ignore_index: int | None = 255) -> np.ndarray:
    """Distance of each pixel to the nearest class boundary, in pixels: float32 (H, W).

    Pixels that touch another class (above, below, left or right) have 1, their neighbours 2, and so on, as
    the crow flies. The rim of ignored regions is no boundary: nobody said what is behind it. Without a
    boundary all is infinite.
    """
    edge = np.zeros(label.shape, bool)
    rows, columns = np.s_[1:], np.s_[:, 1:]
    rows_before, columns_before = np.s_[:-1], np.s_[:, :-1]
    for first, second in ((rows, rows_before), (columns, columns_before)):
        a, b = label[first], label[second]
        differ = a != b
        if ignore_index is not None:
            differ &= (a != ignore_index) & (b != ignore_index)
        edge[first] |= differ
        edge[second] |= differ
    if not edge.any():
        return np.full(label.shape, np.inf, np.float32)
    return cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) + 1


def by_distance(wrong: np.ndarray, counted: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Pixels and wrong pixels per bin of ``DISTANCES``: int64 (len(DISTANCES) + 1, 2)."""
    index = np.searchsorted(DISTANCES, distance[counted], side="left")
    return _sums(index, wrong[counted], len(DISTANCES) + 1)


def by_size(wrong: np.ndarray, counted: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Regions, regions found, pixels and wrong pixels per bin of ``SIZES``: int64 (len(SIZES) + 1, 4).

    A region is a connected set (with diagonals) of pixels of one class.
    """
    totals = np.zeros((len(SIZES) + 1, 4), np.int64)
    for value in np.unique(label[counted]):
        number, regions = cv2.connectedComponents(((label == value) & counted).astype(np.uint8))
        area = np.bincount(regions.ravel(), minlength=number)[1:]
        missed = np.bincount(regions.ravel(), weights=wrong.ravel(), minlength=number)[1:].astype(np.int64)
        index = np.searchsorted(SIZES, area / label.size, side="left")
        for column, values in enumerate((np.ones_like(area), area - missed >= FOUND * area, area, missed)):
            totals[:, column] += np.bincount(index, weights=values, minlength=len(totals)).astype(np.int64)
    return totals


def by_cell(wrong: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Pixels and wrong pixels per cell of ``GRID``: int64 (rows, columns, 2)."""
    height, width = wrong.shape
    rows = np.arange(height) * GRID[0] // height
    columns = np.arange(width) * GRID[1] // width
    cell = (rows[:, None] * GRID[1] + columns)[counted]
    return _sums(cell, wrong[counted], GRID[0] * GRID[1]).reshape(*GRID, 2)


def _sums(index: np.ndarray, wrong: np.ndarray, length: int) -> np.ndarray:
    """Entries and wrong entries per index: int64 (length, 2)."""
    return np.stack(
        [np.bincount(index, minlength=length), np.bincount(index[wrong], minlength=length)], axis=-1
    ).astype(np.int64)
