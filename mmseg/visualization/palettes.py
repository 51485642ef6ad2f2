"""Colours for classes that bring none of their own."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from mmseg.utils.errors import UserError

_DISTINCT = 256


def default_palette(num_classes: int) -> list[list[int]]:
    """Return ``num_classes`` colours ``[R, G, B]`` (0 to 255), always the same, distinct up to 256 of them.

    Each colour is the one farthest from all before it, so a short palette is the beginning of a long one.
    """
    spread = _spread_colours()
    return [list(spread[i % _DISTINCT]) for i in range(num_classes)]


@functools.cache
def _spread_colours() -> list[tuple[int, int, int]]:
    """Farthest-point sampling of the RGB cube, black and the greys left out."""
    steps = np.linspace(0, 255, 11).round()
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    cube = cube[np.ptp(cube, axis=1) >= 50]  # greys look like the image beneath
    index = int(np.linalg.norm(cube - (230, 26, 77), axis=1).argmin())
    distance = np.full(len(cube), np.inf)
    colours = []
    for _ in range(_DISTINCT):
        colours.append(tuple(int(c) for c in cube[index]))
        distance = np.minimum(distance, np.linalg.norm(cube - cube[index], axis=1))
        index = int(distance.argmax())
    return colours


def colour_table(palette: Sequence[Sequence[int]] | np.ndarray | None, num_classes: int) -> np.ndarray:
    """Return a table (at least ``num_classes``, 3) uint8 of BGR colours, the order of OpenCV's images.

    Args:
        palette: RGB triples from 0 to 255; None or too few are filled up from :func:`default_palette`.

    Raises:
        UserError: ``palette`` does not hold RGB triples.
    """
    given = np.zeros((0, 3), np.int64) if palette is None or len(palette) == 0 else np.asarray(palette)
    if given.ndim != 2 or given.shape[1] != 3 or given.min(initial=0) < 0 or given.max(initial=0) > 255:
        raise UserError(
            f"a palette is a list of [R, G, B] from 0 to 255, one per class; this one has shape {given.shape}"
            f" and values from {given.min(initial=0)} to {given.max(initial=0)}"
        )
    colours = np.concatenate([given, np.array(default_palette(num_classes), given.dtype)[len(given) :]])
    return np.ascontiguousarray(colours[:, ::-1].astype(np.uint8))
